"""What the tests of the `.aio` forms need of an event loop's library, for asyncio and for Trio alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import trio

from ringdict import Cluster
from ringdict.node.disk.gate import WriterGate

Body = Callable[[], Awaitable[Any]]

WAIT_S = 10.0
"""What is waited for takes milliseconds; a test that would wait for ever must fail."""


class Library(Protocol):
    """What the bodies need of an event loop's library."""

    def run(self, main: Body) -> None:
        """Run it in a new loop."""

    async def sleep(self, seconds: float) -> None:
        """Let others run."""

    async def together(self, *bodies: Body) -> None:
        """Run them at the same time, until all are done."""

    async def cancel(self, body: Body, when: Callable[[], bool]) -> None:
        """Run it, and cancel it when that is true."""

    async def timeout(self, seconds: float, body: Body) -> None:
        """Run it for that time at most; `TimeoutError` or `TooSlowError` if it took longer."""


class Asyncio:
    too_slow: type[Exception] = TimeoutError

    def run(self, main: Body) -> None:
        asyncio.run(asyncio.wait_for(main(), 60))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def together(self, *bodies: Body) -> None:
        await asyncio.gather(*(body() for body in bodies))

    async def cancel(self, body: Body, when: Callable[[], bool]) -> None:
        task = asyncio.ensure_future(body())
        await true(self, when)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def timeout(self, seconds: float, body: Body) -> None:
        async with asyncio.timeout(seconds):
            await body()


class Trio:
    too_slow: type[Exception] = trio.TooSlowError

    def run(self, main: Body) -> None:
        async def bounded() -> None:
            with trio.fail_after(60):
                await main()

        trio.run(bounded)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def together(self, *bodies: Body) -> None:
        async with trio.open_nursery() as nursery:
            for body in bodies:
                nursery.start_soon(body)

    async def cancel(self, body: Body, when: Callable[[], bool]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(body)
            await true(self, when)
            nursery.cancel_scope.cancel()

    async def timeout(self, seconds: float, body: Body) -> None:
        with trio.fail_after(seconds):
            await body()


async def true(library: Library, condition: Callable[[], bool]) -> None:
    """Wait until it is."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        await library.sleep(0.001)


@contextmanager
def gate_held(folder: Path) -> Iterator[WriterGate]:
    """Somebody else writes, and does not come to an end."""
    gate = WriterGate(folder)
    gate.enter(WAIT_S)
    try:
        yield gate
    finally:
        gate.leave()
        gate.close()


def begun(cluster: Cluster) -> Callable[[], bool]:
    """Whether the writer thread has taken up all that was handed to it."""
    writer = cluster.store._writer
    return lambda: not writer.idle and not writer._queue
