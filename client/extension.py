"""The types that MessagePack lacks: for each one a code, how it is written, and how it is read.

Rules of this file:
1. A code, once given, keeps its meaning for ever; tables and golden bytes are in ``docs/format.md``.
2. What a reader makes is checked by the constructor of its type: bytes may come from anybody. A reader
   may raise whatever that constructor raises; the codec turns it into `DeserializationError`.
3. A writer raises `RefusedError` for a value that would not come back as it went in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from ..node.store.number import BIG_INT, big_int_payload

__all__ = ["FROZENSET", "LIST", "NDARRAY", "PICKLE", "READERS", "SCALAR", "SET", "WRITERS", "RefusedError"]

# Markers: the first item of an array says what the rest of it becomes. Without one it is a tuple.
LIST: Final = 0x01
SET: Final = 0x02
FROZENSET: Final = 0x03

COMPLEX: Final = 0x09
DECIMAL: Final = 0x0A
BYTEARRAY: Final = 0x0B
UUID_: Final = 0x0C

DATE: Final = 0x10
TIME: Final = 0x11
DATETIME: Final = 0x12
TIMEDELTA: Final = 0x13

NDARRAY: Final = 0x20
SCALAR: Final = 0x21

PICKLE: Final = 0x7F

_COMPLEX: Final = struct.Struct(">dd")
_DATE: Final = struct.Struct(">HBB")
_TIME: Final = struct.Struct(">BBBBI")
_DATETIME: Final = struct.Struct(">HBBBBBBI")
_TIMEDELTA: Final = struct.Struct(">iII")
_OFFSET: Final = struct.Struct(">q")
_MICROSECOND: Final = timedelta(microseconds=1)

# The byte in front of a time zone; a naive time has none.
OFFSET: Final = b"\x01"
NAMED_OFFSET: Final = b"\x02"
ZONE: Final = b"\x03"


class RefusedError(Exception):
    """A value has no exact encoding; the message is a clause that says why: "which ..."."""


# -- time zones --------------------------------------------------------------------------------------


def _write_zone(moment: time | datetime) -> bytes:
    zone = moment.tzinfo
    if zone is None:
        return b""
    if type(zone) is ZoneInfo and zone.key:
        return ZONE + zone.key.encode()
    offset = moment.utcoffset()
    if offset is None:
        raise RefusedError("whose time zone tells no offset")
    written = _OFFSET.pack(offset // _MICROSECOND)
    if type(zone) is timezone and zone.tzname(None) != timezone(offset).tzname(None):
        return NAMED_OFFSET + written + zone.tzname(None).encode("utf-8", "surrogatepass")
    return OFFSET + written


def _read_zone(raw: bytes) -> tzinfo | None:
    if not raw:
        return None
    kind, raw = raw[:1], raw[1:]
    if kind == ZONE:
        return ZoneInfo(raw.decode())
    offset = timedelta(microseconds=_OFFSET.unpack(raw[: _OFFSET.size])[0])
    name = raw[_OFFSET.size :]
    if kind == NAMED_OFFSET:
        return timezone(offset, name.decode("utf-8", "surrogatepass"))
    if kind != OFFSET or name:
        raise ValueError("malformed time zone")
    return timezone(offset)


# -- dates and times -----------------------------------------------------------------------------------


def _write_date(value: date) -> bytes:
    return _DATE.pack(value.year, value.month, value.day)


def _read_date(raw: bytes) -> date:
    return date(*_DATE.unpack(raw))


def _write_time(value: time) -> bytes:
    fixed = _TIME.pack(value.hour, value.minute, value.second, value.fold, value.microsecond)
    return fixed + _write_zone(value)


def _read_time(raw: bytes) -> time:
    hour, minute, second, fold, microsecond = _TIME.unpack(raw[: _TIME.size])
    return time(hour, minute, second, microsecond, _read_zone(raw[_TIME.size :]), fold=fold)


def _write_datetime(value: datetime) -> bytes:
    day = (value.year, value.month, value.day)
    clock = (value.hour, value.minute, value.second, value.fold, value.microsecond)
    return _DATETIME.pack(*day, *clock) + _write_zone(value)


def _read_datetime(raw: bytes) -> datetime:
    year, month, day, hour, minute, second, fold, microsecond = _DATETIME.unpack(raw[: _DATETIME.size])
    zone = _read_zone(raw[_DATETIME.size :])
    return datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)


def _write_timedelta(value: timedelta) -> bytes:
    return _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)


def _read_timedelta(raw: bytes) -> timedelta:
    return timedelta(*_TIMEDELTA.unpack(raw))


# -- the others ------------------------------------------------------------------------------------------


def _read_big_int(raw: bytes) -> int:
    return int.from_bytes(raw, "big", signed=True)


def _write_complex(value: complex) -> bytes:
    return _COMPLEX.pack(value.real, value.imag)


def _read_complex(raw: bytes) -> complex:
    return complex(*_COMPLEX.unpack(raw))


def _write_decimal(value: Decimal) -> bytes:
    return str(value).encode()


def _read_decimal(raw: bytes) -> Decimal:
    return Decimal(raw.decode())


def _write_uuid(value: UUID) -> bytes:
    return value.bytes


def _read_uuid(raw: bytes) -> UUID:
    return UUID(bytes=raw)


# Any: each writer takes just the type that it stands beside.
WRITERS: Final[dict[type, tuple[int, Callable[[Any], bytes]]]] = {
    int: (BIG_INT, big_int_payload),
    complex: (COMPLEX, _write_complex),
    Decimal: (DECIMAL, _write_decimal),
    bytearray: (BYTEARRAY, bytes),
    UUID: (UUID_, _write_uuid),
    date: (DATE, _write_date),
    time: (TIME, _write_time),
    datetime: (DATETIME, _write_datetime),
    timedelta: (TIMEDELTA, _write_timedelta),
}
"""By exact type: its code, and what makes the payload. An int comes here only when it is a large one."""

READERS: Final[dict[int, Callable[[bytes], object]]] = {
    BIG_INT: _read_big_int,
    COMPLEX: _read_complex,
    DECIMAL: _read_decimal,
    BYTEARRAY: bytearray,
    UUID_: _read_uuid,
    DATE: _read_date,
    TIME: _read_time,
    DATETIME: _read_datetime,
    TIMEDELTA: _read_timedelta,
}
"""By code: what makes the value of a payload."""
