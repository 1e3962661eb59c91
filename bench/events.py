"""The event loop that a contestant's awaiting statements run in, from its opening to its end."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from types import ModuleType
from typing import Any

from .loop import Timed
from .peer import Peer, need

__all__ = ["AsyncioEvents", "Events", "TrioEvents", "events_of"]

Lane = Callable[[], Awaitable[Timed]]


class Events(ABC):
    """Owns the loop. What was opened in it is closed in it."""

    @abstractmethod
    def open(self, peer: Peer) -> dict[str, object]:
        """The names that `Peer.aopen` gives."""

    @abstractmethod
    def together(self, lanes: Sequence[Lane]) -> list[Timed]:
        """Run them all at the same time; what each came to."""

    @abstractmethod
    def close(self, peer: Peer) -> None:
        """End it, once `Peer.aclose` is done."""


class AsyncioEvents(Events):
    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def open(self, peer: Peer) -> dict[str, object]:
        return self._runner.run(peer.aopen())

    def together(self, lanes: Sequence[Lane]) -> list[Timed]:
        async def run() -> list[Timed]:
            return (
                [await lanes[0]()] if len(lanes) == 1 else await asyncio.gather(*(lane() for lane in lanes))
            )

        return self._runner.run(run())

    def close(self, peer: Peer) -> None:
        self._runner.run(peer.aclose())
        self._runner.close()


class TrioEvents(Events):
    """Trio has no loop that stops and goes on: it runs in a thread, and waits there between two rounds.
    Nothing else runs meanwhile, so that nobody is kept from the interpreter."""

    def __init__(self) -> None:
        self._trio = need("trio")
        self._work: Any = None
        self._token: Any = None
        self._opened: Future[dict[str, object]] = Future()
        self._thread: threading.Thread | None = None

    def open(self, peer: Peer) -> dict[str, object]:
        self._thread = threading.Thread(target=self._run, args=(peer,), daemon=True)
        self._thread.start()
        return self._opened.result()

    def _run(self, peer: Peer) -> None:
        try:
            self._trio.run(self._live, peer)
        except Exception as error:  # noqa: BLE001  it is raised where it is waited for
            if not self._opened.done():
                self._opened.set_exception(error)

    async def _live(self, peer: Peer) -> None:
        trio: ModuleType = self._trio
        self._work, works = trio.open_memory_channel(1)
        self._token = trio.lowlevel.current_trio_token()
        # Here and not in a task of its own: what is opened in a task group must be closed in the same task.
        self._opened.set_result(await peer.aopen())
        async for lanes, future in works:
            try:
                future.set_result(await self._together(lanes))
            except Exception as error:  # noqa: BLE001
                future.set_exception(error)
        await peer.aclose()

    async def _together(self, lanes: Sequence[Lane]) -> list[Timed]:
        if len(lanes) == 1:
            return [await lanes[0]()]
        timed: list[Timed | None] = [None] * len(lanes)

        async def run(number: int) -> None:
            timed[number] = await lanes[number]()

        async with self._trio.open_nursery() as nursery:
            for number in range(len(lanes)):
                nursery.start_soon(run, number)
        return [one for one in timed if one is not None]

    def together(self, lanes: Sequence[Lane]) -> list[Timed]:
        future: Future[list[Timed]] = Future()
        self._trio.from_thread.run_sync(self._work.send_nowait, (lanes, future), trio_token=self._token)
        return future.result()

    def close(self, peer: Peer) -> None:
        del peer
        if self._thread is not None:
            self._trio.from_thread.run_sync(self._work.close, trio_token=self._token)
            self._thread.join()


def events_of(library: str) -> Events:
    """Those of "asyncio" or "trio"."""
    return TrioEvents() if library == "trio" else AsyncioEvents()
