"""Streams and datagrams in memory for the Trio shells: a `Transport`
(node/network/transport.py) over the simulated network.

A stream is reliable as TCP is: what is lost is sent again, and so comes late; what meets a cut is kept and
tried again, until it was for too long: then the stream breaks for both. The same cuts, clogs, holds and noise
as in tier 1 apply, by link.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Awaitable, Callable

import trio
from xxhash import xxh3_64_intdigest

from ..node.config import DATAGRAMS_MAX
from ..node.network.transport import Stream
from ..node.world import Address
from .config import BREAK_NS, RETRANSMIT_NS, TICK_NS, WINDOW_BYTES
from .network import Network
from .simulation import Simulation
from .trioclock import SimClock

Handler = Callable[[Stream], Awaitable[None]]


class Waiter:
    """One task that waits for something to change."""

    __slots__ = ("_clock", "_task")

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock
        self._task: trio.lowlevel.Task | None = None

    async def wait(self) -> None:
        """Until `wake`; or until cancelled."""
        assert self._task is None
        self._task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake(self) -> None:
        """Let the task go on, if there is one."""
        if self._task is not None:
            task, self._task = self._task, None
            self._clock.woken = True
            trio.lowlevel.reschedule(task)


class Pipe:
    """One direction of a stream."""

    def __init__(self, network: ShellNetwork, source: Address, target: Address) -> None:
        self._network = network
        self.source = source
        self.target = target
        self.buffer = bytearray()
        self.readable = Waiter(network.clock)
        self.writable = Waiter(network.clock)
        #: Sent and not read yet.
        self.window_bytes = 0
        self._latest_ns = 0
        self._stalled: deque[tuple[int, bytes]] = deque()
        self._stalled_since_ns = 0
        #: No more bytes will come.
        self.ended = False
        #: Nobody will read what is sent any more.
        self.broken = False
        self.other: Pipe | None = None

    def send(self, data: bytes) -> None:
        """Let bytes go."""
        serial = self._network.count(self.source, self.target, data)
        self.window_bytes += len(data)
        if self._stalled or self._blocked():
            if not self._stalled:
                self._stalled_since_ns = self._network.loop.now_ns
                self._network.loop.call_after(RETRANSMIT_NS, self._retry)
            self._stalled.append((serial, data))
        else:
            self._pass(serial, data)

    def _blocked(self) -> bool:
        link = self._network.network.link(self.source, self.target)
        return bool(link.cuts) or link.held is not None

    def _retry(self) -> None:
        loop = self._network.loop
        if self.broken or not self._stalled:
            return
        if not self._blocked():
            while self._stalled:
                self._pass(*self._stalled.popleft())
        elif loop.now_ns - self._stalled_since_ns >= BREAK_NS:
            self.break_now()
        else:
            loop.call_after(RETRANSMIT_NS, self._retry)

    def _pass(self, serial: int, data: bytes) -> None:
        at_ns = self._network.arrival_ns(self.source, self.target)
        self._latest_ns = max(self._latest_ns, at_ns)
        self._network.loop.call_at(self._latest_ns, self._arrive, serial, data)

    def _arrive(self, serial: int, data: bytes) -> None:
        if self.broken:
            return
        self._network.arrived(self.source, self.target, serial)
        self.buffer += data
        self.readable.wake()

    def take(self, max_bytes: int) -> bytes:
        """What has come."""
        data = bytes(self.buffer[:max_bytes])
        del self.buffer[:max_bytes]
        self.window_bytes -= len(data)
        self.writable.wake()
        return data

    def finish(self) -> None:
        """The sender has closed: the reader hears of it after all that was sent."""
        self._latest_ns = max(self._latest_ns, self._network.arrival_ns(self.source, self.target))
        self._network.loop.call_at(self._latest_ns, self._end)

    def _end(self) -> None:
        if self._stalled and not self.broken:
            self._network.loop.call_after(RETRANSMIT_NS, self._end)
            return
        self.ended = True
        self.readable.wake()

    def break_now(self) -> None:
        """Both sides lose the stream."""
        for pipe in (self, self.other):
            if pipe is not None and not pipe.broken:
                pipe.broken = True
                pipe.readable.wake()
                pipe.writable.wake()


class MemoryStream:
    """One end of a stream. Where nothing keeps a call from being done at once it is no checkpoint."""

    def __init__(self, outgoing: Pipe, incoming: Pipe) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        pipe = self._outgoing
        while pipe.window_bytes >= WINDOW_BYTES and not pipe.broken:
            await pipe.writable.wait()
        self._check(pipe)
        pipe.send(bytes(data))

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        pipe = self._incoming
        while not pipe.buffer and not pipe.ended and not pipe.broken:
            await pipe.readable.wait()
        self._check(pipe)
        return pipe.take(max_bytes or WINDOW_BYTES)

    def _check(self, pipe: Pipe) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if pipe.broken:
            raise trio.BrokenResourceError

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._outgoing.finish()
            self._incoming.broken = True
        await trio.lowlevel.checkpoint()


class ShellNetwork:
    """All streams of a simulation, over its network."""

    def __init__(self, simulation: Simulation, clock: SimClock) -> None:
        self.loop = simulation.loop
        self.network: Network = simulation.network
        self.journal = simulation.journal
        self.clock = clock
        self.accepting: dict[Address, MemoryTransport] = {}
        #: Calls that storages have for their processes: made by a task, as those of a writer thread are.
        self.mail: deque[Callable[[], None]] = deque()
        self._mailed = Waiter(clock)

    def post(self, call: Callable[[], None]) -> None:
        """Have something called by a task, at this instant."""
        self.mail.append(call)
        self._mailed.wake()

    async def deliver_mail(self) -> None:
        """Make those calls, for ever."""
        while True:
            while self.mail:
                self.mail.popleft()()
            await self._mailed.wait()

    def arrival_ns(self, source: Address, target: Address) -> int:
        """When what is sent now arrives; what is lost is sent again by then."""
        network = self.network
        link = network.link(source, target)
        link.count += 1
        bits = xxh3_64_intdigest(link.count.to_bytes(8, "little"), link.seed)
        delay_ns = network.delay_ns(link, bits)
        if (bits >> 12) & 0xFFFF < network.loss_odds:
            delay_ns += RETRANSMIT_NS
        at_ns = max(self.loop.now_ns + delay_ns, link.clogged_until_ns)
        return at_ns - at_ns % TICK_NS + TICK_NS

    def count(self, source: Address, target: Address, data: bytes) -> int:
        """Note that bytes were sent; their serial number."""
        network = self.network
        network.sent_count += 1
        serial = network.sent_count
        self.journal.add((self.loop.now_ns, "send", source, target, serial, data))
        if source in network.watched:
            network.watched.pop(source)()
        return serial

    def arrived(self, source: Address, target: Address, serial: int) -> None:
        """Note that they have come."""
        self.network.delivered_count += 1
        self.journal.add((self.loop.now_ns, "deliver", source, target, serial))


class MemoryTransport:
    """The transport of one process, from one boot to its end."""

    def __init__(self, network: ShellNetwork, address: Address, alive: Callable[[], bool]) -> None:
        self._network = network
        self._address = address
        self._alive = alive
        self._arrivals: deque[MemoryStream] = deque()
        self._arrived = Waiter(network.clock)
        self._datagrams: deque[tuple[Address, bytes]] = deque()
        self._datagram_arrived = Waiter(network.clock)
        self._pipes: list[Pipe] = []

    async def connect(self, to: Address) -> Stream:
        network, me = self._network, self._address
        answered = Waiter(network.clock)
        answers: list[MemoryStream | None] = []

        def knock() -> None:
            there = network.accepting.get(to)
            answers.append(there.take_in(self) if there is not None else None)
            network.loop.call_at(network.arrival_ns(to, me), answered.wake)

        link, back = network.network.link(me, to), network.network.link(to, me)
        if link.cuts or back.cuts:
            await trio.sleep_forever()  # until whoever asks has had enough
        network.loop.call_at(network.arrival_ns(me, to), knock)
        await answered.wait()
        stream = answers[0]
        if stream is None:
            raise OSError(errno.ECONNREFUSED, f"nobody listens at {to}")
        return stream

    def take_in(self, caller: MemoryTransport) -> MemoryStream:
        """Somebody connects: the end of the stream that is theirs."""
        there, back = (
            Pipe(self._network, caller._address, self._address),
            Pipe(self._network, self._address, caller._address),
        )
        there.other, back.other = back, there
        for transport in (self, caller):
            transport._pipes = [pipe for pipe in transport._pipes if not pipe.broken]
            transport._pipes.append(there)
        self._arrivals.append(MemoryStream(back, there))
        self._arrived.wake()
        return MemoryStream(there, back)

    async def listen(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._alive():
            self._network.accepting[self._address] = self
            self._network.network.attach(self._address, self._receive)

    def _receive(self, source: Address, payload: bytes, datagram: bool) -> None:  # noqa: FBT001 - as sent
        assert datagram
        self._datagrams.append((source, payload))
        self._datagram_arrived.wake()

    async def accept(self, handler: Handler) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                while self._arrivals:
                    nursery.start_soon(self._handle, handler, self._arrivals.popleft())
                await self._arrived.wait()

    async def _handle(self, handler: Handler, stream: MemoryStream) -> None:
        try:
            await handler(stream)
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()

    def send_datagram(self, to: Address, datagram: bytes) -> None:
        if self._alive():
            self._network.network.send(self._address, to, datagram, datagram=True)

    async def receive_datagrams(self) -> list[tuple[Address, bytes]]:
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._datagrams:
            await self._datagram_arrived.wait()
        return self.waiting_datagrams()

    def waiting_datagrams(self) -> list[tuple[Address, bytes]]:
        count = min(len(self._datagrams), DATAGRAMS_MAX)
        return [self._datagrams.popleft() for _ in range(count)]

    def close(self) -> None:
        """The address is free, and every stream is broken: the process has ended, well or not."""
        if self._network.accepting.get(self._address) is self:
            del self._network.accepting[self._address]
            self._network.network.detach(self._address)
        for pipe in self._pipes:
            pipe.break_now()
