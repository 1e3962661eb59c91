"""The fair gate in front of LMDB's writer lock.

LMDB lets one writer in at a time, but its lock is neither fair nor timed: beside a process that writes
back to back, another waited over a second for one put. So writers first pass a turnstile of two file
locks: who holds `turn` writes, who holds `queue` is next, and a writer that comes straight back finds
`queue` taken by the one it kept waiting. A waiter gives up at its deadline. Fairness is all that hangs
on the turnstile; exclusion is LMDB's own.

Both locks are `flock`s: the kernel drops them when a process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from ...exception import UnavailableError
from ..config import GATE_POLL_S_MAX, GATE_POLL_S_MIN

EXCLUSIVE = fcntl.LOCK_EX | fcntl.LOCK_NB
UNLOCK = fcntl.LOCK_UN
FILE_MODE = 0o666


class BusyError(UnavailableError):
    """Others held the gate all the time. Nothing was written."""


class WriterGate:
    """The turnstile of one store folder, as one process sees it. For one thread at a time.

    Who has entered leaves with `fcntl.flock(gate.turn, UNLOCK)` in a `finally`: a call into C, since a
    signal handler that raises may do so at the first instruction of any Python function. Unlocking what is
    not held is harmless.
    """

    def __init__(self, folder: Path) -> None:
        self._queue_path = folder / "gate.queue"
        self._turn_path = folder / "gate.turn"
        self.queue = os.open(self._queue_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self.turn = os.open(self._turn_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)

    def enter(self, timeout_s: float) -> None:
        """Wait for this process's turn to write. Whatever comes of it, the caller unlocks `turn` behind it.

        Raises:
            BusyError: others held the gate for `timeout_s`; names the process that does now.
        """
        flock = fcntl.flock
        try:
            try:
                flock(self.queue, EXCLUSIVE)
            except BlockingIOError:
                timeout_s -= self._wait(self.queue, timeout_s)
            try:
                flock(self.turn, EXCLUSIVE)
            except BlockingIOError:
                self._wait(self.turn, timeout_s)
        finally:
            flock(self.queue, UNLOCK)

    def try_enter(self) -> bool:
        """Enter if nobody writes or waits to."""
        try:
            fcntl.flock(self.queue, EXCLUSIVE)
            fcntl.flock(self.turn, EXCLUSIVE)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self.queue, UNLOCK)
        return True

    def leave(self) -> None:
        """Let the next writer in; for those whom no signal handler interrupts."""
        fcntl.flock(self.turn, UNLOCK)

    def close(self) -> None:
        """Close the files. Locks held through them stay with the process that a fork copied them from."""
        os.close(self.queue)
        os.close(self.turn)

    def _wait(self, descriptor: int, timeout_s: float) -> float:
        """Wait until the lock is ours; the seconds that took."""
        waited_s = wait_for_lock(descriptor, timeout_s)
        if waited_s is None:
            raise BusyError(self._complaint(timeout_s))
        return waited_s

    def _complaint(self, waited_s: float) -> str:
        paths = self._turn_path, self._queue_path  # who writes, and who is next
        holders = [pid for path in paths for pid in lock_holders(path) if pid != os.getpid()]
        who = " and ".join(f"process {pid}{_state(pid)}" for pid in holders) or "another process"
        return (
            f"no turn to write within {waited_s:.1f} s: {who} holds the store in {self._turn_path.parent}. "
            "Nothing was written; try again, or let that process go on or end"
        )


def wait_for_lock(descriptor: int, timeout_s: float) -> float | None:
    """Poll until the `flock` is ours; the seconds that took, None if it was not within `timeout_s`."""
    start_s = time.monotonic()
    poll_s = GATE_POLL_S_MIN
    while True:
        try:
            fcntl.flock(descriptor, EXCLUSIVE)
        except BlockingIOError:
            pass
        else:
            return time.monotonic() - start_s
        if time.monotonic() - start_s >= timeout_s:
            return None
        time.sleep(poll_s)
        poll_s = min(poll_s * 2, GATE_POLL_S_MAX)


def lock_holders(path: Path) -> list[int]:
    """The pids that hold a `flock` on `path`, as far as this system tells (Linux does)."""
    try:
        inode = str(path.stat().st_ino)
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    # "1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"; waiters carry "->" behind the number.
    rows = [line.split() for line in lines]
    return sorted(
        {
            int(row[4])
            for row in rows
            if len(row) > 5 and row[1] == "FLOCK" and row[5].rsplit(":", 1)[-1] == inode and int(row[4]) > 0
        }
    )


def _state(pid: int) -> str:
    """In brackets, what keeps a process from going on, where that is plain to see."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
    return {"T": " (stopped)", "t": " (stopped by a debugger)", "D": " (waiting for its disk)"}.get(state, "")
