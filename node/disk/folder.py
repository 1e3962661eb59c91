"""A store's folder: whether it can hold a store at all, and who has it open."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from ...exception import UnavailableError
from ..config import ENTER_TIMEOUT_S, GATE_POLL_S_MAX
from .gate import FILE_MODE, lock_holders

ENTRIES = "entries"
"""The LMDB environment that readers see."""
USERS = "users.lock"
"""Held shared by every process that has the store open, exclusively by who settles or rewrites it. Its
content is the durability that they have."""
DURABILITY_BYTES_MAX = 16
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

    def enter(self, durability: str | None, default: str, alone: Callable[[], None]) -> str:
        """Say that this process uses the store, with a durability that all its users have.

        Who is the first of them settles the store (`alone`), and names the durability: what it asks for, or
        the default. Who comes later and asks for none takes what is there.

        Returns:
            The store's durability.

        Raises:
            UnavailableError: a process is rewriting the store, or has it open with another durability, and
                did not end within `ENTER_TIMEOUT_S`.
        """
        try:
            return self._enter(durability, default, alone)
        except BaseException:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            raise

    def _enter(self, durability: str | None, default: str, alone: Callable[[], None]) -> str:
        deadline_s = time.monotonic() + ENTER_TIMEOUT_S
        while True:
            if self._try(fcntl.LOCK_EX):
                alone()
                self._write(durability or default)
            present = ""
            if self._try(fcntl.LOCK_SH):
                present = self._read() or durability or default  # a former version says nothing
                if durability in (None, present):
                    return present
            if time.monotonic() > deadline_s:
                raise self._complaint(
                    f"is in use with durability {present}, and cannot be with {durability} at once"
                    if present
                    else "is being compacted, or brought to disk; try again when that is done"
                )
            time.sleep(GATE_POLL_S_MAX)

    def seize(self) -> None:
        """Say that this process alone uses the store.

        Raises:
            UnavailableError: others do; names them.
        """
        if not self._try(fcntl.LOCK_EX):
            raise self._complaint("must be used by nobody else for this: stop them first")

    def leave(self, alone: Callable[[], None]) -> None:
        """Take the word back, unless a forked process shares it. The last user calls `alone` before."""
        try:
            if self._try(fcntl.LOCK_EX):
                alone()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file, without a look at who else uses the store."""
        os.close(self._descriptor)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _read(self) -> str:
        return os.pread(self._descriptor, DURABILITY_BYTES_MAX, 0).decode(errors="replace").strip()

    def _write(self, durability: str) -> None:
        # Over what is there: on a full disk, what was cut off might not be given back.
        os.pwrite(self._descriptor, durability.encode().ljust(DURABILITY_BYTES_MAX), 0)

    def _complaint(self, what: str) -> UnavailableError:
        pids = [str(pid) for pid in lock_holders(self._path) if pid != os.getpid()]
        who = f" (open in process {', '.join(pids)})" if pids else ""
        return UnavailableError(f"the store in {self._path.parent}{who} {what}")
