"""Up to which version each partition of a replica was purged.

Rules of this file:
1. A mark is raised only by who holds all that the other owners held up to it (purge.py), or has fetched all
   that a holder of the mark has (comparison.py). So what is at or below a mark and not here is nowhere, or
   was purged, or came too late.
2. What is at or below the mark, of a key that is not here, is refused, whoever sends it: it would bring back
   what was deleted. Which is why the mark stands in the same storage as the entries, and is never lowered
   while one of them is here.
3. A mark that a peer is known to have counts like an own one for writes and hints, once it is heard
   of, until this replica has fetched what it lacks.
"""

from __future__ import annotations

from xxhash import xxh3_128_intdigest

from ..store.layout import PARTITION_BYTES, PARTITION_NAMES, PARTITIONS, SYSTEM
from ..world import Storage

PURGED = SYSTEM + b"purged\0"
"""Before a partition's two bytes: where its mark stands."""
PURGED_END = PURGED[:-1] + b"\x01"
MARK_BYTES = 8
NO_MARK = bytes(MARK_BYTES)


class Marks:
    """The marks of one replica."""

    __slots__ = ("_heard", "_storage", "_weights", "own", "refusing")

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        #: By the two bytes that stand for a partition in a place.
        self.own: dict[bytes, bytes] = {}
        self._heard: dict[bytes, bytes] = {}
        self._weights: dict[bytes, int] = {}
        #: The higher of mark and what was heard of: each write looks here.
        self.refusing: dict[bytes, bytes] = {}
        self.read()

    def read(self) -> None:
        """Believe what is stored, and nothing else: after a start, or when writes were taken back."""
        self._heard.clear()
        self.own = {
            key[-PARTITION_BYTES:]: value for key, value in self._storage.scan(PURGED, PURGED_END, PARTITIONS)
        }
        self._weights = {name: _weight(name, mark) for name, mark in self.own.items()}
        self.refusing = dict(self.own)

    def get(self, partition: int) -> int:
        """Up to which version a partition was purged; 0: never."""
        return int.from_bytes(self.own.get(PARTITION_NAMES[partition], NO_MARK), "big")

    def refused(self, partition: int) -> int:
        """Up to which version writes of keys that are not there are refused."""
        return int.from_bytes(self.refusing.get(PARTITION_NAMES[partition], NO_MARK), "big")

    def weight(self, partition: int) -> int:
        """What a mark adds to a sum over partitions: equal marks weigh the same."""
        return self._weights.get(PARTITION_NAMES[partition], 0)

    def raised(self, partition: int, version: int) -> dict[bytes, bytes]:
        """Raise a mark: what is to be stored. Empty: it was as high already."""
        name, mark = PARTITION_NAMES[partition], version.to_bytes(MARK_BYTES, "big")
        if mark <= self.own.get(name, NO_MARK):
            return {}
        self.own[name] = mark
        self._weights[name] = _weight(name, mark)
        self.refusing[name] = max(mark, self._heard.get(name, NO_MARK))
        return {PURGED + name: mark}

    def hear(self, partition: int, version: int) -> None:
        """A peer has that mark."""
        name, mark = PARTITION_NAMES[partition], version.to_bytes(MARK_BYTES, "big")
        if mark > self.refusing.get(name, NO_MARK):
            self._heard[name] = self.refusing[name] = mark

    def forget(self, partition: int) -> dict[bytes, bytes | None]:
        """This replica keeps nothing of a partition any more: what is to be stored."""
        name = PARTITION_NAMES[partition]
        for each in (self._heard, self._weights, self.refusing):
            each.pop(name, None)
        return {PURGED + name: None} if self.own.pop(name, None) else {}


def _weight(name: bytes, mark: bytes) -> int:
    return xxh3_128_intdigest(PURGED + name + mark)
