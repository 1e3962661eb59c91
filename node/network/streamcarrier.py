"""Carries lines over any transport's streams, with two tasks for each: on every operating system, and in the
simulator. On Linux node/network/epollcarrier.py does the same with one task for all."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..config import CONNECT_TIMEOUT_S, RECEIVE_BYTES
from .frame import encode_frame
from .handshake import refusal
from .line import Line
from .switchboard import Switchboard
from .transport import Stream, Transport

TOO_MANY = encode_frame(refusal("this node has too many connections"))


class StreamCarrier:
    """Carries the lines of one switchboard. `end_turn` is called after whatever the process was told."""

    def __init__(self, transport: Transport, board: Switchboard, end_turn: Callable[[], None]) -> None:
        self._transport = transport
        self._board = board
        self._end_turn = end_turn

    async def serve(self) -> None:
        """Carry a line for whoever connects, for ever."""
        await self._transport.accept(self._accept)

    async def _accept(self, stream: Stream) -> None:
        line = self._board.accept()
        if line is None:
            with trio.move_on_after(CONNECT_TIMEOUT_S):
                await _send(stream, TOO_MANY)
            return
        await _Ride(stream, line, self._board, self._end_turn).run()

    def wake(self) -> bool:
        """Trio does that."""
        return False

    async def dial(self, line: Line) -> None:
        """Connect a line to its peer, and carry it until it ends.

        Raises:
            OSError: nobody is there, or does not answer in time.
        """
        stream: Stream | None = None
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            stream = await self._transport.connect(line.source)
        if stream is None:
            raise TimeoutError(f"{line.source} does not answer")
        ride = _Ride(stream, line, self._board, self._end_turn)
        self._board.connected(line)
        ride.flush()
        await ride.run()


async def _send(stream: Stream, data: bytes | memoryview) -> bool:
    try:
        await stream.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return False
    return True


class _Ride:
    """One line on its stream."""

    def __init__(self, stream: Stream, line: Line, board: Switchboard, end_turn: Callable[[], None]) -> None:
        self._stream = stream
        self._line = line
        self._board = board
        self._end_turn = end_turn
        self._scope = trio.CancelScope()
        self._wanted = trio.Event()
        self._resumed = trio.Event()
        line.carrier = self

    def flush(self) -> None:
        self._wanted.set()

    def resume(self) -> None:
        self._resumed.set()

    def abort(self) -> None:
        self._scope.cancel()

    async def run(self) -> None:
        """Until it ends, in whatever way; then the stream is closed."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
                    nursery.cancel_scope.cancel()
                with trio.move_on_after(CONNECT_TIMEOUT_S):  # a refusal in words
                    await self._write_all()
        finally:
            self._board.ended(self._line)
            await close(self._stream)

    async def _read(self) -> None:
        line = self._line
        while True:
            try:
                data = await self._stream.receive_some(RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            goes_on = bool(data) and self._board.receive(line, data)
            self._end_turn()
            if not goes_on:
                return
            while line.paused:
                self._resumed = trio.Event()
                await self._resumed.wait()

    async def _write(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            if not await self._write_all():
                self._scope.cancel()

    async def _write_all(self) -> bool:
        line = self._line
        while data := line.take():
            if not await _send(self._stream, data):
                return False
            self._board.sent(line, len(data))
            self._end_turn()
        return True


async def close(stream: Stream) -> None:
    """Close a stream, whether or not the task that does it is cancelled."""
    with trio.CancelScope(shield=True):
        await stream.aclose()
