"""What the connections of event loops have in common.

Rules of this file:
1. Connections belong to one event loop, and end with it. A node has one connection of a loop, over which all
   questions go, each with its number: no answer can reach another call.
2. A call that is cancelled leaves its question behind; its answer finds nobody.
3. All that is asked in one turn of the loop goes out in one write.
"""

from __future__ import annotations

import socket
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..exception import Error, ProtocolError, UnavailableError
from ..node.network.frame import FrameReader, encode_frame
from ..node.network.handshake import Caller
from ..node.network.message import Reply
from ..node.network.wire import decode, encode
from .config import LINE_BYTES_MAX
from .contact import Contact
from .dialling import hello
from .driver import Driver
from .instruction import Ask, Miss, Plan
from .seeds import split_address

if TYPE_CHECKING:
    from .client import Client

R = TypeVar("R")


class LoopLine:
    """One connection's bytes, without the connection: what to write, what becomes of what is read."""

    def __init__(self, contact: Contact, caller: Caller, driver: Driver) -> None:
        self.sock: socket.socket | None = None
        self.contact = contact
        self.address = contact.address
        self._caller = caller
        self._driver = driver
        self._reader = FrameReader()
        self.is_greeted = False
        #: Frames that wait for the next write, and the numbers of their questions.
        self._frames: list[bytes] = []
        self._unsent: list[int] = []
        self._frames_bytes = 0
        #: What a write could not take.
        self.rest = b""
        self.is_lost = False

    def greeting(self) -> bytes:
        """What to write first."""
        return hello(self._caller)

    def put(self, ask: Ask) -> Miss | None:
        """Queue a question."""
        frame = encode_frame(encode(ask.request))
        if self._frames_bytes + len(self.rest) + len(frame) > LINE_BYTES_MAX:
            return Miss(UnavailableError(f"{self.address}: too much waits to be sent"), was_sent=False)
        self._frames.append(frame)
        self._unsent.append(ask.request.number)
        self._frames_bytes += len(frame)
        return None

    def outgoing(self) -> bytes:
        """All that is to be written now; empty before hands are shaken."""
        if not self.is_greeted or not (self._frames or self.rest):
            return self.rest
        data = b"".join([self.rest, *self._frames])
        self._frames = []
        self._unsent = []
        self._frames_bytes = 0
        self.rest = b""
        return data

    def feed(self, data: bytes) -> bool:
        """Take what was read. True: hands are shaken now, and there may be something to write.

        Raises:
            AuthError, ProtocolError: the connection is of no use.
        """
        greeted = False
        for frame in self._reader.feed(data):
            if not self.is_greeted:
                self.rest = encode_frame(self._caller.feed(frame))
                self.is_greeted = greeted = True
                continue
            reply = decode(frame)
            if not isinstance(reply, Reply):
                raise ProtocolError("a node asks where it should answer")
            self._driver.hear(self.address, reply)
        return greeted

    def own(self, sock: socket.socket) -> socket.socket:
        """Use this socket, and close it at the latest when this object is forgotten."""
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        weakref.finalize(self, sock.close)
        return sock

    def let_go(self) -> None:
        """Close the socket, and say nothing."""
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()

    def lose(self, error: Error) -> None:
        """The connection is gone: answer all that was asked over it."""
        if not self.is_lost:
            self.is_lost = True
            unsent, self._unsent, self._frames = frozenset(self._unsent), [], []
            self._driver.lose(self.address, error, unsent)


class LoopLines:
    """The connections of one event loop. Made and used in its thread, but for `close_soon`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.lines: dict[Contact, LoopLine] = {}
        self.driver = Driver(client.session.now_s, self.send, self.call_after)

    def send(self, ask: Ask) -> Miss | None:
        """Have a question sent with all else of this turn."""
        line = self.lines.get(ask.contact)
        if line is None or line.is_lost:
            line = self.lines[ask.contact] = self.dial(ask.contact)
        miss = line.put(ask)
        if miss is None:
            self.flush_soon(line)
        return miss

    def drop(self, line: LoopLine, error: Error) -> None:
        """A connection is gone, or is given up."""
        if self.lines.get(line.contact) is line:
            del self.lines[line.contact]
        line.lose(error)

    # -- what each library does in its way -----------------------------------------------------------

    async def run(self, plan: Plan[R]) -> R:
        """Carry a plan out to its end."""
        raise NotImplementedError

    def call_after(self, seconds: float, callback: Callable[[], None]) -> object:
        """Call back in this loop."""
        raise NotImplementedError

    def dial(self, contact: Contact) -> LoopLine:
        """Begin a connection."""
        raise NotImplementedError

    def flush_soon(self, line: LoopLine) -> None:
        """Write what waits, once the turn is over."""
        raise NotImplementedError

    def close_soon(self) -> None:
        """Close them all. From any thread."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Let go of the sockets, in a forked child where the loop does not run."""
        for line in list(self.lines.values()):
            line.let_go()


def resolved(address: str) -> tuple[socket.AddressFamily, Any] | None:
    """Family and socket address, of an address that names no host; None: it must be looked up."""
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )
    except socket.gaierror:
        return None
    return found[0][0], found[0][4]
