"""Stretches of a Dict as clients see them: what is deleted, cleared or expired is not there.

Rules of this file:
1. A stretch is bounded, whatever is found in it, and says where to go on.
2. A damaged entry is shown as one: nobody takes it for absent.
"""

from __future__ import annotations

from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from ...ring.partition import dict_seed
from ..config import COUNT_ROWS_MAX, KEY_INLINE_BYTES_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX
from ..store import layout
from ..store.entry import (
    BEHIND,
    CHECKSUM_BYTES,
    HEADER_BYTES,
    DamagedEntryError,
    body_of,
    size_of,
    verify,
    whole_key,
)
from ..store.layout import DICT_ID_BYTES, PREFIX_BYTES
from ..store.table import VALUELESS
from .clearances import Clearances
from .stretch import DictWalk


class Page(NamedTuple):
    """A stretch of a Dict: keys and value's bytes (None: damaged, the key too then may be unknown and
    empty); where the next stretch begins, empty for nowhere."""

    rows: list[tuple[bytes, bytes | None]]
    next: bytes


class Counted(NamedTuple):
    """Visible entries of a stretch, and the bytes of their keys and values; where the next begins."""

    entries: int
    size_bytes: int
    next: bytes


class Reader:
    """One stretch. `cleared_at`: above which version all is to be seen; `now_ms`: by which expiry is
    judged."""

    def __init__(self, walk: DictWalk, cleared_at: int, clearances: Clearances, now_ms: int) -> None:
        self._walk = walk
        self._cleared_at = cleared_at
        self._clearances = clearances
        self._now_ms = now_ms

    def page(self, prefix: bytes) -> Page:
        """Keys and values."""
        rows: list[tuple[bytes, bytes | None]] = []
        size_bytes = 0
        for place, raw in self._walk.rows():
            if rows and size_bytes + len(raw) > PAGE_BYTES_MAX:
                return Page(rows, place[DICT_ID_BYTES:])
            row = self._row(place, raw)
            if row is not None and (not row[0] or row[0].startswith(prefix)):
                rows.append(row)
                size_bytes += len(raw)
            if len(rows) >= PAGE_ENTRIES_MAX:
                return Page(rows, place[DICT_ID_BYTES:] + b"\0")
        return Page(rows, self._walk.next)

    def count(self) -> Counted:
        """How many there are, and how large. Values are not looked at."""
        entries = size_bytes = 0
        for looked_at, (place, raw) in enumerate(self._walk.rows(), 1):
            if len(raw) < HEADER_BYTES:
                entries += 1
            elif self._is_seen(place, raw):
                entries += 1
                size_bytes += size_of(raw, len(place) - PREFIX_BYTES)
            if looked_at >= COUNT_ROWS_MAX:
                return Counted(entries, size_bytes, place[DICT_ID_BYTES:] + b"\0")
        return Counted(entries, size_bytes, self._walk.next)

    def _row(self, place: bytes, raw: bytes) -> tuple[bytes, bytes | None] | None:
        """Key and value's bytes of what stands at a place, if it is to be seen."""
        key = place[PREFIX_BYTES:]
        if len(key) > KEY_INLINE_BYTES_MAX:
            key = whole_key(raw)
        try:
            verify(raw, xxh3_64_intdigest(key, dict_seed(place[:DICT_ID_BYTES])))
        except DamagedEntryError:
            return (key if layout.stored_key(key) == place[PREFIX_BYTES:] else b""), None
        return (key, body_of(raw)) if self._is_seen(place, raw) else None

    def _is_seen(self, place: bytes, raw: bytes) -> bool:
        flags, version, _, _, expires_ms = BEHIND.unpack_from(raw, CHECKSUM_BYTES)
        if flags & VALUELESS or 0 < expires_ms <= self._now_ms:
            return False
        return version > self._cleared_at or not self._clearances.covers(place, version, self._cleared_at)
