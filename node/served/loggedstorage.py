"""A node's storage whose commits are on disk in one write and one sync: a log, and LMDB behind it.

A commit goes to the log (node/disk/synclog.py), and is told then. It stays in memory until a file of the log
is full; then LMDB gets all that the file has in one transaction, in a thread, while the log goes on in the
other file. `get` and `scan` look at what waits for the log, at what LMDB does not have yet, and at LMDB.

Rules of this file:
1. Nobody is told of a commit before a sync of the log came after it.
2. A file of the log is written anew only once LMDB has on disk what it had, with the number of its last
   record. So what is on disk is always LMDB with all records of higher numbers on top, and no number missing.
3. While the disk is fast the process's own thread waits for the sync, after the turn's frames have left: who
   is asked to accept something then writes at the same time. Else a thread does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from struct import Struct
from typing import Final

import msgspec

from ...exception import Error, StoreDamagedError, StoreFullError, UnavailableError
from ..clock import Random, SystemNanosecondClock, system_random
from ..config import (
    GROUP_REQUESTS_MAX,
    LOG_MEMORY_TRIES,
    LOG_RECORD_BYTES_MAX,
    LOG_TRIES,
    LOG_TURN_BYTES_MAX,
    STORAGE_KEY_BYTES_MAX,
    STORAGE_VALUE_BYTES_MAX,
    SYNC_IN_TURN_S_MAX,
)
from ..disk import complaint
from ..disk.disk import Disk, SystemDisk
from ..disk.synclog import LogDamageError, SyncLog
from ..network.turn import Home
from ..world import ANY_BYTES, NS_PER_S, Changes, Done
from .lmdbtree import LmdbTree, Rows
from .overlay import Layer, Overlay

_APPLIED: Final = b"\0log"
"""Where LMDB has the log's key, and the number of the last record that it has. No process asks for it."""
_KEPT: Final = Struct(">QQ")
_IN_TURN_NS: Final = int(SYNC_IN_TURN_S_MAX * NS_PER_S)

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[bytes, bytes | None]).decode


