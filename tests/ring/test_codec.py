"""Decrees as bytes: they come back as they went, and hostile bytes cost little."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from dataclasses import replace
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.ring.change import found, join, leave
from ringdict.ring.codec import decode_decree, digest_of, encode_decree
from ringdict.ring.config import (
    ADDRESS_BYTES_MAX,
    CLUSTER_PARTITIONS_MAX,
    DECREE_BODY_BYTES_MAX,
    DECREE_BYTES_MAX,
    FORMER_SETS_MAX,
    MEMBERS_MAX,
    REPLICAS_MAX,
    ZONE_BYTES_MAX,
)
from ringdict.ring.decree import Decree, DecreeError
from ringdict.ring.member import Member, MemberState
from ringdict.ring.table import Table

from .rings import CLUSTER_ID, cluster_of, member

THREE = cluster_of(3)
DECREES = [
    found(CLUSTER_ID, member(0), 1, 1),
    THREE,
    join(THREE, member(3, weight=8, zone="Zürich 1")),
    leave(cluster_of(5), member(0).member_id),
    cluster_of(3, settled=False),
]


def sealed(body: bytes, *, length: int | None = None) -> bytes:
    """A body in its envelope, as anybody who has read the format can make it."""
    digest = blake2b(body, digest_size=8, person=b"ringdict decree").digest()
    return struct.pack(">BI8s", 1, len(body) if length is None else length, digest) + zlib.compress(body)


def body_of(decree: Decree) -> bytes:
    return zlib.decompress(encode_decree(decree)[13:])


@pytest.mark.parametrize("decree", DECREES)
def test_a_decree_comes_back_as_it_went(decree: Decree) -> None:
    data = encode_decree(decree)
    assert decode_decree(data) == decree
    assert encode_decree(decode_decree(data)) == data
    assert sealed(body_of(decree))[:13] == data[:13]


def test_the_digest_is_that_of_decrees_on_disk_and_of_other_versions() -> None:
    assert digest_of(THREE).hex() == "f6fac53e399cb3b9"


def test_the_digest_covers_every_part() -> None:
    joining = DECREES[2]
    pending = joining.pending
    assert pending is not None
    others = [
        joining,
        replace(joining, cluster_id=bytes(16)),
        replace(joining, epoch=99),
        replace(joining, parent=b"12345678"),
        replace(joining, members=joining.members[::-1]),
        replace(joining, members=(*joining.members[:-1], replace(joining.members[-1], weight=2))),
        replace(joining, members=(*joining.members[:-1], replace(joining.members[-1], zone="Z"))),
        replace(joining, members=(*joining.members[:-1], replace(joining.members[-1], address="Z"))),
        replace(joining, table=pending),
        replace(joining, pending=None),
        replace(joining, pending=joining.table),
        replace(joining, since=(1, *joining.since[1:])),
        replace(joining, former=((b"\0",), *joining.former[1:])),
    ]
    assert len({digest_of(decree) for decree in others}) == len(others)


def test_100_members_and_4096_partitions_are_small() -> None:
    decree = found(CLUSTER_ID, member(0), 4096, 3)
    rnd = random.Random(1)
    rows = [rnd.sample(range(100), 3) for _ in range(4096)]
    members = tuple(member(number) for number in range(100))
    decree = replace(decree, members=members, table=Table.of(rows, 3))
    assert len(encode_decree(decree)) < 30_000


def test_the_largest_decree_that_limits_allow_fits_into_a_frame() -> None:
    """Nearly incompressible in every part."""
    rnd = random.Random(2)
    text = [chr(code) for code in range(0x100, 0x17F)]

    def words(size: int) -> str:
        return "".join(rnd.choices(text, k=size // 2))

    members = [
        Member(rnd.randbytes(16), MemberState.ACTIVE, 1, words(ZONE_BYTES_MAX), words(ADDRESS_BYTES_MAX))
        for _ in range(MEMBERS_MAX)
    ]
    some = [rnd.sample(range(MEMBERS_MAX), REPLICAS_MAX) for _ in range(4096)]
    rows = rnd.choices(some, k=CLUSTER_PARTITIONS_MAX)
    sets = [bytes(sorted(row)) for row in some]
    former = tuple(tuple(rnd.choices(sets, k=FORMER_SETS_MAX)) for _ in rows)
    table = Table.of(rows, REPLICAS_MAX)
    since = tuple(rnd.randrange(1, 1 << 62) for _ in rows)
    decree = Decree(CLUSTER_ID, 1 << 62, b"12345678", tuple(members), table, table, since, former)
    data = encode_decree(decree)
    assert len(data) <= DECREE_BYTES_MAX
    assert len(body_of(decree)) <= DECREE_BODY_BYTES_MAX
    assert decode_decree(data) == decree


def test_what_is_no_decree_is_not_encoded() -> None:
    with pytest.raises(DecreeError, match="no epoch"):
        encode_decree(replace(THREE, epoch=0))


# -- hostile bytes -------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_random_bytes_are_no_decree(data: bytes) -> None:
    with pytest.raises(DecreeError):
        decode_decree(data)
    with pytest.raises(DecreeError):
        decode_decree(sealed(data))


@given(st.sampled_from(DECREES), st.data())
def test_a_flipped_bit_never_makes_another_decree(decree: Decree, data: st.DataObject) -> None:
    """Some bits of a compressed stream mean nothing; all others are noticed."""
    good = bytearray(encode_decree(decree))
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    good[bit // 8] ^= 1 << bit % 8
    try:
        assert decode_decree(bytes(good)) == decree
    except DecreeError:
        return


@pytest.mark.parametrize("decree", DECREES)
def test_nearly_all_flipped_bits_are_noticed(decree: Decree) -> None:
    good = encode_decree(decree)
    unnoticed = 0
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            decode_decree(bytes(bad))
            unnoticed += 1
        except DecreeError:
            pass
    assert unnoticed <= 16


@given(st.sampled_from(DECREES), st.data())
def test_a_forged_body_is_a_decree_or_refused(decree: Decree, data: st.DataObject) -> None:
    """Whoever knows the format makes the digest fit: then the rules alone stand between the bytes and us."""
    body = bytearray(body_of(decree))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    forged = sealed(bytes(body))
    try:
        found_decree = decode_decree(forged)
    except DecreeError:
        return
    assert body_of(found_decree) == bytes(body)


@pytest.mark.parametrize("decree", DECREES)
def test_a_body_that_is_cut_off_or_goes_on_is_refused(decree: Decree) -> None:
    body = body_of(decree)
    for size in range(len(body)):
        with pytest.raises(DecreeError, match=r"ends in the middle|no decree"):
            decode_decree(sealed(body[:size]))
    with pytest.raises(DecreeError, match="something behind it"):
        decode_decree(sealed(body + b"\0"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes are no decree"),
        (bytes(DECREE_BYTES_MAX + 1), "bytes are no decree"),
        (b"\x03" + encode_decree(THREE)[1:], "a decree of version 3, where this program knows 2"),
        (b"\x02" + encode_decree(THREE)[1:], "ends in the middle"),
        (sealed(b"x" * 50, length=DECREE_BODY_BYTES_MAX + 1), "a decree of 2097153 bytes"),
        (sealed(b"x" * 50, length=49), "another length than it says"),
        (sealed(b"x" * 50, length=51), "another length than it says"),
        (encode_decree(THREE) + b"\0", "another length than it says"),
        (encode_decree(THREE)[:-1], "another length than it says"),
        (encode_decree(THREE)[:13] + b"no zlib at all", "cannot be unpacked"),
        (sealed(b"x" * 32 + bytes([15, 3, 0, 0])), "2\\*\\*15 partitions, 3 replicas"),
        (sealed(b"x" * 32 + bytes([255, 3, 0, 0])), "2\\*\\*255 partitions"),
        (sealed(b"x" * 32 + bytes([4, 0, 0, 0])), ", 0 replicas"),
        (sealed(b"x" * 32 + bytes([4, 8, 0, 0])), ", 8 replicas"),
        (sealed(b"x" * 32 + bytes([4, 3, 0, 2])), "flag 2"),
        (sealed(b"x" * 32 + bytes([4, 3, 1, 0]) + b"y" * 16 + b"\x09\x01\0\0"), "in state 9"),
        (sealed(b"x" * 32 + bytes([4, 3, 1, 0]) + b"y" * 16 + b"\x02\x01\x01\xff"), "not UTF-8"),
    ],
)
def test_what_is_no_decree_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(DecreeError, match=words):
        decode_decree(data)


def test_a_bomb_is_not_unpacked() -> None:
    """2 MB that would become 2 GB, under a length that says 100."""
    bomb = zlib.compress(bytes(1 << 26), 9)
    data = struct.pack(">BI8s", 1, 100, b"12345678") + bomb
    tracemalloc.start()
    try:
        with pytest.raises(DecreeError, match="another length"):
            decode_decree(data)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_more_former_sets_than_there_may_be_are_refused_before_they_are_made() -> None:
    """A body has room for 1.5 million of one byte each. Their number alone is reason enough."""
    head = struct.pack(">16sQ8sBBBB", CLUSTER_ID, 9, b"12345678", 1, 1, 1, 0)
    body = head + member(0).member_id + b"\x02\x01\0\0" + bytes(2) + struct.pack(">2Q", 1, 1)
    with pytest.raises(DecreeError, match="with 9 former sets, where 8 are the most"):
        decode_decree(sealed(body + bytes([0, FORMER_SETS_MAX + 1])))
    with pytest.raises(DecreeError, match="ends in the middle"):
        decode_decree(sealed(body + bytes([0, FORMER_SETS_MAX])))
