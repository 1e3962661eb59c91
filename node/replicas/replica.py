"""The entries of one node: what it answers reads from, and what it merges writes into.

It stands in the layout and the format of the embedded store (docs/format.md), so that a folder of one is
served as it is, and local readers find what they know.

Rules of this file:
1. Whatever is applied is merged (node/replicas/rank.py): again, late, in another order it leads to the same.
2. What was applied is seen at once, and `done` is called when it is as durable as the storage's setting says.
   That is so too when nothing had to be changed: what stands there may still be on its way to disk.
3. A damaged entry is absent for a merge: what a healthy replica sends stands in its place.
4. No call here takes longer with the number of entries that there are: what could, says where to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from ...exception import Error, StoreDamagedError, StoreFullError
from ...ring.partition import dict_seed
from ..config import (
    COUNT_ROWS_MAX,
    FRAME_ROWS_MAX,
    KEY_HEAD_BYTES,
    KEY_INLINE_BYTES_MAX,
    PAGE_BYTES_MAX,
    PAGE_ENTRIES_MAX,
    ROWS_BYTES_MAX,
    STORAGE_KEY_BYTES_MAX,
)
from ..network.message import Stamp
from ..store import layout
from ..store.entry import (
    BEHIND,
    CHECKSUM_BYTES,
    CHECKSUM_MASK,
    FLAGS_AT,
    HEADER_BYTES,
    LONG_KEY,
    DamagedEntryError,
    Stored,
    body_of,
    decode,
    size_of,
    verify,
    whole_key,
)
from ..store.layout import DICT_ID_BYTES, PARTITION_NAMES, PREFIX_BYTES
from ..store.table import VALUELESS
from ..store.transaction import CLEARED_AT_BYTES, DictGoneError
from ..world import Changes, Storage, World
from .clearances import CLEAR_KEY, CLEAR_KEY_END, Clearances
from .rank import FRONT_BYTES, NO_STAMP, STAMP_AT, STAMP_END, beats, version_of
from .stretch import FIRST_DICT, DictWalk, Row, partition_at, partition_rows
from .tally import SUM_BYTES, SUM_MASK, Tallies, Tally, is_whole

Applied = Callable[[Error | None, int], None]
"""Told how `apply` ended: why nothing was stored, or None; the highest version that stands where a row was
not newer, 0 if all rows stand."""


class Read(NamedTuple):
    """What a key is: its visible entry, None if there is none; the stamp of what stands there, seen or not
    (zeros: nothing)."""

    entry: Stored | None
    stamp: Stamp


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


NOTHING = Read(None, NO_STAMP)
DAMAGED = b""
"""In place of an entry that cannot be read."""


class Replica:
    """One node's entries. Calls about a Dict raise `DictGoneError` where none of that id is known.

    `now_ms` is the node's hybrid clock, by which expiry is judged.
    """

    def __init__(self, world: World, storage: Storage, now_ms: Callable[[], int]) -> None:
        self._world = world
        self.storage = storage
        self._now_ms = now_ms
        self._tallies = Tallies(storage)
        self.clearances = Clearances(world, storage, self._tallies)
        self._partition_mask = layout.PARTITION_MASK
        self._preparing = False
        #: `cleared_at` of Dicts that were asked for.
        self._cleared_at: dict[bytes, int] = {}

    def set_partitions(self, count: int) -> None:
        """Go by a ring of so many partitions: always the same number, once there is a ring."""
        self._partition_mask = count - 1

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return self._partition_mask + 1

    # -- one key ------------------------------------------------------------------------------------

    def read(self, dict_id: bytes, key: bytes) -> Read:
        """What a key is.

        Raises:
            DamagedEntryError: the bytes that stand there are not what was written; with the key.
        """
        cleared_at = self.cleared_at(dict_id)
        key_hash = xxh3_64_intdigest(key, int.from_bytes(dict_id, "big"))
        try:
            place = place_of(dict_id, key, key_hash, self._partition_mask)
            raw = self.storage.get(place)
            if raw is None:
                return NOTHING
            entry = decode(raw, key_hash)
        except (DamagedEntryError, StoreDamagedError):
            raise DamagedEntryError(key) from None
        flags, version, node, touch, expires_ms, _, _, _ = entry
        if (
            flags & VALUELESS
            or (expires_ms and expires_ms <= self._now_ms())
            or (version <= cleared_at and self.clearances.covers(place, version, cleared_at))
        ):
            return Read(None, (version, node, touch))
        return Read(entry, (version, node, touch))

    def read_many(self, dict_id: bytes, keys: Sequence[bytes]) -> list[Read]:
        """What many keys are, in their order. Raises as `read`."""
        read = self.read
        return [read(dict_id, key) for key in keys]

    def cleared_at(self, dict_id: bytes) -> int:
        """Above which version all entries of a Dict are to be seen."""
        known = self._cleared_at.get(dict_id)
        if known is not None:
            return known
        state = self.storage.get(layout.STATE + dict_id)
        if state is None:
            raise DictGoneError
        cleared_at = int.from_bytes(state[:CLEARED_AT_BYTES], "big")
        cleared_at = max(cleared_at, self.clearances.highest(dict_id))
        self._cleared_at[dict_id] = cleared_at
        return cleared_at

    def dict_changed(self, dict_id: bytes) -> None:
        """The record of a Dict's state was written, or removed."""
        self._cleared_at.pop(dict_id, None)

    # -- many keys ----------------------------------------------------------------------------------

    def page(self, dict_id: bytes, partitions: bytes, start: bytes, prefix: bytes = b"") -> Page:
        """A stretch of a Dict's visible entries, as `message.ReadPage` says. It may be empty and not the
        last."""
        cleared_at = self.cleared_at(dict_id)
        walk = DictWalk(self.storage, dict_id, partitions, start, prefix[:KEY_HEAD_BYTES])
        rows: list[tuple[bytes, bytes | None]] = []
        size_bytes = 0
        for place, raw in walk.rows():
            if rows and size_bytes + len(raw) > PAGE_BYTES_MAX:
                return Page(rows, place[DICT_ID_BYTES:])
            row = self._row(place, raw, cleared_at)
            if row is not None and (not row[0] or row[0].startswith(prefix)):
                rows.append(row)
                size_bytes += len(raw)
            if len(rows) >= PAGE_ENTRIES_MAX:
                return Page(rows, place[DICT_ID_BYTES:] + b"\0")
        return Page(rows, walk.next)

    def count(self, dict_id: bytes, partitions: bytes, start: bytes) -> Counted:
        """How many visible entries there are in a stretch, as `message.Count` says. Values are not looked
        at: a damaged one counts."""
        cleared_at = self.cleared_at(dict_id)
        walk = DictWalk(self.storage, dict_id, partitions, start)
        now_ms = self._now_ms()
        entries = size_bytes = 0
        for looked_at, (place, raw) in enumerate(walk.rows(), 1):
            if len(raw) < HEADER_BYTES:
                entries += 1
            else:
                flags, version, _, _, expires_ms = BEHIND.unpack_from(raw, CHECKSUM_BYTES)
                if (
                    not flags & VALUELESS
                    and not 0 < expires_ms <= now_ms
                    and (version > cleared_at or not self.clearances.covers(place, version, cleared_at))
                ):
                    entries += 1
                    size_bytes += size_of(raw, len(place) - PREFIX_BYTES)
            if looked_at >= COUNT_ROWS_MAX:
                return Counted(entries, size_bytes, place[DICT_ID_BYTES:] + b"\0")
        return Counted(entries, size_bytes, walk.next)

    def _row(self, place: bytes, raw: bytes, cleared_at: int) -> tuple[bytes, bytes | None] | None:
        """Key and value's bytes of what stands at a place, if it is to be seen."""
        key = place[PREFIX_BYTES:]
        if len(key) > KEY_INLINE_BYTES_MAX:
            key = whole_key(raw)
        try:
            verify(raw, xxh3_64_intdigest(key, dict_seed(place[:DICT_ID_BYTES])))
        except DamagedEntryError:
            return (key if layout.stored_key(key) == place[PREFIX_BYTES:] else b""), None
        flags, version, _, _, expires_ms = BEHIND.unpack_from(raw, CHECKSUM_BYTES)
        if flags & VALUELESS or 0 < expires_ms <= self._now_ms():
            return None
        if version <= cleared_at and self.clearances.covers(place, version, cleared_at):
            return None
        return key, body_of(raw)

    # -- merging ------------------------------------------------------------------------------------

    def apply(self, rows: Sequence[Row], done: Applied) -> None:
        """Merge entries into what stands. They are whole, and each stands where its key belongs: see
        `fault_of` for those that others sent.

        `done` is called later, in the order of the calls. With an error nothing of it was stored.
        """
        get, change, clearances = self.storage.get, self._tallies.change, self.clearances
        changes: Changes = {}
        newer = 0
        for place, raw in rows:
            if clearances.marks and (mark := clearances.mark(place)) >= version_of(raw):
                newer = max(newer, mark)
                continue
            try:
                standing = changes[place] if place in changes else get(place)
            except StoreDamagedError:
                standing = DAMAGED
            if standing is None or beats(raw, standing):
                change(place, standing, raw)
            elif is_whole(place, standing):
                if standing[STAMP_AT:STAMP_END] > raw[STAMP_AT:STAMP_END]:
                    newer = max(newer, version_of(standing))
                continue
            else:
                standing = DAMAGED
            if standing == DAMAGED:  # whether it is in the sum depends on when the damage was done
                self._tallies.forget(partition_at(place))
            changes[place] = raw
            if place[PREFIX_BYTES:CLEAR_KEY_END] == CLEAR_KEY:
                clearances.take(place, raw, changes)
                self._cleared_at.pop(place[:DICT_ID_BYTES], None)
        self.storage.commit(changes, lambda error: self._applied(error, newer, done))

    def _applied(self, error: Error | None, newer: int, done: Applied) -> None:
        if error is None:
            done(None, newer)
            return
        self._tallies.forget_all()
        self._cleared_at.clear()
        self.clearances.load()
        if isinstance(error, StoreFullError):
            done(error, 0)
        else:
            self._world.halt(f"the entries: {error}")

    def fault_of(self, place: bytes, raw: bytes) -> str:
        """What is wrong with an entry that somebody sent; empty: nothing."""
        return fault_of(place, raw, self._partition_mask)

    # -- what replicas tell each other ----------------------------------------------------------------

    def tally(self, partition: int) -> Tally | None:
        """What a partition adds up to; None: not known yet, `measure` finds it."""
        return self._tallies.get(partition)

    def measure(self, partition: int) -> bool:
        """Read on in a partition, one stretch; whether `tally` knows it now."""
        return self._tallies.measure(partition)

    def measure_anew(self, partition: int) -> None:
        """Do not trust what `tally` says of a partition any more."""
        self._tallies.forget(partition)

    def ready(self, partitions: Sequence[int], then: Callable[[], None], at: int = 0) -> None:
        """Call once `tally` knows all of these partitions: at once if it does, else after reading them, a
        stretch in each turn of the node. `at`: how many are known already."""
        get = self._tallies.get
        for number in range(at, len(partitions)):
            if get(partitions[number]) is None:
                self._tallies.measure(partitions[number])
                self._world.call_after(0, partial(self.ready, partitions, then, number))
                return
        if at and any(get(partition) is None for partition in partitions):  # forgotten meanwhile
            self.ready(partitions, then)
        else:
            then()

    def prepare(self, partitions: Sequence[int]) -> None:
        """Have `tally` know all of these partitions soon."""
        if not self._preparing:
            self._preparing = True
            self.ready(list(partitions), self._prepared)

    def _prepared(self) -> None:
        self._preparing = False

    def highest(self, partition: int) -> int | None:
        """The highest version that a partition holds or held since the start; None as `tally`."""
        tally = self._tallies.get(partition)
        return None if tally is None else tally.highest

    def sums(self, partitions: Sequence[int]) -> list[bytes] | None:
        """One sum over all that each of these partitions holds; None as `tally`."""
        tallies = [self._tallies.get(partition) for partition in partitions]
        found = [tally.sum.to_bytes(SUM_BYTES, "big") for tally in tallies if tally is not None]
        return found if len(found) == len(tallies) else None

    def root(self, partitions: Sequence[int]) -> int | None:
        """The sum of the sums of these partitions; None as `tally`."""
        total = 0
        for partition in partitions:
            tally = self._tallies.get(partition)
            if tally is None:
                return None
            total += tally.total
        return total & SUM_MASK

    def places(self, partition: int, start: bytes, count_max: int) -> tuple[list[Row], bytes]:
        """What a partition holds from the place `start` on (empty: from the beginning): places, each with the
        front of its entry; where to go on, empty for nowhere. Damaged entries are not there."""
        rows, next_ = partition_rows(self.storage, partition, start, count_max)
        return [(place, raw[:FRONT_BYTES]) for place, raw in rows if is_whole(place, raw)], next_

    def rows(self, places: Sequence[bytes]) -> list[Row]:
        """The entries at these places, those that are there and whole, up to one frame's worth."""
        rows: list[Row] = []
        size_bytes = 0
        for place in places:
            if not PREFIX_BYTES < len(place) <= STORAGE_KEY_BYTES_MAX:
                continue
            try:
                raw = self.storage.get(place)
            except StoreDamagedError:
                continue
            if raw is None or not is_whole(place, raw):
                continue
            size_bytes += len(place) + len(raw)
            if rows and (size_bytes > ROWS_BYTES_MAX or len(rows) >= FRAME_ROWS_MAX):
                return rows
            rows.append((place, raw))
        return rows

    def validate(self) -> None:
        """Assert what must always hold: each sum that is known is that of what is there."""
        self._tallies.validate(self._counted_anew)

    def _counted_anew(self, partition: int) -> Tally:
        tallies = Tallies(self.storage)
        while not tallies.measure(partition):
            pass
        tally = tallies.get(partition)
        assert tally is not None
        return tally


