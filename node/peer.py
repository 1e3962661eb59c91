"""The line to one peer: a bounded queue of frames, and the task that keeps a connection under it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from .config import (
    CONNECT_TIMEOUT_S,
    PEER_QUEUE_BYTES_MAX,
    RECONNECT_DELAY_S_MAX,
    RECONNECT_DELAY_S_MIN,
)
from .frame import encode_frame
from .transport import Stream, Transport
from .world import Address


class Peer:
    """Where frames for one address wait. A connection is made when there are some, and kept."""

    def __init__(self, to: Address, me: Address) -> None:
        self.to = to
        self._hello = encode_frame(me.encode())
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._filled = trio.Event()
        self._delay_s = 0.0
        #: Frames that were not sent, for want of room or of a connection.
        self.dropped_count = 0

    def put(self, frame: bytes) -> None:
        """Queue a frame, or drop it if what waits is too much already."""
        if self._queued_bytes + len(frame) > PEER_QUEUE_BYTES_MAX:
            self.dropped_count += 1
            return
        self._queue.append(encode_frame(frame))
        self._queued_bytes += len(self._queue[-1])
        self._filled.set()

    async def _take(self) -> bytes:
        """All that waits; waits until there is something."""
        if not self._queue:
            self._filled = trio.Event()
            await self._filled.wait()
        data = self._queue[0] if len(self._queue) == 1 else b"".join(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        return data

    def _drop_all(self) -> None:
        self.dropped_count += len(self._queue)
        self._queue.clear()
        self._queued_bytes = 0

    async def keep(self, transport: Transport, read: Callable[[Stream, Address], Awaitable[None]]) -> None:
        """Connect whenever there is something to send; `read` is run on each connection.

        Returns once the peer could not be reached again and again.
        """
        while True:
            if not self._queue:
                self._filled = trio.Event()
                await self._filled.wait()
            stream = await self._connect(transport)
            if stream is None:
                self._drop_all()
                self._delay_s = min(RECONNECT_DELAY_S_MAX, 2 * self._delay_s or RECONNECT_DELAY_S_MIN)
                await trio.sleep(self._delay_s)
                self._drop_all()  # what came while nobody could be reached is old by now
                if self._delay_s >= RECONNECT_DELAY_S_MAX:
                    return
                continue
            self._delay_s = 0.0
            await self.use(stream, read)
            self._drop_all()

    async def _connect(self, transport: Transport) -> Stream | None:
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            try:
                stream = await transport.connect(self.to)
            except OSError:
                return None
            try:
                await stream.send_all(self._hello)
                return stream
            except trio.BrokenResourceError:
                await close(stream)
            except trio.Cancelled:
                await close(stream)
                raise
        return None

    async def use(self, stream: Stream, read: Callable[[Stream, Address], Awaitable[None]]) -> None:
        """Send over a stream what is queued, and read from it, until it breaks; then close it."""
        try:
            async with trio.open_nursery() as nursery:

                async def read_to_end() -> None:
                    await read(stream, self.to)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(read_to_end)
                try:
                    while True:
                        await stream.send_all(await self._take())
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    nursery.cancel_scope.cancel()
        finally:
            await close(stream)


async def close(stream: Stream) -> None:
    """Close a stream, whether or not the task that does it is cancelled."""
    with trio.CancelScope(shield=True):
        await stream.aclose()
