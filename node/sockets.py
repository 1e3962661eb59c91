"""The real transport: TCP streams and UDP datagrams on one port number."""

from __future__ import annotations

import ipaddress
import socket as stdlib_socket
from collections.abc import Awaitable, Callable

import trio

from ..exception import InvalidError
from .config import CONNECTIONS_MAX, DATAGRAM_BYTES_MAX, DATAGRAMS_MAX
from .transport import Stream
from .world import Address


def split_address(address: Address) -> tuple[str, int]:
    """Host and port of "host:port" or "[::1]:port".

    Raises:
        InvalidError: it is neither.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdecimal() and int(port) < 1 << 16):
        raise InvalidError(f"{address!r} is no address: write host:port")
    return host, int(port)


def join_address(host: str, port: int) -> Address:
    """The address of a host and a port."""
    return Address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def free_address(host: str = "127.0.0.1") -> Address:
    """An address that nobody uses at this moment: for tests."""
    with stdlib_socket.socket() as one:
        one.bind((host, 0))
        return join_address(host, one.getsockname()[1])


class SocketTransport:
    """Sockets of the operating system. `address` names an IP address that others reach this host by."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._host, self._port = split_address(address)
        self._listeners: list[trio.SocketListener] = []
        self._datagrams: stdlib_socket.socket | None = None
        self._streams_count = 0

    async def connect(self, to: Address) -> Stream:
        try:
            host, port = split_address(to)
        except InvalidError as error:  # somebody gave a name that is no address: nobody is there
            raise OSError(str(error)) from error
        stream = await trio.open_tcp_stream(host, port)
        stream.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
        return stream

    async def listen(self) -> None:
        self._listeners = await trio.open_tcp_listeners(self._port, host=self._host)
        version = ipaddress.ip_address(self._host).version
        family = stdlib_socket.AF_INET6 if version == 6 else stdlib_socket.AF_INET
        # A plain socket: trio's own has no `sendto` that never waits.
        self._datagrams = stdlib_socket.socket(family, stdlib_socket.SOCK_DGRAM)
        self._datagrams.setblocking(False)
        self._datagrams.bind((self._host, self._port))

    async def accept(self, handler: Callable[[Stream], Awaitable[None]]) -> None:
        async def serve(stream: trio.SocketStream) -> None:
            async with stream:
                if self._streams_count >= CONNECTIONS_MAX:
                    return
                self._streams_count += 1
                try:
                    stream.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
                    await handler(stream)
                finally:
                    self._streams_count -= 1

        await trio.serve_listeners(serve, self._listeners)

    def send_datagram(self, to: Address, datagram: bytes) -> None:
        if self._datagrams is not None:
            try:
                self._datagrams.sendto(datagram, split_address(to))
            except (OSError, InvalidError):
                pass  # no room, no route, no address: a datagram may be lost

    async def receive_datagrams(self) -> list[tuple[Address, bytes]]:
        assert self._datagrams is not None
        received: list[tuple[Address, bytes]] = []
        while not received:
            await trio.lowlevel.wait_readable(self._datagrams)
            try:
                while len(received) < DATAGRAMS_MAX:
                    data, source = self._datagrams.recvfrom(DATAGRAM_BYTES_MAX + 1)
                    if len(data) <= DATAGRAM_BYTES_MAX:
                        received.append((join_address(source[0], source[1]), data))
            except OSError:
                continue  # there are no more; or the network says that nobody listens where one went
        return received

    def close(self) -> None:
        for listener in self._listeners:
            listener.socket.close()
        if self._datagrams is not None:
            trio.lowlevel.notify_closing(self._datagrams)
            self._datagrams.close()
