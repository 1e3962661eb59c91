"""What each partition of a replica adds up to: a sum over all that it holds, and its highest version.

Two replicas whose sums of a partition are equal hold the same there, so comparing costs 16 bytes. A sum is
found by reading the partition once after a start, a stretch at a time; from then on each write brings it up
to date.

Rules of this file:
1. A sum adds up, modulo 2**128, one hash for each entry, of its place and its header: checksum (so also the
   value), flags, version, node, touch, expiry. It depends on no clock and on no order.
2. While a partition is being read, places below `frontier` are in the sum and kept up to date; the others
   come in when they are read.
3. A damaged entry is not in the sum: so a replica with damage differs from the others, and is mended.
4. The last `TALLY_TOTALS_MAX` sums are remembered. Replicas of a partition hear of its writes in the same
   order and not at the same moment: a sum that one of them had a moment ago is equal to one that another has
   now, though neither was ever still.
5. When the storage took writes back, all sums are forgotten, and found anew.
6. Beside its sum a partition knows when something in it is worth collecting: what is dead already, or will
   expire. It may be too early, and is never too late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from ...ring.partition import dict_seed
from ..config import KEY_INLINE_BYTES_MAX, MEASURE_ROWS_MAX, TALLY_TOTALS_MAX
from ..store.entry import (
    EXPIRES_AT,
    FLAGS_AT,
    HEADER_BYTES,
    VERSION_AT,
    DamagedEntryError,
    verify,
    whole_key,
)
from ..store.layout import DICT_ID_BYTES, PARTITION_NAMES, PREFIX_BYTES
from ..store.table import VALUELESS
from ..world import Storage
from .stretch import partition_rows

SUM_BYTES = 16
VERSION_END = VERSION_AT + 8
SUM_MASK = (1 << 8 * SUM_BYTES) - 1
NO_EXPIRY = bytes(8)
NOW_MS = 0
NEVER_MS = 1 << 64


def hash_of(place: bytes, raw: bytes) -> int:
    """What one entry adds to a sum."""
    return xxh3_128_intdigest(place + raw[:HEADER_BYTES])


def key_hash_at(place: bytes, raw: bytes) -> int:
    """The hash of the key of an entry at a place."""
    key = place[PREFIX_BYTES:]
    if len(key) > KEY_INLINE_BYTES_MAX:
        key = whole_key(raw)
    return xxh3_64_intdigest(key, dict_seed(place[:DICT_ID_BYTES]))


def is_whole(place: bytes, raw: bytes) -> bool:
    """Whether what stands at a place is an entry that was written for it."""
    try:
        verify(raw, key_hash_at(place, raw))
    except DamagedEntryError:
        return False
    return True


class Tally:
    """One partition's sum. `frontier` is empty once all of it is in."""

    __slots__ = ("damaged", "entries", "frontier", "highest_bytes", "recent", "ripe_ms", "total")

    def __init__(self) -> None:
        #: Not brought below 2**128: `sum` is. A write would pay for that.
        self.total = 0
        self.highest_bytes = bytes(8)
        self.entries = 0
        self.frontier = b"\0"
        #: Places whose damaged entries are not in the sum.
        self.damaged: set[bytes] = set()
        #: From when on something may be worth collecting.
        self.ripe_ms = NEVER_MS
        #: Totals that it had lately.
        self.recent: deque[int] = deque(maxlen=TALLY_TOTALS_MAX)

    @property
    def sum(self) -> int:
        """The sum."""
        return self.total & SUM_MASK

    @property
    def highest(self) -> int:
        """The highest version that is there, or was since the sum has been found."""
        return int.from_bytes(self.highest_bytes, "big")

    def had(self, sum_: int) -> bool:
        """Whether that is the sum, or was lately."""
        return sum_ == self.sum or any(total & SUM_MASK == sum_ for total in self.recent)

    def add(self, place: bytes, raw: bytes) -> None:
        """An entry is there."""
        self.total += hash_of(place, raw)
        self.entries += 1
        version = raw[VERSION_AT:VERSION_END]
        if version > self.highest_bytes:
            self.highest_bytes = version
        if raw[FLAGS_AT] & VALUELESS or raw[EXPIRES_AT:HEADER_BYTES] != NO_EXPIRY:
            self.ripen(raw)

    def ripen(self, raw: bytes) -> None:
        """An entry is there that is dead, or will expire."""
        ripe_ms = NOW_MS
        if not raw[FLAGS_AT] & VALUELESS:
            ripe_ms = int.from_bytes(raw[EXPIRES_AT:HEADER_BYTES], "big")
        self.ripe_ms = min(self.ripe_ms, ripe_ms)

    def remove(self, place: bytes, raw: bytes) -> None:
        """An entry is not there any more. Its version stays below the next one's."""
        if place in self.damaged:
            self.damaged.discard(place)
            return
        self.total -= hash_of(place, raw)
        self.entries -= 1


