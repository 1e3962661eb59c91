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

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from ...exception import Error, StoreDamagedError, StoreFullError
from ..config import (
    FRAME_ROWS_MAX,
    FRAME_VALUE_BYTES_MAX,
    KEY_BYTES_MAX,
    KEY_HEAD_BYTES,
    ROWS_BYTES_MAX,
    STORAGE_KEY_BYTES_MAX,
)
from ..network.message import Stamp
from ..store import layout
from ..store.entry import (
    HEADER_BYTES,
    VERSION_AT,
    DamagedEntryError,
    Stored,
    decode,
)
from ..store.layout import DICT_ID_BYTES, PREFIX_BYTES
from ..store.table import VALUELESS
from ..store.transaction import CLEARED_AT_BYTES, DictGoneError
from ..world import Changes, Storage, World
from .clearances import CLEAR_KEY, CLEAR_KEY_END, Clearances
from .marks import NO_MARK, Marks
from .place import fault_of, place_of
from .rank import FRONT_BYTES, NO_STAMP, STAMP_AT, STAMP_END, beats, version_of
from .reading import Counted, Page, Reader
from .stretch import DictWalk, Row, partition_at, partition_rows
from .tally import SUM_BYTES, SUM_MASK, VERSION_END, Tallies, Tally, is_whole

Applied = Callable[[Error | None, int], None]
"""Told how `apply` ended: why nothing was stored, or None; the highest version that stands where a row was
not newer, 0 if all rows stand."""


class Read(NamedTuple):
    """What a key is: its visible entry, None if there is none; the stamp of what stands there, seen or not
    (zeros: nothing)."""

    entry: Stored | None
    stamp: Stamp


NOTHING = Read(None, NO_STAMP)
DAMAGED = b""
"""In place of an entry that cannot be read."""
TRAVEL_BYTES_MAX = FRAME_VALUE_BYTES_MAX + KEY_BYTES_MAX + HEADER_BYTES + 64
"""Of an entry that fits into a frame: value, over-long key, header, operation."""
DAMAGED_FRONT = bytes(FRONT_BYTES)
"""In place of its front: any other one beats it."""


