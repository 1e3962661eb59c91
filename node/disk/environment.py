"""One LMDB environment, open once in this process, through forks and growth of its map.

Rules of this file:
1. A read transaction is open only while an element of its own is in `_active`; whoever must have none open
   (a fork, a change of the map) calls `pause`, which stops new ones and waits for the rest. The element goes
   in by `+=`, right in front of a `try`: no signal handler can raise between the two.
2. A write transaction is open only while its thread holds `writer`.
3. LMDB's exceptions end here: what leaves this file is a `ringdict` error, or `MapFullError`, which the
   writer answers with `grow`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

import lmdb

from ...exception import (
    ClosedError,
    Error,
    StoreDamagedError,
)
from ..config import FORK_WAIT_S_MAX, PAUSE_POLL_S
from . import complaint, datafile
from .folder import DAMAGED
from .readertable import Hold

if TYPE_CHECKING:
    from ..store.table import Table
    from .keeper import Keeper
    from .memorymap import MemoryMap

ONE = (None,)
"""What `_active` grows by."""

MapFullError = lmdb.MapFullError


class Environment:
    """The environment in `path`. A read that finds it closed calls `opener`, which must call `open`."""

    def __init__(self, path: Path, opener: Callable[[], None], on_damage: Callable[[], None]) -> None:
        self.path = path
        self._opener = opener
        self._on_damage = on_damage
        self.damaged = False
        #: How the data file is mapped; whoever opens the environment has set it.
        self.map: MemoryMap | None = None
        #: Who must be asked before each write; None: nobody.
        self.keeper: Keeper | None = None
        self._lmdb: lmdb.Environment | None = None
        #: What keeps the newest sync point whole, where there is a keeper. It exists while LMDB is open.
        self.hold: Hold | None = None
        self._inherited: lmdb.Environment | None = None
        self._place: datafile.Place | None = None
        self._closed = False
        self._inherited_busy = False
        self._fork_holds_writer = False
        self._fork_is_clean = True
        self._fresh_locks()

    def _fresh_locks(self) -> None:
        #: Held by the thread that has a write transaction open.
        self.writer = Lock()
        self._opening = Lock()
        self._resumed = Event()
        self._paused = False
        #: One element per read transaction of this process: a list, since its `+=` and `pop` are atomic.
        self._active: list[None] = []
        self._begin = self._begin_closed

    # -- reading ---------------------------------------------------------------------------------

    def read_entry(self, table: Table, place: bytes) -> tuple[int, bytes | None]:
        """What stands at `place`, and the Dict's `cleared_at`, from one snapshot."""
        active = self._active
        active += ONE
        try:
            if self._paused:
                self._await_resumption(active)
            transaction = self._begin()
            try:
                snapshot, cleared_at = table.known_cleared_at
                if snapshot != transaction.id():
                    cleared_at = table.cleared_at(transaction)
                return cleared_at, transaction.get(place)
            finally:
                transaction.abort()
        except lmdb.Error as error:
            problem = error.with_traceback(None)
        finally:
            active.pop()
        self._recover(problem)
        return self.read_entry(table, place)

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        """A read transaction. Keep it short: a fork and a growing map wait for its end."""
        transaction: lmdb.Transaction[bytes] | None = None
        problem: lmdb.Error | None = None
        while transaction is None:
            active = self._active
            active += ONE
            try:
                if self._paused:
                    self._await_resumption(active)
                transaction = self._begin()
                yield transaction
            except lmdb.Error as error:
                if transaction is not None:
                    raise self.translated(error) from error
                problem = error.with_traceback(None)
            finally:
                try:
                    if transaction is not None:
                        transaction.abort()
                finally:
                    active.pop()
            if problem is not None:
                self._recover(problem)
                problem = None

    def _await_resumption(self, active: list[None]) -> None:
        while self._paused:
            active.pop()
            try:
                self._resumed.wait()
            finally:
                active += ONE

    def _recover(self, problem: lmdb.Error) -> None:
        """Return if the read may be tried again."""
        if not isinstance(problem, lmdb.MapResizedError):
            raise self.translated(problem) from problem
        with self.writer:
            self.adopt_growth()

    # -- writing (the caller holds `writer`) -------------------------------------------------------

    def begin_write(self) -> lmdb.Transaction[bytes]:
        """A write transaction, to be committed or aborted by the caller. Waits for LMDB's writer lock."""
        try:
            return self._begin_protected()
        except lmdb.MapResizedError:
            self.adopt_growth()
        except lmdb.PanicError:
            self._reopen()  # an earlier commit failed half-way; the file itself is whole
        except lmdb.Error as error:
            raise self.translated(error) from error
        try:
            return self._begin_protected()
        except lmdb.Error as error:
            raise self.translated(error) from error

    def _begin_protected(self) -> lmdb.Transaction[bytes]:
        environment = self._lmdb or self.open()
        if self.keeper is not None and self.hold is not None:
            self.keeper.protect(environment, self.hold)
        return environment.begin(write=True)

    def abandon(self, transaction: lmdb.Transaction[bytes]) -> None:
        """Abort a write transaction.

        LMDB's binding waits until no thread is inside any of its calls, which busy readers might put off for
        ever: so they wait meanwhile.
        """
        with self._pausing():
            transaction.abort()

    def grow(self, size_bytes_max: int | None = None) -> bool:
        """Make the map larger, up to that size. No transaction of this thread may be open.

        Returns:
            Whether it is larger now.

        Raises:
            StoreFullError: the disk is full, or the system gives no more address space.
        """
        before_bytes = self.open().info()["map_size"]
        self._remap(lambda environment: self._mapped().grow(environment, size_bytes_max))
        return bool(self.open().info()["map_size"] > before_bytes)

    def adopt_growth(self) -> None:
        """Take over the map's size after another process has grown it. Raises as `grow` does."""
        self._remap(self._mapped().adopt)

    def _remap(self, change: Callable[[lmdb.Environment], None]) -> None:
        environment = self.open()
        with self._pausing():
            size_bytes = environment.info()["map_size"]
            self._let_go()
            try:
                change(environment)
            except OSError as error:
                raise complaint.of_system(error, self.path.parent) from error
            except (lmdb.Error, MemoryError, OverflowError) as error:
                self._drop()  # LMDB has given the old map up before it asked for the new one
                raise complaint.no_address_space(size_bytes, self.path.parent) from error

    def clear_stale_readers(self) -> int:
        """Free the slots of readers that died, whose snapshots keep pages from being reused; their number."""
        return int(self.open().reader_check())

    # -- life --------------------------------------------------------------------------------------

    def _begin_closed(self) -> lmdb.Transaction[bytes]:
        active = self._active
        active.pop()  # opening may have to wait for a fork, which waits for readers
        try:
            self._opener()
        finally:
            active += ONE
        if self._paused:
            self._await_resumption(active)
        return self.open().begin()

    def open(self) -> lmdb.Environment:
        """Open the environment if it is not open."""
        with self._opening:
            if self._closed:
                raise ClosedError(f"the store in {self.path.parent} was closed")
            if self._lmdb is None:
                self._close_inherited()
                self._place = datafile.claim(self.path)
                if self._place is None:
                    raise complaint.already_open(self.path.parent)
                if not datafile.reserve_lock_file(self.path):
                    raise complaint.disk_full(self.path.parent)
                self.hold = Hold(self.path) if self.keeper is not None else None
                self._lmdb = self._opened()
                self._begin = self._lmdb.begin
            return self._lmdb

    def _close_inherited(self) -> None:
        """Close the handle that a fork copied from the parent; LMDB allows one to a process."""
        if self._inherited is None:
            return
        if self._inherited_busy:  # closing it would wait for a thread that does not exist here
            raise complaint.forked_inside(self.path.parent)
        self._inherited.close()
        self._inherited = None
        self._end_hold()

    def _let_go(self) -> None:
        """While no other transaction is open; the next write takes it again."""
        if self.hold is not None:
            self.hold.drop()

    def _end_hold(self) -> None:
        """Once LMDB has closed its files."""
        if self.hold is not None:
            self.hold.close()
            self.hold = None

    def _mapped(self) -> MemoryMap:
        assert self.map is not None
        return self.map

    def _opened(self) -> lmdb.Environment:
        try:
            return self._mapped().open()
        except OSError as error:
            raise complaint.of_system(error, self.path.parent) from error
        except MemoryError as error:
            raise complaint.no_map(self.path.parent) from error
        except lmdb.Error as error:
            raise self.translated(error) from error

    def _reopen(self) -> None:
        with self._pausing():
            self._drop()
        self.open()

    def _drop(self) -> None:
        """Close LMDB's handle; the next use opens another."""
        self._begin = self._begin_closed
        if self._lmdb is not None:
            self._let_go()
            self._lmdb.close()
            self._lmdb = None
            self._end_hold()
        datafile.release(self._place)

    def shut(self) -> None:
        """Close; the next use opens it again."""
        with self.writer, self._pausing():
            self._drop()

    def close(self) -> None:
        """Close for good. Waits for open transactions."""
        with self.writer, self._pausing():
            self._closed = True
            self._drop()

    @contextmanager
    def _pausing(self) -> Iterator[None]:
        self.pause(FORK_WAIT_S_MAX)
        try:
            yield
        finally:
            self.resume()

    def pause(self, timeout_s: float) -> bool:
        """Let no read transaction begin, and wait until none is open. Whether that came about."""
        self._resumed.clear()
        self._paused = True
        deadline_s = time.monotonic() + timeout_s
        while self._active:
            if time.monotonic() > deadline_s:
                return False
            time.sleep(PAUSE_POLL_S)
        return True

    def resume(self) -> None:
        """Let read transactions begin again."""
        self._paused = False
        self._resumed.set()

    # -- forks -------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Bring about that no transaction is open while the process is copied."""
        self._fork_holds_writer = self.writer.acquire(timeout=FORK_WAIT_S_MAX)
        self._fork_is_clean = self.pause(FORK_WAIT_S_MAX) and self._fork_holds_writer
        if self._fork_is_clean:
            self._let_go()
        else:
            warnings.warn(complaint.forked_over(self.path.parent), RuntimeWarning, stacklevel=3)

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        self.resume()
        if self._fork_holds_writer:
            self.writer.release()

    def after_fork_in_child(self) -> None:
        """Start anew: LMDB's handle belongs to the parent."""
        if self._lmdb is not None:
            self._inherited = self._lmdb
            self._inherited_busy = not self._fork_is_clean
        self._lmdb = None
        datafile.release(self._place)
        self._fresh_locks()

    # -- errors ------------------------------------------------------------------------------------

    def translated(self, error: lmdb.Error) -> Error:
        """The ringdict error that says what LMDB's means for the caller."""
        if isinstance(error, datafile.DAMAGE):
            return self.damage(str(error))
        return complaint.of_lmdb(error, self.path.parent)

    def commit(self, transaction: lmdb.Transaction[bytes]) -> None:
        """Commit a write transaction.

        Raises:
            MapFullError: the map must grow first. Nothing was written.
            StoreFullError, UnavailableError: the disk did not take it. Nothing was written.
            OutcomeUnknownError: the disk failed at the very last page, which decides.
        """
        try:
            transaction.commit()
        except MapFullError:
            raise
        except lmdb.Error as error:
            raise self._commit_failure(error) from error

    def _commit_failure(self, error: lmdb.Error) -> Error:
        """What a failed commit means.

        LMDB writes the new pages, syncs, then writes the meta page that makes them count. A failure before
        that changed nothing; one of the meta page itself leaves LMDB in panic until it is opened anew. A
        disk that fills up in the middle of a run of pages is reported as a mere I/O error.
        """
        folder = self.path.parent
        if isinstance(error, lmdb.DiskError):
            return complaint.disk_full(folder)
        try:
            self.open().begin(write=True).abort()
        except lmdb.PanicError:
            return complaint.half_committed(error, folder)
        except lmdb.Error as worse:
            return self.translated(worse)
        return complaint.commit_refused(error, folder)

    def damage(self, what: str) -> StoreDamagedError:
        self.damaged = True
        with suppress(OSError):  # then other processes will find out for themselves
            (self.path.parent / DAMAGED).write_text(f"{what}\n")
        self._on_damage()
        return StoreDamagedError(
            f"the store in {self.path.parent} is damaged ({what}). Save what can be read with "
            "`ringdict dict items`, then remove the folder"
        )
