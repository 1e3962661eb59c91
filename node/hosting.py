"""One node as a process of the operating system: from its start to the signal that ends it.

SIGTERM and SIGINT end it politely: it takes no more requests, finishes what it has begun, leaves gossip (not
the ring), and its answers are given a moment to be taken. A second signal ends it at once, as STOP_TIMEOUT_S
does.

What orchestrators want to know: a *ready file* stands while the node serves, with its process id and address
in it; and `NOTIFY_SOCKET` (systemd, Type=notify) is told READY=1 and STOPPING=1.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import trio

from .config import READY_POLL_S, STOP_POLL_S, STOP_TIMEOUT_S
from .trioworld import Surroundings, TrioWorld, run_process
from .world import Address, Process, World

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Hosted(Process, Protocol):
    """A process that can be asked how it is, and to go."""

    def is_ready(self) -> bool:
        """Whether it serves."""
        ...

    def stop(self, done: Callable[[], None]) -> None:
        """Take no more requests; call `done` once what was begun is finished, and gossip has been left."""
        ...


@dataclass(frozen=True, slots=True)
class Hosting:
    """What its surroundings want of a node."""

    #: Stands while the node is ready; None: nobody looks at one.
    ready_file: Path | None = None
    #: What systemd listens at; "": nobody does.
    notify_socket: str = ""
    #: Called each time that the node has become ready.
    became_ready: Callable[[], None] = field(default=lambda: None, kw_only=True)


async def host(
    factory: Callable[[World], Hosted], surroundings: Surroundings, hosting: Hosting
) -> str | None:
    """Run a node until a signal ends it, or it halts: then the reason is returned.

    Raises:
        OSError: its address cannot be taken.
        Exception: whatever leaves it, in an ExceptionGroup.
    """
    return await _Host(factory, surroundings, hosting).run()


class _Host:
    def __init__(
        self, factory: Callable[[World], Hosted], surroundings: Surroundings, hosting: Hosting
    ) -> None:
        self._factory = factory
        self._surroundings = surroundings
        self._hosting = hosting
        self._process: Hosted | None = None
        self._world: TrioWorld | None = None
        self._is_ready = False
        self._is_stopping = False

    async def run(self) -> str | None:
        reason: str | None = None
        self._remove_file()  # of a run that was killed
        try:
            with trio.open_signal_receiver(*SIGNALS) as signals:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._obey, signals, nursery.cancel_scope)
                    nursery.start_soon(self._watch)
                    reason = await run_process(self._make, self._surroundings)
                    nursery.cancel_scope.cancel()
        finally:
            self._show(ready=False)
        return reason

    def _make(self, world: World) -> Process:
        assert isinstance(world, TrioWorld)
        self._world = world
        self._process = self._factory(world)
        return self._process

    # -- the end -----------------------------------------------------------------------------------

    async def _obey(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        number = await anext(aiter(signals))
        log.info("%s: taking no more requests", signal.Signals(number).name)
        self._is_stopping = True  # whatever the process says of itself meanwhile
        self._show(ready=False)
        self._notify("STOPPING=1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop, nursery.cancel_scope)
            await anext(aiter(signals))
            log.info("a second signal: ending at once")
            nursery.cancel_scope.cancel()
        scope.cancel()

    async def _stop(self, scope: trio.CancelScope) -> None:
        world = self._world
        with trio.move_on_after(STOP_TIMEOUT_S) as timeout:
            if self._process is not None and world is not None:
                stopped = trio.Event()
                process = self._process
                world.post(lambda: process.stop(stopped.set))
                await stopped.wait()
                while world.has_unsent():  # noqa: ASYNC110 - nobody tells when the last client has read
                    await trio.sleep(STOP_POLL_S)
        if timeout.cancelled_caught:
            log.warning("not all that was begun is finished after %g s", STOP_TIMEOUT_S)
        scope.cancel()

    # -- whether it is ready -----------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            if self._process is not None:
                self._show(ready=self._process.is_ready() and not self._is_stopping)
            await trio.sleep(READY_POLL_S)

    def _show(self, *, ready: bool) -> None:
        if ready == self._is_ready:
            return
        self._is_ready = ready
        if ready:
            log.info("ready")
            self._write_file(self._surroundings.credentials.address)
            self._notify("READY=1")
            self._hosting.became_ready()
        else:
            self._remove_file()

    def _write_file(self, address: Address) -> None:
        path = self._hosting.ready_file
        if path is None:
            return
        fresh = path.with_name(path.name + ".new")
        try:
            fresh.write_text(f"{os.getpid()} {address}\n", encoding="utf-8")
            fresh.replace(path)
        except OSError as error:
            log.warning("the ready file cannot be written: %s", error)

    def _remove_file(self) -> None:
        path = self._hosting.ready_file
        if path is not None:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("the ready file cannot be removed: %s", error)

    def _notify(self, word: str) -> None:
        name = self._hosting.notify_socket
        if not name:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            try:
                one.sendto(word.encode(), "\0" + name[1:] if name.startswith("@") else name)
            except OSError as error:
                log.warning("%s hears nothing: %s", name, error)
