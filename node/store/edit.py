"""The entries of one Dict inside a write transaction: what every operation is made of.

Rules of this file:
1. Every change of an entry goes through `write`, `write_many` or `remove`, which keep the Dict's counters
   and the expiry index in step with it.
2. An embedded store removes for good: no other replica could bring an older value back.
3. Every write gets a new stamp; all entries of one `write_many` share one, their keys differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xxhash import xxh3_64_digest

from ..config import KEY_INLINE_BYTES_MAX, WRITE_PAGES
from . import layout
from .entry import (
    BEHIND,
    CHECKSUM_FROM,
    EXPIRES_AT,
    EXTRAS,
    FLAGS_AT,
    GLANCE,
    HEADER_BYTES,
    LONG_KEY,
    NO_OPERATION,
    VERSION_AT,
    DamagedEntryError,
    Stored,
    decode,
    encode,
    sealed,
    size_of,
    whole_key,
    with_key,
)
from .table import VALUELESS, VERSION_END, Located, Row, Table
from .transaction import PAGE_SHIFT, DictState, WriteTransaction

EXPIRES_END = EXPIRES_AT + 8
PLACE_INLINE_BYTES_MAX = layout.PREFIX_BYTES + KEY_INLINE_BYTES_MAX

BatchRow = tuple[bytes, int, bytes]
"""Place, hash of the key, and what follows the header: the value's bytes, behind an over-long key."""


class Found(NamedTuple):
    """What stands at a key's place now.

    `counted` is whether the Dict's counters know it; `entry` is None unless it is visible; a damaged
    entry is counted and not visible, and `damaged` says so.
    """

    counted: bool
    size_bytes: int
    version: int
    expires_ms: int
    entry: Stored | None
    damaged: bool = False


ABSENT = Found(False, 0, 0, 0, None)


