"""Messages as bytes: what comes out is what went in, and nothing else ever comes out."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.gossip.codec import CodecError, decode, encode, encode_header, label_of
from ringdict.gossip.config import (
    ADDRESS_BYTES_MAX,
    BROADCAST_BYTES_MAX,
    DATAGRAM_BYTES_MAX,
    FRAME_BYTES_MAX,
    MEMBERS_MAX,
    METADATA_BYTES_MAX,
    SYNC_BUCKETS,
    TOMBSTONES_MAX,
    VERSION_BYTES_MAX,
    ZONE_BYTES_MAX,
)
from ringdict.gossip.member import NodeId, Profile, Record, Status
from ringdict.gossip.message import (
    Ack,
    Broadcast,
    Dead,
    Duplicate,
    Entry,
    Left,
    Message,
    Nack,
    Ping,
    PingRequest,
    RelayedAck,
    Ring,
    Rumour,
    Suspect,
    SyncAsk,
    SyncTell,
)

LABEL = label_of("ringdict")
HEADER = encode_header(LABEL, NodeId(b"s" * 16), 7)

numbers = st.integers(0, 2**64 - 1)
ids = st.binary(min_size=16, max_size=16).map(NodeId)
rings = st.builds(Ring, numbers, numbers)
texts = st.text(max_size=8)
profiles = st.builds(Profile, st.text(min_size=1, max_size=30), texts, texts, texts, st.binary(max_size=99))
records = st.builds(Record, ids, numbers, numbers, st.sampled_from(Status), profiles)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Ping, numbers, ids, numbers, rings),
    st.builds(Ack, numbers, numbers, rings),
    st.builds(PingRequest, numbers, ids),
    st.builds(RelayedAck, numbers, ids, numbers),
    st.builds(Nack, numbers),
    st.builds(Rumour, records),
    st.builds(Entry, records),
    st.builds(Suspect, ids, numbers, numbers, ids),
    st.builds(Dead, ids, numbers, numbers, ids),
    st.builds(Left, ids, numbers, numbers),
    st.builds(SyncAsk, st.tuples(*[numbers] * SYNC_BUCKETS)),
    st.builds(SyncTell, numbers, st.booleans()),
    st.builds(Duplicate, ids, numbers, numbers),
    st.builds(Broadcast, ids, numbers, numbers, st.binary(max_size=99)),
)


def letter(*parts: Message | bytes) -> bytes:
    return HEADER + b"".join(part if isinstance(part, bytes) else encode(part) for part in parts)


@given(st.lists(messages, max_size=4))
def test_what_comes_out_is_what_went_in(said: list[Message]) -> None:
    heard = decode(letter(*said), LABEL, bytes_max=FRAME_BYTES_MAX)
    assert heard == (b"s" * 16, 7, said)
    assert [type(message) for message in heard.messages] == [type(message) for message in said]


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_letter_or_a_codec_error(noise: bytes, with_header: bool) -> None:
    data = HEADER + noise if with_header else noise
    try:
        heard = decode(data, LABEL)
    except CodecError:
        return
    assert decode(letter(*heard.messages), LABEL).messages == heard.messages


@given(messages, st.data())
def test_a_letter_that_ends_early_is_refused_whole(message: Message, data: st.DataObject) -> None:
    whole = letter(Nack(1), message)
    begun = len(letter(Nack(1)))
    cut = data.draw(st.integers(begun + 1, len(whole) - 1))
    with pytest.raises(CodecError):
        decode(whole[:cut], LABEL, bytes_max=FRAME_BYTES_MAX)


def test_another_label_or_format_is_refused() -> None:
    with pytest.raises(CodecError):
        decode(letter(Nack(1)), label_of("another"))
    with pytest.raises(CodecError):
        decode(b"\2" + letter(Nack(1))[1:], LABEL)
    with pytest.raises(CodecError):
        decode(HEADER[:-1], LABEL)


def test_what_a_newer_release_says_besides_is_skipped() -> None:
    longer = bytearray(encode(Nack(5)) + b"more")
    longer[2] += 4
    unknown = b"\xfe\x00\x03abc"
    assert decode(letter(unknown, bytes(longer), unknown, Nack(6)), LABEL).messages == [Nack(5), Nack(6)]


@pytest.mark.parametrize(
    "profile",
    [
        Profile("a" * (ADDRESS_BYTES_MAX + 1)),
        Profile("a:1", "s" * (ADDRESS_BYTES_MAX + 1)),
        Profile("a:1", zone="z" * (ZONE_BYTES_MAX + 1)),
        Profile("a:1", version="v" * (VERSION_BYTES_MAX + 1)),
        Profile("a:1", metadata=bytes(METADATA_BYTES_MAX + 1)),
        Profile(""),
    ],
)
def test_a_profile_has_limits(profile: Profile) -> None:
    with pytest.raises(CodecError):
        decode(letter(Rumour(Record(NodeId(b"x" * 16), 1, 0, Status.ALIVE, profile))), LABEL)


def test_a_status_that_nobody_knows_is_refused() -> None:
    data = bytearray(letter(Rumour(Record(NodeId(b"x" * 16), 1, 0, Status.LEFT, Profile("a:1")))))
    data[len(HEADER) + 3 + 32] = 4
    with pytest.raises(CodecError):
        decode(bytes(data), LABEL)


def test_a_text_that_is_not_utf8_is_refused() -> None:
    data = letter(Rumour(Record(NodeId(b"x" * 16), 1, 0, Status.ALIVE, Profile("a:1")))).replace(
        b"a:1", b"a:\xff"
    )
    with pytest.raises(CodecError):
        decode(data, LABEL)


def test_a_broadcast_has_a_limit() -> None:
    with pytest.raises(CodecError):
        decode(letter(Broadcast(NodeId(b"x" * 16), 1, 1, bytes(BROADCAST_BYTES_MAX + 1))), LABEL)


def test_a_letter_has_a_limit() -> None:
    decode(HEADER + b"\xfe\x00\x00" * ((DATAGRAM_BYTES_MAX - len(HEADER)) // 3), LABEL)
    with pytest.raises(CodecError):
        decode(HEADER + bytes(DATAGRAM_BYTES_MAX), LABEL)


def test_the_largest_word_about_a_node_fits_a_datagram_with_a_ping() -> None:
    profile = Profile(
        "a" * ADDRESS_BYTES_MAX,
        "s" * ADDRESS_BYTES_MAX,
        "z" * ZONE_BYTES_MAX,
        "v" * VERSION_BYTES_MAX,
        bytes(METADATA_BYTES_MAX),
    )
    record = Record(NodeId(b"x" * 16), 1, 0, Status.ALIVE, profile)
    words: list[Message] = [
        Ping(1, NodeId(b"x" * 16), 1, Ring()),
        Dead(NodeId(b"x" * 16), 1, 1, NodeId(b"y" * 16)),
    ]
    assert len(letter(Rumour(record), *words)) <= DATAGRAM_BYTES_MAX * 3 // 4
    assert len(encode(Entry(record))) * (MEMBERS_MAX + TOMBSTONES_MAX) <= FRAME_BYTES_MAX


def test_hostile_bytes_cost_little() -> None:
    """A frame as long as allowed, of the shortest messages: a few microseconds for each, and no more
    memory."""
    count = 100_000
    data = HEADER + encode(Nack(1)) * count
    began = time.process_time()
    heard = decode(data, LABEL, bytes_max=FRAME_BYTES_MAX)
    assert len(heard.messages) == count
    assert (time.process_time() - began) / count < 0.000_02


def test_the_bytes_of_each_message_stay_what_they_are() -> None:
    """Nodes of two releases talk to each other: a change here is a new kind, never another layout."""
    x, y = NodeId(b"x" * 16), NodeId(b"y" * 16)
    record = Record(x, 1, 2, Status.SUSPECT, Profile("a:1", "b:2", "z", "v", b"m"))
    one, two, three, four = (f"{number:016x}" for number in (1, 2, 3, 4))
    xs, ys = "78" * 16, "79" * 16
    golden: list[tuple[Message, str]] = [
        (Ping(1, x, 2, Ring(3, 4)), "01 0030" + one + xs + two + three + four),
        (Ack(1, 2, Ring(3, 4)), "02 0020" + one + two + three + four),
        (PingRequest(1, x), "03 0018" + one + xs),
        (RelayedAck(1, x, 2), "04 0020" + one + xs + two),
        (Nack(1), "05 0008" + one),
        (Rumour(record), "06 0030" + xs + one + two + "01 03613a31 03623a32 017a 0176 00016d"),
        (Suspect(x, 1, 2, y), "08 0030" + xs + one + two + ys),
        (Dead(x, 1, 2, y), "09 0030" + xs + one + two + ys),
        (Left(x, 1, 2), "0a 0020" + xs + one + two),
        (SyncAsk((1,) * SYNC_BUCKETS), "0b 0200" + one * SYNC_BUCKETS),
        (SyncTell(5, answer=True), "0c 0009 0000000000000005 01"),
        (Duplicate(x, 1, 2), "0d 0020" + xs + one + two),
        (Broadcast(x, 1, 2, b"m"), "0e 0021" + xs + one + two + "6d"),
    ]
    for message, expected in golden:
        assert encode(message).hex() == expected.replace(" ", ""), message
    assert encode(Entry(record)) == b"\7" + encode(Rumour(record))[1:]
    assert HEADER.hex() == "01" + f"{LABEL:08x}" + "73" * 16 + "0000000000000007"
    assert LABEL == 0xB6C8C8CA


def test_flipped_bits_are_a_letter_or_a_codec_error() -> None:
    dice = random.Random(5)
    whole = letter(Nack(1), Rumour(Record(NodeId(b"x" * 16), 1, 0, Status.ALIVE, Profile("a:1", zone="z"))))
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        try:
            decode(bytes(data), LABEL)
        except CodecError:
            pass
