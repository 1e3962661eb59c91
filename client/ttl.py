"""Times to live, as users give them and as the store takes them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Literal

from ..exception import InvalidError
from ..node.config import TTL_S_MAX
from ..node.store.operation import NEVER

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unset(Enum):
    """The type of an argument that was not given, where None means something."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "<unset>"


UNSET: Final = Unset.UNSET

Ttl = float | timedelta | None
"""Seconds or a timedelta, above 0; None for never."""
TtlOrUnset = Ttl | Literal[Unset.UNSET]


def ttl_ms(ttl: TtlOrUnset, default_ms: int) -> int:
    """Milliseconds, at least one; `NEVER` for None and for more than a century.

    Raises:
        InvalidError: it is not above 0, or not a time.
    """
    if ttl is UNSET:
        return default_ms
    if ttl is None:
        return NEVER
    if isinstance(ttl, timedelta):
        ttl = ttl.total_seconds()
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not ttl > 0:
        raise InvalidError(f"a ttl is seconds or a timedelta above 0, or None for never; not {ttl!r}")
    return NEVER if ttl > TTL_S_MAX else math.ceil(ttl * 1000)


def expiry_instant(expires_ms: int) -> datetime | None:
    """When an entry expires, in UTC; None for never."""
    return EPOCH + timedelta(milliseconds=expires_ms) if expires_ms else None
