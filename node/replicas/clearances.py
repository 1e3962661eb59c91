"""Clears as replicas know them: up to which version the entries of a Dict are absent, in each partition.

A `clear` is decided by the leaders, one record a partition. To replicas it is an entry like any other, under
a key that no user can have: so it is merged, kept, compared and repaired as all entries are.

Rules of this file:
1. Whatever is at or below a clear of its Dict and partition is absent from the moment that this is known, and
   is removed in the background, by each replica for itself: no merge takes it up again.
2. As long as something is still to be removed, the Dict's state says above which version all is to be seen:
   who reads past the node asks the node about what is below.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import count
from typing import Final

from xxhash import xxh3_64_intdigest

from ...exception import Error, StoreDamagedError
from ...ring.partition import dict_seed
from ..config import CLEAR_KEYS_DICTS_MAX, CLEAR_ROWS_MAX, CLEAR_SCAN_ROWS
from ..store import layout
from ..store.entry import HEADER_BYTES
from ..store.layout import DICT_ID_BYTES, KEY_SPACE, PREFIX_BYTES
from ..store.transaction import DictState
from ..world import Changes, Storage, World
from .rank import version_of
from .stretch import KEY_END, scan
from .tally import Tallies

CLEAR_KEY: Final = b"\x02\x00"
"""What a clear's key begins with. A user's key beginning with 02 is `None`, and has nothing behind it."""
CLEAR_KEY_END: Final = PREFIX_BYTES + len(CLEAR_KEY)
_NONCE_BYTES = 3
_VERSION_BYTES = 8


class ClearKeys:
    """Under which key the clear of each partition of a Dict stands: such that it belongs there."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, list[bytes]] = OrderedDict()

    def key(self, dict_id: bytes, partition: int, partitions: int) -> bytes:
        """That key, of a partition of so many."""
        keys = self._known.get(dict_id)
        if keys is None:
            keys = self._known[dict_id] = _keys_of(dict_id, partitions)
            if len(self._known) > CLEAR_KEYS_DICTS_MAX:
                self._known.popitem(last=False)
        return keys[partition]


def _keys_of(dict_id: bytes, partitions: int) -> list[bytes]:
    found: dict[int, bytes] = {}
    seed = dict_seed(dict_id)
    for nonce in count():
        key = CLEAR_KEY + nonce.to_bytes(_NONCE_BYTES, "big")
        found.setdefault(xxh3_64_intdigest(key, seed) & (partitions - 1), key)
        if len(found) == partitions:
            break
    return [found[partition] for partition in range(partitions)]


