"""The real world, on Trio: sockets, clocks and disks, behind the contract of `World` (node/world.py).

`run_process` starts a process and serves it until it halts or is cancelled. What differs between a real host
and a simulated one under the same shell stands in `Surroundings`.

Rules of this file:
1. The process is called in one thread, by tasks that do not suspend while it runs.
2. Once the world is dead nothing calls the process, and nothing that it asks for is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Protocol

import trio

from ..exception import Error, ProtocolError
from .clock import NanosecondClock, SystemNanosecondClock, system_dice
from .config import (
    ADDRESS_BYTES_MAX,
    CONNECT_TIMEOUT_S,
    DATAGRAM_BYTES_MAX,
    FRAME_BYTES_MAX,
    PEERS_MAX,
    RECEIVE_BYTES,
)
from .durability import Durability
from .frame import FrameReader
from .identity import STORAGE, take_identity
from .lmdbstorage import LmdbStorage
from .peer import Peer
from .sockets import SocketTransport
from .transport import Stream, Transport
from .turn import Home, Turn
from .world import NS_PER_S, Address, Dice, Factory, Identity, Process, Storage

log = logging.getLogger(__name__)


class OpenStorage(Storage, Protocol):
    """A storage that has to be closed."""

    def close(self) -> None:
        """End it; nobody is told of anything any more."""
        ...


@dataclass(slots=True)
class Surroundings:
    """What a process's world is made of."""

    address: Address
    transport: Transport
    open_storage: Callable[[str, Durability, Home], OpenStorage]
    clock: NanosecondClock
    dice: Callable[[str], Dice]
    trace: Callable[[str, dict[str, object]], None]


def real_surroundings(address: Address, folder: Path) -> Surroundings:
    """Those of this host, with storages in a folder."""
    return Surroundings(
        address,
        SocketTransport(address),
        lambda name, durability, home: LmdbStorage(folder / name, durability, home.post),
        SystemNanosecondClock(),
        lambda _purpose: system_dice(),
        lambda event, facts: log.debug("%s: %s %s", address, event, facts),
    )


@dataclass(slots=True)
class TrioTimer:
    """A call that is yet to come."""

    callback: Callable[[], None] | None

    def cancel(self) -> None:
        self.callback = None


@dataclass(slots=True)
class Timers:
    """All timers of a world: one heap, served by one task."""

    clock: NanosecondClock
    heap: list[tuple[int, int, TrioTimer]] = field(default_factory=list)
    serial: int = 0
    changed: trio.Event = field(default_factory=trio.Event)

    def add(self, delay_ns: int, callback: Callable[[], None]) -> TrioTimer:
        timer = TrioTimer(callback)
        due_ns = self.clock.now_ns() + delay_ns
        if not self.heap or due_ns < self.heap[0][0]:
            self.changed.set()
        self.serial += 1
        heappush(self.heap, (due_ns, self.serial, timer))
        return timer

    async def serve(self, call: Callable[[Callable[[], None]], None]) -> None:
        """Let `call` make each call that is due, for ever."""
        while True:
            self.changed = trio.Event()
            now_ns = self.clock.now_ns()
            while self.heap and self.heap[0][0] <= now_ns:
                callback, timer = self.heap[0][2].callback, heappop(self.heap)[2]
                timer.callback = None
                if callback is not None:
                    call(callback)
            if self.heap:
                wait_s = max(1, self.heap[0][0] - self.clock.now_ns()) / NS_PER_S
                with trio.move_on_after(wait_s):
                    await self.changed.wait()
            else:
                await self.changed.wait()


