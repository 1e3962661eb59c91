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
import sys
from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, TypeGuard

from ..exception import InvalidError, RequestSizeError
from ..node.config import KEY_BYTES_MAX, KEY_DEPTH_MAX
from .keyformat import (
    AWARE,
    BYTES,
    DATE,
    DOUBLE,
    DOUBLE_BITS,
    DOUBLE_SIGN,
    END,
    ESCAPED_NUL,
    FRACTIONAL,
    FROZENSET,
    INFINITY,
    INSTANT_MAX,
    INTEGRAL,
    LONG_NEGATIVE,
    LONG_POSITIVE,
    MICROSECOND,
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
from .keyreader import malformed, read_key

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["Key", "decode_key", "encode_key", "encode_prefix"]

_ALLOWED: Final = (
    "a key is None, a bool, int, float, str, bytes, UUID, date, datetime, or a tuple or frozenset of those"
)

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


def is_uuid(key: object) -> TypeGuard[UUID]:
    """Whether a key is a UUID: none is, in a program that never loaded `uuid` (4 ms)."""
    uuid = sys.modules.get("uuid")
    return uuid is not None and isinstance(key, uuid.UUID)


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
        if tag == NUMBER and _is_word(data):
            return int.from_bytes(data[2:-1], "big")
        key, end = read_key(data, 0, 0)
    except (IndexError, OverflowError, ValueError) as error:
        raise malformed(data) from error
    if end != len(data):
        raise malformed(data)
    return key


def _is_word(data: bytes) -> bool:
    """Tell whether this number is the canonical form of an int from 0 to 2**64 - 1."""
    head = data[1]
    return (
        ZERO <= head <= ZERO + 8
        and len(data) == head - ZERO + 3
        and data[-1] == INTEGRAL
        and (data[2] != 0 or head == ZERO)
    )


# -- encoding: each function appends to what is there already --------------------------------------


def _append_top(out: bytearray, key: object) -> None:
    if type(key).__hash__ is None:
        raise _refusal(key)
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
    if type(key).__hash__ is None:
        raise _refusal(key)
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
    elif is_uuid(key):
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
    if math.isnan(number):
        out.append(NAN)
        return
    if math.isinf(number):
        out.append(INFINITY if number > 0 else MINUS_INFINITY)
        return
    _append_integer(out, math.floor(number))
    if number.is_integer():
        out.append(INTEGRAL)
    else:
        out.append(FRACTIONAL)
        bits = int.from_bytes(DOUBLE.pack(number), "big")
        out += (bits ^ (DOUBLE_BITS if bits & DOUBLE_SIGN else DOUBLE_SIGN)).to_bytes(8, "big")


def _append_datetime(out: bytearray, key: datetime) -> None:
    if type(key) is not datetime:
        key = _plain_datetime(key)
    if key.utcoffset() is None:
        out.append(NAIVE)
        instant = (key.replace(tzinfo=None) - YEAR_1) // MICROSECOND
    else:
        out.append(AWARE)
        instant = (key - YEAR_1_UTC) // MICROSECOND
    if not 0 <= instant <= INSTANT_MAX:
        raise InvalidError(f"the key {key!r} lies outside of the years 1 to 9999 in UTC")
    out += instant.to_bytes(8, "big")


def _plain_datetime(key: datetime) -> datetime:
    day, clock = (key.year, key.month, key.day), (key.hour, key.minute, key.second, key.microsecond)
    plain = datetime(*day, *clock, key.tzinfo, fold=key.fold)
    if plain == key:
        return plain
    raise _refusal(key)  # it is finer than a microsecond, say


def _append_escaped(out: bytearray, raw: bytes) -> None:
    out += bytes.replace(raw, b"\x00", ESCAPED_NUL)
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
