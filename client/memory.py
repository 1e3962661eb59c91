"""The stamps that a client has seen, so that it sees its own writes and never goes back in time.

Rules of this file:
1. What is remembered only grows, key by key.
2. It is bounded: the keys of which nothing was heard for longest are forgotten, and promise no more.
3. A stamp is known by the key's hash. Two keys that share one make a read look further, never wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from ..node.network.message import Stamp
from .config import CLEARED_DICTS_MAX, REMEMBERED_KEYS_MAX

ABSENT = -1.0
"""Instead of the instant at which an entry expires: what was seen is that nothing is there."""

Remembered = Stamp | tuple[int, int, int, float]
"""A stamp; with the instant at which its entry expires, if it does: from then on nothing need be there."""


class Memory:
    """Stamps by hash of the key. In two generations, so that forgetting costs nothing: a full young one
    becomes the old one, which is dropped. Threads may share it."""

    __slots__ = ("_old", "clears", "floor", "has_removals", "keys_max", "young")

    def __init__(self, keys_max: int = REMEMBERED_KEYS_MAX) -> None:
        self.keys_max = keys_max
        #: The younger generation: where `look` looks first.
        self.young: dict[int, Remembered] = {}
        self._old: dict[int, Remembered] = {}
        #: The highest version seen of any key.
        self.floor = 0
        #: Whether any key was ever seen to be absent.
        self.has_removals = False
        #: By Dict that was cleared: for each partition the version up to which all is absent, 0 for none.
        self.clears: dict[bytes, list[int]] = {}

    def look(self, key_hash: int) -> Remembered | None:
        """The newest stamp seen of a key, None if it is not remembered."""
        known = self.young.get(key_hash)
        return self._old.get(key_hash) if known is None else known

    def clear(self, dict_id: bytes, partition: int, version: int, partitions: int) -> None:
        """All that a Dict has in a partition, up to that version, was seen to be absent."""
        floors = self.clears.get(dict_id)
        if floors is None:
            while len(self.clears) >= CLEARED_DICTS_MAX:
                del self.clears[next(iter(self.clears))]
            floors = self.clears[dict_id] = [0] * partitions
        floors[partition] = max(floors[partition], version)
        self.floor = max(self.floor, version)

    def is_cleared(self, dict_id: bytes, key_hash: int, stamp: Stamp) -> bool:
        """Whether a present entry with that stamp was seen to be cleared; what was seen of its key before
        that is forgotten."""
        floors = self.clears.get(dict_id)
        if floors is None:
            return False
        floor = floors[key_hash & len(floors) - 1]
        known = self.look(key_hash)
        if known is not None and known[0] <= floor:
            self.forget(key_hash)
        return 0 < stamp[0] <= floor

    def is_older(self, key_hash: int, stamp: Stamp, now_s: float) -> bool:
        """Whether an answer with that stamp would be a step back in time. Where what was seen has expired
        since, there may be nothing any more, but not what was there before it."""
        known = self.look(key_hash)
        if known is None or tuple(stamp) >= known[:3]:
            return False
        return len(known) == 3 or now_s < known[3] or stamp[0] > 0

    def see(self, key_hash: int, stamp: Stamp, expires_s: float = 0.0) -> None:
        """Remember a stamp, unless a newer one is known. `expires_s`: on the session's clock, 0 for never."""
        version = stamp[0]
        if not version:
            return
        if version > self.floor:
            self.floor = version
        self.has_removals = self.has_removals or expires_s == ABSENT
        young = self.young
        known = young.get(key_hash)
        if known is None:
            if len(young) >= self.keys_max:
                self._old = young
                self.young = young = {}
            known = self._old.get(key_hash)
        if known is not None and known[:3] > tuple(stamp):
            young[key_hash] = known
        else:
            young[key_hash] = (*stamp, expires_s) if expires_s else stamp

    def see_many(self, key_hashes: Iterable[int], stamp: Stamp, expires_s: float = 0.0) -> None:
        """As `see`, of each of these keys."""
        if not stamp[0]:
            return
        self.floor = max(self.floor, stamp[0])
        self.has_removals = self.has_removals or expires_s == ABSENT
        seen = (*stamp, expires_s) if expires_s else stamp
        young, old, keys_max = self.young, self._old, self.keys_max
        for key_hash in key_hashes:
            known = young.get(key_hash)
            if known is None:
                if len(young) >= keys_max:
                    self._old = old = young
                    self.young = young = {}
                known = old.get(key_hash)
            young[key_hash] = seen if known is None or known[:3] <= stamp else known

    def see_first(self, key_hash: int, stamp: Stamp) -> None:
        """As `see`, of a key of which nothing is remembered, and of an entry that does not expire."""
        young = self.young
        if len(young) >= self.keys_max:
            self._old, self.young = young, {}
            young = self.young
        young[key_hash] = stamp
        if stamp[0] > self.floor:
            self.floor = stamp[0]

    def see_perhaps_expiring(self, key_hash: int, stamp: Stamp) -> None:
        """As `see`, of an answer that does not say whether the entry expires."""
        known = self.look(key_hash)
        if known is None or known[:3] < tuple(stamp):
            self.see(key_hash, stamp, inf)

    def is_absent(self, key_hash: int) -> bool:
        """Whether what was seen last of a key is that nothing is there."""
        known = self.look(key_hash)
        return known is not None and len(known) == 4 and known[3] == ABSENT

    def may_have_expired(self, key_hash: int) -> bool:
        """Whether what was seen of a key may have had a time to live that nobody told."""
        known = self.look(key_hash)
        return known is not None and len(known) == 4 and known[3] == inf

    def forget(self, key_hash: int) -> None:
        """Expect nothing of that key any more."""
        self.young.pop(key_hash, None)
        self._old.pop(key_hash, None)
