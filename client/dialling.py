"""What it takes to connect to a node: address, secret, handshake."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from ..exception import InvalidError, UnavailableError
from ..node.network.frame import encode_frame
from ..node.network.handshake import NONCE_BYTES, Caller


class Dialler:
    """What all connections of one client have in common.

    Args:
        secret: the cluster's.
        cluster_id: of the cluster, once it is known; else empty.
    """

    def __init__(self, secret: bytes, cluster_id: Callable[[], bytes] = bytes) -> None:
        self.secret = secret
        self.cluster_id = cluster_id

    def caller(self) -> Caller:
        """The side of a handshake that connects."""
        return Caller(secret=self.secret, nonce=os.urandom(NONCE_BYTES), cluster_id=self.cluster_id())


def hello(caller: Caller) -> bytes:
    """What is sent first."""
    return encode_frame(caller.hello)


def is_same_host(sock: socket.socket) -> bool:
    """Whether both ends of a connection are on this host."""
    try:
        return bool(sock.getsockname()[0] == sock.getpeername()[0])
    except OSError:
        return False


def unreachable(address: str, error: OSError | InvalidError) -> UnavailableError:
    """A failure of the operating system's, in words."""
    return UnavailableError(f"{address} cannot be reached: {getattr(error, 'strerror', None) or error}")