class Tallies:
    """The sums of one replica."""

    __slots__ = ("_storage", "_tallies")

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        #: By the two bytes that stand for a partition in a place.
        self._tallies: dict[bytes, Tally] = {}

    def get(self, partition: int) -> Tally | None:
        """The sum of a partition; None: it is not known yet."""
        tally = self._tallies.get(PARTITION_NAMES[partition])
        return None if tally is None or tally.frontier else tally

    def change(self, changes: Sequence[tuple[bytes, bytes | None, bytes]]) -> None:
        """What stands at places changes: each with what stood there, and what stands there now. Each write
        pays for this: what is commonest is written out, and quickest where a partition's stand together."""
        digest = xxh3_128_intdigest
        name, is_plain = b"", False
        tally: Tally | None = None
        for place, before, after in changes:
            if place[DICT_ID_BYTES:PREFIX_BYTES] != name:
                name = place[DICT_ID_BYTES:PREFIX_BYTES]
                tally = self._tallies.get(name)
                is_plain = tally is not None and not tally.frontier and not tally.damaged
            if tally is None:
                continue
            if before is None or not is_plain:
                self._change(tally, place, before, after)
                continue
            tally.recent.append(tally.total)
            tally.total += digest(place + after[:HEADER_BYTES]) - digest(place + before[:HEADER_BYTES])
            if after[VERSION_AT:VERSION_END] > tally.highest_bytes:
                tally.highest_bytes = after[VERSION_AT:VERSION_END]
            if after[FLAGS_AT] & VALUELESS or after[EXPIRES_AT:HEADER_BYTES] != NO_EXPIRY:
                tally.ripen(after)

    def _change(self, tally: Tally, place: bytes, before: bytes | None, after: bytes) -> None:
        if not tally.frontier:
            tally.recent.append(tally.total)
        elif place >= tally.frontier:
            return
        if before is not None:
            tally.remove(place, before)
        tally.add(place, after)

    def ripen_all(self) -> None:
        """Anything may be dead."""
        for tally in self._tallies.values():
            tally.ripe_ms = NOW_MS

    def remove(self, place: bytes, before: bytes) -> None:
        """What stands at a place is removed."""
        tally = self._tallies.get(place[DICT_ID_BYTES:PREFIX_BYTES])
        if tally is None or (tally.frontier and place >= tally.frontier):
            return
        if not tally.frontier:
            tally.recent.append(tally.total)
        tally.remove(place, before)

    def measure(self, partition: int) -> bool:
        """Read on in a partition, one stretch; whether its sum is known now."""
        name = PARTITION_NAMES[partition]
        tally = self._tallies.get(name)
        if tally is None:
            tally = self._tallies[name] = Tally()
        if not tally.frontier:
            return True
        start = b"" if tally.frontier == b"\0" else tally.frontier
        rows, after = partition_rows(self._storage, partition, start, MEASURE_ROWS_MAX)
        for place, raw in rows:
            if is_whole(place, raw):
                tally.add(place, raw)
            else:
                tally.damaged.add(place)
        tally.frontier = after
        return not after

    def forget(self, partition: int) -> None:
        """A partition's sum is not to be trusted: it is found anew."""
        self._tallies.pop(PARTITION_NAMES[partition], None)

    def forget_all(self) -> None:
        """No sum is to be trusted."""
        self._tallies.clear()

    def validate(self) -> None:
        """Assert that the sums are those of the entries that are there."""
        for name, tally in self._tallies.items():
            if not tally.frontier:
                partition = int.from_bytes(name, "big")
                anew = Tallies(self._storage)
                while not anew.measure(partition):
                    pass
                wanted = anew._tallies[name]
                assert tally.sum == wanted.sum, f"the sum of partition {partition} is wrong"
                assert tally.highest >= wanted.highest
