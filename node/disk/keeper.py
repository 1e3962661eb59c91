"""The durability `interval`: a sync point each second, and never a store that a power cut could break.

LMDB without sync can lose its tree in a power cut: it writes over pages that the last state on disk needs,
and its meta page may be on disk before what it leads to. So, while processes write, the newest sync point is
held: no page of it is written over, and what is on disk beyond it does not count.

The rule that all hangs on: *a process writes only while it holds a snapshot that is no newer than the newest
sync point on disk.* Then every page of that point, and of every point being taken, stays as it is, whoever
else dies, stops, or is slow. The steps of a sync point, in the only order that keeps the rule:

1. With the gate in hand, so that nobody writes: copy both meta pages.
2. Without any lock: bring the data file to disk.
3. Write the copy to the side file of this process, and bring that to disk. Now the point counts.
4. Raise all processes' holds to it, stopped ones' included: older pages are free again.

Any number of processes may take points at once. One that stops between two steps harms nothing: the others
take newer ones. See `restart` for the way back, and docs/decisions/0006 for what was rejected.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from contextlib import suppress
from fcntl import flock
from pathlib import Path
from typing import TYPE_CHECKING

from ...exception import StoreDamagedError, StoreFullError, UnavailableError
from ..clock import Clock, Random
from ..config import (
    GATE_TIMEOUT_S,
    SYNC_DELAY_S,
    SYNC_IDLE_S,
    SYNC_PACE_S,
    SYNC_PAGES,
    SYNC_POLL_S,
    SYNC_RETRY_S,
    SYNC_TAKING_S,
    UNSYNCED_PAGES_MAX,
)
from . import complaint
from .datafile import DATA
from .disk import Disk
from .folder import ENTRIES
from .gate import UNLOCK, WriterGate
from .metapage import in_force
from .readertable import Hold
from .synccell import SyncCell
from .syncpoint import METAS_BYTES, SYNCED, SideFile, SyncPoint, remove_dead

if TYPE_CHECKING:
    import lmdb

    from .environment import Environment


_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()
"""Those that have something to do when the interpreter ends."""
_told: list[int] = []
"""The processes, of which this is the last, that told multiprocessing of it."""


def _at_end() -> None:
    for keeper in list(_keepers):
        keeper.finish()


def _tell_multiprocessing() -> None:
    """It ends its children without calling what `atexit` knows, and a child forgets what its parent told."""
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None and _told[-1:] != [os.getpid()]:
        _told.append(os.getpid())
        multiprocessing.Finalize(None, _at_end, exitpriority=0)


# Here, so that it comes after what is registered later: threads that write finish first.
atexit.register(_at_end)


class Keeper:
    """Keeps the store in `folder` safe from power cuts, for one process.

    `background` off leaves taking sync points to the caller.
    """

    def __init__(
        self,
        folder: Path,
        environment: Environment,
        gate: WriterGate,
        *,
        host: Clock,
        random: Random,
        disk: Disk,
        background: bool,
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._gate = gate
        self._host = host
        self._random = random
        self._disk = disk
        self._background = background
        if not any(host.boot_id()):
            raise UnavailableError("interval needs a system that tells one boot from the next: use fsync")
        self._cell = SyncCell(folder)
        self._data: int | None = None
        self._side_file: SideFile | None = None
        #: One sync point at a time is brought to disk. Whoever holds it waits for no other lock.
        self._recording = threading.Lock()
        #: The transaction of the last one, -1 for none.
        self._recorded = -1
        self._starting = threading.Lock()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        #: The last transaction of this process, and when the first was that no sync point has yet (0: none).
        self._last = 0
        self._since_ms = 0
        _keepers.add(self)
        _tell_multiprocessing()

    # -- for who writes, with the gate in hand ---------------------------------------------------------

    def protect(self, handle: lmdb.Environment, hold: Hold) -> None:
        """See to it that the newest sync point is held by this process, before it writes.

        Raises:
            UnavailableError: the disk has failed. Nothing was written.
            StoreFullError: there is no room for a side file. Nothing was written.
        """
        if self._cell.failed:
            raise self._failure()
        if hold.held:
            return
        # What side files tell may not be on disk yet; what the cell tells is.
        if not self._cell.transaction:  # the store was closed cleanly, or is new: the first to write begins
            self.take_here()
        hold.take(handle, self._cell.transaction)

    def committed(self, transaction: int, pages: int) -> None:
        """A transaction of this process was committed, of about so many pages."""
        self._cell.add_pages(pages)
        self._last = transaction
        if not self._since_ms:
            self._since_ms = self._host.monotonic_ms()
        if self._thread is None:
            self._wake()

    @property
    def is_behind(self) -> bool:
        """Whether more was written than the disk takes."""
        return self._cell.unsynced_pages > UNSYNCED_PAGES_MAX

    def pace(self) -> None:
        """Wait a little, before the gate, where the disk is behind."""
        if self.is_behind:
            self._wake()
            time.sleep(SYNC_PACE_S)

    # -- sync points ---------------------------------------------------------------------------------

    def take(self) -> None:
        """Take a sync point: what was committed before this call is on disk when it returns.

        Raises:
            UnavailableError: writers did not let it look within `GATE_TIMEOUT_S`, or the disk has failed.
        """
        with self._environment.writer:
            try:
                self._gate.enter(GATE_TIMEOUT_S)
                metas, pages = self._look()
            finally:
                flock(self._gate.turn, UNLOCK)
        self._record(metas, pages)

    def take_here(self) -> None:
        """`take`, for who has the gate and the right to write, and no transaction open."""
        self._record(*self._look())

    def _look(self) -> tuple[bytes, int]:
        """Step 1: both meta pages, and how many pages were written until then."""
        return os.pread(self._opened_data(), METAS_BYTES, 0), self._cell.pages

    def _record(self, metas: bytes, pages: int) -> None:
        """Steps 2 to 4. Of two threads, the later look may come here first: then it stands for both."""
        meta = in_force(metas)
        if meta is None:
            raise StoreDamagedError(f"the store in {self._folder} has no meta page")
        point = SyncPoint(meta.transaction, self._host.boot_id(), self._host.wall_ms(), os.getpid(), metas)
        with self._recording:
            if self._cell.failed:
                raise self._failure()
            if point.transaction <= self._recorded:  # else an older point would take the place of a newer one
                return
            self._write(point)
            self._recorded = point.transaction
            hold = self._environment.hold
            if hold is not None:
                hold.raise_all(point.transaction)
            self._cell.reached(point.transaction, pages)
            remove_dead(self._folder, point.transaction)

    def _write(self, point: SyncPoint) -> None:
        """Steps 2 and 3."""
        data = self._opened_data()
        try:
            self._disk.sync_data(data)
        except OSError as error:
            self._cell.failed = True  # what it did not take now, it may forget without another word
            raise self._failure() from error
        try:
            if self._side_file is None:
                self._side_file = SideFile(self._folder / SYNCED, self._disk, self._random)
            self._side_file.write(point)
        except OSError as error:
            raise complaint.of_system(error, self._folder) from error

    def _opened_data(self) -> int:
        """The data file, open as long as this process writes: an error of the disk is told to each once."""
        if self._data is None:
            try:
                self._data = os.open(self._folder / ENTRIES / DATA, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise complaint.of_system(error, self._folder) from error
        return self._data

    def _failure(self) -> UnavailableError:
        return UnavailableError(
            f"the disk under the store in {self._folder} failed to keep what was written: writes stop, since "
            "a power cut could undo them. See to the disk, stop all users of the store, then rewrite it with "
            "`ringdict dict compact`"
        )

    # -- the thread ----------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._thread is None and self._background:
            with self._starting:
                if self._thread is None and not self._closed:
                    thread = threading.Thread(target=self._serve, name="ringdict-keeper", daemon=True)
                    with suppress(RuntimeError):  # no thread to be had: the next write asks again
                        thread.start()
                        self._thread = thread
        self._woken.set()

    def _serve(self) -> None:
        idle_s = 0.0
        while not self._closed:
            pause_s = SYNC_POLL_S
            try:
                if self.due():
                    self.take_if_nobody_does()
            except Exception:  # noqa: BLE001 - whatever it is, the next sync point may come off
                pause_s = SYNC_RETRY_S
            idle_s = 0.0 if self._since_ms else idle_s + SYNC_POLL_S
            if idle_s > SYNC_IDLE_S:
                with self._starting:
                    if not self._since_ms:
                        self._thread = None
                        return
            self._woken.clear()
            self._woken.wait(pause_s)

    def due(self) -> bool:
        """Whether something of this process has waited long enough for a sync point."""
        last = self._last
        if self._cell.transaction >= last:
            self._since_ms = 0
            if self._last != last:  # there was a commit meanwhile
                self._since_ms = self._host.monotonic_ms()
            return False
        waited_ms = self._host.monotonic_ms() - self._since_ms
        return waited_ms >= SYNC_DELAY_S * 1000 or self._cell.unsynced_pages >= SYNC_PAGES

    def take_if_nobody_does(self) -> None:
        """`take`, unless another process is at it, and not for too long."""
        now_ms = self._host.monotonic_ms()
        if 0 < self._cell.taking_until_ms - now_ms <= SYNC_TAKING_S * 1000:
            return
        self._cell.taking_until_ms = now_ms + int(SYNC_TAKING_S * 1000)
        try:
            self.take()
        finally:
            self._cell.taking_until_ms = 0

    def close(self) -> None:
        """Bring what this process wrote to disk, and end. The environment must still be open."""
        with self._starting:
            self._closed = True
            thread = self._thread
        self._woken.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self.finish()
        self.forget()

    def finish(self) -> None:
        """Bring what this process wrote to disk, if it is not yet."""
        if self._last > self._cell.transaction:
            with suppress(UnavailableError, StoreFullError, StoreDamagedError):
                self.take()

    def forget(self) -> None:
        """Close the files, in a process that has no part in them any more."""
        _keepers.discard(self)
        self._last = 0
        if self._data is not None:
            os.close(self._data)
            self._data = None
        if self._side_file is not None:
            self._side_file.close()
            self._side_file = None
