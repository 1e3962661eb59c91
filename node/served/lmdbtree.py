"""A small LMDB environment in a folder: what a node's storages keep on disk, one call at a time.

Rules of this file:
1. LMDB's handle is used by two threads: reads by the process's, writes by one other. `_mapping` is held
   while a read is under way that a growing map must not meet.
2. One read transaction is kept from one write to the next: beginning one costs more than what it is for.
3. LMDB's exceptions end here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import lmdb

from ...exception import Error, StoreDamagedError, StoreFullError
from ..config import STORAGE_MAP_BYTES, STORAGE_MAP_BYTES_MAX
from ..disk import complaint
from ..disk.datafile import DAMAGE
from ..world import Changes

Rows = Iterable[tuple[bytes, bytes]]
Lay = Callable[[Rows], list[tuple[bytes, bytes]]]
"""Makes a page of rows, with what is to lie on top of them."""


class LmdbTree:
    """One of them. `fsync`: each write is on disk when it returns."""

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        self._folder = folder
        self._fsync = fsync
        self._mapping = threading.Lock()
        self._reader: lmdb.Transaction[bytes] | None = None
        self.environment = self._open()

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

    def get(self, key: bytes) -> bytes | None:
        """What stands there."""
        try:
            with self._mapping:
                value: bytes | None = (self._reader or self._begin()).get(key)
                return value
        except lmdb.Error as error:
            raise self._translated(error) from error

    def page(self, first: bytes, end: bytes, lay: Lay) -> list[tuple[bytes, bytes]]:
        """What `lay` makes of the rows from `first` on, before `end`, in ascending order."""
        try:
            with self._mapping:
                return lay(entries_between(self._reader or self._begin(), first, end))
        except lmdb.Error as error:
            raise self._translated(error) from error

    def _begin(self) -> lmdb.Transaction[bytes]:
        self._reader = self.environment.begin()
        return self._reader

    def _end_reading(self) -> None:
        if self._reader is not None:
            self._reader.abort()
            self._reader = None

    def write(self, group: list[Changes]) -> Error | None:
        """One transaction; what is wrong if it cannot be."""
        while True:
            try:
                with self.environment.begin(write=True) as transaction:
                    for changes in group:
                        _apply(transaction, changes)
                with self._mapping:
                    self._end_reading()
                return None
            except lmdb.MapFullError as error:
                problem: Exception | None = self._grow(error)
            except lmdb.Error as error:
                problem = error
            if problem is not None:
                return self._translated(problem)

    def _grow(self, full: lmdb.Error) -> Exception | None:
        """Double the map; what is wrong if that cannot be."""
        size_bytes = self.environment.info()["map_size"]
        if size_bytes >= STORAGE_MAP_BYTES_MAX:
            return full
        try:
            with self._mapping:
                self._end_reading()
                self.environment.set_mapsize(2 * size_bytes)
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

    def close(self) -> None:
        """Let go of it."""
        self._end_reading()
        self.environment.close()


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
