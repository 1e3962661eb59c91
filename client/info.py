"""The plain data that calls return; public as ``ringdict.types``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NewType

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    K = TypeVar("K", default=Any)
    V = TypeVar("V", default=Any)
else:
    from typing import TypeVar

    K = TypeVar("K")
    V = TypeVar("V")

__all__ = ["DictInfo", "Entry", "Prefix", "Version"]

V_co = TypeVar("V_co", covariant=True)

Version = NewType("Version", int)
"""A 64-bit integer that grows with every write of a key: 48 bits of milliseconds since 1970, 16 of a
counter. Compare it, store it, hand it to ``if_version``; of an entry that an atomic operation made,
it is a fencing token."""

Prefix = str | bytes | tuple[object, ...]
"""What keys can begin with: a str, bytes, or the first items of a tuple."""


class Entry(NamedTuple, Generic[V_co]):
    """A value together with what is known of it: its version, and when it expires (None: never)."""

    value: V_co
    version: Version
    expires_at: datetime | None


class DictInfo(NamedTuple):
    """What is known of a Dict as a whole.

    ``created_at`` carries a time zone. ``created_by`` is a login name (or ``RINGDICT_USER``).
    ``entries`` counts what has not expired; ``bytes`` is the encoded size of keys and values
    together, without what the store adds, and may still hold what expired a moment ago.
    """

    name: str | None
    created_at: datetime
    created_by: str
    entries: int
    bytes: int
