"""A node's storage on a real disk: one small LMDB environment, written by a thread of its own.

`get` and `scan` answer at once, from LMDB's memory map with what is still waiting on top. The thread takes
all commits that wait into one transaction, so that many share one sync (group commit), and tells the process
of them through `post`, in the process's own thread.

Rules of this file:
1. LMDB's handle is used by two threads: reads by the process's, writes by the writer's. `_mapping` is held
   while a transaction of either is open that a growing map must not meet.
2. LMDB's exceptions end here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import lmdb

from ...exception import Error, StoreDamagedError, StoreFullError
from ..config import (
    GROUP_REQUESTS_MAX,
    STORAGE_KEY_BYTES_MAX,
    STORAGE_MAP_BYTES,
    STORAGE_MAP_BYTES_MAX,
    STORAGE_VALUE_BYTES_MAX,
)
from ..disk import complaint
from ..disk.datafile import DAMAGE
from ..disk.durability import Durability
from ..world import ANY_BYTES, Changes, Done
from .overlay import Overlay

Post = Callable[[Callable[[], None]], None]
"""Has something called soon, in the process's thread."""


class LmdbStorage:
    """Keeps the contract of `Storage` (node/world.py). Its methods belong to one thread."""

    def __init__(self, folder: Path, durability: Durability, post: Post) -> None:
        self._folder = folder
        self._fsync = durability is Durability.FSYNC
        self._post = post
        self._overlay = Overlay()
        self._mapping = threading.Lock()
        self._environment = self._open()
        self._ready = threading.Condition()
        self._group: list[Changes] | None = None
        self._closing = False
        self._busy = False
        self._broken: Error | None = None
        self._thread = threading.Thread(
            target=self._serve, name=f"ringdict-storage-{folder.name}", daemon=True
        )
        self._thread.start()

    def _open(self) -> lmdb.Environment:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            environment = lmdb.open(
                str(self._folder), map_size=STORAGE_MAP_BYTES, sync=self._fsync, max_spare_txns=1
            )
            if self._fsync:
                environment.sync(True)  # what is found may have come from a process that died before its sync
            return environment
        except (lmdb.Error, OSError) as error:
            raise self._translated(error) from error

    # -- the process's thread ----------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        if key in self._overlay:
            return self._overlay.get(key)
        try:
            with self._mapping, self._environment.begin() as transaction:
                value: bytes | None = transaction.get(key)
                return value
        except lmdb.Error as error:
            raise self._translated(error) from error

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def scan(
        self, first: bytes, end: bytes, count_max: int, bytes_max: int = ANY_BYTES
    ) -> list[tuple[bytes, bytes]]:
        try:
            with self._mapping, self._environment.begin() as transaction:
                return self._overlay.merge(
                    first, end, count_max, entries_between(transaction, first, end), bytes_max
                )
        except lmdb.Error as error:
            raise self._translated(error) from error

    def commit(self, changes: Changes, done: Done) -> None:
        for key, value in changes.items():
            assert 0 < len(key) <= STORAGE_KEY_BYTES_MAX
            assert value is None or len(value) <= STORAGE_VALUE_BYTES_MAX
        self._overlay.add(changes, done)
        if not self._busy:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the writer all that waits."""
        self._busy = True
        if self._broken is not None:
            broken = self._broken
            self._post(lambda: self._finished(0, broken))
            return
        with self._ready:
            self._group = self._overlay.first(GROUP_REQUESTS_MAX)
            self._ready.notify()

    def _finished(self, count: int, error: Error | None) -> None:
        """The writer is done with a group of `count`."""
        if self._closing:
            return
        if error is not None and not isinstance(error, StoreFullError):
            self._broken = error
        if not self._overlay.tell(count, error, lambda: self._closing):
            return
        self._busy = False
        if self._overlay.waiting:
            self._hand_over()

    def close(self) -> None:
        """End the writer, once it is done with what it has. Nobody is told of anything any more."""
        self._closing = True
        with self._ready:
            self._ready.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._environment.close()

    # -- the writer's thread -----------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._group is not None or self._closing)
                group, self._group = self._group, None
            if group is None:
                return
            self._finish_in_process(len(group), self._write(group))

    def _finish_in_process(self, count: int, error: Error | None) -> None:
        self._post(lambda: self._finished(count, error))

    def _write(self, group: list[Changes]) -> Error | None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for changes in group:
                        _apply(transaction, changes)
                return None
            except lmdb.MapFullError as error:
                problem: Exception | None = self._grow(error)
            except lmdb.Error as error:
                problem = error
            if problem is not None:
                return self._translated(problem)

    def _grow(self, full: lmdb.Error) -> Exception | None:
        """Double the map; what is wrong if that cannot be."""
        size_bytes = self._environment.info()["map_size"]
        if size_bytes >= STORAGE_MAP_BYTES_MAX:
            return full
        try:
            with self._mapping:
                self._environment.set_mapsize(2 * size_bytes)
        except (lmdb.Error, MemoryError, OverflowError) as error:
            return error
        return None

    def _translated(self, error: Exception) -> Error:
        if isinstance(error, DAMAGE):
            return StoreDamagedError(f"the storage in {self._folder} is damaged ({error})")
        if isinstance(error, lmdb.MapFullError):
            return StoreFullError(f"the storage in {self._folder} has reached {STORAGE_MAP_BYTES_MAX} bytes")
        if isinstance(error, lmdb.Error):
            return complaint.of_lmdb(error, self._folder)
        if isinstance(error, OSError):
            return complaint.of_system(error, self._folder)
        return StoreFullError(f"the storage in {self._folder} gets no more address space (see `ulimit -v`)")


def _apply(transaction: lmdb.Transaction[bytes], changes: Changes) -> None:
    for key, value in changes.items():
        if value is None:
            transaction.delete(key)
        else:
            transaction.put(key, value)


def entries_between(
    transaction: lmdb.Transaction[bytes], first: bytes, end: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """What stands from `first` on, before `end`, in ascending order."""
    with transaction.cursor() as cursor:
        if cursor.set_range(first):
            for key, value in cursor:
                if key >= end:
                    return
                yield key, value
