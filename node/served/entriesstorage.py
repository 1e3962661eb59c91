"""A node's entries: the embedded store's own environment, behind the contract of `Storage` (node/world.py).

What the process commits in a turn becomes one transaction at the turn's end: in the process's own thread
where that is memory speed (`interval`, `none`), else in a writer thread, where many turns share a sync
(`fsync`). The thread also takes what would keep the process waiting: for other processes, for room on the
disk, for a disk that is behind.

Rules of this file:
1. Commits reach the store in their order: while the thread has some, nothing is written at once.
2. What waits is seen through the overlay; once it is empty, a read costs one look-up.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import lmdb

from ...exception import Error, StoreFullError
from ..config import (
    GROUP_REQUESTS_MAX,
    STORAGE_KEY_BYTES_MAX,
    STORAGE_VALUE_BYTES_MAX,
    TURN_WRITE_BYTES_MAX,
    WRITE_PAGES,
)
from ..disk.durability import Durability
from ..disk.environment import ONE
from ..network.turn import Home
from ..store.entry import VERSION_AT
from ..store.layout import SYSTEM
from ..store.transaction import PAGE_SHIFT, WriteTransaction
from ..world import ANY_BYTES, Changes, Done
from .lmdbtree import entries_between
from .overlay import Overlay
from .servedstore import ServedStore

VERSION_END = VERSION_AT + 8
SYSTEM_END = (1).to_bytes(len(SYSTEM), "big")
"""Above the store's own records, which have no version."""
GET_KEYS_MIN = 8
"""From so many on it is worth a cursor, and a dict of what it found."""


class EntriesStorage:
    """Keeps the contract of `Storage`, over a store that this node serves already. Its methods belong to one
    thread; `close` gives the store back."""

    def __init__(self, store: ServedStore, home: Home) -> None:
        self._store = store
        self._environment = store.environment
        self._at_once = store.durability is not Durability.FSYNC
        self._home = home
        self._overlay = Overlay()
        #: Whether a group is on its way, or will be at the end of this turn.
        self._busy = False
        self._closing = False
        self._broken: Error | None = None
        self._ready = threading.Condition()
        self._group: Group | None = None
        self._thread: threading.Thread | None = None

    # -- the process's thread ----------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        overlay = self._overlay
        if overlay.waiting and key in overlay:
            return overlay.get(key)
        environment = self._environment
        active = environment._active
        active += ONE
        try:
            if environment._paused:
                environment._await_resumption(active)
            transaction = environment._begin()
            try:
                value: bytes | None = transaction.get(key)
                return value
            finally:
                transaction.abort()
        except lmdb.Error as error:
            problem = error.with_traceback(None)
        finally:
            active.pop()
        environment._recover(problem)
        return self.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._environment.reading() as transaction:
            found: list[bytes | None]
            if len(keys) < GET_KEYS_MIN:
                found = [transaction.get(key) for key in keys]
            else:  # one call, which steps from key to key
                there = dict(transaction.cursor().getmulti(keys))
                found = [there.get(key) for key in keys]
        return self._overlay.put_over(keys, found) if self._overlay.waiting else found

    def scan(
        self, first: bytes, end: bytes, count_max: int, bytes_max: int = ANY_BYTES
    ) -> list[tuple[bytes, bytes]]:
        with self._environment.reading() as transaction:
            return self._overlay.merge(
                first, end, count_max, entries_between(transaction, first, end), bytes_max
            )

    def commit(self, changes: Changes, done: Done) -> None:
        if changes:
            assert min(changes)
            assert max(map(len, changes)) <= STORAGE_KEY_BYTES_MAX
            assert max([len(value or b"") for value in changes.values()]) <= STORAGE_VALUE_BYTES_MAX
        self._overlay.add(changes, done)
        self._begin()

    def _begin(self) -> None:
        if not self._busy:
            self._busy = True
            self._home.at_turn_end(self._write)

    def _write(self) -> None:
        """The turn is over: write what waits."""
        if self._closing:
            return
        if self._broken is not None:
            self._finished(0, self._broken)
            return
        group = Group(self._overlay.first(GROUP_REQUESTS_MAX))
        if self._at_once and group.size_bytes <= TURN_WRITE_BYTES_MAX:
            try:
                if self._store.write_at_once(group.write):
                    self._finished(group.count, None)
                    return
            except Error as error:
                self._finished(0, error)
                return
        self._hand_over(group)

    def _hand_over(self, group: Group) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="ringdict-entries", daemon=True)
            self._thread.start()
        with self._ready:
            self._group = group
            self._ready.notify()

    def _finished(self, count: int, error: Error | None) -> None:
        """The oldest `count` commits are written; or all that wait have failed."""
        if self._closing:
            return
        if error is not None and not isinstance(error, StoreFullError):
            self._broken = error
        if not self._overlay.tell(count, error, lambda: self._closing):
            return
        self._busy = False
        if self._overlay.waiting:
            self._begin()

    def close(self) -> None:
        """End, and give the folder back unless a write has failed. Nobody is told of anything any more."""
        self._closing = True
        with self._ready:
            self._ready.notify()
        if self._thread is not None:
            self._thread.join()
        try:
            if self._broken is None:
                self._store.hand_back()
        except Error:
            pass  # the record stays, and the same node takes the folder over again
        finally:
            self._store.close()

    # -- the writer's thread -----------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._group is not None or self._closing)
                group, self._group = self._group, None
            if group is None:
                return
            self._tell(group.count, self._written(group))

    def _tell(self, count: int, error: Error | None) -> None:
        self._home.post(lambda: self._finished(count, error))

    def _written(self, group: Group) -> Error | None:
        try:
            self._store.write_patiently(group.write, lambda: self._closing)
        except Error as error:
            return error
        return None


