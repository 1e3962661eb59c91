"""Commits on their way to disk, as their own process sees them already.

Both storages, the real and the simulated, are a durable map under one of these.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from ...exception import Error
from ..world import ANY_BYTES, Changes, Done


class Overlay:
    """What was committed and is not on disk yet, in order."""

    __slots__ = ("_latest", "_serial", "_sorted", "waiting")

    def __init__(self) -> None:
        #: Commits whose `done` was not called yet, oldest first: (serial, changes, done).
        self.waiting: deque[tuple[int, Changes, Done]] = deque()
        self._serial = 0
        #: For each key in `waiting` the serial of its last commit, and what that made of it.
        self._latest: dict[bytes, tuple[int, bytes | None]] = {}
        #: Its keys in order, once somebody wants them so; None: not put in order since they changed.
        self._sorted: list[bytes] | None = None

    def __contains__(self, key: bytes) -> bool:
        return key in self._latest

    def get(self, key: bytes) -> bytes | None:
        """What the last commit that waits made of a key that is in here."""
        return self._latest[key][1]

    def put_over(self, keys: Sequence[bytes], below: list[bytes | None]) -> list[bytes | None]:
        """What these keys stand for, of which `below` says what is on disk."""
        latest = self._latest
        return [latest[key][1] if key in latest else found for key, found in zip(keys, below, strict=True)]

    def add(self, changes: Changes, done: Done) -> None:
        """Put one commit at the end. The changes are copied."""
        self._serial += 1
        changes = dict(changes)
        self.waiting.append((self._serial, changes, done))
        serial, self._sorted = self._serial, None
        self._latest.update([(key, (serial, value)) for key, value in changes.items()])

    def first(self, count: int) -> list[Changes]:
        """The oldest `count` commits."""
        return [changes for _, changes, _ in islice(self.waiting, count)]

    @property
    def keys_count(self) -> int:
        """How many keys they change."""
        return len(self._latest)

    def settle(self) -> Done:
        """The oldest commit is on disk: forget it. Its `done`, to be called with None."""
        serial, changes, done = self.waiting.popleft()
        latest, self._sorted = self._latest, None
        if not self.waiting:
            latest.clear()
            return done
        for key in changes:
            if latest[key][0] == serial:
                del latest[key]
        return done

    def discard(self) -> list[Done]:
        """None of them will get to disk: forget all. Their `done`s, to be called with the error."""
        failed = [done for _, _, done in self.waiting]
        self.waiting.clear()
        self._latest.clear()
        self._sorted = None
        return failed

    def tell(self, count: int, error: Error | None, is_over: Callable[[], bool]) -> bool:
        """Tell the oldest `count` that they are on disk; or all that they failed. False: a process that was
        told something ended by it, and is told nothing more."""
        if error is None:
            for _ in range(count):
                self.settle()(None)
                if is_over():
                    return False
        else:
            for done in self.discard():
                done(error)
                if is_over():
                    return False
        return True

    def keys(self, first: bytes, end: bytes) -> list[bytes]:
        """The keys in here with first <= key < end, ascending."""
        if not self._latest:
            return []
        ordered = self._sorted
        if ordered is None:
            ordered = self._sorted = sorted(self._latest)
        return ordered[bisect_left(ordered, first) : bisect_left(ordered, end)]

    def merge(
        self,
        first: bytes,
        end: bytes,
        count_max: int,
        below: Iterable[tuple[bytes, bytes]],
        bytes_max: int = ANY_BYTES,
    ) -> list[tuple[bytes, bytes]]:
        """A scan: `below` are the entries on disk from `first` on, ascending and before `end`."""
        page: list[tuple[bytes, bytes]] = []
        size_bytes = 0
        for key, value in islice(self.over(first, end, below), count_max):
            page.append((key, value))
            size_bytes += len(value)
            if size_bytes >= bytes_max:
                break
        return page

    def over(
        self, first: bytes, end: bytes, below: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[tuple[bytes, bytes]]:
        """`below` with what is in here on top."""
        keys = self.keys(first, end)
        return lay(keys, {key: self._latest[key][1] for key in keys}, below)


def lay(
    keys: Sequence[bytes], changes: Changes, below: Iterable[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    """Rows, ascending, with changes on top of them. `keys`: those of the changes, ascending."""
    at = 0
    for key, value in below:
        while at < len(keys) and keys[at] < key:
            changed = changes[keys[at]]
            if changed is not None:
                yield keys[at], changed
            at += 1
        if at < len(keys) and keys[at] == key:
            changed = changes[key]
            if changed is not None:
                yield key, changed
            at += 1
        else:
            yield key, value
    for key in islice(keys, at, None):
        changed = changes[key]
        if changed is not None:
            yield key, changed


class Layer:
    """Changes that are on disk already, but not where they are looked for."""

    __slots__ = ("_keys", "changes")

    def __init__(self) -> None:
        self.changes: Changes = {}
        self._keys: list[bytes] = []

    def add(self, changes: Changes) -> None:
        """Put changes on top."""
        for key in changes:
            if key not in self.changes:
                insort(self._keys, key)
        self.changes.update(changes)

    def over(
        self, first: bytes, end: bytes, below: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[tuple[bytes, bytes]]:
        """`below` with what is in here on top."""
        keys = self._keys[bisect_left(self._keys, first) : bisect_left(self._keys, end)]
        return lay(keys, self.changes, below)