class Edit:
    """One Dict in one write transaction."""

    __slots__ = ("state", "table", "transaction")

    def __init__(self, transaction: WriteTransaction, table: Table) -> None:
        self.transaction = transaction
        self.table = table
        self.state: DictState = transaction.state(table.dict_id)

    def look(self, located: Located) -> Found:
        """What stands at `located`."""
        raw = self.transaction.get(located.place)
        if raw is None:
            return ABSENT
        try:
            entry = decode(raw, located.key_hash)
        except DamagedEntryError:
            if self._cleared(raw):
                return ABSENT  # as the sweeper sees it, too
            size_bytes = size_of(raw, len(located.key))
            expires_ms = int.from_bytes(raw[EXPIRES_AT:EXPIRES_END], "big")
            return Found(True, size_bytes, 0, expires_ms, None, True)
        counted = entry.version > self.state.cleared_at
        visible = (
            counted and not entry.flags & VALUELESS and not 0 < entry.expires_ms <= self.transaction.now_ms
        )
        size_bytes = len(located.key) + len(entry.body)
        return Found(counted, size_bytes, entry.version, entry.expires_ms, entry if visible else None)

    def visible(self, located: Located) -> tuple[Found, Stored | None]:
        """What stands at `located`, and the entry if it is visible.

        Raises:
            DamagedEntryError: it is damaged, so that nothing can be decided on it.
        """
        found = self.look(located)
        if found.damaged:
            raise DamagedEntryError(located.key)
        return found, found.entry

    def write(
        self,
        located: Located,
        body: bytes,
        expires_ms: int,
        found: Found,
        *,
        flags: int = 0,
        operation_id: bytes = NO_OPERATION,
        uncounted: bool = False,
    ) -> int:
        """Put `body` at `located`, in place of what was `found` there; the version it got.

        `uncounted` entries (locks) show up in no counter and never carry an expiry.
        """
        version = self.transaction.next_stamp()
        long_key = located.key if layout.is_long(located.key) else b""
        entry = Stored(flags, version, self.transaction.node, 0, expires_ms, operation_id, long_key, body)
        if not uncounted:
            self._uncount(located, found)
            self._count(located, len(located.key) + len(body), version, expires_ms)
        self.transaction.put(located.place, encode(entry, located.key_hash))
        return version

    def overwrite(self, located: Located, body: bytes, expires_ms: int) -> None:
        """Put `body` at `located`, whatever stands there. The same as `write`, for the commonest case."""
        place, key_hash, key = located
        transaction, state = self.transaction, self.state
        transaction.adding = True
        flags, stored = (0, body) if len(key) <= KEY_INLINE_BYTES_MAX else (LONG_KEY, with_key(key, body))
        raw = transaction.raw.get(place)
        if raw is None or expires_ms or not self._like(raw, flags):
            if raw is not None:
                self._overwrite(place, raw)
            state.entries += 1
            state.bytes += len(key) + len(body)
            state.dirty = True
        elif len(raw) != HEADER_BYTES + len(stored):
            state.bytes += HEADER_BYTES + len(stored) - len(raw)
            state.dirty = True
        version = transaction.next_stamp()
        behind = BEHIND.pack(flags, version, transaction.node, 0, expires_ms) + stored
        transaction.pages += WRITE_PAGES + (len(stored) >> PAGE_SHIFT)
        transaction.raw.put(place, sealed(behind, key_hash))
        if expires_ms:
            self._index(place, key_hash, version, expires_ms)

    def _like(self, raw: bytes, flags: int) -> bool:
        """Whether an entry is counted as one without expiry, with the extras that `flags` says."""
        if len(raw) < HEADER_BYTES:
            return False
        _, its_flags, version, expires_ms = GLANCE.unpack_from(raw)
        return version > self.state.cleared_at and not expires_ms and its_flags & EXTRAS == flags

    def touch(self, located: Located, found: Found, entry: Stored, expires_ms: int) -> None:
        """Give a visible entry another expiry, and no new version."""
        self._uncount(located, found)
        self._count(located, found.size_bytes, found.version, expires_ms)
        self.rewrite(located, entry._replace(expires_ms=expires_ms))

    def rewrite(self, located: Located, entry: Stored) -> None:
        """Store an entry again under its version, with a new touch stamp."""
        touch = self.transaction.next_stamp()
        self.transaction.put(located.place, encode(entry._replace(touch=touch), located.key_hash))

    def remove(self, located: Located, found: Found, *, uncounted: bool = False) -> None:
        """Remove what was `found` at `located`. Its version stays below every later stamp of the Dict."""
        self.transaction.next_stamp()
        if not uncounted:
            self._uncount(located, found)
        self.transaction.delete(located.place)

    def write_many(self, rows: Sequence[BatchRow], size_bytes: int, expires_ms: int) -> None:
        """Put many bodies at once, of `size_bytes` with their keys. `rows` are sorted by place, and no place
        comes twice. It is what others wait for while it lasts, hence the care for every microsecond.
        """
        self.transaction.adding = True
        cursor = self.transaction.raw.cursor()
        self._overwrite_many(cursor.getmulti([row[0] for row in rows]))
        version = self.transaction.next_stamp()
        node = self.transaction.node
        header = BEHIND.pack(0, version, node, 0, expires_ms)
        long_header = BEHIND.pack(LONG_KEY, version, node, 0, expires_ms)
        digest = xxh3_64_digest
        items: list[tuple[bytes, bytes]] = []
        for place, key_hash, stored in rows:
            behind = (header if len(place) <= PLACE_INLINE_BYTES_MAX else long_header) + stored
            items.append((place, digest(behind, key_hash)[CHECKSUM_FROM:] + behind))
        self.transaction.pages += WRITE_PAGES * len(rows) + (size_bytes >> PAGE_SHIFT)
        cursor.putmulti(items)
        self.state.entries += len(rows)
        self.state.bytes += size_bytes
        self.state.dirty = True
        if expires_ms:
            for place, key_hash, _ in rows:
                self._index(place, key_hash, version, expires_ms)

    def clear(self) -> None:
        """Make every entry absent, locks included, whatever their number; the sweeper does the rest."""
        self.state.cleared_at = self.transaction.next_stamp()
        self.state.entries = self.state.bytes = self.state.expiring = 0
        self.state.dirty = True
        self.transaction.put(layout.SWEEP + self.table.dict_id, b"")
        self.transaction.sweepable = True

    # -- counters and index ----------------------------------------------------------------------

    def _count(self, located: Located, size_bytes: int, version: int, expires_ms: int) -> None:
        self.state.entries += 1
        self.state.bytes += size_bytes
        self.state.dirty = True
        if expires_ms:
            self._index(located.place, located.key_hash, version, expires_ms)

    def _uncount(self, located: Located, found: Found) -> None:
        if not found.counted:
            return
        self.state.entries -= 1
        self.state.bytes -= found.size_bytes
        self.state.dirty = True
        if found.expires_ms:
            self._unindex(located, found.expires_ms)

    def _overwrite(self, place: bytes, raw: bytes) -> None:
        """Take an entry that is about to be overwritten, unseen, out of the counters."""
        if len(raw) < HEADER_BYTES:  # damaged
            self.state.entries = max(0, self.state.entries - (not self._cleared(raw)))
            return
        _, _, version, expires_ms = GLANCE.unpack_from(raw)
        if version <= self.state.cleared_at:
            return
        self.state.entries -= 1
        self.state.bytes -= size_of(raw, len(place) - layout.PREFIX_BYTES)
        if expires_ms:
            key = whole_key(raw) or place[layout.PREFIX_BYTES :]
            self._unindex(self.table.locate(key), expires_ms)

    def _overwrite_many(self, rows: Sequence[Row]) -> None:
        """`_overwrite` for many; at one go where all of them are alike, as far as the Dict's state tells."""
        state = self.state
        sizes = [len(raw) for _, raw in rows]
        places_bytes = sum([len(place) for place, _ in rows])
        if (
            not rows
            or state.expiring
            or state.cleared_at
            or min(sizes) < HEADER_BYTES
            or any(raw[FLAGS_AT] & EXTRAS for _, raw in rows)
        ):
            for place, raw in rows:
                self._overwrite(place, raw)
            return
        state.entries -= len(rows)
        state.bytes -= places_bytes + sum(sizes) - (layout.PREFIX_BYTES + HEADER_BYTES) * len(rows)

    def _cleared(self, raw: bytes) -> bool:
        """Whether a damaged entry says of itself that a `clear` took it out of the counters."""
        version = raw[VERSION_AT:VERSION_END]
        return len(version) == 8 and int.from_bytes(version, "big") <= self.state.cleared_at

    def _index(self, place: bytes, key_hash: int, version: int, expires_ms: int) -> None:
        self.state.expiring += 1
        self.transaction.sweepable = True
        key = layout.EXPIRY_KEY.pack(layout.EXPIRY, self.table.dict_id, expires_ms, key_hash)
        self.transaction.raw.put(key, version.to_bytes(8, "big") + place[layout.DICT_ID_BYTES :])

    def _unindex(self, located: Located, expires_ms: int) -> None:
        self.unindex(layout.EXPIRY_KEY.pack(layout.EXPIRY, self.table.dict_id, expires_ms, located.key_hash))

    def unindex(self, index_key: bytes) -> None:
        """Remove a record of the expiry index."""
        if self.transaction.delete(index_key):
            self.state.expiring -= 1
            self.state.dirty = True
