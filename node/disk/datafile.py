"""What LMDB's two files need of the disk under them, so that it never touches memory with nothing behind.

LMDB works on its files through memory maps. Where a map reaches over a block that the disk does not have,
because it is full or because the file was cut off, touching it ends the process with SIGBUS. Both cases
can be seen beforehand.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TypeAlias

import lmdb

from ..config import READERS_MAX
from .metapage import META_PAGES, PAGE_BYTES, read_metas

LMDB_MAJOR = 0
"""The stable 0.9 engine and file format, whatever else the binding brings along."""
DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.BadTxnError,
    lmdb.PanicError,
    lmdb.CursorFullError,
    lmdb.PageFullError,
)
"""What LMDB says when its tree is not a tree."""

LOCK_FILE_BYTES = 64 * READERS_MAX + 4096
"""LMDB's 64 bytes a reader, and its head; it takes a file of at least that size as it is."""
DATA = "data.mdb"
LOCK = "lock.mdb"
FILE_MODE = 0o666
BLOCK_BYTES = 512
"""What `st_blocks` counts, whatever the file system's own blocks are."""


Place: TypeAlias = tuple[int, int]
"""A folder's device and inode, whatever its path."""

_claimed: set[Place] = set()
_claiming = threading.Lock()


def claim(folder: Path) -> Place | None:
    """Take it that this process is to have the environment in `folder` open; None if it has already.

    To open and close the lock file beside an open environment would drop the locks that LMDB has on it.
    """
    status = folder.stat()
    place = status.st_dev, status.st_ino
    with _claiming:
        if place in _claimed:
            return None
        _claimed.add(place)
    return place


def release(place: Place | None) -> None:
    """Take a claim back."""
    _claimed.discard(place or (0, 0))


def half_made(folder: Path) -> bool:
    """Whether the data file lacks its two meta pages: nobody ever committed to it."""
    try:
        metas = read_metas(folder / DATA)
    except FileNotFoundError:
        return True
    return len(metas) < META_PAGES * PAGE_BYTES or not any(metas)


def pages_bytes(environment: lmdb.Environment) -> int:
    """The size of the pages that were ever taken, written or not."""
    return (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]


def reserve_lock_file(folder: Path) -> bool:
    """Give the lock file its full size, and the disk blocks for all of it; whether the disk had them.

    It must happen while this process has the file closed: closing it drops LMDB's locks on it.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        return reserve_file(descriptor, LOCK_FILE_BYTES)
    finally:
        os.close(descriptor)


def reserve_file(descriptor: int, size_bytes: int) -> bool:
    """Give a file that size, and the disk blocks for all of it; whether the disk had them."""
    status = os.fstat(descriptor)
    if status.st_size >= size_bytes and status.st_blocks * BLOCK_BYTES >= status.st_size:
        return True
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except AttributeError:  # not on macOS
        os.ftruncate(descriptor, size_bytes)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return False
        os.ftruncate(descriptor, max(size_bytes, status.st_size))  # a file system that cannot reserve
    return True
