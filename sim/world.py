"""The made-up world as one process sees it. Keeps the contract of `World` (node/world.py)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from ..node.config import PAGE_SHOWN_BYTES_MAX
from ..node.disk.durability import Durability
from ..node.world import Address, Identity
from .disk import SimStorage

if TYPE_CHECKING:
    from .host import Host


class SimTimer:
    """A call that is yet to come."""

    __slots__ = ("callback", "due_ns", "world")

    def __init__(self, world: SimWorld, callback: Callable[[], None], due_ns: int) -> None:
        self.world = world
        self.callback: Callable[[], None] | None = callback
        #: By the host's own clock.
        self.due_ns = due_ns

    def cancel(self) -> None:
        self.callback = None

    def fire(self) -> None:
        """The instant has come, by the clock's rate when the timer was set."""
        callback, world = self.callback, self.world
        if callback is None or not world.alive:
            return
        host = world.host
        if host.blocked:
            host.put_off(self.fire)
            return
        early_ns = self.due_ns - host.clock.now_ns()
        if early_ns > 0:  # the clock was slowed down meanwhile
            host.loop.call_after(host.clock.true_ns(early_ns), self.fire)
            return
        self.callback = None
        host.journal.add((host.loop.now_ns, "timer", host.address))
        callback()
        if world.validate is not None:
            world.validate()


class SimWorld:
    """One process, from its start to its end."""

    def __init__(self, host: Host, boot_name: str) -> None:
        self.host = host
        self.alive = True
        self.taken: Identity | None = None
        #: The process's own look at its invariants; None: it has none, or nobody wants it.
        self.validate: Callable[[], None] | None = None
        self.storages: dict[str, SimStorage] = {}
        #: What the process showed last to clients on its host.
        self.page = b""
        #: What else has to be done then (sim/shellhost.py).
        self.on_end: Callable[[], object] = lambda: None
        self._boot_name = boot_name
        self._dice: dict[str, Random] = {}
        self._address = host.address
        self._network = host.network
        self._clock = host.clock
        self._loop = host.loop

    @property
    def identity(self) -> Identity:
        assert self.taken is not None
        return self.taken

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def wall_ns(self) -> int:
        return self._clock.wall_ns()

    def call_after(self, delay_ns: int, callback: Callable[[], None]) -> SimTimer:
        clock = self._clock
        timer = SimTimer(self, callback, clock.now_ns() + delay_ns)
        if self.alive:
            self._loop.call_after(clock.true_ns(delay_ns), timer.fire)
        return timer

    def send(self, to: Address, frame: bytes) -> None:
        if self.alive:
            self._network.send(self._address, to, frame, datagram=False)

    def send_datagram(self, to: Address, datagram: bytes) -> None:
        if self.alive:
            self._network.send(self._address, to, datagram, datagram=True)

    def storage(self, name: str, durability: Durability = Durability.FSYNC) -> SimStorage:
        storage = self.storages.get(name)
        if storage is None:
            storage = SimStorage(self.host.disk, name, durability, lambda: self.alive)
            self.storages[name] = storage
        return storage

    def publish(self, page: bytes) -> None:
        assert len(page) <= PAGE_SHOWN_BYTES_MAX
        if self.alive:
            self.page = page

    def dice(self, purpose: str) -> Random:
        dice = self._dice.get(purpose)
        if dice is None:
            dice = self._dice[purpose] = Random(f"{self._boot_name}/{purpose}")
        return dice

    def trace(self, event: str, **facts: object) -> None:
        if self.alive:
            self.host.trace(event, facts)

    def halt(self, reason: str) -> None:
        if self.alive:
            self.host.halt(reason)

    def end(self) -> None:
        """The process is no more."""
        self.alive = False
        for storage in self.storages.values():
            storage.die()
        self.on_end()