class LoggedStorage:
    """Keeps the contract of `Storage` (node/world.py), always synced. Its methods belong to one thread."""

    def __init__(
        self, folder: Path, home: Home, disk: Disk | None = None, random: Random = system_random
    ) -> None:
        self._folder = folder
        self._home = home
        self._overlay = Overlay()
        #: What the present file of the log has, and what the other one has that LMDB has not.
        self._fresh, self._folded = Layer(), Layer()
        self._tree = LmdbTree(folder, fsync=True)
        #: Whether commits are on their way to the log, or will be at the end of this turn.
        self._busy = False
        #: Whether LMDB is being given what a file of the log has.
        self._folding = False
        self._closing = False
        self._broken: Error | None = None
        #: Whether what waits is to be looked at again once LMDB has what it is given.
        self._waits = False
        self._folded_serial = 0
        self._sync_ns = 0.0
        self._tries = 0
        self._clock = SystemNanosecondClock()
        self._logger, self._folder_hand = Hand(f"log-{folder.name}"), Hand(f"storage-{folder.name}")
        try:
            self._log = self._recover(disk or SystemDisk(), random)
        except BaseException:
            self._tree.close()
            raise

    def _recover(self, disk: Disk, random: Random) -> SyncLog:
        kept = self._tree.get(_APPLIED)
        key, applied = (int.from_bytes(random(8), "big"), 0) if kept is None else _KEPT.unpack(kept)
        log = SyncLog(self._folder, disk, key)
        try:
            if kept is None:
                log.make()
                behind: list[Changes] = []
            else:
                behind = [_decode(payload) for payload in log.recover(applied)]
        except LogDamageError as error:
            log.close()
            raise StoreDamagedError(f"the log in {self._folder} is damaged ({error})") from None
        except OSError as error:
            log.close()
            raise complaint.of_system(error, self._folder) from error
        if kept is None or behind:
            problem = self._tree.write([*behind, {_APPLIED: _KEPT.pack(key, log.serial)}])
            if problem is not None:
                log.close()
                raise problem
        self._key = key
        return log

    # -- the process's thread ----------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        if key in self._overlay:
            return self._overlay.get(key)
        if key in self._fresh.changes:
            return self._fresh.changes[key]
        if key in self._folded.changes:
            return self._folded.changes[key]
        return self._tree.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def scan(
        self, first: bytes, end: bytes, count_max: int, bytes_max: int = ANY_BYTES
    ) -> list[tuple[bytes, bytes]]:
        def laid(rows: Rows) -> list[tuple[bytes, bytes]]:
            below = ((key, value) for key, value in rows if key != _APPLIED)
            on_disk = self._fresh.over(first, end, self._folded.over(first, end, below))
            return self._overlay.merge(first, end, count_max, on_disk, bytes_max)

        return self._tree.page(first, end, laid)

    def commit(self, changes: Changes, done: Done) -> None:
        for key, value in changes.items():
            assert 0 < len(key) <= STORAGE_KEY_BYTES_MAX
            assert value is None or len(value) <= STORAGE_VALUE_BYTES_MAX
        self._overlay.add(changes, done)
        self._begin()

    def _begin(self) -> None:
        if not self._busy:
            self._busy = True
            self._home.after_flush(self._write)

    def _write(self) -> None:
        """The turn is over, and its frames have left: write what waits."""
        if self._closing:
            return
        if self._broken is not None:
            self._finished(0, self._broken)
            return
        commits = self._overlay.first(GROUP_REQUESTS_MAX)
        group: Changes = {}
        for changes in commits:
            group.update(changes)
        payload = _encode(group)
        if len(payload) > LOG_RECORD_BYTES_MAX:
            if self._has_folded_all():
                self._fold(group, lambda error: self._finished(len(commits), error))
        elif self._log.has_room(payload) or self._has_turned_over():
            count = len(commits)
            if self._is_fast() and len(payload) <= LOG_TURN_BYTES_MAX:
                self._logged(count, group, *self._put_down(payload))
            else:
                self._logger.do(lambda: self._put_down_elsewhere(count, group, payload))

    def _is_fast(self) -> bool:
        """Whether to wait for the disk here. What a thread measures is at times how long it waits for the
        interpreter, so now and then it is tried all the same."""
        self._tries += 1
        return self._sync_ns <= _IN_TURN_NS or self._tries % LOG_TRIES == 0

    def _logged(self, count: int, group: Changes, error: Error | None, took_ns: int) -> None:
        """The oldest `count` commits are in the log."""
        self._sync_ns += (took_ns - self._sync_ns) / LOG_MEMORY_TRIES
        if error is None:
            self._fresh.add(group)
        self._finished(count, error)

    def _finished(self, count: int, error: Error | None) -> None:
        """The oldest `count` commits are on disk; or all that wait have failed."""
        if self._closing:
            return
        if error is not None and not isinstance(error, StoreFullError):
            self._broken = error
        if not self._overlay.tell(count, error, lambda: self._closing):
            return
        self._busy = False
        if self._overlay.waiting:
            self._begin()

    def close(self) -> None:
        """End, once the threads are done with what they have. Nobody is told of anything any more."""
        self._closing = True
        self._logger.end()
        self._folder_hand.end()
        if self._broken is None:  # if LMDB has no room, the log keeps it
            serial = self._log.serial
            self._tree.write([self._folded.changes, self._fresh.changes, self._applied(serial)])
        self._log.close()
        self._tree.close()

    # -- what LMDB gets ----------------------------------------------------------------------------

    def _has_turned_over(self) -> bool:
        """Whether the log goes on in its other file. If not, what waits is looked at again by and by."""
        if self._folding or self._folded.changes:
            return self._has_folded_all()
        self._fold({}, _nothing)
        return True

    def _has_folded_all(self) -> bool:
        """Whether LMDB has all but what the present file has. If not, what waits is looked at again."""
        if self._folding:
            self._waits = True
        elif self._folded.changes:  # it failed before
            self._fold({}, self._again)
        else:
            return True
        return False

    def _fold(self, more: Changes, then: Callable[[Error | None], None]) -> None:
        """Give LMDB what a file of the log has, and `more`; go on in the other one."""
        if not self._folded.changes:
            self._folded, self._fresh = self._fresh, Layer()
            self._folded_serial = self._log.serial
            self._log.turn_over()
        self._folding = True
        group = [self._folded.changes, more, self._applied(self._folded_serial)]

        def write() -> None:
            error = self._tree.write(group)
            self._home.post(lambda: self._on_folded(error, then))

        self._folder_hand.do(write)

    def _applied(self, serial: int) -> Changes:
        return {_APPLIED: _KEPT.pack(self._key, serial)}

    def _on_folded(self, error: Error | None, then: Callable[[Error | None], None]) -> None:
        if self._closing:
            return
        self._folding = False
        if error is None:
            self._folded = Layer()
        elif not isinstance(error, StoreFullError):
            self._broken = error
        waits, self._waits = self._waits, False
        then(error)
        if waits and not self._closing:
            self._again(error)

    def _again(self, error: Error | None) -> None:
        """Look again at what waits for room."""
        if error is None:
            self._write()
        else:
            self._finished(0, error)

    # -- the log, in one thread or the other ---------------------------------------------------------

    def _put_down_elsewhere(self, count: int, group: Changes, payload: bytes) -> None:
        error, took_ns = self._put_down(payload)
        self._home.post(lambda: self._logged(count, group, error, took_ns))

    def _put_down(self, payload: bytes) -> tuple[Error | None, int]:
        """Have a record on disk; what was wrong, and how long it took."""
        begun_ns = self._clock.now_ns()
        error: Error | None = None
        try:
            self._log.append(payload)
        except OSError as problem:
            error = complaint.of_system(problem, self._folder)
        else:
            try:
                self._log.sync()
            except OSError as problem:  # whether it is on disk or not, nobody knows
                error = UnavailableError(f"the log in {self._folder} cannot be synced: {problem}")
        return error, self._clock.now_ns() - begun_ns


class Hand:
    """A thread that does one thing after the other, begun when there is the first."""

    def __init__(self, name: str) -> None:
        self._name = f"ringdict-{name}"
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, job: Callable[[], None]) -> None:
        """Have it done."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def end(self) -> None:
        """Wait until all is done."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _nothing(_error: Error | None) -> None:
    """Nobody waits for it."""
