"""What LMDB and the operating system say, in the words of ringdict: what happened, and what to do then."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import lmdb

from ..exception import Error, StoreFullError, UnavailableError
from .config import FULL_BYTES, READERS_MAX
from .folder import ELSEWHERE

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def of_lmdb(error: lmdb.Error, folder: Path) -> Error:
    """What an error of LMDB, other than one of damage, means for who uses the store in `folder`."""
    if isinstance(error, lmdb.DiskError):
        return disk_full(folder)
    if isinstance(error, lmdb.ReadersFullError):
        return UnavailableError(f"over {READERS_MAX} reads of the store in {folder} are under way at once")
    if isinstance(error, lmdb.LockError):
        return UnavailableError(
            f"another process with this one's pid ({os.getpid()}) has the store in {folder} open: two "
            "containers cannot share a folder. Start a node (or share the pid namespace)"
        )
    if isinstance(error, lmdb.ReadonlyError) or "ead-only" in str(error):
        return UnavailableError(
            f"the store in {folder} cannot be opened for writing ({error}): its files belong to another "
            f"user or the file system is read-only. {ELSEWHERE}"
        )
    return UnavailableError(f"the store in {folder} cannot be used: {error}")


def of_system(error: OSError, folder: Path) -> Error:
    """What it means that the data file could not be opened, or made longer."""
    if error.errno in NO_ROOM:
        return disk_full(folder)
    return UnavailableError(f"cannot open the store in {folder}: {error}. {ELSEWHERE}")


def forked_inside(folder: Path) -> UnavailableError:
    """This process is a copy of one in the midst of a transaction."""
    return UnavailableError(
        f"this process was forked while a transaction on the store in {folder} was open and did not end: "
        "it cannot use the store. Fork earlier, or start a new program (exec)"
    )


def no_map(folder: Path) -> UnavailableError:
    """Nothing of the data file can be mapped."""
    return UnavailableError(f"the system gives no address space for the store in {folder}; see `ulimit -v`")


def commit_refused(error: lmdb.Error, folder: Path) -> Error:
    """The disk did not take a commit. LMDB reports one that filled up on the way as a mere I/O error."""
    room = os.statvfs(folder)
    if room.f_bavail * room.f_frsize < FULL_BYTES:
        return disk_full(folder)
    return UnavailableError(
        f"the disk refused a commit to the store in {folder} ({error}). Nothing was written"
    )


def disk_full(folder: Path) -> StoreFullError:
    """There is no room for what was to be written."""
    return StoreFullError(f"the disk that holds the store in {folder} is full. Nothing was written")


def no_address_space(size_bytes: int, folder: Path) -> StoreFullError:
    """The map of that size cannot grow."""
    return StoreFullError(
        f"the store in {folder} fills its map of {size_bytes} bytes and the system gives no more address "
        "space (see `ulimit -v`)"
    )
