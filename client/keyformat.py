"""What the bytes of a key mean: the tags and constants that its writer and its reader share."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias, Union

if TYPE_CHECKING:
    from uuid import UUID

Key: TypeAlias = Union[
    bool, int, float, str, bytes, "UUID", date, datetime, "tuple[Key, ...]", "frozenset[Key]", None
]

# The first byte of a key, or of an item of a tuple. END ends a tuple, a frozenset, and a str or bytes in it.
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

ESCAPE: Final = 0xFF
ESCAPED_NUL: Final = bytes([0x00, ESCAPE])
DOUBLE: Final = struct.Struct(">d")
DOUBLE_SIGN: Final = 1 << 63
DOUBLE_BITS: Final = (1 << 64) - 1
MICROSECOND: Final = timedelta(microseconds=1)
YEAR_1: Final = datetime(1, 1, 1)  # noqa: DTZ001 - for naive keys
YEAR_1_UTC: Final = datetime(1, 1, 1, tzinfo=UTC)
INSTANT_MAX: Final = (datetime.max - YEAR_1) // MICROSECOND  # noqa: DTZ901 - as above
