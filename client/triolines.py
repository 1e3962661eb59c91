"""Connections to nodes in a Trio run: each has a task of the system's that reads, and one that writes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from ..exception import ClosedError, Error, UnavailableError
from ..node.network.handshake import Caller
from .config import CONNECT_TIMEOUT_S, RECEIVE_BYTES
from .contact import Contact
from .dialling import is_same_host, unreachable
from .driver import Driver
from .instruction import Outcome, Plan
from .looplines import LoopLine, LoopLines, resolved
from .seeds import split_address

if TYPE_CHECKING:
    from .client import Client

R = TypeVar("R")


class TrioLine(LoopLine):
    """One connection."""

    def __init__(self, contact: Contact, caller: Caller, driver: Driver) -> None:
        super().__init__(contact, caller, driver)
        self.scope = trio.CancelScope()
        #: The writing task, while it has nothing to do.
        self.writer: trio.lowlevel.Task | None = None


class TrioLines(LoopLines):
    """The connections of one Trio run."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.token = trio.lowlevel.current_trio_token()
        trio.lowlevel.spawn_system_task(self._keep)

    async def _keep(self) -> None:
        """Ends with the run."""
        try:
            await trio.sleep_forever()
        finally:
            self.close()

    async def run(self, plan: Plan[R]) -> R:
        await trio.lowlevel.checkpoint_if_cancelled()
        task = trio.lowlevel.current_task()
        outcomes: list[Outcome] = []
        is_waiting = False

        def ended(outcome: Outcome) -> None:
            nonlocal is_waiting
            outcomes.append(outcome)
            if is_waiting:
                is_waiting = False
                trio.lowlevel.reschedule(task)

        def abort(_raise_cancel: Callable[[], None]) -> trio.lowlevel.Abort:
            nonlocal is_waiting
            is_waiting = False
            plan.close()
            return trio.lowlevel.Abort.SUCCEEDED

        self.driver.start(plan, ended)
        if outcomes:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            is_waiting = True
            await trio.lowlevel.wait_task_rescheduled(abort)
        if outcomes[0].error is not None:
            raise outcomes[0].error
        result: R = outcomes[0].result
        return result

    def call_after(self, seconds: float, callback: Callable[[], None]) -> object:
        async def later() -> None:
            await trio.sleep(seconds)
            callback()

        return trio.lowlevel.spawn_system_task(later)

    # -- connections ---------------------------------------------------------------------------------

    def dial(self, contact: Contact) -> LoopLine:
        line = TrioLine(contact, self.client.dialler.caller(), self.driver)
        trio.lowlevel.spawn_system_task(self._serve, line)
        return line

    async def _serve(self, line: TrioLine) -> None:
        """A connection, from its beginning to its end."""
        error: Error = ClosedError("the cluster was closed")
        try:
            with line.scope:
                with trio.fail_after(CONNECT_TIMEOUT_S):
                    await self._connect(line)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, line)
                    try:
                        await self._read(line)
                    except (Error, OSError) as broken:
                        error = translated(line.address, broken)
                    nursery.cancel_scope.cancel()
        except trio.TooSlowError:
            error = UnavailableError(f"{line.address} does not answer")
        except (Error, OSError) as broken:
            error = translated(line.address, broken)
        finally:
            line.let_go()
            self.drop(line, error)

    async def _connect(self, line: TrioLine) -> None:
        family, address = resolved(line.address) or await self._look_up(line.address)
        sock = line.own(socket.socket(family, socket.SOCK_STREAM))
        try:
            sock.connect(address)
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)
        fault = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if fault:
            raise OSError(fault, "no connection")
        if is_same_host(sock):
            self.client.session.is_near(line.contact)
        sock.send(line.greeting())  # into an empty buffer

    async def _look_up(self, address: str) -> tuple[socket.AddressFamily, Any]:
        host, port = split_address(address)
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return found[0][0], found[0][4]

    async def _read(self, line: TrioLine) -> None:
        while line.sock is not None:
            try:
                data = line.sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(line.sock)
                continue
            if not data:
                raise ConnectionResetError("the node closed the connection")
            if line.feed(data):
                self.flush_soon(line)

    async def _write(self, line: TrioLine) -> None:
        while True:
            while line.sock is not None and line.is_greeted and (data := line.outgoing()):
                try:
                    sent = line.sock.send(data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    return  # whoever reads finds out as well, and says so
                if sent < len(data):
                    line.rest = data[sent:]
                    await trio.lowlevel.wait_writable(line.sock)
            line.writer = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)

    def flush_soon(self, line: LoopLine) -> None:
        assert isinstance(line, TrioLine)
        writer, line.writer = line.writer, None
        if writer is not None:
            trio.lowlevel.reschedule(writer)

    # -- the end -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close all connections. In the run's thread."""
        self.client.loops.pop(self.token, None)
        for line in list(self.lines.values()):
            assert isinstance(line, TrioLine)
            line.scope.cancel()

    def close_soon(self) -> None:
        try:
            self.token.run_sync_soon(self.close)
        except trio.RunFinishedError:
            pass


def translated(address: str, broken: Error | OSError) -> Error:
    """What broke a connection, as an error of ringdict."""
    return broken if isinstance(broken, Error) else unreachable(address, broken)


def trio_lines(client: Client) -> TrioLines:
    """The connections of the running Trio."""
    token = trio.lowlevel.current_trio_token()
    lines = client.loops.get(token)
    if lines is None:
        lines = client.loops[token] = TrioLines(client)
    assert isinstance(lines, TrioLines)
    return lines