class Replica:
    """One node's entries. Calls about a Dict raise `DictGoneError` where none of that id is known.

    `now_ms` is the node's hybrid clock, by which expiry is judged.
    """

    def __init__(self, world: World, storage: Storage, now_ms: Callable[[], int]) -> None:
        self._world = world
        self.storage = storage
        self.now_ms = now_ms
        self._tallies = Tallies(storage)
        self.clearances = Clearances(world, storage, self._tallies)
        self._partition_mask = layout.PARTITION_MASK
        self.marks = Marks(storage)
        #: Entries refused because their partition was purged further.
        self.too_old_count = 0
        #: Entries asked for that fit into no frame: each replica has its own, or none.
        self.too_large_count = 0
        self._preparing = False
        #: Told of places at which something could not be stored for want of room.
        self.on_missed: Callable[[list[bytes]], None] = lambda _: None
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
            or (expires_ms and expires_ms <= self.now_ms())
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
        self._tallies.ripen_all()

    # -- many keys ----------------------------------------------------------------------------------

    def page(self, dict_id: bytes, partitions: bytes, start: bytes, prefix: bytes = b"") -> Page:
        """A stretch of a Dict's visible entries, as `message.ReadPage` says. It may be empty and not the
        last."""
        return self._reader(
            dict_id, DictWalk(self.storage, dict_id, partitions, start, prefix[:KEY_HEAD_BYTES])
        ).page(prefix)

    def count(self, dict_id: bytes, partitions: bytes, start: bytes) -> Counted:
        """How many visible entries there are in a stretch, as `message.Count` says. Values are not looked
        at: a damaged one counts."""
        return self._reader(dict_id, DictWalk(self.storage, dict_id, partitions, start)).count()

    def _reader(self, dict_id: bytes, walk: DictWalk) -> Reader:
        return Reader(walk, self.cleared_at(dict_id), self.clearances, self.now_ms())

    # -- merging ------------------------------------------------------------------------------------

    def apply(self, rows: Sequence[Row], done: Applied) -> None:
        """Merge entries into what stands. They are whole, and each stands where its key belongs: see
        `fault_of` for those that others sent. What is too old for a purged partition is refused, and the
        mark counts as the version that stands there.

        `done` is called later, in the order of the calls. With an error nothing of it was stored.
        """
        self._merge(rows, self.marks.refusing, done)

    def pull(self, rows: Sequence[Row], done: Applied) -> None:
        """`apply`, of what this replica asked a peer for: what a peer is known to have purged is no reason
        to refuse it, as long as this replica has not all that the peer has."""
        self._merge(rows, self.marks.own, done)

    def _merge(self, rows: Sequence[Row], refusing: Mapping[bytes, bytes], done: Applied) -> None:
        clearances, tallies = self.clearances, self._tallies
        changes: Changes = {}
        changed: list[tuple[bytes, bytes | None, bytes]] = []
        newer = 0
        for (place, raw), found in zip(rows, self._standing([place for place, _ in rows]), strict=True):
            standing = changes.get(place, found)
            if clearances.marks and (mark := clearances.mark(place)) >= version_of(raw):
                newer = max(newer, mark)
                continue
            if standing is None and refusing:
                refused = refusing.get(place[DICT_ID_BYTES:PREFIX_BYTES], NO_MARK)
                if raw[VERSION_AT:VERSION_END] <= refused:
                    self.too_old_count += 1
                    newer = max(newer, int.from_bytes(refused, "big"))
                    continue
            if standing is None or beats(raw, standing):
                changed.append((place, standing, raw))
            elif is_whole(place, standing):
                if standing[STAMP_AT:STAMP_END] > raw[STAMP_AT:STAMP_END]:
                    newer = max(newer, version_of(standing))
                continue
            else:
                standing = DAMAGED
            changes[place] = raw
            if standing == DAMAGED:  # whether it is in the sum depends on when the damage was done
                tallies.change(changed)
                changed = []
                tallies.forget(partition_at(place))
            if place[PREFIX_BYTES:CLEAR_KEY_END] == CLEAR_KEY:
                tallies.change(changed)
                changed = []
                clearances.take(place, raw, changes)
                self._cleared_at.pop(place[:DICT_ID_BYTES], None)
        tallies.change(changed)
        places = [place for place, _ in rows if place in changes]  # beside what a clear changes of a Dict
        self.storage.commit(changes, lambda error: self._merged(error, places, newer, done))

    def _standing(self, places: Sequence[bytes]) -> list[bytes | None]:
        """What stands at these places, `DAMAGED` where that cannot be read."""
        try:
            return self.storage.get_many(places)
        except StoreDamagedError:
            return [DAMAGED] if len(places) == 1 else [self._standing([each])[0] for each in places]

    def _merged(self, error: Error | None, places: list[bytes], newer: int, done: Applied) -> None:
        if not isinstance(error, StoreFullError):
            self._applied(error, newer, done)
            return
        for place in places:  # of the commits that fail with it, each forgets its own
            self._tallies.forget(partition_at(place))
        self.marks.read()
        self._cleared_at.clear()
        self.clearances.load()
        self.on_missed(places)
        done(error, 0)

    def remove(self, rows: Sequence[Row], done: Applied) -> None:
        """Let nothing stand at these places any more where what stands there begins like this (an entry or
        its front). Only for what may be purged: nobody remembers what was there."""
        changes: Changes = {}
        for place, front in rows:
            try:
                standing = self.storage.get(place)
            except StoreDamagedError:
                continue
            if standing is not None and standing.startswith(front[:FRONT_BYTES]):
                self._tallies.remove(place, standing)
                changes[place] = None
        self.storage.commit(changes, lambda error: self._applied(error, 0, done))

    def raise_mark(self, partition: int, version: int, done: Applied) -> None:
        """A partition was purged up to that version, or is about to be (marks.py, rule 1)."""
        changes: Changes = {**self.marks.raised(partition, version)}
        self.storage.commit(changes, lambda error: self._applied(error, 0, done))

    def wipe(self, partition: int, done: Callable[[bool], None]) -> None:
        """Remove a stretch of what stands of a partition that this node keeps no more; `done` is told
        whether that was all. Its mark goes first."""
        rows, next_ = partition_rows(self.storage, partition, b"", FRAME_ROWS_MAX)
        self._tallies.forget(partition)
        changes: Changes = {**self.marks.forget(partition), **{place: None for place, _ in rows}}
        ended: Applied = lambda error, _: done(error is None and not next_)  # noqa: E731
        self.storage.commit(changes, lambda error: self._applied(error, 0, ended))

    def _applied(self, error: Error | None, newer: int, done: Applied) -> None:
        if error is None:
            done(None, newer)
            return
        self._tallies.forget_all()
        self.marks.read()
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

    def sound_mark(self, partition: int) -> int:
        """Up to which version a partition was purged; 0 if something is damaged there, so that its sum does
        not tell all."""
        tally = self._tallies.get(partition)
        return 0 if tally is None or tally.damaged else self.marks.get(partition)

    def highest(self, partition: int) -> int | None:
        """The highest version that a partition holds, held since the start, or refuses; None as `tally`."""
        tally = self._tallies.get(partition)
        return None if tally is None else max(tally.highest, self.marks.refused(partition))

    def sums(self, partitions: Sequence[int]) -> list[bytes] | None:
        """One sum over all that each of these partitions holds; None as `tally`."""
        tallies = [self._tallies.get(partition) for partition in partitions]
        found = [tally.sum.to_bytes(SUM_BYTES, "big") for tally in tallies if tally is not None]
        return found if len(found) == len(tallies) else None

    def root(self, partitions: Sequence[int]) -> int | None:
        """The sum of the sums of these partitions, and of their marks; None as `tally`."""
        total = 0
        weight = self.marks.weight
        for partition in partitions:
            tally = self._tallies.get(partition)
            if tally is None:
                return None
            total += tally.total + weight(partition)
        return total & SUM_MASK

    def places(self, partition: int, start: bytes, count_max: int) -> tuple[list[Row], bytes]:
        """What a partition holds from the place `start` on (empty: from the beginning): places, each with the
        front of its entry, zeros if it is damaged; where to go on, empty for nowhere."""
        rows, next_ = partition_rows(self.storage, partition, start, count_max)
        return [
            (place, raw[:FRONT_BYTES] if is_whole(place, raw) else DAMAGED_FRONT) for place, raw in rows
        ], next_

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
            if len(raw) > TRAVEL_BYTES_MAX:  # imported from an embedded store that allowed it
                self.too_large_count += 1
                continue
            size_bytes += len(place) + len(raw)
            if rows and (size_bytes > ROWS_BYTES_MAX or len(rows) >= FRAME_ROWS_MAX):
                return rows
            rows.append((place, raw))
        return rows

    def validate(self) -> None:
        """Assert what must always hold: each sum that is known is that of what is there."""
        self._tallies.validate()
