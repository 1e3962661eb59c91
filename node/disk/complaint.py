"""What LMDB and the operating system say, in the words of ringdict: what happened, and what to do then."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import lmdb

from ...exception import Error, OutcomeUnknownError, StoreFullError, UnavailableError
from ..config import FORK_WAIT_S_MAX, FULL_BYTES, READERS_MAX
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


def forked_over(folder: Path) -> str:
    """A fork did not wait any longer."""
    return f"forked while a transaction of another thread on {folder} was open for over {FORK_WAIT_S_MAX} s"


def half_committed(error: lmdb.Error, folder: Path) -> OutcomeUnknownError:
    """The page that decides was not written, or was."""
    return OutcomeUnknownError(
        f"the commit to the store in {folder} failed at its last page ({error}): it may have happened"
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


def owned(owner: bytes, folder: Path) -> UnavailableError:
    """The store was handed to a node."""
    return UnavailableError(
        f"the store in {folder} now belongs to the node {owner.decode(errors='replace')}: set "
        "RINGDICT_URL to that node's address, so that writes go through it. (If it has died, start it again; "
        "one that ends normally gives the folder back)"
    )


def not_counted(owner: bytes, folder: Path) -> UnavailableError:
    """Only entries can be read past a node that serves the store."""
    return UnavailableError(
        f"nobody counts what is in {folder} while the node {owner.decode(errors='replace')} serves it: set "
        "RINGDICT_URL to that node's address"
    )


def owned_by_another(owner: bytes, folder: Path) -> UnavailableError:
    """This node is not the one that the store was handed to."""
    return UnavailableError(
        f"the store in {folder} belongs to the node {owner.decode(errors='replace')}, whose identity is not "
        "in that folder: start that node, or begin with an empty folder"
    )


def served(pids: list[int], folder: Path) -> UnavailableError:
    """Another node has the folder."""
    who = f" (process {', '.join(map(str, pids))})" if pids else ""
    return UnavailableError(f"a node{who} serves the folder {folder} already: one at a time can")


def already_open(folder: Path) -> UnavailableError:
    """LMDB allows one handle to a process; a second would take the first one's locks away."""
    return UnavailableError(f"this process has the store in {folder} open already, by another way")


def disk_full(folder: Path) -> StoreFullError:
    """There is no room for what was to be written."""
    return StoreFullError(f"the disk that holds the store in {folder} is full. Nothing was written")


def no_address_space(size_bytes: int, folder: Path) -> StoreFullError:
    """The map of that size cannot grow."""
    return StoreFullError(
        f"the store in {folder} fills its map of {size_bytes} bytes and the system gives no more address "
        "space (see `ulimit -v`)"
    )
