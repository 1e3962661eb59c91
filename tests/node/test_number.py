"""Plain numbers: the very bytes that the value codec writes, and nothing else is taken for one."""

from __future__ import annotations

import math

import msgpack
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringdict.client.values import ValueCodec
from ringdict.node.store.number import decode_number, encode_number

codec = ValueCodec(allow_pickle=False, value_bytes_max=1 << 20)

EDGES = [
    (1 << bits) + step
    for bits in (
        0,
        5,
        7,
        8,
        15,
        16,
        31,
        32,
        63,
        64,
        71,
        127,
        128,
        2038,
        2046,
        2048,
        524_278,
        524_286,
        524_300,
    )
    for step in (-1, 0, 1)
]


@given(st.integers() | st.floats(allow_nan=False) | st.sampled_from([*EDGES, *(-edge for edge in EDGES)]))
@example(-0.0)
@example(math.inf)
def test_numbers_are_encoded_as_values_are(number: float) -> None:
    data = encode_number(number)
    assert data == codec.encode(number)
    for decoded in (decode_number(data), codec.decode(data)):
        assert type(decoded) is type(number)
        assert decoded == number
    assert str(decode_number(encode_number(-0.0))) == "-0.0"


@pytest.mark.parametrize("edge", EDGES, ids=range(len(EDGES)))
def test_every_form_of_an_int_is_that_of_the_codec(edge: int) -> None:
    for number in (edge, -edge):
        assert encode_number(number) == codec.encode(number)
        assert decode_number(encode_number(number)) == number


def test_nan_is_a_number() -> None:
    decoded = decode_number(codec.encode(math.nan))
    assert isinstance(decoded, float)
    assert math.isnan(decoded)


@pytest.mark.parametrize(
    "value",
    [None, True, False, "1", b"1", [1], {1: 1}, (1,), 1j, np.int64(1), np.float64(1), bytearray(b"\x01")],
)
def test_other_values_are_not_plain_numbers(value: object) -> None:
    assert decode_number(codec.encode(value)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\xcb\x00",
        b"\xcc",
        b"\xcf" + bytes(9),
        b"\xca" + bytes(4),
        b"\xc1\xd4\x08\x01",
        b"\xc1\xc7\x09\x08" + bytes(9),
        b"\xc1\xc7\x0a\x08\x00" + b"\x01" * 9,
        b"\xc1\xc7\x0a\x08\xff" + b"\xfe" * 9,
        b"\xc1\xc7\x09\x09" + b"\x01" * 9,
        b"\xc1\xc7\x09\x08" + b"\x01" * 8,
        b"\xc1\xc7\x09\x08" + b"\x01" * 10,
        b"\xc1\xc8\x00\x09\x08" + b"\x01" * 9,
    ],
)
def test_what_the_codec_would_not_write_is_not_a_plain_number(data: bytes) -> None:
    assert decode_number(data) is None


@given(st.binary(max_size=30) | st.binary(max_size=12).map(lambda tail: b"\xc1\xc7" + tail))
def test_any_bytes_are_a_number_or_none(data: bytes) -> None:
    number = decode_number(data)
    if number is not None:
        # Others may write a small number in a long form, and that is read.
        assert type(number) in (int, float)
        assert data[0] == 0xC1 or repr(msgpack.unpackb(data)) == repr(number)
