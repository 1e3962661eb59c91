"""What it takes to connect to a node: address, secret, handshake."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from ..exception import InvalidError, UnavailableError
from ..node.network.frame import encode_frame
from ..node.network.handshake import NONCE_BYTES, Caller
from .secretfile import Secrets


class Dialler:
    """What all connections of one client have in common.

    Args:
        secrets: those of the cluster, as they are when it is asked; none: it has none.
        cluster_id: of the cluster, once it is known; else empty.
    """

    def __init__(self, secrets: Callable[[], Secrets], cluster_id: Callable[[], bytes] = bytes) -> None:
        self.secrets = secrets
        self.cluster_id = cluster_id

    def caller(self) -> Caller:
        """The side of a handshake that connects."""
        secret, *others = self.secrets() or (b"",)
        nonce = os.urandom(NONCE_BYTES)
        return Caller(secret=secret, others=others, nonce=nonce, cluster_id=self.cluster_id())


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
