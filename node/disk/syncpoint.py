"""Sync points: states of the store that are on disk whole, and the files that tell of them.

A sync point is a copy of LMDB's two meta pages, made when all pages that they lead to were on disk.
To go back to one is to write the two pages over those of the data file.

Each process that writes tells of its own in a *side file*, in two slots by turns: while one is written the
other stands. Of all slots of all side files that are whole, the one with the highest transaction counts.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from xxhash import xxh3_128_digest

from ..clock import Random
from .datafile import FILE_MODE, reserve_file
from .disk import Disk
from .folder import ENTRIES
from .metapage import META_PAGES, PAGE_BYTES

SYNCED = "synced"
"""The folder of the side files, inside the store's."""
SUFFIX = ".point"
HEAD = Struct("<8sQ16sqI4x")
"""Magic, transaction, boot id, instant, pid."""
MAGIC = b"ringsync"
METAS_BYTES = META_PAGES * PAGE_BYTES
SUM_BYTES = 16
SLOT_BYTES = METAS_BYTES + PAGE_BYTES
"""Both pages, and a third one for head and checksum."""
SLOTS = 2


class SyncPoint(NamedTuple):
    """A state that is on disk."""

    transaction: int
    boot_id: bytes
    #: Wall clock, ms since 1970: for people.
    taken_ms: int
    pid: int
    metas: bytes

    def encode(self) -> bytes:
        """The content of a slot."""
        head = HEAD.pack(MAGIC, self.transaction, self.boot_id, self.taken_ms, self.pid)
        return (head + xxh3_128_digest(head + self.metas)).ljust(PAGE_BYTES, b"\0") + self.metas

    @classmethod
    def decode(cls, slot: bytes) -> SyncPoint | None:
        """What a slot says, None if it is not whole."""
        head, metas = slot[: HEAD.size], slot[PAGE_BYTES:]
        if len(slot) != SLOT_BYTES or slot[HEAD.size : HEAD.size + SUM_BYTES] != xxh3_128_digest(
            head + metas
        ):
            return None
        magic, transaction, boot_id, taken_ms, pid = HEAD.unpack(head)
        return cls(transaction, boot_id, taken_ms, pid, metas) if magic == MAGIC else None


class SideFile:
    """This process's own. It is locked as long as the process has it open."""

    def __init__(self, folder: Path, disk: Disk, random: Random) -> None:
        self._folder = folder
        #: Whose names must be on disk as well, since the store may be new.
        self._others = folder.parent, folder.parent / ENTRIES, folder.parent.parent
        self._disk = disk
        self._path = folder / f"{os.getpid()}-{random(4).hex()}{SUFFIX}"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        self._written = 0
        try:
            self._reserve()
        except BaseException:
            self._path.unlink()
            self.close()
            raise

    def _reserve(self) -> None:
        flock(self._descriptor, LOCK_EX | LOCK_NB)
        if not reserve_file(self._descriptor, SLOTS * SLOT_BYTES):  # later writes find their blocks there
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, point: SyncPoint) -> None:
        """Tell of a sync point; on disk when this returns. Raises `OSError`, and then the last one stands."""
        self._disk.write(self._descriptor, point.encode(), self._written % SLOTS * SLOT_BYTES)
        self._disk.sync_side_file(self._descriptor)
        if not self._written:
            for folder in (self._folder, *self._others):
                self._disk.sync_names(folder)
        self._written += 1

    def close(self) -> None:
        """Leave it as it is: what it tells may be what counts."""
        os.close(self._descriptor)


def side_files(folder: Path) -> Iterator[Path]:
    """All side files of a store."""
    return (folder / SYNCED).glob(f"*{SUFFIX}")


def points(path: Path) -> list[SyncPoint]:
    """What a side file tells of."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # its process is gone, and another one has cleaned up
        return []
    slots = [content[at : at + SLOT_BYTES] for at in range(0, SLOTS * SLOT_BYTES, SLOT_BYTES)]
    return [point for slot in slots if (point := SyncPoint.decode(slot)) is not None]


def newest(folder: Path) -> SyncPoint | None:
    """The sync point that counts, None if there is none: then the data file itself is on disk whole."""
    found = [point for path in side_files(folder) for point in points(path)]
    return max(found, key=lambda point: point.transaction, default=None)


def remove_dead(folder: Path, transaction: int) -> None:
    """Remove side files of processes that are gone, now that a newer sync point is on disk."""
    for path in side_files(folder):
        told = points(path)
        # An empty one may be a process's that is just beginning.
        if not told or max(point.transaction for point in told) >= transaction:
            continue
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
            if max(point.transaction for point in points(path)) < transaction:  # it may have written since
                path.unlink(missing_ok=True)
        except BlockingIOError:
            pass  # it lives
        finally:
            os.close(descriptor)
