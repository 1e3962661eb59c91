"""A store's folder: whether it can hold a store at all, and who has it open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ..exception import UnavailableError
from .gate import FILE_MODE, lock_holders

ENTRIES = "entries"
"""The LMDB environment that readers see."""
USERS = "users.lock"
"""Held shared by every process that has the store open, exclusively by who rewrites it."""
STAMP = "stamp"
"""The cell of the last stamp."""
DAMAGED = "damaged"
"""Exists once a damaged tree was seen; holds what was seen."""

MOUNTS = Path("/proc/self/mountinfo")
NETWORK_FILE_SYSTEMS = frozenset(
    """
    9p afs beegfs ceph cifs fuse.glusterfs fuse.s3fs fuse.sshfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs3 nfs4
    ocfs2 orangefs smb2 smb3 smbfs
    """.split()  # noqa: SIM905 - a list of words, readable as such
)
"""Where a memory map of one host does not see what another writes, or locks do not reach other hosts."""

ELSEWHERE = "Set RINGDICT_HOME to a folder on a local disk, or start a node and set RINGDICT_URL to it"


def prepare(folder: Path, mounts: Path = MOUNTS) -> str:
    """Make sure that `folder` can hold a store; the type of the file system that it is on.

    Raises:
        UnavailableError: it cannot; says why, and what to do.
    """
    try:
        (folder / ENTRIES).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UnavailableError(f"{folder} is not a folder. {ELSEWHERE}") from None
    except OSError as error:
        raise UnavailableError(
            f"cannot make the store's folder {folder}: {error.strerror}. {ELSEWHERE}"
        ) from error
    kind = file_system(folder, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise UnavailableError(
            f"{folder} is on a network file system ({kind}), where processes of several hosts would damage "
            f"each other's data. {ELSEWHERE}"
        )
    return kind


def file_system(folder: Path, mounts: Path = MOUNTS) -> str:
    """The type of the file system that `folder` is on, "" where the system does not tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    here = os.path.realpath(folder)
    best, kind = "", ""
    for line in lines:
        # "36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/root rw": the type follows " - ".
        before, _, after = line.partition(" - ")
        fields, behind = before.split(" "), after.split(" ")
        if len(fields) < 5:
            continue
        point = fields[4].replace("\\040", " ").rstrip("/") + "/"
        if (here + "/").startswith(point) and len(point) >= len(best):
            best, kind = point, behind[0]
    return kind


class Tenancy:
    """A process's word that it has the store open."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / USERS
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)

    def share(self) -> None:
        """Say that this process uses the store.

        Raises:
            UnavailableError: a process is rewriting it.
        """
        self._take(fcntl.LOCK_SH, "is being compacted; try again when that is done")

    def seize(self) -> None:
        """Say that this process alone uses the store.

        Raises:
            UnavailableError: others do; names them.
        """
        self._take(fcntl.LOCK_EX, "must be used by nobody else for this: stop them first")

    def close(self) -> None:
        """Take the word back, unless a process forked from this one shares it."""
        os.close(self._descriptor)

    def _take(self, kind: int, complaint: str) -> None:
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            pids = [str(pid) for pid in lock_holders(self._path) if pid != os.getpid()]
            who = f" (open in process {', '.join(pids)})" if pids else ""
            raise UnavailableError(f"the store in {self._path.parent}{who} {complaint}") from None