def place_of(dict_id: bytes, key: bytes, key_hash: int, partition_mask: int = layout.PARTITION_MASK) -> bytes:
    """Where a key of that hash stands."""
    stored = key if len(key) <= KEY_INLINE_BYTES_MAX else layout.stored_key(key)
    return dict_id + PARTITION_NAMES[key_hash & partition_mask] + stored


def fault_of(place: bytes, raw: bytes, partition_mask: int = layout.PARTITION_MASK) -> str:
    """What is wrong with an entry that somebody sent; empty: nothing."""
    stored = key = place[PREFIX_BYTES:]
    if len(raw) < HEADER_BYTES:
        return "an entry is damaged"
    misplaced = len(stored) > KEY_INLINE_BYTES_MAX
    if raw[FLAGS_AT] & LONG_KEY:
        key = whole_key(raw)
        misplaced = not layout.is_long(key) or layout.stored_key(key) != stored
    if misplaced or stored < layout.KEY_SPACE or place < FIRST_DICT:
        return "an entry is not where its key belongs"
    key_hash = xxh3_64_intdigest(key, int.from_bytes(place[:DICT_ID_BYTES], "big"))
    if place[DICT_ID_BYTES:PREFIX_BYTES] != PARTITION_NAMES[key_hash & partition_mask]:
        return "an entry is not in the partition of its key"
    checksum = xxh3_64_intdigest(raw[CHECKSUM_BYTES:], key_hash) & CHECKSUM_MASK
    return "" if checksum == int.from_bytes(raw[:CHECKSUM_BYTES], "big") else "an entry is damaged"
