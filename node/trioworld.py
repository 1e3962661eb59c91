"""The real world, on Trio: sockets, clocks and disks, behind the contract of `World` (node/world.py).

`run_process` starts a process and serves it until it halts or is cancelled. What differs between a real host
and a simulated one under the same shell stands in `Surroundings`.

Rules of this file:
1. The process is called in one thread, by tasks that do not suspend while it runs.
2. Once the world is dead nothing calls the process, and nothing that it asks for is done.
"""

from __future__ import annotations

import logging
import select
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from ..exception import Error, InvalidError
from .clock import NanosecondClock, SystemNanosecondClock, system_dice
from .config import (
    CONNECTIONS_MAX,
    DATAGRAM_BYTES_MAX,
    DATAGRAM_ROUNDS_MAX,
    FRAME_BYTES_MAX,
    LATE_TIMERS_NS,
    PAGE_SHOWN_BYTES_MAX,
    SPARE_DESCRIPTORS,
)
from .disk.durability import Durability
from .identity import STORAGE, take_identity
from .network.epollcarrier import EpollCarrier
from .network.handshake import CLIENT_PREFIX
from .network.line import Line
from .network.peer import Peers
from .network.sockets import SocketTransport, is_loopback, raise_descriptors_limit
from .network.streamcarrier import StreamCarrier
from .network.switchboard import Credentials, Switchboard
from .network.timers import Timers, TrioTimer
from .network.transport import Transport
from .network.turn import Home, Turn, Turns
from .served.datafolder import DataFolder, OpenStorage
from .world import Address, Dice, Factory, Identity, Process, Storage

log = logging.getLogger(__name__)


class LinesCarrier(Protocol):
    """What carries all lines of a world."""

    async def serve(self) -> None:
        """Carry a line for whoever connects, for ever."""
        ...

    async def dial(self, line: Line) -> None:
        """Connect a line to its peer, and carry it until it ends. `OSError` if nobody is there."""
        ...

    def wake(self) -> bool:
        """Whether it sees to it that what was posted is called soon. From any thread."""
        ...


@dataclass(slots=True)
class Surroundings:
    """What a process's world is made of."""

    credentials: Credentials
    transport: Transport
    open_storage: Callable[[str, Durability, Home], OpenStorage]
    clock: NanosecondClock
    dice: Callable[[str], Dice]
    trace: Callable[[str, dict[str, object]], None]
    make_carrier: Callable[[Switchboard, Turns], LinesCarrier] | None = None
    """None: two tasks a line, over the transport's streams."""
    connections_max: int = CONNECTIONS_MAX
    publish: Callable[[bytes], None] = lambda _: None
    release: Callable[[], None] = lambda: None
    """Called at the very end, once all storages are closed."""


def real_surroundings(
    credentials: Credentials,
    folder: Path,
    *,
    listen: Address | None = None,
    insecure: bool = False,
    plain: bool = False,
) -> Surroundings:
    """Those of this host, with storages in a folder.

    Args:
        listen: where to listen, if that is not the address of `credentials`.
        insecure: whoever can connect is let in, from other hosts, too, if there is no secret.
        plain: do without epoll, as where there is none.

    Raises:
        InvalidError: there is no secret, and other hosts can connect.
    """
    if not credentials.secret and not insecure and not is_loopback(listen or credentials.address):
        raise InvalidError(
            f"without a secret everybody who can reach {listen or credentials.address} could read and write "
            "everything: give the cluster a secret, or listen at 127.0.0.1"
        )
    transport = SocketTransport(credentials.address, listen)
    clock = SystemNanosecondClock()
    data = DataFolder(folder, credentials.address)
    surroundings = Surroundings(
        credentials,
        transport,
        data.open_storage,
        clock,
        lambda _purpose: system_dice(),
        lambda event, facts: log.debug("%s: %s %s", credentials.address, event, facts),
    )
    surroundings.publish = data.publish
    surroundings.release = data.release
    surroundings.connections_max = min(CONNECTIONS_MAX, raise_descriptors_limit() - SPARE_DESCRIPTORS)
    if hasattr(select, "epoll") and not plain:
        surroundings.make_carrier = lambda board, turns: EpollCarrier(transport, board, turns, clock)
    return surroundings


