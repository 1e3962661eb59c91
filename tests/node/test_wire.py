"""Messages: their bytes, and what strangers may send instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.exception import ProtocolError
from ringdict.node.network.message import Absent, Get, Put, Refused
from ringdict.node.network.peermessage import Replicate
from ringdict.node.network.wire import decode, encode, kinds

MARK = (3, b"digest-8")


def test_what_was_encoded_comes_back() -> None:
    for message in (
        Get(1, 7, b"dict-id8", b"key"),
        Put(2**63, 7, b"dict-id8", b"key", b"body", -1, 0, 0, b""),
        Absent(3, (0, 0, 0)),
        Refused(4, 1, "why", MARK),
        Replicate(5, MARK, [(b"place", b"entry")]),
    ):
        assert decode(encode(message)) == message


def test_every_kind_is_told_from_a_letter_of_gossip() -> None:
    every = list(kinds())
    assert len({kind.__struct_config__.tag for kind in every}) == len(every) > 30
    for kind in every:
        assert len(kind.__struct_fields__) < 15, kind
    assert 0x90 <= encode(Get(1, 7, b"dict-id8", b"key"))[0] <= 0x9F


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        encode(Get(1, 7, b"dict-id8", b"key"))[:-1],
        encode(Get(1, 7, b"short", b"key")),
        encode(Get(-1, 7, b"dict-id8", b"key")),
        b"\x92\xcc\xc8\x00",  # an unknown kind
        b"\x91" * 5_000,
        encode(Refused(4, 1, "why", MARK)).replace(b"why", b"wh\xe8"),  # no UTF-8
        b"\xdd\xff\xff\xff\xff",  # four thousand million elements, it says
    ],
)
def test_what_is_no_message_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(frame)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(frame: bytes) -> None:
    try:
        decode(frame)
    except ProtocolError:
        pass


def test_a_field_that_came_later_may_be_missing() -> None:
    assert decode(encode(Put(1, 7, b"dict-id8", b"k", b"v", 0, 0, 0, b""))) == decode(
        b"\x9a" + encode(Put(1, 7, b"dict-id8", b"k", b"v", 0, 0, 0, b""))[1:-2]
    )
