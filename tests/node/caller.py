"""A client made of a plain blocking socket, that can also behave badly."""

from __future__ import annotations

import os
import socket
from types import TracebackType
from typing import Self

from ringdict.node.network.frame import FrameReader, encode_frame
from ringdict.node.network.handshake import Caller, Role
from ringdict.node.network.sockets import split_address
from ringdict.node.world import Address


class RawClient:
    """Connects; `shake` does the handshake, unless it is not wanted."""

    def __init__(self, address: Address, timeout_s: float = 10.0) -> None:
        self.socket = socket.create_connection(split_address(address), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = FrameReader()
        self._frames: list[bytes] = []

    def shake(
        self, secret: bytes = b"", role: Role = Role.CLIENT, address: str = "", cluster_id: bytes = b""
    ) -> Self:
        caller = Caller(
            secret=secret, nonce=os.urandom(32), role=role, address=address, cluster_id=cluster_id
        )
        self.send(caller.hello)
        self.send(caller.feed(self.receive()))
        return self

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(map(encode_frame, frames)))

    def receive(self) -> bytes:
        """The next frame. ConnectionError: it was closed."""
        while not self._frames:
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("closed")
            self._frames = self._reader.feed(data)
        return self._frames.pop(0)

    def ask(self, frame: bytes) -> bytes:
        self.send(frame)
        return self.receive()

    def refusal(self) -> None:
        """Hear why nobody is taken, without having said anything."""
        Caller(secret=b"", nonce=os.urandom(32)).feed(self.receive())

    def is_closed(self) -> bool:
        """Waits until something comes, or nothing can come any more."""
        try:
            return not self.socket.recv(1 << 16)
        except ConnectionError:
            return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
