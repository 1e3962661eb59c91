"""How a call waits: by blocking its thread, or by suspending its task on asyncio or Trio.

The only file of the client that knows of event loops. Neither asyncio nor Trio is imported before a
program that uses it has done so itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..node.config import GATE_TIMEOUT_S, LOOP_TURN_S_MAX
from ..node.store.operation import Operation
from ..node.store.store import Store
from ..node.store.table import Table
from ..node.store.writer import Bell, Done, Job, Outcome
from .mailbox import Mailboxes

if TYPE_CHECKING:
    import asyncio

    from .client import Client
    from .instruction import Plan

R = TypeVar("R")
Start = Callable[[Done[R]], Callable[[], bool]]
"""Hands something to the writer thread: takes what to call with the outcome, gives what takes it back."""


class Transport(Protocol):
    """One colour of call."""

    #: Whether `breathe` may do something: asked first, since awaiting it costs as much as a look-up.
    breathes: bool

    async def run(self, store: Store, job: Job[R], timeout_s: float = GATE_TIMEOUT_S) -> R:
        """Carry out a job of the store."""
        ...

    async def write(self, table: Table, operation: Operation[R], timeout_s: float = GATE_TIMEOUT_S) -> R:
        """Carry out an operation on a Dict."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def breathe(self) -> None:
        """After a read from memory: let others of the loop run, if this task has had its share."""
        ...

    async def finish(self, call: Coroutine[Any, Any, R]) -> R:
        """Await something to its end, even if the task is cancelled meanwhile."""
        ...

    async def in_thread(self, call: Callable[[], R]) -> R:
        """Call something that may take its time, where it holds up nobody."""
        ...

    async def carry(self, client: Client, plan: Plan[R]) -> R:
        """Carry out a plan of a cluster's client."""
        ...


class BlockingTransport:
    """Waits by blocking the thread; its coroutines never suspend."""

    breathes = False

    async def run(self, store: Store, job: Job[R], timeout_s: float = GATE_TIMEOUT_S) -> R:
        return store.run(job, timeout_s)

    async def write(self, table: Table, operation: Operation[R], timeout_s: float = GATE_TIMEOUT_S) -> R:
        return table.store.write(table, operation, timeout_s)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - no event loop runs it

    async def breathe(self) -> None:
        return

    async def finish(self, call: Coroutine[Any, Any, R]) -> R:
        return await call

    async def in_thread(self, call: Callable[[], R]) -> R:
        return call()

    async def carry(self, client: Client, plan: Plan[R]) -> R:
        return client.blocking.run(plan)


class LoopTransport:
    """What the transports of event loops share: writes go to the writer thread, reads are done at once."""

    breathes = True

    def __init__(self) -> None:
        self._turn_ends_s = 0.0
        self._mailboxes = Mailboxes()

    async def run(self, store: Store, job: Job[R], timeout_s: float = GATE_TIMEOUT_S) -> R:
        return await self.outcome(lambda done: store.submit_job(job, done, timeout_s))

    async def write(self, table: Table, operation: Operation[R], timeout_s: float = GATE_TIMEOUT_S) -> R:
        store = table.store
        job = store.job(table, operation)
        return await self.outcome(lambda done: store.submit_job(job, done, timeout_s))

    async def breathe(self) -> None:
        now_s = time.monotonic()
        if now_s > self._turn_ends_s:
            await self.sleep(0)
            self._turn_ends_s = time.monotonic() + LOOP_TURN_S_MAX

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def finish(self, call: Coroutine[Any, Any, R]) -> R:
        raise NotImplementedError

    async def in_thread(self, call: Callable[[], R]) -> R:
        raise NotImplementedError

    async def carry(self, client: Client, plan: Plan[R]) -> R:
        raise NotImplementedError

    async def outcome(self, start: Start[R]) -> R:
        """Start something in the writer thread and wait for its outcome.

        When the waiting task is cancelled, what had not begun never will; what had begun goes on, and
        nobody hears of its outcome.
        """
        raise NotImplementedError


