"""A made-up host: address, disk and clock, which stay, and the process on it, which comes and goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from ..exception import Error
from ..node.identity import STORAGE, take_identity
from ..node.world import Address, Factory, Identity, Process
from .clock import HostClock
from .config import MONOTONIC_START_NS_MAX, RESTART_NS
from .disk import Disk
from .journal import Journal
from .loop import Loop
from .network import Network
from .world import SimWorld

Watch = Callable[[Address, str, dict[str, object]], None]
"""Told of every trace: address, event, facts."""


class Host:
    """One host and its process.

    `generation` counts the disks it has had: a fresh replacement is another node at the same address.
    """

    def __init__(
        self,
        loop: Loop,
        journal: Journal,
        network: Network,
        seed: int | str,
        address: Address,
        factory: Factory,
    ) -> None:
        self.loop = loop
        self.journal = journal
        self.network = network
        self.address = address
        self.factory = factory
        self.seed = seed
        self.generation = 0
        self.starts_count = 0
        #: Frames and datagrams that processes under a shell were told of (sim/shellhost.py).
        self.frames_count = 0
        self.clock = HostClock(loop, Random(f"{seed}/{address}/clock").randrange(MONOTONIC_START_NS_MAX))
        self.disk = self._fresh_disk()
        self.world: SimWorld | None = None
        self.process: Process | None = None
        #: Why it must not run now, each reason counted; it is started when none is left.
        self.down_count = 0
        #: It will never run again.
        self.lost = False
        self.paused_count = 0
        #: Added to whatever the process is told.
        self.slow_ns = 0
        self.watch: Watch | None = None
        self.validates = False
        #: What came while the process was paused.
        self._backlog: deque[Callable[[], None]] = deque()

    def _fresh_disk(self) -> Disk:
        dice = Random(f"{self.seed}/{self.address}/disk/{self.generation}")
        return Disk(self.loop, self.journal, self.address, dice)

    @property
    def up(self) -> bool:
        """Whether a process runs here, be it paused."""
        return self.process is not None

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process, if nothing forbids it and it does not run: it takes its identity first."""
        if self.down_count or self.lost or self.world is not None:
            return
        self.starts_count += 1
        world = SimWorld(self, f"{self.seed}/{self.address}/{self.generation}/{self.starts_count}")
        self.world = world
        self.note("start", self.starts_count)

        def ready(identity: Identity | Error) -> None:
            if isinstance(identity, Error):
                world.halt(f"no identity: {identity}")
                return
            world.taken = identity
            process = self.factory(world)
            if world.alive:
                self.process = process
                if self.validates:
                    world.validate = getattr(process, "validate", None)
                self.network.attach(self.address, self._receive)

        try:
            take_identity(world.storage(STORAGE), world.dice("identity"), self.address, ready)
        except Error as error:  # damaged: this disk will never do
            self.lost = True
            self._end(f"no identity: {error}")

    def crash(self, *, power: bool = False) -> None:
        """End the process at once; with `power` the disk forgets, too."""
        self._end("power" if power else "crash")
        if power:
            self.disk.cut_power()

    def halt(self, reason: str) -> None:
        """The process ended by itself; its supervisor starts it again."""
        self._end(reason)
        self.loop.call_after(RESTART_NS, self.start)

    def replace(self) -> None:
        """The host burns down; another one takes its address, with an empty disk. It is not started yet."""
        self._end("lost")
        self.generation += 1
        self.disk = self._fresh_disk()
        self.note("replaced", self.generation)

    def _end(self, why: str) -> None:
        if self.world is None:
            return
        self.note("end", why)
        self.network.detach(self.address)
        world, self.world, self.process = self.world, None, None
        world.end()
        self._backlog.clear()
        self.network.watched.pop(self.address, None)
        self.disk.on_commit = None

    def note(self, what: str, detail: object = None) -> None:
        """One event of the host's life."""
        self.journal.add((self.loop.now_ns, "host", self.address, what, detail))

    # -- what reaches the process ------------------------------------------------------------------

    def _receive(self, source: Address, payload: bytes, datagram: bool) -> None:  # noqa: FBT001 - as sent
        if self.blocked:
            self.put_off(lambda: self._receive(source, payload, datagram))
            return
        process, world = self.process, self.world
        if process is None or world is None:
            return
        if datagram:
            process.on_datagram(source, payload)
        else:
            process.on_frame(source, payload)
        if world.validate is not None:
            world.validate()

    def trace(self, event: str, facts: dict[str, object]) -> None:
        """The process says that something happened."""
        self.journal.add((self.loop.now_ns, "trace", self.address, event, facts))
        if self.watch is not None:
            self.watch(self.address, event, facts)

    # -- pauses and slowness -----------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether what comes now must wait."""
        return bool(self.paused_count or self.slow_ns or self._backlog)

    def put_off(self, call: Callable[[], None]) -> None:
        """Make a call later, after all that was put off before."""
        self._backlog.append(call)
        if len(self._backlog) == 1 and not self.paused_count:
            self.loop.call_after(self.slow_ns, self._work_off, self.world)

    def pause(self) -> None:
        """Stop the process, as SIGSTOP does. Pauses add up."""
        self.paused_count += 1
        self.note("pause")

    def resume(self) -> None:
        """Take one pause away."""
        self.paused_count -= 1
        self.note("resume")
        if self._backlog and not self.paused_count:
            self.loop.call_after(0, self._work_off, self.world)

    def _work_off(self, world: SimWorld | None) -> None:
        """Make the oldest call that was put off; if the host is not slow any more, all of them."""
        if world is not self.world or self.paused_count:
            return
        slow_ns, paused = self.slow_ns, self.paused_count
        backlog, self._backlog = self._backlog, deque()
        self.slow_ns = self.paused_count = 0
        try:
            while backlog and world is self.world:
                backlog.popleft()()
                if slow_ns:
                    break
        finally:
            self.slow_ns, self.paused_count = slow_ns, paused
        if world is self.world:
            backlog.extend(self._backlog)
            self._backlog = backlog
            if backlog:
                self.loop.call_after(slow_ns, self._work_off, world)