class TrioWorld:
    """One process on Trio, from its start to its end."""

    def __init__(self, surroundings: Surroundings, nursery: trio.Nursery) -> None:
        self._around = surroundings
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        self._timers = Timers(surroundings.clock)
        self._turn = Turn()
        #: What other threads want called. A deque is safe between threads.
        self._posted: deque[Callable[[], None]] = deque()
        self._storages: dict[str, OpenStorage] = {}
        self._dice: dict[str, Dice] = {}
        self._identity: Identity | None = None
        self._process: Process | None = None
        self._alive = True
        self._board = Switchboard(
            surroundings.credentials, self.dice("handshake"), self._deliver, self.now_ns, self.call_after
        )
        self._board.connections_max = surroundings.connections_max
        make_carrier = surroundings.make_carrier
        self._carrier: LinesCarrier = (
            StreamCarrier(surroundings.transport, self._board, self.end_turn)
            if make_carrier is None
            else make_carrier(self._board, self)
        )
        self._peers = Peers(self._board, nursery, self._carrier.dial)
        #: Why the process ended itself; None: it did not.
        self.halt_reason: str | None = None

    # -- what the process asks for -----------------------------------------------------------------

    @property
    def identity(self) -> Identity:
        assert self._identity is not None
        return self._identity

    def now_ns(self) -> int:
        return self._around.clock.now_ns()

    def wall_ns(self) -> int:
        return self._around.clock.wall_ns()

    def call_after(self, delay_ns: int, callback: Callable[[], None]) -> TrioTimer:
        return self._timers.add(delay_ns, callback)

    def send(self, to: Address, frame: bytes) -> None:
        assert len(frame) <= FRAME_BYTES_MAX
        if not self._alive:
            return
        board = self._board
        if board.send(to, frame) or to.startswith(CLIENT_PREFIX):
            return
        if self._peers.call(to):
            board.send(to, frame)

    def send_datagram(self, to: Address, datagram: bytes) -> None:
        assert len(datagram) <= DATAGRAM_BYTES_MAX
        if self._alive:
            self._around.transport.send_datagram(to, datagram)

    def storage(self, name: str, durability: Durability = Durability.FSYNC) -> Storage:
        storage = self._storages.get(name)
        if storage is None:
            storage = self._storages[name] = self._around.open_storage(name, durability, self)
        return storage

    def publish(self, page: bytes) -> None:
        assert len(page) <= PAGE_SHOWN_BYTES_MAX
        if self._alive:
            self._around.publish(page)

    def dice(self, purpose: str) -> Dice:
        dice = self._dice.get(purpose)
        if dice is None:
            dice = self._dice[purpose] = self._around.dice(purpose)
        return dice

    def trace(self, event: str, **facts: object) -> None:
        if self._alive:
            self._around.trace(event, facts)

    def halt(self, reason: str) -> None:
        if self._alive:
            self.halt_reason = reason
            self.end()

    def set_secrets(self, secret: bytes, others: tuple[bytes, ...]) -> None:
        """Who connects proves to know one of these from now on; `secret` is the one in use."""
        self._board.set_secrets(secret, others)

    # -- its life ----------------------------------------------------------------------------------

    async def serve(self, factory: Factory) -> None:
        """Make the process, and bring it what comes, until it ends."""
        await self._around.transport.listen()
        taken = trio.Event()

        def ready(identity: Identity | Error) -> None:
            if isinstance(identity, Error):
                self.halt(f"no identity: {identity}")
            else:
                self._identity = identity
            taken.set()

        take_identity(self.storage(STORAGE), self.dice("identity"), self._around.credentials.address, ready)
        self.end_turn()
        await taken.wait()
        if not self._alive:
            return
        self._process = factory(self)
        self._nursery.start_soon(self._timers.serve, self._run_timers)
        self._nursery.start_soon(self._receive_datagrams)
        self._nursery.start_soon(self._carrier.serve)

    def end(self) -> None:
        """Let the process neither hear nor do anything more."""
        self._alive = False
        self._timers.heap.clear()
        self._turn.forget()
        self._nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Give back what it held of the host."""
        self._alive = False
        for storage in self._storages.values():
            storage.close()
        self._around.transport.close()
        self._around.release()

    def post(self, call: Callable[[], None]) -> None:
        """For storages: see `Home`."""
        self._posted.append(call)
        if not self._carrier.wake():
            try:
                self._token.run_sync_soon(self.run_posted, idempotent=True)
            except trio.RunFinishedError:
                pass  # the process has ended with everything else

    def at_turn_end(self, call: Callable[[], None]) -> None:
        """For storages: see `Home`."""
        self._turn.at_end(call)

    def after_flush(self, call: Callable[[], None]) -> None:
        """For storages: see `Home`."""
        self._turn.after_flush(call)

    def has_unsent(self) -> bool:
        """Whether answers wait for clients to take them: not yet the moment to end."""
        return self._board.has_unsent()

    # -- turns -------------------------------------------------------------------------------------

    def hear_datagrams(self) -> None:
        """For the carrier: see `Turns`."""
        self._hear_datagrams(self._around.transport.waiting_datagrams())

    def has_posted(self) -> bool:
        """For the carrier: see `Turns`."""
        return bool(self._posted)

    def run_posted(self) -> None:
        """For the carrier: see `Turns`."""
        while self._alive and self._posted:
            self._posted.popleft()()
            self.end_turn()

    def due_ns(self) -> int:
        """For the carrier: see `Turns`."""
        return -self._timers.late_ns()

    def _deliver(self, source: Address, frame: bytes) -> None:
        if self._alive and self._process is not None:
            self._process.on_frame(source, frame)

    async def _receive_datagrams(self) -> None:
        while True:
            self._hear_datagrams(await self._around.transport.receive_datagrams())
            self.end_turn()

    def _hear_datagrams(self, datagrams: list[tuple[Address, bytes]]) -> None:
        for source, datagram in datagrams:
            if self._alive and self._process is not None:
                self._process.on_datagram(source, datagram)

    def end_turn(self) -> None:
        """The process has been told of what there was: do what was put off, and send what it sent.

        Timers run here, too, unless the loop was blocked: then others are to read first (`Timers.serve`).
        """
        if 0 <= self._timers.late_ns() <= LATE_TIMERS_NS:
            self._run_timers()
        else:
            self._finish_turn()

    def _run_timers(self) -> None:
        """Run what is due, once all datagrams that have come were heard: an answer that waits in the socket
        must not be taken for one that is missing."""
        for _ in range(DATAGRAM_ROUNDS_MAX if self._timers.late_ns() >= 0 else 0):
            waiting = self._around.transport.waiting_datagrams()
            if not waiting:
                break
            self._hear_datagrams(waiting)
        self._timers.run_due()
        self._finish_turn()

    def _finish_turn(self) -> None:
        while self._alive:
            self._turn.end()
            self._board.flush()
            if self._turn.has_ended:
                return
            self._turn.go_on()


async def run_process(factory: Factory, surroundings: Surroundings) -> str | None:
    """Run a process until it halts, and say why; until it is cancelled otherwise.

    Raises:
        OSError: its address cannot be taken.
        Exception: whatever leaves the process, in an ExceptionGroup.
    """
    with ExitStack() as held:
        async with trio.open_nursery() as nursery:
            world = TrioWorld(surroundings, nursery)
            held.callback(world.close)
            await world.serve(factory)
    return world.halt_reason
