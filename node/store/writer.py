"""The writer thread: many waiting writes, one transaction, one sync to disk (group commit).

It serves event loops, which must not wait for a disk or another process, and the threads of a process
that would otherwise stand in line for one sync each. It starts with the first request and ends after a
while without any.
"""

from __future__ import annotations

import atexit
import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, cast

import lmdb

from ...exception import ClosedError, UnavailableError
from ..config import GATE_TIMEOUT_S, GROUP_REQUESTS_MAX, WRITER_IDLE_S, WRITER_QUEUE_REQUESTS_MAX
from .transaction import WriteTransaction

R = TypeVar("R")
Job = Callable[[WriteTransaction], R]
"""Reads, decides, then writes; raises before it has written anything. May be called more than once."""


class Outcome(Generic[R]):
    """What became of a job: a value, or an error."""

    __slots__ = ("_error", "_value")

    def __init__(self, value: R | None, error: BaseException | None) -> None:
        self._value = value
        self._error = error

    def get(self) -> R:
        """The value; or the error, raised."""
        if self._error is not None:
            raise self._error
        return cast("R", self._value)


class Bell(Protocol):
    """What wakes those who were told something."""

    def ring(self) -> None:
        """Wake them."""
        ...


Done = Callable[[Outcome[R]], "Bell | None"]
"""Takes an outcome, in the writer thread."""


class Request(Generic[R]):
    """A job in the queue. It begins once, or is taken back once, never both."""

    __slots__ = ("_done", "_taken", "deadline_s", "job")

    def __init__(self, job: Job[R], done: Done[R], deadline_s: float) -> None:
        self.job = job
        self.deadline_s = deadline_s
        self._done = done
        self._taken = threading.Lock()

    def take(self) -> bool:
        """Begin it, or take it back: whether the caller is the first to do either."""
        return self._taken.acquire(blocking=False)

    def finish(self, outcome: Outcome[R]) -> Bell | None:
        """Tell whom it belongs to; what to ring once all others of its batch are told."""
        return self._done(outcome)


class Writer:
    """The queue of one store in one process, and the thread that empties it."""

    def __init__(self, carry_out: Callable[[Sequence[Job[object]], float], list[Outcome[object]]]) -> None:
        self._carry_out = carry_out
        self._queue: deque[Request[object]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        #: Whether nothing is queued or under way, so that a thread may write by itself without passing
        #: those that wait.
        self.idle = True

    def submit(self, job: Job[R], done: Done[R], timeout_s: float = GATE_TIMEOUT_S) -> Callable[[], bool]:
        """Queue a job; `done` is called with its outcome, in the writer thread.

        The answer takes the job back: it is True if the job had not begun, and then never will.

        Raises:
            UnavailableError: the queue is full. Nothing happened.
        """
        request = Request(job, done, time.monotonic() + timeout_s)
        with self._changed:
            if self._closed:
                raise ClosedError("the store was closed")
            if len(self._queue) >= WRITER_QUEUE_REQUESTS_MAX:
                raise UnavailableError(f"over {WRITER_QUEUE_REQUESTS_MAX} writes are waiting for the store")
            self._queue.append(cast("Request[object]", request))
            self.idle = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="ringdict-writer", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()
        return request.take

    def run(self, job: Job[R], timeout_s: float) -> R:
        """Queue a job, and wait for it.

        Once begun it is waited for, however long the disk takes: its outcome would be unknown else.
        """
        finished = threading.Event()
        outcomes: list[Outcome[R]] = []

        def done(outcome: Outcome[R]) -> None:
            outcomes.append(outcome)
            finished.set()

        take_back = self.submit(job, done, timeout_s)
        if not finished.wait(timeout_s) and take_back():
            raise UnavailableError(
                f"no turn to write within {timeout_s:.1f} s. Nothing was written; try again"
            )
        finished.wait()
        return outcomes[0].get()

    def close(self) -> None:
        """Refuse new jobs, and wait until those that were queued are done."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _serve(self) -> None:
        atexit.register(self.close)
        try:
            while self._carry_out_batch(self._next_batch()):  # held by no name: it holds whole event loops
                pass
        finally:
            atexit.unregister(self.close)

    def _next_batch(self) -> list[Request[object]]:
        """Wait for requests; none once there have been none for a while, or the writer was closed."""
        with self._changed:
            self.idle = not self._queue
            if not self._queue and not self._closed:
                self._changed.wait_for(lambda: self._queue or self._closed, WRITER_IDLE_S)
            self.idle = not self._queue
            if not self._queue:
                self._thread = None
                return []
            count = min(len(self._queue), GROUP_REQUESTS_MAX)
            return [self._queue.popleft() for _ in range(count)]

    def _carry_out_batch(self, batch: list[Request[object]]) -> bool:
        """Whether there was anything in the batch."""
        begun = [request for request in batch if request.take()]
        if not begun:
            return bool(batch)
        timeout_s = max(0.0, max(request.deadline_s for request in begun) - time.monotonic())
        try:
            outcomes = self._carry_out([request.job for request in begun], timeout_s)
        except BaseException as error:  # noqa: BLE001 - belongs to those who wait, to each one of its own
            outcomes = [Outcome(None, copy.copy(error)) for _ in begun]
        bells = {request.finish(outcome) for request, outcome in zip(begun, outcomes, strict=True)}
        for bell in bells:
            if bell is not None:
                bell.ring()
        return True


def outcome_of(job: Callable[[WriteTransaction], R], transaction: WriteTransaction) -> Outcome[R]:
    """One job of several: its error is its own, and the others go on."""
    writes = transaction.writes
    try:
        return Outcome(job(transaction), None)
    except lmdb.Error:
        raise
    except Exception as error:
        if transaction.writes != writes:
            raise  # it broke its promise: nothing of this transaction may stand
        return Outcome(None, error)
