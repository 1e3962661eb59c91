"""A load program: one request under way on each of many connections, the same for whatever server there is.

It is one process with one epoll. Requests are made beforehand; of an answer it looks only whether it is whole
and what was asked for. So what it takes itself is little, and the same for all.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterable, Mapping

__all__ = ["Load"]

PATIENCE_S = 10.0
RECEIVE_BYTES = 1 << 16
EVENTS_MAX = 256

IsWhole = Callable[[bytes], bool]
"""Whether bytes are a whole answer of the right kind."""


class Load:
    """Owns the connections. `request` makes the bytes that ask for a key."""

    def __init__(
        self, connect: Callable[[], socket.socket], request: Callable[[str], bytes], is_whole: IsWhole
    ) -> None:
        self._connect = connect
        self._request = request
        self._is_whole = is_whole
        self._sockets: list[socket.socket] = []
        self._requests: dict[str, bytes] = {}

    def prepare(self, keys: Iterable[str]) -> None:
        """Make the requests for these keys."""
        self._requests |= {key: self._request(key) for key in keys}

    def run(self, connections: int, batch: Mapping[str, object]) -> int:
        """Get all keys of a batch over so many connections; how many were answered."""
        while len(self._sockets) < connections:
            sock = self._connect()
            sock.setblocking(False)
            self._sockets.append(sock)
        used = {sock.fileno(): sock for sock in self._sockets[:connections]}
        requests, is_whole = self._requests, self._is_whole
        waiting = iter([requests[key] for key in batch])
        begun: dict[int, bytes] = {}
        answered, open_count = 0, 0
        with select.epoll() as epoll:
            for number, sock in used.items():
                epoll.register(number, select.EPOLLIN)
                request = next(waiting, None)
                if request is not None:
                    sock.send(request)
                    open_count += 1
            while open_count:
                events = epoll.poll(PATIENCE_S, EVENTS_MAX)
                if not events:
                    raise TimeoutError(f"{open_count} answers did not come")
                for number, _ in events:
                    data = begun.pop(number, b"") + used[number].recv(RECEIVE_BYTES)
                    if not is_whole(data):
                        begun[number] = data
                        continue
                    answered += 1
                    request = next(waiting, None)
                    if request is None:
                        open_count -= 1
                    else:
                        used[number].send(request)
        return answered

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
