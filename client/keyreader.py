"""Reads canonical keys: each function returns what it read and where that ended.

Any of them raises ValueError, IndexError or OverflowError for bytes that no key has. Running over the end of
the data shows in an end beyond it, which whoever reads on, or compares it with the length, will find.
"""

from __future__ import annotations

import math
from datetime import date, timedelta

from ..node.config import KEY_DEPTH_MAX
from .keyformat import (
    AWARE,
    BYTES,
    DATE,
    DOUBLE,
    DOUBLE_BITS,
    DOUBLE_SIGN,
    END,
    ESCAPE,
    ESCAPED_NUL,
    FRACTIONAL,
    FROZENSET,
    INFINITY,
    INTEGRAL,
    LONG_NEGATIVE,
    LONG_POSITIVE,
    MINUS_INFINITY,
    NAIVE,
    NAN,
    NONE,
    NUMBER,
    SHORT_SIZE_MAX,
    STR,
    TUPLE,
    UUID_,
    YEAR_1,
    YEAR_1_UTC,
    ZERO,
    Key,
)

__all__ = ["malformed", "read_key"]


def malformed(data: bytes) -> ValueError:
    """Return the error for `data`, which is no key."""
    return ValueError(f"not a canonical key: {data[:40].hex()}{'...' if len(data) > 40 else ''}")


def read_key(data: bytes, start: int, depth: int) -> tuple[Key, int]:
    """Read the self-delimiting key at `start`, which lies `depth` containers deep."""
    tag = data[start]
    start += 1
    if tag == NUMBER:
        return _read_number(data, start)
    if tag == STR:
        raw, end = _read_escaped(data, start)
        return raw.decode("utf-8", "surrogatepass"), end
    if tag == BYTES:
        return _read_escaped(data, start)
    if tag == TUPLE:
        items, end = _read_items(data, start, depth + 1)
        return tuple(items), end
    if tag == FROZENSET:
        return _read_members(data, start, depth + 1)
    return _read_record(data, tag, start)


def _read_items(data: bytes, start: int, depth: int) -> tuple[list[Key], int]:
    if depth > KEY_DEPTH_MAX:
        raise malformed(data)
    items: list[Key] = []
    while data[start] != END:
        item, start = read_key(data, start, depth)
        items.append(item)
    return items, start + 1


def _read_members(data: bytes, start: int, depth: int) -> tuple[frozenset[Key], int]:
    if depth > KEY_DEPTH_MAX:
        raise malformed(data)
    members: list[Key] = []
    before = b""
    while data[start] != END:
        member, end = read_key(data, start, depth)
        if data[start:end] <= before:
            raise malformed(data)
        before = data[start:end]
        members.append(member)
        start = end
    return frozenset(members), start + 1


def _read_record(data: bytes, tag: int, start: int) -> tuple[Key, int]:
    if tag == NONE:
        return None, start
    if tag == DATE:
        return date.fromordinal(int.from_bytes(data[start : start + 4], "big")), start + 4
    if tag == UUID_:
        from uuid import UUID  # 4 ms that a program without such keys does not pay

        return UUID(bytes=data[start : start + 16]), start + 16
    if tag not in (NAIVE, AWARE):
        raise malformed(data)
    instant = timedelta(microseconds=int.from_bytes(data[start : start + 8], "big"))
    return (YEAR_1 if tag == NAIVE else YEAR_1_UTC) + instant, start + 8


def _read_number(data: bytes, start: int) -> tuple[int | float, int]:
    head = data[start]
    if head == NAN:
        return math.nan, start + 1
    if head in (INFINITY, MINUS_INFINITY):
        return math.inf if head == INFINITY else -math.inf, start + 1
    whole, start = _read_integer(data, start)
    if data[start] == INTEGRAL:
        return whole, start + 1
    bits = int.from_bytes(data[start + 1 : start + 9], "big")
    bits ^= DOUBLE_SIGN if bits & DOUBLE_SIGN else DOUBLE_BITS
    number: float = DOUBLE.unpack(bits.to_bytes(8, "big"))[0]
    if data[start] != FRACTIONAL or number.is_integer() or math.floor(number) != whole:
        raise malformed(data)
    return number, start + 9


def _read_integer(data: bytes, start: int) -> tuple[int, int]:
    head = data[start]
    negative = head < ZERO
    start += 1
    if head in (LONG_NEGATIVE, LONG_POSITIVE):
        size = int.from_bytes(data[start : start + 2], "big") ^ (0xFFFF if negative else 0)
        start += 2
    else:
        size = abs(head - ZERO)
    number = int.from_bytes(data[start : start + size], "big")
    if negative:
        number -= (1 << 8 * size) - 1
    short = head not in (LONG_NEGATIVE, LONG_POSITIVE)
    if (number.bit_length() + 7) >> 3 != size or short != (size <= SHORT_SIZE_MAX):
        raise malformed(data)
    return number, start + size


def _read_escaped(data: bytes, start: int) -> tuple[bytes, int]:
    end = data.index(END, start)
    if data[end + 1] != ESCAPE:
        return data[start:end], end + 1
    while data[end + 1] == ESCAPE:
        end = data.index(END, end + 2)
    return data[start:end].replace(ESCAPED_NUL, b"\x00"), end + 1
