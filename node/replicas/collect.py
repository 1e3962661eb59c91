"""Looking through a replica for what is dead, a bounded stretch at a time.

Rules of this file:
1. Dead are tombstones, headers of what has expired, and what a Dict's clear or deletion has left behind.
2. What is dead, and at or below the partition's mark, is removed: the mark keeps it from coming back.
3. Of what has expired the value is dropped. Its header stays, with the same stamp, and beats the entry that
   it was made from: it is a write like any other, and the same on all replicas.
4. A partition in which nothing is dead or will be, as far as its tally knows, is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..config import COLLECT_INTERVAL_S, COLLECT_ROWS_MAX
from ..store import layout
from ..store.entry import BEHIND, CHECKSUM_BYTES, EXPIRED, HEADER_BYTES, decode, encode
from ..store.layout import DICT_ID_BYTES, PREFIX_BYTES
from ..store.table import VALUELESS
from ..store.transaction import CLEARED_AT_BYTES
from ..world import NS_PER_S
from .clearances import CLEAR_KEY, CLEAR_KEY_END
from .replica import Replica
from .stretch import Row, partition_rows
from .tally import NEVER_MS, is_whole, key_hash_at

INTERVAL_NS = int(COLLECT_INTERVAL_S * NS_PER_S)
LOOK_ROWS = 16
"""What a look at a partition costs besides its rows, in rows."""
EVERYTHING = (1 << 64) - 1


class Dead(NamedTuple):
    """What one look through a partition found."""

    partition: int
    entries: int
    """Dead ones that are kept, since they are above the mark."""
    version: int
    """The highest of them."""


class Collector:
    """One replica's looks. `agreed_ms` tells the time by which values may be dropped; None: not now."""

    def __init__(self, replica: Replica, agreed_ms: Callable[[], int | None]) -> None:
        self._replica = replica
        self._agreed_ms = agreed_ms
        self._kept: Sequence[int] = ()
        #: Whose turn it is among those that are kept.
        self._turn = 0
        #: When each was looked through last.
        self._looked_ns: dict[int, int] = {}
        self._dead: dict[int, int] = {}
        #: The look that is under way: partition, where to go on, dead so far, the highest of them.
        self._look: tuple[int, bytes, int, int] | None = None
        self._cleared_at: dict[bytes, int] = {}
        self.purged_count = 0
        self.expired_count = 0

    @property
    def dead_count(self) -> int:
        """Dead entries there are, as far as was looked."""
        return sum(self._dead.values())

    def set_kept(self, partitions: Sequence[int]) -> None:
        """Look through these, and no others."""
        self._kept = partitions
        self._look = None
        kept = set(partitions)
        self._dead = {each: count for each, count in self._dead.items() if each in kept}

    def hasten(self, partition: int) -> None:
        """A partition may be purged: look through it soon."""
        self._looked_ns.pop(partition, None)

    def step(self, now_ns: int) -> list[Dead]:
        """Look on; what was found in the partitions whose end was reached."""
        now_ms = self._agreed_ms()
        found: list[Dead] = []
        left = COLLECT_ROWS_MAX
        while left > 0 and (self._look is not None or self._begin(now_ns, now_ms)):
            left -= self._stretch(left, now_ms, found) + LOOK_ROWS
        return found

    def _stretch(self, rows_max: int, now_ms: int | None, found: list[Dead]) -> int:
        """One stretch of the partition that is looked through; how many rows that were."""
        assert self._look is not None
        partition, start, entries, version = self._look
        self._look = None
        tally = self._replica.tally(partition)
        if tally is None:  # forgotten meanwhile: whoever needs it has it found anew
            return 0
        rows, next_ = partition_rows(self._replica.storage, partition, start, rows_max)
        mark = self._replica.marks.get(partition)
        purged: list[Row] = []
        expired: list[Row] = []
        self._cleared_at.clear()
        for place, raw in rows:
            if len(raw) < HEADER_BYTES:
                continue
            flags, its_version, _, _, expires_ms = BEHIND.unpack_from(raw, CHECKSUM_BYTES)
            if place[PREFIX_BYTES:CLEAR_KEY_END] == CLEAR_KEY:  # it stands for all that it cleared
                flags = 0
            is_dead = flags & VALUELESS or self._is_cleared(place, its_version)
            if not is_dead and expires_ms:
                if now_ms is None or expires_ms > now_ms:
                    tally.ripe_ms = min(tally.ripe_ms, expires_ms)
                    continue
                is_dead = is_whole(place, raw)
                expired += [(place, header_of(place, raw))] if is_dead and its_version > mark else []
            if is_dead and its_version <= mark:
                purged.append((place, raw))
            elif is_dead:
                entries, version = entries + 1, max(version, its_version)
        self._settle(purged, expired)
        if next_:
            self._look = partition, next_, entries, version
        else:
            found.append(self._found(partition, entries, version))
        return len(rows)

    def _begin(self, now_ns: int, now_ms: int | None) -> bool:
        """Take the next partition that is worth a look, if there is one."""
        for _ in range(len(self._kept)):
            partition = self._kept[self._turn % len(self._kept)]
            self._turn += 1
            tally = self._replica.tally(partition)
            if tally is None or tally.ripe_ms > (now_ms or 0):
                continue
            looked_ns = self._looked_ns.get(partition)
            if looked_ns is not None and now_ns - looked_ns < INTERVAL_NS:
                continue
            tally.ripe_ms = NEVER_MS  # what is written from now on, and what is found, brings it down again
            self._looked_ns[partition] = now_ns
            self._look = partition, b"", 0, 0
            return True
        return False

    def _found(self, partition: int, entries: int, version: int) -> Dead:
        self._dead.pop(partition, None)
        if entries:
            self._dead[partition] = entries
            tally = self._replica.tally(partition)
            if tally is not None:
                tally.ripe_ms = 0
        return Dead(partition, entries, version)

    def _settle(self, purged: list[Row], expired: list[Row]) -> None:
        if purged:
            self.purged_count += len(purged)
            self._replica.remove(purged, lambda _error, _newer: None)
        if expired:
            self.expired_count += len(expired)
            self._replica.apply(expired, lambda _error, _newer: None)

    def _is_cleared(self, place: bytes, version: int) -> bool:
        """Whether an entry's Dict was deleted, or cleared when the folder was an embedded store. Clears in a
        cluster see to it themselves (clearances.py)."""
        dict_id = place[:DICT_ID_BYTES]
        cleared_at = self._cleared_at.get(dict_id)
        if cleared_at is None:
            storage = self._replica.storage
            state = storage.get(layout.STATE + dict_id)
            if state is not None:
                cleared_at = int.from_bytes(state[:CLEARED_AT_BYTES], "big")
            else:  # unknown yet, or deleted
                cleared_at = 0 if storage.get(layout.SWEEP + dict_id) is None else EVERYTHING
            self._cleared_at[dict_id] = cleared_at
        if version > cleared_at or cleared_at == EVERYTHING:
            return version <= cleared_at
        return self._replica.clearances.covers(place, version, cleared_at)


def header_of(place: bytes, raw: bytes) -> bytes:
    """What stays of an entry that has expired."""
    key_hash = key_hash_at(place, raw)
    entry = decode(raw, key_hash)
    return encode(entry._replace(flags=entry.flags | EXPIRED, body=b""), key_hash)
