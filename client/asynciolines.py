"""Connections to nodes on an asyncio loop: plain sockets that it watches, so that a line which its loop has
forgotten closes without a sound."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

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


class AsyncioLine(LoopLine):
    """One connection."""

    def __init__(self, contact: Contact, caller: Caller, driver: Driver) -> None:
        super().__init__(contact, caller, driver)
        self.opening: asyncio.Task[None] | None = None
        self.is_flush_due = False
        self.is_writing = False


class AsyncioLines(LoopLines):
    """The connections of one asyncio loop."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.loop = asyncio.get_running_loop()
        self._keeper = self._keep()

    async def _keep(self) -> AsyncGenerator[None, None]:
        """Is closed by `asyncio.run` when the loop ends, and closes the connections."""
        try:
            yield
        finally:
            self.close()

    async def start(self) -> None:
        """Begin to be kept."""
        await self._keeper.__anext__()

    async def run(self, plan: Plan[R]) -> R:
        future: asyncio.Future[Outcome] = self.loop.create_future()

        def ended(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        self.driver.start(plan, ended)
        try:
            outcome = await future
        except asyncio.CancelledError:
            plan.close()
            raise
        if outcome.error is not None:
            raise outcome.error
        result: R = outcome.result
        return result

    def call_after(self, seconds: float, callback: Callable[[], None]) -> object:
        return self.loop.call_later(seconds, callback)

    # -- connections ---------------------------------------------------------------------------------

    def dial(self, contact: Contact) -> LoopLine:
        line = AsyncioLine(contact, self.client.dialler.caller(), self.driver)
        line.opening = self.loop.create_task(self._open(line))
        return line

    async def _open(self, line: AsyncioLine) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._connect(line)
        except TimeoutError:
            self._lose(line, UnavailableError(f"{line.address} does not answer"))
        except OSError as error:
            self._lose(line, unreachable(line.address, error))
        except Error as error:
            self._lose(line, error)

    async def _connect(self, line: AsyncioLine) -> None:
        family, address = resolved(line.address) or await self._look_up(line.address)
        sock = line.own(socket.socket(family, socket.SOCK_STREAM))
        await self.loop.sock_connect(sock, address)
        if is_same_host(sock):
            self.client.session.is_near(line.contact)
        await self.loop.sock_sendall(sock, line.greeting())
        self.loop.add_reader(sock, self._readable, line)

    async def _look_up(self, address: str) -> tuple[socket.AddressFamily, Any]:
        host, port = split_address(address)
        found = await self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return found[0][0], found[0][4]

    def flush_soon(self, line: LoopLine) -> None:
        assert isinstance(line, AsyncioLine)
        if not line.is_flush_due:
            line.is_flush_due = True
            self.loop.call_soon(self._flush, line)

    def _flush(self, line: AsyncioLine) -> None:
        line.is_flush_due = False
        sock = line.sock
        if sock is None or line.is_writing or not line.is_greeted:
            return
        data = line.outgoing()
        if not data:
            return
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(line, unreachable(line.address, error))
            return
        if sent < len(data):
            line.rest = data[sent:]
            line.is_writing = True
            self.loop.add_writer(sock, self._writable, line)

    def _writable(self, line: AsyncioLine) -> None:
        if line.sock is not None:
            self.loop.remove_writer(line.sock)
        line.is_writing = False
        self._flush(line)

    def _readable(self, line: AsyncioLine) -> None:
        if line.sock is None:
            return
        try:
            data = line.sock.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionResetError("the node closed the connection")
            if line.feed(data):
                self.flush_soon(line)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(line, unreachable(line.address, error))
        except Error as error:
            self._lose(line, error)

    def _lose(self, line: AsyncioLine, error: Error) -> None:
        self._hang_up(line)
        self.drop(line, error)

    def _hang_up(self, line: AsyncioLine) -> None:
        if line.sock is not None and not self.loop.is_closed():
            self.loop.remove_reader(line.sock)
            self.loop.remove_writer(line.sock)
        line.let_go()

    # -- the end -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close all connections. In the loop's thread."""
        self.client.loops.pop(self.loop, None)
        for line in list(self.lines.values()):
            assert isinstance(line, AsyncioLine)
            if line.opening is not None:
                line.opening.cancel()
            self._lose(line, ClosedError("the cluster was closed"))

    def close_soon(self) -> None:
        with suppress(RuntimeError):  # the loop is over already
            self.loop.call_soon_threadsafe(self.close)


async def asyncio_lines(client: Client) -> AsyncioLines:
    """The connections of the running loop."""
    loop = asyncio.get_running_loop()
    lines = client.loops.get(loop)
    if lines is None:
        for other in [each for each in client.loops.values() if isinstance(each, AsyncioLines)]:
            if other.loop.is_closed():  # without the manners of `asyncio.run`
                other.close()
        lines = client.loops[loop] = new = AsyncioLines(client)
        await new.start()
    assert isinstance(lines, AsyncioLines)
    return lines