class TrioWorld:
    """One process on Trio, from its start to its end."""

    def __init__(self, surroundings: Surroundings, nursery: trio.Nursery) -> None:
        self._around = surroundings
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        self._timers = Timers(surroundings.clock)
        self._turn = Turn()
        self._peers: dict[Address, Peer] = {}
        self._storages: dict[str, OpenStorage] = {}
        self._dice: dict[str, Dice] = {}
        self._identity: Identity | None = None
        self._process: Process | None = None
        self._alive = True
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
        peer = self._peers.get(to)
        if peer is None:
            if len(self._peers) >= PEERS_MAX:
                return
            peer = self._peers[to] = Peer(to, self._around.address)
            self._nursery.start_soon(self._keep, peer)
        peer.put(frame)

    def send_datagram(self, to: Address, datagram: bytes) -> None:
        assert len(datagram) <= DATAGRAM_BYTES_MAX
        if self._alive:
            self._around.transport.send_datagram(to, datagram)

    def storage(self, name: str, durability: Durability = Durability.FSYNC) -> Storage:
        storage = self._storages.get(name)
        if storage is None:
            storage = self._storages[name] = self._around.open_storage(name, durability, self)
        return storage

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

        take_identity(self.storage(STORAGE), self.dice("identity"), self._around.address, ready)
        self._turn.end()
        await taken.wait()
        if not self._alive:
            return
        self._process = factory(self)
        self._turn.end()
        self._nursery.start_soon(self._timers.serve, self._call)
        self._nursery.start_soon(self._receive_datagrams)
        self._nursery.start_soon(self._around.transport.accept, self._accept)

    def end(self) -> None:
        """Let the process neither hear nor do anything more."""
        self._alive = False
        self._nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Give back what it held of the host."""
        self._alive = False
        for storage in self._storages.values():
            storage.close()
        self._around.transport.close()

    def post(self, call: Callable[[], None]) -> None:
        """For storages: see `Home`."""
        try:
            self._token.run_sync_soon(self._call, call)
        except trio.RunFinishedError:
            pass  # the process has ended with everything else

    def at_turn_end(self, call: Callable[[], None]) -> None:
        """For storages: see `Home`."""
        self._turn.at_end(call)

    def _call(self, call: Callable[[], None]) -> None:
        if self._alive:
            call()
            self._turn.end()

    async def _keep(self, peer: Peer) -> None:
        await peer.keep(self._around.transport, self._read)
        del self._peers[peer.to]

    # -- what comes in -----------------------------------------------------------------------------

    async def _receive_datagrams(self) -> None:
        while True:
            for source, datagram in await self._around.transport.receive_datagrams():
                if self._alive and self._process is not None:
                    self._process.on_datagram(source, datagram)
            self._turn.end()

    async def _accept(self, stream: Stream) -> None:
        """A connection that somebody else has made: its first frame says who."""
        reader = FrameReader()
        frames: list[bytes] = []
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            while not frames:
                received = await self._receive(stream, reader)
                if received is None:
                    return
                frames = received
        if not frames:
            return
        if len(frames[0]) > ADDRESS_BYTES_MAX:
            return
        source = Address(frames[0].decode("utf-8", "replace"))

        async def read(stream: Stream, source: Address) -> None:
            self._deliver(source, frames[1:])
            await self._read_on(stream, source, reader)

        if source in self._peers or len(self._peers) >= PEERS_MAX:
            await read(stream, source)
            return
        # Answers go back the same way: whoever has connected may be where nobody can connect to.
        peer = self._peers[source] = Peer(source, self._around.address)
        try:
            await peer.use(stream, read)
        finally:
            if self._peers.get(source) is peer:
                del self._peers[source]

    async def _read(self, stream: Stream, source: Address) -> None:
        await self._read_on(stream, source, FrameReader())

    async def _read_on(self, stream: Stream, source: Address, reader: FrameReader) -> None:
        """Bring the process the frames of a stream until it ends."""
        while (frames := await self._receive(stream, reader)) is not None:
            self._deliver(source, frames)

    async def _receive(self, stream: Stream, reader: FrameReader) -> list[bytes] | None:
        """The next frames of a stream, perhaps none yet; None: it has ended, or makes no sense."""
        try:
            data = await stream.receive_some(RECEIVE_BYTES)
            return reader.feed(data) if data else None
        except (trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError):
            return None

    def _deliver(self, source: Address, frames: list[bytes]) -> None:
        for frame in frames:
            if self._alive and self._process is not None:
                self._process.on_frame(source, frame)
        self._turn.end()


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