class Clearances:
    """One replica's."""

    def __init__(self, world: World, storage: Storage, tallies: Tallies) -> None:
        self._world = world
        self._storage = storage
        self._tallies = tallies
        #: By Dict, then by the two bytes that stand for a partition.
        self.marks: dict[bytes, dict[bytes, int]] = {}
        #: What is to be removed: beginnings of places, and where to go on.
        self._sweeps: deque[tuple[bytes, bytes]] = deque()
        self._sweeping: dict[bytes, int] = {}
        self._is_scheduled = False
        self.load()

    def load(self) -> None:
        """Take up what is in the storage."""
        self.marks.clear()
        first, end = layout.CLEARED, layout.CLEARED[:-1] + b"\x01"
        while True:
            rows = self._storage.scan(first, end, CLEAR_SCAN_ROWS)
            for key, raw in rows:
                prefix = key[len(layout.CLEARED) :]
                self.marks.setdefault(prefix[:DICT_ID_BYTES], {})[prefix[DICT_ID_BYTES:]] = int.from_bytes(
                    raw, "big"
                )
            if len(rows) < CLEAR_SCAN_ROWS:
                break
            first = rows[-1][0] + b"\0"
        for dict_id, marks in self.marks.items():
            if dict_id not in self._sweeping and self._hint(dict_id):
                for partition in marks:
                    self._sweep_soon(dict_id + partition)

    # -- reading ------------------------------------------------------------------------------------

    def mark(self, place: bytes) -> int:
        """Up to which version entries at a place are absent."""
        marks = self.marks.get(place[:DICT_ID_BYTES])
        return 0 if marks is None else marks.get(place[DICT_ID_BYTES:PREFIX_BYTES], 0)

    def covers(self, place: bytes, version: int, cleared_at: int) -> bool:
        """Whether an entry is absent which is not above the Dict's `cleared_at`."""
        marks = self.marks.get(place[:DICT_ID_BYTES])
        if marks is None:
            return version <= cleared_at
        return version <= marks.get(place[DICT_ID_BYTES:PREFIX_BYTES], 0)

    def highest(self, dict_id: bytes) -> int:
        """Above which version everything of a Dict is to be seen, by what is still to be removed."""
        if dict_id not in self._sweeping:
            return 0
        return max(self.marks.get(dict_id, {}).values(), default=0)

    # -- a clear --------------------------------------------------------------------------------------

    def take(self, place: bytes, raw: bytes, changes: Changes) -> None:
        """The entry of a clear is stored."""
        dict_id, prefix, version = place[:DICT_ID_BYTES], place[:PREFIX_BYTES], version_of(raw)
        marks = self.marks.setdefault(dict_id, {})
        if version <= marks.get(prefix[DICT_ID_BYTES:], 0):
            return
        marks[prefix[DICT_ID_BYTES:]] = version
        changes[layout.CLEARED + prefix] = version.to_bytes(_VERSION_BYTES, "big")
        self._say(dict_id, version, changes)
        self._sweep_soon(prefix)

    def _hint(self, dict_id: bytes, changes: Changes | None = None) -> int:
        key = layout.STATE + dict_id
        state = changes[key] if changes is not None and key in changes else self._storage.get(key)
        return 0 if state is None else DictState.decode(state).cleared_at

    def _say(self, dict_id: bytes, version: int, changes: Changes) -> None:
        key = layout.STATE + dict_id
        raw = changes[key] if key in changes else self._storage.get(key)
        if raw is not None:
            state = DictState.decode(raw)
            state.cleared_at = max(state.cleared_at, version) if version else 0
            changes[key] = state.encode()

    # -- removing -------------------------------------------------------------------------------------

    @property
    def is_sweeping(self) -> bool:
        """Whether something is still to be removed."""
        return bool(self._sweeps)

    def _sweep_soon(self, prefix: bytes) -> None:
        dict_id = prefix[:DICT_ID_BYTES]
        self._sweeping[dict_id] = self._sweeping.get(dict_id, 0) + 1
        self._sweeps.append((prefix, prefix + KEY_SPACE))
        if not self._is_scheduled:
            self._is_scheduled = True
            self._world.call_after(0, self._step)

    def _step(self) -> None:
        """Remove one stretch."""
        try:
            self._sweep()
        except StoreDamagedError as error:
            self._world.halt(str(error))
            return
        self._is_scheduled = bool(self._sweeps)
        if self._sweeps:
            self._world.call_after(0, self._step)

    def _sweep(self) -> None:
        changes: Changes = {}
        looked_at = 0
        while self._sweeps and looked_at < CLEAR_ROWS_MAX:
            prefix, start = self._sweeps.popleft()
            mark = self.mark(prefix)
            rows = scan(self._storage, start, prefix + KEY_END, CLEAR_ROWS_MAX)
            looked_at += 1 + len(rows)
            for place, raw in rows:
                if not place[PREFIX_BYTES:].startswith(CLEAR_KEY) and (
                    len(raw) < HEADER_BYTES or version_of(raw) <= mark
                ):
                    self._tallies.remove(place, raw)
                    changes[place] = None
            if len(rows) == CLEAR_ROWS_MAX:
                self._sweeps.appendleft((prefix, rows[-1][0] + b"\0"))
            else:
                self._swept(prefix[:DICT_ID_BYTES], changes)
        if changes:
            self._storage.commit(changes, self._removed)

    def _swept(self, dict_id: bytes, changes: Changes) -> None:
        """One partition of a Dict is done."""
        self._sweeping[dict_id] -= 1
        if self._sweeping[dict_id]:
            return
        del self._sweeping[dict_id]
        key = layout.STATE + dict_id
        if (changes[key] if key in changes else self._storage.get(key)) is None:
            for partition in self.marks.pop(dict_id, {}):  # the Dict is no more
                changes[layout.CLEARED + dict_id + partition] = None
        else:
            self._say(dict_id, 0, changes)

    def _removed(self, error: Error | None) -> None:
        """What could not be removed stays, unseen; the next start tries again."""
        if error is not None:
            self._tallies.forget_all()