class Group:
    """Commits that become one transaction."""

    __slots__ = ("_changes", "count", "highest", "size_bytes")

    def __init__(self, commits: list[Changes]) -> None:
        self.count = len(commits)
        self._changes = commits[0] if commits else {}
        if len(commits) > 1:
            self._changes = dict(self._changes)
            for changes in commits[1:]:
                self._changes.update(changes)
        changes = self._changes
        if len(changes) == 1:  # as a put is
            ((key, value),) = changes.items()
            self.size_bytes = len(value or b"")
            stamp = value[VERSION_AT:VERSION_END] if value is not None and key >= SYSTEM_END else b""
            self.highest = int.from_bytes(stamp, "big")
            return
        values = [value for value in changes.values() if value is not None]
        self.size_bytes = sum(map(len, values))
        if changes and min(changes) < SYSTEM_END:
            values = [value for key, value in changes.items() if value is not None and key >= SYSTEM_END]
        versions = [value[VERSION_AT:VERSION_END] for value in values]
        #: The highest version among them: no process of this host may give it again.
        self.highest = int.from_bytes(max(versions, default=b""), "big")

    def write(self, transaction: WriteTransaction) -> None:
        """A job of the store."""
        raw, changes = transaction.raw, self._changes
        transaction.adding = self.size_bytes > 0
        if len(changes) == 1:
            ((key, value),) = changes.items()
            if value is None:
                raw.delete(key)
            else:
                raw.put(key, value)
        else:
            self._write_many(raw)
        transaction.raise_stamp(self.highest)
        transaction.plain = False
        transaction.writes += len(changes)
        transaction.pages += WRITE_PAGES * len(changes) + (self.size_bytes >> PAGE_SHIFT)

    def _write_many(self, raw: lmdb.Transaction[bytes]) -> None:
        put: list[tuple[bytes, bytes]] = []
        for key, value in self._changes.items():
            if value is None:
                raw.delete(key)
            else:
                put.append((key, value))
        put.sort()
        raw.cursor().putmulti(put)
