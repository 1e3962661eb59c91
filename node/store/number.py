"""Plain numbers as the value codec writes them, so that a store can count without knowing other values.

A plain number is an int of any size or a float. What MessagePack can hold stands as it is; a larger int
is extension `BIG_INT` behind the byte `EXTENDED`. A bool is not a number here, nor is a NumPy scalar.
"""

from __future__ import annotations

from typing import Final, cast

import ormsgpack

__all__ = ["BIG_INT", "EXTENDED", "big_int_payload", "decode_number", "encode_number"]

EXTENDED: Final = 0xC1
"""The one byte that MessagePack never uses: in front of a value, it announces extension types."""

BIG_INT: Final = 0x08
"""Extension code of an int below -2**63 or from 2**64 on: two's complement, big-endian, shortest."""

INT_MIN: Final = -(1 << 63)
INT_LIMIT: Final = 1 << 64

_FIX_EXT_CODES: Final = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
_PLAIN_SIZES: Final = {0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
"""First byte of each number that is not a single byte, and how many bytes it has."""


def encode_number(number: int | float) -> bytes:
    """Return the value encoding of an int of any size or of a float."""
    if type(number) is int and not INT_MIN <= number < INT_LIMIT:
        payload = big_int_payload(number)
        return bytes([EXTENDED]) + _extension_head(len(payload)) + payload
    return ormsgpack.packb(number)


def decode_number(data: bytes) -> int | float | None:
    """Return the number that `data` is the value encoding of, or None if it is not of a plain number."""
    first = data[0] if data else EXTENDED
    size = 1 if first < 0x80 or first >= 0xE0 else _PLAIN_SIZES.get(first, 0)
    if size:
        return cast("int | float", ormsgpack.unpackb(data)) if len(data) == size else None
    return _decode_big_int(data)


def big_int_payload(number: int) -> bytes:
    """Return the payload of the extension `BIG_INT`."""
    bits = (number if number >= 0 else ~number).bit_length() + 1
    return number.to_bytes((bits + 7) >> 3, "big", signed=True)


def _extension_head(size: int) -> bytes:
    if size in _FIX_EXT_CODES:
        return bytes([_FIX_EXT_CODES[size], BIG_INT])
    if size < 1 << 8:
        return bytes([0xC7, size, BIG_INT])
    if size < 1 << 16:
        return b"\xc8" + size.to_bytes(2, "big") + bytes([BIG_INT])
    return b"\xc9" + size.to_bytes(4, "big") + bytes([BIG_INT])


def _decode_big_int(data: bytes) -> int | None:
    """Read what `encode_number` writes for a large int, and nothing else: the form is unique."""
    for head_size in (3, 4, 5, 7):
        payload = data[head_size:]
        if data[:head_size] == bytes([EXTENDED]) + _extension_head(len(payload)):
            number = int.from_bytes(payload, "big", signed=True)
            canonical = not INT_MIN <= number < INT_LIMIT and big_int_payload(number) == payload
            return number if canonical else None
    return None
