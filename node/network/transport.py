"""What carries bytes for `TrioWorld`: real sockets, or lines in memory under a virtual clock
(sim/shellnetwork.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from ..world import Address


class Stream(Protocol):
    """A two-way stream of bytes; `trio.SocketStream` is one. Errors are `trio.BrokenResourceError` and
    `trio.ClosedResourceError`."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it; returns once there is room for more."""
        ...

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """At least one byte; none: the other side has closed."""
        ...

    async def aclose(self) -> None:
        """Close it."""
        ...


class Transport(Protocol):
    """Of one process, at one address."""

    async def connect(self, to: Address) -> Stream:
        """A stream to the process at an address. `OSError` if there is none; may take for ever."""
        ...

    async def listen(self) -> None:
        """Take the address. `OSError` if that cannot be."""
        ...

    async def accept(self, handler: Callable[[Stream], Awaitable[None]]) -> None:
        """Run `handler` for every stream that comes, for ever."""
        ...

    def send_datagram(self, to: Address, datagram: bytes) -> None:
        """Send it, or lose it; never waits."""
        ...

    async def receive_datagrams(self) -> list[tuple[Address, bytes]]:
        """What has come, at least one, at most DATAGRAMS_MAX, each with where answers to it go."""
        ...

    def waiting_datagrams(self) -> list[tuple[Address, bytes]]:
        """The same, but perhaps none; never waits."""
        ...

    def close(self) -> None:
        """Give the address back."""
        ...
