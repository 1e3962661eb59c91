"""What LMDB's two files need of the disk under them, so that it never touches memory with nothing behind.

LMDB works on its files through memory maps. Where a map reaches over a block that the disk does not have,
because it is full or because the file was cut off, touching it ends the process with SIGBUS. Both cases
can be seen beforehand.
"""

from __future__ import annotations

import errno
import mmap
import os
from contextlib import suppress
from pathlib import Path

import lmdb

from .config import MAP_BYTES_MIN, OPEN_ATTEMPTS_MAX, READERS_MAX

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

DATA = "data.mdb"
LOCK = "lock.mdb"
FILE_MODE = 0o666
BLOCK_BYTES = 512
"""What `st_blocks` counts, whatever the file system's own blocks are."""


def half_made(folder: Path) -> bool:
    """Whether the data file is missing, or shorter than its two meta pages: nobody ever committed to it."""
    data = folder / DATA
    return not data.exists() or data.stat().st_size < 2 * mmap.PAGESIZE


def reserve_lock_file(folder: Path, size_bytes: int) -> bool:
    """Give the lock file that size, and the disk blocks for all of it; whether the disk had them.

    It must happen while this process has the file closed: closing it drops LMDB's locks on it.
    """
    if not hasattr(os, "posix_fallocate"):
        return True
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        status = os.fstat(descriptor)
        if status.st_size < size_bytes or status.st_blocks * BLOCK_BYTES < status.st_size:
            os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError as error:
        return error.errno != errno.ENOSPC  # a file system that cannot reserve must do without
    finally:
        os.close(descriptor)
    return True


def lengthen(folder: Path, size_bytes: int) -> None:
    """Make the data file as long as its count of pages says.

    A page that was taken and given back within one transaction was never written, so a whole file may be
    short. But so may one that was cut off, and there an empty page is found out and reported. This call
    never shortens the file, whatever another process appends meanwhile.
    """
    data = folder / DATA
    if data.stat().st_size < size_bytes and hasattr(os, "posix_fallocate"):
        with suppress(OSError), data.open("r+b") as file:  # on a full disk the risk stays
            os.posix_fallocate(file.fileno(), size_bytes - 1, 1)  # a hole: a count may be damaged, too


def open_smaller_and_smaller(folder: Path, *, sync: bool, map_bytes: int) -> lmdb.Environment:
    """Open the environment with a map of that size, or the largest that the system gives.

    Raises:
        MemoryError: not even the smallest one.
        lmdb.MapResizedError: others grew it each time between the two looks that opening takes.
    """
    attempts = OPEN_ATTEMPTS_MAX
    while True:
        attempts -= 1
        try:
            return lmdb.Environment(
                str(folder),
                map_size=map_bytes,
                mode=FILE_MODE,
                sync=sync,
                metasync=sync,
                max_readers=READERS_MAX,
                max_spare_txns=0,  # a cached reader would survive a fork
                lib_version=LMDB_MAJOR,
            )
        except lmdb.MapResizedError:
            if not attempts:
                raise
        except (lmdb.MemoryError, MemoryError) as error:
            if map_bytes // 2 < MAP_BYTES_MIN:
                raise MemoryError from error
            map_bytes //= 2


def pages_bytes(environment: lmdb.Environment) -> int:
    """The size of the pages that were ever taken, written or not."""
    return (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
