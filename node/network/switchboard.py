"""All lines of a node: who is at the other end, what may wait on them, and who is cut off.

Rules of this file:
1. What goes to a peer goes over the line that this node made to it; what goes to a client goes over the
   client's own. A line that somebody else made, and is a peer's, is only listened to.
2. Whoever owes something (the end of a handshake, the rest of a frame, reading its answers) has a time for
   it.
3. What strangers and clients can make this node hold is bounded, for each and for all together.
4. Nothing here calls the process but `receive` and `sent`: whatever else ends a line, it ends silently.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ...exception import AuthError, ProtocolError
from ..config import (
    CLIENT_PAUSE_BYTES,
    CLIENT_QUEUE_BYTES_MAX,
    CLIENTS_MAX,
    CONNECTIONS_MAX,
    HANDSHAKE_TIMEOUT_S,
    LINES_BYTES_MAX,
    PEER_QUEUE_BYTES_MAX,
    PROGRESS_POLL_S,
    PROGRESS_TIMEOUT_S,
    STRANGERS_MAX,
)
from ..world import NS_PER_S, Address, Dice
from .handshake import CLIENT_PREFIX, NONCE_BYTES, Caller, Listener, Role
from .line import Line

log = logging.getLogger(__name__)


def _no_cluster() -> bytes:
    return b""


@dataclass(slots=True)
class Credentials:
    """What a node says of itself on each connection."""

    address: Address
    #: Of the cluster; empty: it has none. `others` are good as well, while one replaces another.
    secret: bytes = b""
    #: The id of the cluster that it belongs to now; empty: to none yet.
    cluster_id: Callable[[], bytes] = _no_cluster
    others: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Counts:
    """What has happened, for people and tests."""

    refused: int = 0
    """Connections that did not get through the handshake."""
    cut_off: int = 0
    """Connections ended since they took or held too much, or were too slow."""
    dropped: int = 0
    """Frames not sent for want of room."""


class Switchboard:
    """The lines of one node.

    `deliver` tells the process of a frame. `now_ns` is the world's clock; `call_after` its timers.
    """

    def __init__(
        self,
        credentials: Credentials,
        dice: Dice,
        deliver: Callable[[Address, bytes], None],
        now_ns: Callable[[], int],
        call_after: Callable[[int, Callable[[], None]], object],
    ) -> None:
        self._credentials = credentials
        self._dice = dice
        self._deliver = deliver
        self._now_ns = now_ns
        self._call_after = call_after
        self._clients_named = 0
        self._half_open: dict[Line, None] = {}
        self._lines: dict[Line, None] = {}
        self._watched: dict[Line, None] = {}
        self._watching = False
        self._dirty: list[Line] = []
        self._held_bytes = 0
        self._unsent_bytes = 0
        #: Where frames to an address go: clients that are connected, peers that were called.
        self.routes: dict[Address, Line] = {}
        #: Accepted, and open still.
        self.accepted_count = 0
        self.clients_count = 0
        #: As many as the operating system has file descriptors for.
        self.connections_max = CONNECTIONS_MAX
        self.counts = Counts()

    # -- lines come and go -------------------------------------------------------------------------

    def accept(self) -> Line | None:
        """A line for somebody who has connected; None: there are too many."""
        if self.accepted_count >= self.connections_max:
            self.counts.refused += 1
            return None
        if len(self._half_open) >= STRANGERS_MAX:
            self._cut(next(iter(self._half_open)), "too many connections say nothing")
        mine = self._credentials
        nonce = self._dice.randbytes(NONCE_BYTES)
        line = Line(
            Listener(
                secret=mine.secret, others=mine.others, nonce=nonce, cluster_id=mine.cluster_id(),
                takes_clients=self.clients_count < CLIENTS_MAX,
            )
        )  # fmt: skip
        line.on_open = self._admit
        self.accepted_count += 1
        self._begin(line)
        return line

    def call(self, to: Address) -> Line:
        """A line to a peer, for `send` at once; whoever asks for it connects it."""
        mine = self._credentials
        caller = Caller(
            secret=mine.secret, others=mine.others, nonce=self._dice.randbytes(NONCE_BYTES),
            role=Role.PEER, address=mine.address, cluster_id=mine.cluster_id(),
        )  # fmt: skip
        line = self.routes[to] = Line(caller, to)
        return line

    def connected(self, line: Line) -> None:
        """A line that was asked for by `call` has its connection."""
        line.on_open = self._opened
        self._begin(line)
        self._mark(line)

    def _begin(self, line: Line) -> None:
        self._half_open[line] = None
        self._lines[line] = None
        self._watch(line)

    def _opened(self, line: Line) -> None:
        self._half_open.pop(line, None)

    def _admit(self, line: Line) -> None:
        self._opened(line)
        if line.role is not Role.CLIENT:
            return
        if self.clients_count >= CLIENTS_MAX:
            raise ProtocolError("too many clients")
        self.clients_count += 1
        self._clients_named += 1
        line.source = Address(f"{CLIENT_PREFIX}{self._clients_named}")
        self.routes[line.source] = line

    def ended(self, line: Line) -> None:
        """A line's connection is over, whoever ended it. To be called once for each."""
        self._forget(line)
        self._lines.pop(line, None)
        self._watched.pop(line, None)
        if self.routes.get(line.source) is line:
            del self.routes[line.source]
        if line.is_accepted:
            self.accepted_count -= 1
            if line.open and line.role is Role.CLIENT:
                self.clients_count -= 1

    def set_secrets(self, secret: bytes, others: tuple[bytes, ...]) -> None:
        """Prove, and have proved, these from now on. A line that was opened with one that is good no more
        ends: whoever has another makes a new one at once."""
        mine = self._credentials
        mine.secret, mine.others = secret, others
        good = (secret, *others)
        for line in [line for line in self._lines if line.open and line.secret not in good]:
            self._cut(line, "the secret that it was opened with is good no more")

    def _cut(self, line: Line, why: str) -> None:
        if not line.aborted:
            log.info("cut off %s: %s", line.source or "a connection", why)
            self.counts.cut_off += 1
            self._forget(line)
            if line.carrier is not None:
                line.carrier.abort()

    def _forget(self, line: Line) -> None:
        line.aborted = True
        line.drop()
        self._half_open.pop(line, None)
        self._account(line)

    def _account(self, line: Line) -> None:
        """Bring the sums over all lines up to date, and keep them within their limits."""
        held_bytes = line.held_bytes
        unsent_bytes = line.queued_bytes if line.role is Role.CLIENT else 0
        self._held_bytes += held_bytes - line.counted_held_bytes
        self._unsent_bytes += unsent_bytes - line.counted_unsent_bytes
        line.counted_held_bytes, line.counted_unsent_bytes = held_bytes, unsent_bytes
        if self._held_bytes > LINES_BYTES_MAX:
            self._cut(max(self._watched, key=lambda one: one.counted_held_bytes), _TOO_MUCH)
        if self._unsent_bytes > LINES_BYTES_MAX:
            self._cut(max(self._watched, key=lambda one: one.counted_unsent_bytes), _TOO_MUCH)

    # -- what comes in -----------------------------------------------------------------------------

    def receive(self, line: Line, data: bytes | bytearray) -> bool:
        """Bytes that came over a line; whether it goes on. If not: send what it has to say, then close it."""
        frame = line.whole(data)  # as most are
        if frame and line.queued_bytes < CLIENT_PAUSE_BYTES:
            line.moved_ns = 0
            self._deliver(line.source, frame)
            return not line.aborted
        try:
            frames = line.feed(data)
        except (AuthError, ProtocolError) as error:
            log.info("%s: %s", line.source or "a connection", error)
            self.counts.refused += 1
            return False
        if line.has_output:
            self._mark(line)
        if frames:
            line.moved_ns = 0
            self._give(line, frames)
        if line.held_bytes or line.counted_held_bytes:
            self._watch(line)
            self._account(line)
        return not line.aborted

    def _give(self, line: Line, frames: list[bytes]) -> None:
        source, deliver = line.source, self._deliver
        for place, frame in enumerate(frames):
            if line.queued_bytes >= CLIENT_PAUSE_BYTES and line.role is Role.CLIENT:
                line.held.extend(frames[place:])
                line.paused = True
                return
            deliver(source, frame)
            if line.aborted:
                return

    def sent(self, line: Line, count_bytes: int) -> None:
        """So many bytes have gone out."""
        line.queued_bytes -= count_bytes
        if line.open:
            line.moved_ns = 0
        if line.paused and line.queued_bytes < CLIENT_PAUSE_BYTES // 2 and not line.aborted:
            line.paused = False
            frames = list(line.held)
            line.held.clear()
            self._give(line, frames)
            if not line.paused and line.carrier is not None and not line.aborted:
                line.carrier.resume()

    # -- what goes out -----------------------------------------------------------------------------

    def send(self, to: Address, frame: bytes) -> bool:
        """Queue a frame for an address; False: there is no line, and whoever wants one has to `call`."""
        line = self.routes.get(to)
        if line is None:
            return False
        if line.is_accepted:
            if line.queued_bytes + len(frame) > CLIENT_QUEUE_BYTES_MAX:
                self._cut(line, "it does not take its answers")
                return True
        elif line.queued_bytes + len(frame) > PEER_QUEUE_BYTES_MAX:
            self.counts.dropped += 1
            return True
        line.put(frame)
        if not line.dirty:
            self._mark(line)
        return True

    def _mark(self, line: Line) -> None:
        if not line.dirty:
            line.dirty = True
            self._dirty.append(line)

    def flush(self) -> None:
        """The turn is over: have everything sent."""
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for line in dirty:
                line.dirty = False
                if line.carrier is not None and not line.aborted:
                    line.carrier.flush()
                    if line.queued_bytes or line.counted_unsent_bytes:
                        self._watch(line)
                        self._account(line)

    def has_unsent(self) -> bool:
        """Whether answers wait for clients to take them."""
        return any(line.queued_bytes for line in self._watched if line.role is Role.CLIENT)

    # -- who owes something ------------------------------------------------------------------------

    def _watch(self, line: Line) -> None:
        if not line.watched:
            line.watched = True
            line.moved_ns = self._now_ns()
            self._watched[line] = None
            if not self._watching:
                self._watching = True
                self._call_after(int(PROGRESS_POLL_S * NS_PER_S), self._look)

    def _look(self) -> None:
        """Cut off whoever has owed something for too long."""
        now_ns = self._now_ns()
        for line in list(self._watched):
            if line.aborted or (line.open and not line.queued_bytes and not line.held_bytes):
                line.watched = False
                self._watched.pop(line, None)
                continue
            if not line.moved_ns:
                line.moved_ns = now_ns
            limit_s = PROGRESS_TIMEOUT_S if line.open else HANDSHAKE_TIMEOUT_S
            if now_ns - line.moved_ns >= limit_s * NS_PER_S:
                self._cut(line, f"nothing went on for {limit_s:g} s")
        self._watching = bool(self._watched)
        if self._watching:
            self._call_after(int(PROGRESS_POLL_S * NS_PER_S), self._look)


_TOO_MUCH = "all connections together hold too much, this one most"
