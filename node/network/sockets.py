"""The real transport: TCP streams and UDP datagrams on one port number."""

from __future__ import annotations

import ipaddress
import resource
import socket as stdlib_socket
from collections.abc import Awaitable, Callable
from functools import lru_cache

import trio

from ...exception import InvalidError
from ..config import (
    CONNECTIONS_MAX,
    DATAGRAM_BYTES_MAX,
    DATAGRAMS_MAX,
    KEEPALIVE_IDLE_S,
    KEEPALIVE_PROBES,
    KEEPALIVE_S,
    PEERS_MAX,
    SPARE_DESCRIPTORS,
)
from ..world import Address
from .transport import Stream


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


@lru_cache(PEERS_MAX)
def _datagram_target(address: Address) -> tuple[str, int]:
    """ValueError: it is no address, or has a name in it, which to look up would take time."""
    host, port = split_address(address)
    return str(ipaddress.ip_address(host)), port


def join_address(host: str, port: int) -> Address:
    """The address of a host and a port."""
    return Address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def free_address(host: str = "127.0.0.1") -> Address:
    """An address that nobody uses at this moment: for tests."""
    with stdlib_socket.socket() as one:
        one.bind((host, 0))
        return join_address(host, one.getsockname()[1])


def is_loopback(address: Address) -> bool:
    """Whether only this host itself can connect to it; a name is not taken for one."""
    try:
        return ipaddress.ip_address(split_address(address)[0]).is_loopback
    except ValueError:
        return False


def raise_descriptors_limit() -> int:
    """Let this process have as many file descriptors as it needs and may have; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft


def prepare(socket: stdlib_socket.socket | trio.socket.SocketType) -> None:
    """Have a connection send at once, and notice a host that has vanished. Those that a door accepts have it
    from the door."""
    socket.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
    socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        option = getattr(stdlib_socket, name, None)  # not every system has each
        if option is not None:
            socket.setsockopt(stdlib_socket.IPPROTO_TCP, option, value)


class SocketTransport:
    """Sockets of the operating system.

    `address` names an IP address that others reach this host by; `listen` the one to listen at, if that is
    another (0.0.0.0 in a container).
    """

    def __init__(self, address: Address, listen: Address | None = None) -> None:
        self._address = address
        self._host, self._port = split_address(listen or address)
        self._listeners: list[trio.SocketListener] = []
        self._doors: list[stdlib_socket.socket] = []
        self._datagrams: stdlib_socket.socket | None = None

    async def connect(self, to: Address) -> Stream:
        return await self._connect(to)

    async def _connect(self, to: Address) -> trio.SocketStream:
        try:
            host, port = split_address(to)
        except InvalidError as error:  # somebody gave a name that is no address: nobody is there
            raise OSError(str(error)) from error
        stream = await trio.open_tcp_stream(host, port)
        prepare(stream.socket)
        return stream

    async def connect_socket(self, to: Address) -> stdlib_socket.socket:
        """As `connect`, as a socket that does not block."""
        stream = await self._connect(to)
        socket = stdlib_socket.socket(fileno=stream.socket.detach())
        socket.setblocking(False)
        return socket

    async def listen(self) -> None:
        self._listeners = await trio.open_tcp_listeners(self._port, host=self._host)
        for listener in self._listeners:
            prepare(listener.socket)
        version = ipaddress.ip_address(self._host).version
        family = stdlib_socket.AF_INET6 if version == 6 else stdlib_socket.AF_INET
        # A plain socket: trio's own has no `sendto` that never waits.
        self._datagrams = stdlib_socket.socket(family, stdlib_socket.SOCK_DGRAM)
        self._datagrams.setblocking(False)
        self._datagrams.bind((self._host, self._port))

    def doors(self) -> list[stdlib_socket.socket]:
        """What was listened at, as sockets that do not block: instead of `accept`."""
        for listener in self._listeners:
            door = stdlib_socket.socket(fileno=listener.socket.detach())
            door.setblocking(False)
            self._doors.append(door)
        self._listeners.clear()
        return self._doors

    async def accept(self, handler: Callable[[Stream], Awaitable[None]]) -> None:
        async def serve(stream: trio.SocketStream) -> None:
            prepare(stream.socket)  # elsewhere than on Linux a door does not pass it on
            async with stream:
                await handler(stream)

        await trio.serve_listeners(serve, self._listeners)

    def send_datagram(self, to: Address, datagram: bytes) -> None:
        if self._datagrams is not None:
            try:
                self._datagrams.sendto(datagram, _datagram_target(to))
            except (OSError, ValueError):
                pass  # no room, no route, no address: a datagram may be lost

    async def receive_datagrams(self) -> list[tuple[Address, bytes]]:
        assert self._datagrams is not None
        while True:
            await trio.lowlevel.wait_readable(self._datagrams)
            received = self.waiting_datagrams()
            if received:
                return received

    def datagram_descriptor(self) -> int:
        """What is readable when a datagram has come."""
        assert self._datagrams is not None
        return self._datagrams.fileno()

    def waiting_datagrams(self) -> list[tuple[Address, bytes]]:
        received: list[tuple[Address, bytes]] = []
        if self._datagrams is None:
            return received
        try:
            for _ in range(DATAGRAMS_MAX):
                data, source = self._datagrams.recvfrom(DATAGRAM_BYTES_MAX + 1)
                if len(data) <= DATAGRAM_BYTES_MAX:
                    received.append((join_address(source[0], source[1]), data))
        except OSError:
            pass  # there are no more; or the network says that nobody listens where one went
        return received

    def close(self) -> None:
        for listener in self._listeners:
            listener.socket.close()
        for door in self._doors:
            door.close()
        if self._datagrams is not None:
            trio.lowlevel.notify_closing(self._datagrams)
            self._datagrams.close()