class AsyncioTransport(LoopTransport):
    """Waits on the running asyncio loop."""

    async def sleep(self, seconds: float) -> None:
        await sys.modules["asyncio"].sleep(seconds)

    async def finish(self, call: Coroutine[Any, Any, R]) -> R:
        loops = sys.modules["asyncio"]
        task: asyncio.Task[R] = loops.ensure_future(call)
        cancelled: BaseException | None = None
        while not task.done():
            try:
                await loops.shield(task)
            except loops.CancelledError as error:
                cancelled = error
            except BaseException:  # noqa: BLE001, S110 - the task's own; its result says so below
                pass
        if cancelled is not None:
            raise cancelled
        return task.result()

    async def in_thread(self, call: Callable[[], R]) -> R:
        result: R = await sys.modules["asyncio"].to_thread(call)
        return result

    async def carry(self, client: Client, plan: Plan[R]) -> R:
        from .asynciolines import asyncio_lines

        lines = client.loops.get(sys.modules["asyncio"].get_running_loop())
        return await (lines or await asyncio_lines(client)).run(plan)

    async def outcome(self, start: Start[R]) -> R:
        loop: asyncio.AbstractEventLoop = sys.modules["asyncio"].get_running_loop()
        future: asyncio.Future[Outcome[R]] = loop.create_future()

        def settle(outcome: Outcome[R]) -> None:
            if not future.done():
                future.set_result(outcome)

        mailbox = self._mailboxes.of(loop)

        def done(outcome: Outcome[R]) -> Bell:
            mailbox.post(settle, outcome, loop.call_soon_threadsafe)
            return mailbox

        take_back = start(done)
        try:
            return (await future).get()
        except BaseException:
            take_back()
            raise


class TrioTransport(LoopTransport):
    """Waits in the running Trio task."""

    async def sleep(self, seconds: float) -> None:
        await sys.modules["trio"].sleep(seconds)

    async def finish(self, call: Coroutine[Any, Any, R]) -> R:
        scope: AbstractContextManager[object, None] = sys.modules["trio"].CancelScope(shield=True)
        with scope:
            return await call

    async def breathe(self) -> None:
        await sys.modules["trio"].lowlevel.checkpoint_if_cancelled()
        await super().breathe()

    async def in_thread(self, call: Callable[[], R]) -> R:
        result: R = await sys.modules["trio"].to_thread.run_sync(call)
        return result

    async def carry(self, client: Client, plan: Plan[R]) -> R:
        from .triolines import trio_lines

        return await trio_lines(client).run(plan)

    async def outcome(self, start: Start[R]) -> R:
        trio = sys.modules["trio"]
        await trio.lowlevel.checkpoint_if_cancelled()
        task = trio.lowlevel.current_task()
        token = trio.lowlevel.current_trio_token()
        waiting = True
        outcomes: list[Outcome[R]] = []

        def settle(outcome: Outcome[R]) -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                outcomes.append(outcome)
                trio.lowlevel.reschedule(task)

        mailbox = self._mailboxes.of(token)

        def done(outcome: Outcome[R]) -> Bell:
            mailbox.post(settle, outcome, token.run_sync_soon)
            return mailbox

        take_back = start(done)

        def abort(_raise_cancel: Callable[[], None]) -> Any:  # noqa: ANN401 - trio's own type
            nonlocal waiting
            waiting = False
            take_back()
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        return outcomes[0].get()


BLOCKING = BlockingTransport()
ASYNCIO = AsyncioTransport()
TRIO = TrioTransport()


def running_library() -> str | None:
    """Which event loop the calling code runs in: "asyncio", "trio", or None."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return "trio"
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return "asyncio"
    return None


def current() -> Transport:
    """The transport of the running event loop.

    Raises:
        RuntimeError: there is none.
    """
    library = running_library()
    if library is None:
        raise RuntimeError("an `.aio` form runs in an asyncio or Trio event loop only; there is none here")
    return TRIO if library == "trio" else ASYNCIO
