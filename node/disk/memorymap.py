"""The memory map through which LMDB reads its data file, and the two ways to have one.

- *Reserved*, where the file system gives blocks for good: the map is as long as the file, the disk has blocks
  for all of it, and LMDB writes through the map too, which spares a put most of its time. More room is
  first reserved on the disk, then mapped.
- *Sparse*, elsewhere: a map of a terabyte over a file that is as long as its data, which LMDB writes by
  system calls.

All processes of a store have it in the same way, since its file system decides.

Rule of this file: no map reaches over a block that the disk does not have, since touching it would end the
process (SIGBUS). LMDB cuts a reserved file to the length of whichever map is made; so every map is made, and
the length changed, by one process at a time, under a lock (`_sizing`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

import lmdb

from ...exception import UnavailableError
from ..config import (
    GATE_TIMEOUT_S,
    MAP_BYTES,
    MAP_BYTES_MIN,
    OPEN_ATTEMPTS_MAX,
    READERS_MAX,
    RESERVE_BYTES_MAX,
    RESERVE_BYTES_MIN,
    RESERVE_RATIO,
)
from .datafile import BLOCK_BYTES, DATA, FILE_MODE, LMDB_MAJOR, pages_bytes
from .durability import Durability
from .gate import wait_for_lock
from .metapage import in_force, read_metas

RESERVING_FILE_SYSTEMS = frozenset({"ext4", "tmpfs", "xfs"})
"""Where a block that was reserved is there for whoever writes, however full the disk is by then. Others
write a changed block to a new place, or cannot be asked."""


class MemoryMap(Protocol):
    """One of the two ways."""

    def open(self) -> lmdb.Environment:
        """Open the environment.

        Raises:
            MemoryError: the system gives no address space.
            OSError: the disk has no blocks (reserved maps only).
            lmdb.Error: as LMDB says.
        """
        ...

    def grow(self, environment: lmdb.Environment, size_bytes_max: int | None) -> None:
        """Make room for more, up to that size. No transaction of this process may be open.

        Raises as `open` does.
        """
        ...

    def adopt(self, environment: lmdb.Environment) -> None:
        """Map what other processes have made room for. No transaction of this process may be open."""
        ...


def memory_map(
    folder: Path, *, durability: Durability, file_system: str, sparse_bytes: int = MAP_BYTES
) -> MemoryMap:
    """How to map the data file in `folder`."""
    sync = durability is Durability.FSYNC
    if file_system in RESERVING_FILE_SYSTEMS:
        # A page that was brought to disk costs a fault when it is next written to through the map.
        return ReservedMap(folder, sync=sync, through_map=durability is Durability.NONE)
    return SparseMap(folder, sync=sync, map_bytes=sparse_bytes)


class SparseMap:
    """A map of `map_bytes`, or the largest that the system gives."""

    def __init__(self, folder: Path, *, sync: bool, map_bytes: int) -> None:
        self._folder = folder
        self._sync = sync
        self._map_bytes = map_bytes

    def open(self) -> lmdb.Environment:
        environment = self._open()
        self._lengthen(pages_bytes(environment))
        return environment

    def grow(self, environment: lmdb.Environment, size_bytes_max: int | None) -> None:
        size_bytes = environment.info()["map_size"]
        target_bytes = min(size_bytes * 2, size_bytes_max or size_bytes * 2)
        if target_bytes > size_bytes:
            environment.set_mapsize(target_bytes)

    def adopt(self, environment: lmdb.Environment) -> None:
        environment.set_mapsize(0)

    def _open(self) -> lmdb.Environment:
        map_bytes, attempts = self._map_bytes, OPEN_ATTEMPTS_MAX
        while True:
            attempts -= 1
            try:
                return _open(self._folder, sync=self._sync, map_bytes=map_bytes)
            except lmdb.MapResizedError:  # others grew it between the two looks that opening takes
                if not attempts:
                    raise
            except MemoryError:
                if map_bytes // 2 < MAP_BYTES_MIN:
                    raise
                map_bytes //= 2

    def _lengthen(self, size_bytes: int) -> None:
        """Make the data file as long as its count of pages says.

        A page that was taken and given back within one transaction was never written, so a whole file may be
        short. But so may one that was cut off, and there an empty page is found out and reported. This call
        never shortens the file, whatever another process appends meanwhile.
        """
        data = self._folder / DATA
        if data.stat().st_size < size_bytes and hasattr(os, "posix_fallocate"):
            with suppress(OSError), data.open("r+b") as file:  # on a full disk the risk stays
                os.posix_fallocate(file.fileno(), size_bytes - 1, 1)  # a hole: a count may be damaged, too


class ReadOnlyMap:
    """The largest map that the system gives, for who only reads: no page of it is touched that is not
    there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> lmdb.Environment:
        map_bytes = MAP_BYTES
        while True:
            try:
                return lmdb.Environment(
                    str(self._folder),
                    map_size=map_bytes,
                    readonly=True,
                    create=False,
                    max_readers=READERS_MAX,
                    max_spare_txns=0,
                    lib_version=LMDB_MAJOR,
                )
            except lmdb.MemoryError as error:
                if map_bytes // 2 < MAP_BYTES_MIN:
                    raise MemoryError from error
                map_bytes //= 2

    def grow(self, environment: lmdb.Environment, size_bytes_max: int | None) -> None:
        raise AssertionError(f"{environment} is only read: it needs no room for {size_bytes_max}")

    def adopt(self, environment: lmdb.Environment) -> None:
        environment.set_mapsize(0)


