"""The embedded store: one folder, any number of processes, one writer at a time.

A read opens a transaction of its own and waits for nobody. A write is a *job*, a function of a write
transaction: its thread carries it out at once when no other thread of the process writes, else the
writer thread does, many jobs to one transaction. Between processes the gate decides whose turn it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from fcntl import flock
from pathlib import Path
from typing import TypeVar

import lmdb

from ...exception import ClosedError, StoreDamagedError, UnavailableError
from ..clock import Clock, HybridClock, Random, SystemClock, system_random
from ..config import GATE_TIMEOUT_S, MAP_BYTES, STALE_READERS_COMMITS, VALUE_BYTES_DEFAULT
from ..disk import complaint, fork
from ..disk import folder as folders
from ..disk.disk import Disk, SystemDisk
from ..disk.durability import Durability, default
from ..disk.environment import Environment, MapFullError
from ..disk.gate import UNLOCK, BusyError, WriterGate
from ..disk.keeper import Keeper
from ..disk.memorymap import memory_map
from ..disk.room import Room
from . import layout
from .edit import Edit
from .meta import tie_break
from .opening import Opening
from .operation import Operation
from .recount import HandedBackError, recount
from .restart import settle
from .stampcell import StampCell
from .sweeper import NOW, Sweeper
from .table import Table
from .transaction import NONE_KNOWN, WriteTransaction
from .writer import Done, Job, Outcome, Writer, outcome_of

R = TypeVar("R")


class Store:
    """The store in `folder`, opened at first use. Safe to share between threads, usable after a fork.

    `durability` None: whatever the store's present users have, else the default. Time, randomness and the
    disk come in as arguments; `background` off leaves sweeping and sync points to the caller. `file_system`
    is what to take the folder's for, and `map_bytes` the first size of a sparse map.
    """

    _of_node = False  # whether its keys may be divided into any number of partitions

    def __init__(  # noqa: PLR0913 - settings and the outer world, each with its default
        self,
        folder: Path,
        *,
        durability: Durability | None = None,
        value_bytes_max: int = VALUE_BYTES_DEFAULT,
        store_bytes_max: int | None = None,
        clock: Clock | None = None,
        random: Random = system_random,
        disk: Disk | None = None,
        map_bytes: int = MAP_BYTES,
        file_system: str = "",
        background: bool = True,
    ) -> None:
        self.folder = folder
        self.durability = self._asked = durability
        self.value_bytes_max = value_bytes_max
        #: Of the data file, a little slack for removals aside; None: as large as the disk allows.
        self.store_bytes_max = store_bytes_max
        self._adding = False  # the transaction that found the map full stored entries
        self.host = clock or SystemClock()
        self._clock = HybridClock(self.host)
        self._cell: StampCell | None = None
        self.random = random
        self._disk = disk or SystemDisk()
        self.environment = Environment(folder / folders.ENTRIES, self.open, self._note_damage)
        self._map_bytes, self._file_system, self._background = map_bytes, file_system, background
        self._closed, self._commits = False, 0
        self._last = NONE_KNOWN
        self._node = 0
        self._went_back = False
        self._fresh_locks()
        fork.watch(self)

    def _fresh_locks(self) -> None:
        self._opening = threading.Lock()
        self._opened = False
        self._gate: WriterGate | None = None
        self._tenancy: folders.Tenancy | None = None
        #: Takes sync points, where the durability is `interval`.
        self.keeper: Keeper | None = None
        self._writer = Writer(self._carry_out)
        self._sweeper = Sweeper(self)

    # -- reading -----------------------------------------------------------------------------------

    def reading(self) -> AbstractContextManager[lmdb.Transaction[bytes]]:
        """A read transaction. Keep it short: a fork and a growing map wait for its end."""
        return self.environment.reading()

    def now_ms(self) -> int:
        """The hybrid clock: ms since 1970, never running back, in no process of the host."""
        return self._clock.now_ms(self._cell.floor() if self._cell else 0)

    def expired(self, expires_ms: int) -> bool:
        """Whether that instant has come. Once it has, it has for every process, whatever the clocks do."""
        now_ms = self.now_ms()
        if expires_ms > now_ms:
            return False
        if self._cell is not None:
            self._cell.see(now_ms)
        return True

    # -- writing -----------------------------------------------------------------------------------

    def write(self, table: Table, operation: Operation[R], timeout_s: float = GATE_TIMEOUT_S) -> R:
        """Carry out an operation on a Dict; when this returns, it is as durable as the store promises.

        Raises:
            UnavailableError: other writers did not let it in within `timeout_s`. Nothing was written.
            StoreFullError, StoreDamagedError: as they say. Nothing was written.
            DictGoneError, DamagedEntryError, MismatchError, …: what the operation raises.
        """
        return self.run(self.job(table, operation), timeout_s)

    def submit_job(self, job: Job[R], done: Done[R], timeout_s: float = GATE_TIMEOUT_S) -> Callable[[], bool]:
        """Hand a job to the writer thread, which calls `done` with its outcome.

        The answer takes it back: it is True if the job had not begun, and then never will.
        """
        return self._writer.submit(job, done, timeout_s)

    def job(self, table: Table, operation: Operation[R]) -> Job[R]:
        """The operation as a function of a write transaction, prepared as far as goes without a lock."""
        if operation.atomic and (self.environment.damaged or (self._cell and self._cell.damaged)):
            raise StoreDamagedError(
                f"the store in {self.folder} is damaged: it decides no atomic operation any more"
            )
        operation.prepare(table)
        return lambda transaction: operation.apply(Edit(transaction, table))

    def run(self, job: Job[R], timeout_s: float = GATE_TIMEOUT_S) -> R:
        """Carry out a job, and wait for it."""
        if not self._opened:
            self.open()
        writer = self.environment.writer
        if self._writer.idle and not writer.locked():
            with writer:  # if another thread is faster, this waits for one transaction
                return self._transact(job, timeout_s)
        return self._writer.run(job, timeout_s)

    def sweep_job(self, job: Job[R]) -> R | None:
        """Carry out a job of the sweeper, unless somebody else wants to write: then None."""
        writer = self.environment.writer
        if not self._writer.idle or writer.locked():
            return None
        with writer, suppress(UnavailableError):
            return self._transact(job, None)
        return None

    def _carry_out(self, jobs: Sequence[Job[object]], timeout_s: float) -> list[Outcome[object]]:
        """What the writer thread does with the jobs it has collected: all in one transaction."""
        if not self._opened:
            self.open()
        start_ms = self.host.monotonic_ms()
        writer = self.environment.writer
        if not writer.acquire(timeout=timeout_s):
            raise UnavailableError(
                f"no turn to write within {timeout_s:.1f} s: another thread of this process waits for the "
                f"store in {self.folder}. Nothing was written; try again"
            )
        try:
            left_s = timeout_s - (self.host.monotonic_ms() - start_ms) / 1000
            return self._transact(lambda transaction: [outcome_of(job, transaction) for job in jobs], left_s)
        finally:
            writer.release()

    def _transact(self, job: Job[R], timeout_s: float | None) -> R:
        """A job in a transaction, through the gate. `timeout_s` None: only if nobody waits there."""
        gate = self._gate
        if gate is None:
            raise ClosedError(f"the store in {self.folder} was closed")
        if self.keeper is not None:
            self.keeper.pace()
        try:
            if timeout_s is not None:
                gate.enter(timeout_s)
            elif not gate.try_enter():
                raise BusyError("others are writing")
            room, handed_back = None, False
            while True:
                try:
                    if handed_back:
                        self._attempt(recount)
                        handed_back = False
                    return self._attempt(job)
                except HandedBackError:
                    handed_back = True
                except MapFullError:
                    room = room or Room(self.environment, self.keeper, self.store_bytes_max)
                    room.make(adding=self._adding)
        finally:
            flock(gate.turn, UNLOCK)

    def _attempt(self, job: Job[R]) -> R:
        raw: lmdb.Transaction[bytes] | None = None
        transaction: WriteTransaction | None = None
        try:
            raw = self.environment.begin_write()
            number, before = raw.id(), self._last
            self._last = NONE_KNOWN  # until it is certain what became of this one
            known = before[1]
            if number != before[0] + 1:  # others have written since
                known = {}
                owner = raw.get(layout.OWNER)
                if owner is not None:
                    self._admit(owner, job)
            assert self._cell is not None
            transaction = WriteTransaction(raw, self._cell, self._clock, self.host, self._node, known)
            result = job(transaction)
            if transaction.writes:
                transaction.flush()
            self.environment.commit(raw)  # of nothing, it costs nothing
            raw = None
            if transaction.writes:
                self._committed(transaction, number)
            else:
                self._last = before
            return result
        except MapFullError:
            self._adding = transaction is None or transaction.adding
            raise
        except lmdb.Error as error:
            raise self.environment.translated(error) from error
        finally:
            if raw is not None:
                self.environment.abandon(raw)

    def _admit(self, owner: bytes, job: object) -> None:
        """Raise unless a job may write to a store that is, or was, a node's."""
        if owner:
            raise complaint.owned(owner, self.folder)
        if job is not recount:
            raise HandedBackError

    def _committed(self, transaction: WriteTransaction, number: int) -> None:
        if transaction.plain:
            self._last = number, transaction.states
        if self.keeper is not None:
            self.keeper.committed(number, transaction.pages)
        self._commits += 1
        if self._commits % STALE_READERS_COMMITS == 0:
            self.environment.clear_stale_readers()
        if transaction.sweepable:
            self.wake_sweeper()

    # -- sweeping ----------------------------------------------------------------------------------

    def wake_sweeper(self) -> None:
        """Something is there to be swept now, or will be."""
        if self._background:
            self._sweeper.wake()

    def sweep(self) -> bool:
        """Sweep a bounded stretch, in this thread; whether something is left. For tests and tools."""
        return self._sweeper.step()

    # -- life --------------------------------------------------------------------------------------

    @property
    def opened(self) -> bool:
        """Whether it is open already, in this process."""
        return self._opened

    def open(self) -> None:
        """Open the store, making it where there is none. Done by every call that needs it.

        Raises:
            UnavailableError: the folder cannot hold a store, or cannot be reached.
            FormatError: it was written by a newer version.
            StoreDamagedError: it is not a store, or no longer.
        """
        with self._opening:
            if self._opened:
                return
            if self._closed:
                raise ClosedError(f"the store in {self.folder} was closed")
            try:
                self._open()
            except OSError as error:
                raise UnavailableError(
                    f"cannot open the store in {self.folder}: {error}. {folders.ELSEWHERE}"
                ) from error
            finally:
                if not self._opened:
                    self._shut()
        if self._sweeper.due_in_s() == NOW:
            self.wake_sweeper()

    def _open(self) -> None:
        found = folders.prepare(self.folder)
        self._tenancy = self._tenancy or folders.Tenancy(self.folder)
        boot_id = self.host.boot_id()
        self.durability = Durability.parse(
            self._tenancy.enter(self._asked, default(boot_id), lambda: self._settle(boot_id))
        )
        self.environment.map = memory_map(
            self.environment.path,
            durability=self.durability,
            file_system=self._file_system or found,
            sparse_bytes=min(self._map_bytes, self.store_bytes_max or self._map_bytes),
        )
        self._gate = self._gate or WriterGate(self.folder)
        if self.durability is Durability.INTERVAL and self.keeper is None:
            self.keeper = Keeper(
                self.folder,
                self.environment,
                self._gate,
                host=self.host,
                random=self.random,
                disk=self._disk,
                background=self._background,
            )
        self.environment.keeper = self.keeper
        self.environment.damaged = (self.folder / folders.DAMAGED).exists()
        opening = Opening(self.folder, self.environment, self._gate, self.host)
        opening.environment()
        self._node = tie_break(opening.meta(self.random), self.folder, of_node=self._of_node)
        self._cell = self._cell or opening.stamp_cell(went_back=self._went_back)
        if self.environment.damaged:
            self._note_damage()
        self.environment.clear_stale_readers()
        self._opened = True

    def _shut(self) -> None:
        """Be as before `_open`: what is half open is opened anew, as by another process."""
        if self.keeper is not None:
            self.keeper.forget()
            self.keeper = None
        self.environment.shut()
        tenancy, self._tenancy = self._tenancy, None
        if tenancy is not None:
            tenancy.close()

    def _settle(self, boot_id: bytes) -> None:
        self._went_back = settle(self.folder, boot_id, self._disk) or self._went_back

    def _note_damage(self) -> None:
        """Tell the processes that have the store open; those that open it later find the marker."""
        if self._cell is not None:
            self._cell.damaged = True

    def close(self) -> None:
        """Finish what was handed to the writer thread, and close. Every later call raises `ClosedError`."""
        self._writer.close()
        self._sweeper.close()
        with self._opening:
            self._closed = True
            self._opened = False
            if self.keeper is not None:
                self.keeper.close()
                self.keeper = None
            self.environment.close()
            if self._gate is not None:
                self._gate.close()
                self._gate = None
            fork.forget(self)
            tenancy, self._tenancy = self._tenancy, None
            try:
                if tenancy is not None:
                    tenancy.leave(lambda: self._settle(self.host.boot_id()))
            except OSError as error:  # what was written is there
                raise complaint.of_system(error, self.folder) from error

    def before_fork(self) -> None:
        """Wait until nothing of the store is under way in this process, and let nothing begin."""
        self._opening.acquire()
        self.environment.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        self.environment.after_fork_in_parent()
        self._opening.release()

    def after_fork_in_child(self) -> None:
        """Forget all that belongs to the parent; the store is opened again at first use."""
        self.environment.after_fork_in_child()
        if self.keeper is not None:
            self.keeper.forget()
        if self._gate is not None:
            self._gate.close()
        if self._tenancy is not None:
            self._tenancy.close()
        self._fresh_locks()
