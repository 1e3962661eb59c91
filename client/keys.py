"""Canonical keys: equal keys have equal bytes, and bytes sort as the keys of one type do.

Rules of this encoding (tables and golden bytes: ``docs/format.md``):
1. Python's own equality decides what one key is: ``1 == 1.0 == True``, an instant is the same in every
   time zone, a ``date`` never equals a ``datetime``. NaN, which equals nothing, is one key as well.
2. Hence types whose values may be equal share one encoding: all numbers have one, and a subclass of
   str, int and so on counts as its base.
3. The first byte is the type. 0x00 and 0x01 are never a type: inside a tuple 0x00 ends what it stands
   in, and in front of a key 0x01 marks another key space of the store.
4. At top level str and bytes are raw, so that a prefix of the key is a prefix of the bytes. Inside a
   tuple they are escaped and terminated, so that every item delimits itself.
5. ``decode_key`` accepts canonical bytes only: what it returns encodes to the same bytes again.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from typing import Final, TypeAlias, Union
from uuid import UUID

from ..exception import InvalidError, RequestSizeError
from ..node.config import KEY_BYTES_MAX, KEY_DEPTH_MAX

__all__ = ["Key", "decode_key", "encode_key", "encode_prefix"]

Key: TypeAlias = Union[
    None, bool, int, float, str, bytes, UUID, date, datetime, "tuple[Key, ...]", "frozenset[Key]"
]

_ALLOWED: Final = (
    "a key is None, a bool, int, float, str, bytes, UUID, date, datetime, or a tuple or frozenset of those"
)

# -- the format -----------------------------------------------------------------------------------

END: Final = 0x00
NONE: Final = 0x02
NUMBER: Final = 0x03
STR: Final = 0x04
BYTES: Final = 0x05
UUID_: Final = 0x06
DATE: Final = 0x07
NAIVE: Final = 0x08
AWARE: Final = 0x09
TUPLE: Final = 0x0A
FROZENSET: Final = 0x0B

# After NUMBER, in ascending order of what they introduce. A magnitude of up to 0x7B bytes has the head
# ZERO + its size, or ZERO - its size when the number is negative; a longer one has its size in two bytes.
MINUS_INFINITY: Final = 0x00
LONG_NEGATIVE: Final = 0x02
ZERO: Final = 0x80
LONG_POSITIVE: Final = 0xFD
INFINITY: Final = 0xFE
NAN: Final = 0xFF
SHORT_SIZE_MAX: Final = 0x7B

# After the integer, which is the floor of the number.
INTEGRAL: Final = 0x00
FRACTIONAL: Final = 0x01

_ESCAPE: Final = 0xFF
_ESCAPED_NUL: Final = bytes([0x00, _ESCAPE])
_DOUBLE: Final = struct.Struct(">d")
_DOUBLE_SIGN: Final = 1 << 63
_DOUBLE_BITS: Final = (1 << 64) - 1
_MICROSECOND: Final = timedelta(microseconds=1)
_YEAR_1: Final = datetime(1, 1, 1)
_YEAR_1_UTC: Final = datetime(1, 1, 1, tzinfo=timezone.utc)
_INSTANT_MAX: Final = (datetime.max - _YEAR_1) // _MICROSECOND

# -- the fast paths -------------------------------------------------------------------------------

_STR_TAG: Final = bytes([STR])
_BYTES_TAG: Final = bytes([BYTES])
_WORD_LIMIT: Final = 1 << 64
_WORD_HEADS: Final = [bytes([NUMBER, ZERO + size]) for size in range(9)]
_INTEGRAL_TAIL: Final = bytes([INTEGRAL])
_CHARS_SURE_TO_FIT: Final = (KEY_BYTES_MAX - 1) // 4
"""A character takes at most four bytes: up to here no other check of the size is needed."""


def encode_key(key: object) -> bytes:
    """Return the canonical encoding of a key.

    Raises TypeError for what cannot be a key (unhashable, or not one of the types of `Key`),
    RequestSizeError above `KEY_BYTES_MAX`, InvalidError for nesting deeper than `KEY_DEPTH_MAX` and for
    instants that UTC cannot express.
    """
    if type(key) is str:
        if len(key) <= _CHARS_SURE_TO_FIT:
            try:
                return _STR_TAG + key.encode()
            except UnicodeEncodeError:  # lone surrogates: the careful way below
                pass
    elif type(key) is int:
        if 0 <= key < _WORD_LIMIT:
            size = (key.bit_length() + 7) >> 3
            return _WORD_HEADS[size] + key.to_bytes(size, "big") + _INTEGRAL_TAIL
    elif type(key) is bytes and len(key) < KEY_BYTES_MAX:
        return _BYTES_TAG + key
    out = bytearray()
    _append_top(out, key)
    return _checked(out)


def encode_prefix(prefix: str | bytes | tuple[object, ...]) -> bytes:
    """Return the bytes with which the encoding of every key that begins with `prefix` begins.

    A str or bytes begins the keys of its type, a tuple all tuples with the same leading items; an empty
    one begins all keys of its type. Raises TypeError for any other type, else as `encode_key`.
    """
    out = bytearray()
    if isinstance(prefix, tuple):
        out.append(TUPLE)
        _append_items(out, tuple.__iter__(prefix), 1)
    elif isinstance(prefix, str | bytes):
        _append_top(out, prefix)
    else:
        raise TypeError(f"a prefix is a str, bytes or a tuple of leading items, not {_type_name(prefix)}")
    return _checked(out)


def decode_key(data: bytes) -> Key:
    """Return the key that `data` is the canonical encoding of. Raises ValueError if it is of none.

    Numbers without a fraction come back as int, aware datetimes in UTC, subclasses as their base.
    """
    try:
        tag = data[0]
        if tag == STR:
            return data[1:].decode("utf-8", "surrogatepass")
        if tag == BYTES:
            return data[1:]
        key, end = _read(data, 0, 0)
    except (IndexError, OverflowError) as error:
        raise _malformed(data) from error
    if end != len(data):
        raise _malformed(data)
    return key


# -- encoding: each function appends to what is there already --------------------------------------


def _append_top(out: bytearray, key: object) -> None:
    if isinstance(key, str):
        out.append(STR)
        out += _utf8(key)
    elif isinstance(key, bytes):
        out.append(BYTES)
        out += _fitting(key)
    else:
        _append(out, key, 0)


def _append(out: bytearray, key: object, depth: int) -> None:
    """Append `key`, which lies `depth` containers deep, so that it delimits itself."""
    if isinstance(key, str):
        out.append(STR)
        _append_escaped(out, _utf8(key))
    elif isinstance(key, int):
        out.append(NUMBER)
        _append_integer(out, int.__pos__(key))
        out.append(INTEGRAL)
    elif isinstance(key, bytes):
        out.append(BYTES)
        _append_escaped(out, _fitting(key))
    elif isinstance(key, tuple):
        out.append(TUPLE)
        _append_items(out, tuple.__iter__(key), depth + 1)
        out.append(END)
    elif isinstance(key, float):
        out.append(NUMBER)
        _append_float(out, float.__pos__(key))
    elif isinstance(key, frozenset):
        out.append(FROZENSET)
        _append_members(out, frozenset.__iter__(key), depth + 1)
        out.append(END)
    else:
        _append_record(out, key)


def _append_items(out: bytearray, items: Iterable[object], depth: int) -> None:
    _check_depth(depth)
    for item in items:
        _append(out, item, depth)
        # Here, not at the end: a tuple of few objects may stand for an astronomical number of items.
        if len(out) > KEY_BYTES_MAX:
            raise _too_large(len(out))


def _append_members(out: bytearray, members: Iterable[object], depth: int) -> None:
    _check_depth(depth)
    encoded = set()
    for member in members:
        one = bytearray()
        _append_items(one, (member,), depth)
        encoded.add(bytes(one))
    for part in sorted(encoded):
        out += part


def _append_record(out: bytearray, key: object) -> None:
    """Append a key of fixed size. Subclasses count as their base if they are equal to its value."""
    if key is None:
        out.append(NONE)
    elif isinstance(key, datetime):
        _append_datetime(out, key)
    elif isinstance(key, date) and date(key.year, key.month, key.day) == key:
        out.append(DATE)
        out += key.toordinal().to_bytes(4, "big")
    elif isinstance(key, UUID):
        out.append(UUID_)
        out += key.bytes
    else:
        raise _refusal(key)


def _append_integer(out: bytearray, number: int) -> None:
    size = (number.bit_length() + 7) >> 3
    negative = number < 0
    if size <= SHORT_SIZE_MAX:
        out.append(ZERO - size if negative else ZERO + size)
    elif size > KEY_BYTES_MAX:
        raise _too_large(size)
    else:
        out.append(LONG_NEGATIVE if negative else LONG_POSITIVE)
        out += (size ^ 0xFFFF if negative else size).to_bytes(2, "big")
    if negative:
        number += (1 << 8 * size) - 1  # the complement of the magnitude: the larger, the lower
    out += number.to_bytes(size, "big")


def _append_float(out: bytearray, number: float) -> None:
    if not math.isfinite(number):
        out.append(NAN if number != number else INFINITY if number > 0 else MINUS_INFINITY)
        return
    _append_integer(out, math.floor(number))
    if number.is_integer():
        out.append(INTEGRAL)
    else:
        out.append(FRACTIONAL)
        bits = int.from_bytes(_DOUBLE.pack(number), "big")
        out += (bits ^ (_DOUBLE_BITS if bits & _DOUBLE_SIGN else _DOUBLE_SIGN)).to_bytes(8, "big")


def _append_datetime(out: bytearray, key: datetime) -> None:
    plain = datetime(
        key.year, key.month, key.day, key.hour, key.minute, key.second, key.microsecond, key.tzinfo, fold=key.fold
    )
    if plain.utcoffset() is None:
        out.append(NAIVE)
        instant = (plain.replace(tzinfo=None) - _YEAR_1) // _MICROSECOND
    else:
        out.append(AWARE)
        instant = (plain - _YEAR_1_UTC) // _MICROSECOND
    if type(key) is not datetime and plain != key:  # a subclass that is finer than a microsecond
        raise _refusal(key)
    if not 0 <= instant <= _INSTANT_MAX:
        raise InvalidError(f"the key {key!r} lies outside of the years 1 to 9999 in UTC")
    out += instant.to_bytes(8, "big")


def _append_escaped(out: bytearray, raw: bytes) -> None:
    out += raw.replace(b"\x00", _ESCAPED_NUL)
    out.append(END)


# -- limits and refusals ---------------------------------------------------------------------------


def _utf8(text: str) -> bytes:
    if str.__len__(text) > KEY_BYTES_MAX:
        raise _too_large(str.__len__(text))
    return str.encode(text, "utf-8", "surrogatepass")


def _fitting(raw: bytes) -> bytes:
    if bytes.__len__(raw) > KEY_BYTES_MAX:
        raise _too_large(bytes.__len__(raw))
    return raw


def _check_depth(depth: int) -> None:
    if depth > KEY_DEPTH_MAX:
        raise InvalidError(f"a key nests deeper than {KEY_DEPTH_MAX} tuples and frozensets")


def _checked(out: bytearray) -> bytes:
    if len(out) > KEY_BYTES_MAX:
        raise _too_large(len(out))
    return bytes(out)


def _too_large(size_bytes: int) -> RequestSizeError:
    return RequestSizeError(f"a key of at least {size_bytes} bytes: at most {KEY_BYTES_MAX} are allowed")


def _refusal(key: object) -> TypeError:
    if type(key).__hash__ is None:
        return TypeError(f"unhashable type: {_type_name(key)}; {_ALLOWED}")
    return TypeError(f"unsupported key type: {_type_name(key)}; {_ALLOWED}")


def _type_name(value: object) -> str:
    return repr(type(value).__name__)


# -- decoding: each function returns what it read and where that ended ------------------------------


def _malformed(data: bytes) -> ValueError:
    return ValueError(f"not a canonical key: {data[:40].hex()}{'...' if len(data) > 40 else ''}")


def _read(data: bytes, start: int, depth: int) -> tuple[Key, int]:
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
    _check_depth(depth)
    items: list[Key] = []
    while data[start] != END:
        item, start = _read(data, start, depth)
        items.append(item)
    return items, start + 1


def _read_members(data: bytes, start: int, depth: int) -> tuple[frozenset[Key], int]:
    _check_depth(depth)
    members: list[Key] = []
    before = b""
    while data[start] != END:
        member, end = _read(data, start, depth)
        if data[start:end] <= before:
            raise _malformed(data)
        before = data[start:end]
        members.append(member)
        start = end
    return frozenset(members), start + 1


def _read_record(data: bytes, tag: int, start: int) -> tuple[Key, int]:
    if tag == NONE:
        return None, start
    if tag == DATE:
        return date.fromordinal(int.from_bytes(_take(data, start, 4), "big")), start + 4
    if tag == UUID_:
        return UUID(bytes=_take(data, start, 16)), start + 16
    if tag not in (NAIVE, AWARE):
        raise _malformed(data)
    instant = timedelta(microseconds=int.from_bytes(_take(data, start, 8), "big"))
    return (_YEAR_1 if tag == NAIVE else _YEAR_1_UTC) + instant, start + 8


def _read_number(data: bytes, start: int) -> tuple[int | float, int]:
    head = data[start]
    if head == NAN:
        return math.nan, start + 1
    if head in (INFINITY, MINUS_INFINITY):
        return math.inf if head == INFINITY else -math.inf, start + 1
    whole, start = _read_integer(data, start)
    if data[start] == INTEGRAL:
        return whole, start + 1
    bits = int.from_bytes(_take(data, start + 1, 8), "big")
    bits ^= _DOUBLE_SIGN if bits & _DOUBLE_SIGN else _DOUBLE_BITS
    number: float = _DOUBLE.unpack(bits.to_bytes(8, "big"))[0]
    if data[start] != FRACTIONAL or number.is_integer() or math.floor(number) != whole:
        raise _malformed(data)
    return number, start + 9


def _read_integer(data: bytes, start: int) -> tuple[int, int]:
    head = data[start]
    negative = head < ZERO
    start += 1
    if head in (LONG_NEGATIVE, LONG_POSITIVE):
        size = int.from_bytes(_take(data, start, 2), "big") ^ (0xFFFF if negative else 0)
        start += 2
    else:
        size = abs(head - ZERO)
    number = int.from_bytes(_take(data, start, size), "big")
    if negative:
        number -= (1 << 8 * size) - 1
    short = head not in (LONG_NEGATIVE, LONG_POSITIVE)
    if (number.bit_length() + 7) >> 3 != size or short != (size <= SHORT_SIZE_MAX):
        raise _malformed(data)
    return number, start + size


def _read_escaped(data: bytes, start: int) -> tuple[bytes, int]:
    end = data.index(b"\x00", start)
    while data[end + 1 : end + 2] == b"\xff":
        end = data.index(b"\x00", end + 2)
    return data[start:end].replace(_ESCAPED_NUL, b"\x00"), end + 1


def _take(data: bytes, start: int, size: int) -> bytes:
    chunk = data[start : start + size]
    if len(chunk) != size:
        raise _malformed(data)
    return chunk