class ReservedMap:
    """A map over a file that the disk has all blocks of."""

    def __init__(self, folder: Path, *, sync: bool, through_map: bool) -> None:
        self._folder = folder
        self._sync = sync
        self._through_map = through_map

    def open(self) -> lmdb.Environment:
        with self._sizing() as file:
            size_bytes = _size_bytes(file) or RESERVE_BYTES_MIN
            meta = in_force(read_metas(self._folder / DATA))
            if meta is not None and meta.size_bytes > size_bytes:  # cut off, or the count is damaged
                if meta.size_bytes - size_bytes > RESERVE_BYTES_MAX:
                    return SparseMap(self._folder, sync=self._sync, map_bytes=MAP_BYTES).open()
                size_bytes = meta.size_bytes
            environment = _open(
                self._folder, sync=self._sync, map_bytes=size_bytes, through_map=self._through_map
            )
            try:
                reserve(file, size_bytes)  # before LMDB writes through the map
            except OSError:
                environment.close()
                raise
            return environment

    def grow(self, environment: lmdb.Environment, size_bytes_max: int | None) -> None:
        with self._sizing() as file:
            size_bytes = _size_bytes(file)
            if size_bytes > environment.info()["map_size"]:  # somebody else has made room meanwhile
                environment.set_mapsize(size_bytes)
                return
            target_bytes = min(more_bytes(size_bytes), size_bytes_max or more_bytes(size_bytes))
            if target_bytes <= size_bytes:
                return
            reserve(file, target_bytes)
            try:
                environment.set_mapsize(target_bytes)
            except BaseException:
                os.ftruncate(file.fileno(), size_bytes)  # else this process could not map the file any more
                raise

    def adopt(self, environment: lmdb.Environment) -> None:
        with self._sizing() as file:
            environment.set_mapsize(_size_bytes(file))

    @contextmanager
    def _sizing(self) -> Iterator[IO[bytes]]:
        """Be the only process that makes a map or changes the file's length; the file.

        Raises:
            UnavailableError: others were at it for too long.
        """
        data = self._folder / DATA
        with open(os.open(data, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE), "r+b", 0) as file:
            if wait_for_lock(file.fileno(), GATE_TIMEOUT_S) is None:
                raise UnavailableError(
                    f"another process has been opening {data} for over {GATE_TIMEOUT_S} s; try again"
                )
            try:
                yield file
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # a process forked meanwhile may have the file open, too


def reserve(file: IO[bytes], size_bytes: int) -> None:
    """Bring about that the data file has that length, and the disk blocks for all of it.

    Raises:
        OSError: the disk, or a limit of this process, does not allow it. The length is as before.
    """
    status = os.fstat(file.fileno())
    if status.st_size >= size_bytes and status.st_blocks * BLOCK_BYTES >= status.st_size:
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError:
        os.ftruncate(file.fileno(), status.st_size)  # no process maps more than this
        raise


def more_bytes(size_bytes: int) -> int:
    """The next size of a reserved data file of that size."""
    step_bytes = min(max(int(size_bytes * RESERVE_RATIO), RESERVE_BYTES_MIN), RESERVE_BYTES_MAX)
    return -(-(size_bytes + step_bytes) // RESERVE_BYTES_MIN) * RESERVE_BYTES_MIN


def _size_bytes(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _open(folder: Path, *, sync: bool, map_bytes: int, through_map: bool = False) -> lmdb.Environment:
    try:
        return lmdb.Environment(
            str(folder),
            map_size=map_bytes,
            mode=FILE_MODE,
            sync=sync,
            metasync=sync,
            writemap=through_map,
            max_readers=READERS_MAX,
            max_spare_txns=0,  # a cached reader would survive a fork
            lib_version=LMDB_MAJOR,
        )
    except lmdb.MemoryError as error:
        raise MemoryError from error
