"""Tier 2: the processes of a simulation under their real shell, `TrioWorld`, in virtual time.

A crash is not a cancellation: the world is fenced first, so that nothing that runs while tasks unwind can be
seen by anybody; then they are cancelled.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..exception import Error, StoreDamagedError
from ..node.disk.durability import Durability
from ..node.network.switchboard import Credentials
from ..node.network.turn import Home
from ..node.trioworld import Surroundings, TrioWorld, run_process
from ..node.world import Address, Changes, Done, Factory, Process, World
from .disk import SimStorage
from .host import Host
from .shellnetwork import MemoryTransport, ShellNetwork
from .simulation import Simulation
from .world import SimWorld


class ShellStorage(SimStorage):
    """A simulated storage whose process is told by a task what became of a commit."""

    def __init__(self, world: SimWorld, name: str, durability: Durability, network: ShellNetwork) -> None:
        self._world = world
        self._network = network
        super().__init__(world.host.disk, name, durability, lambda: world.alive)

    def commit(self, changes: Changes, done: Done) -> None:
        def tell(error: Error | None) -> None:
            if self._world.alive:
                done(error)

        super().commit(changes, lambda error: self._network.post(lambda: tell(error)))

    def close(self) -> None:
        """Nothing to give back: what was not told is never told, since its world is dead."""


class ShellHost(Host):
    """A host whose process runs under `run_process`."""

    network_of_shells: ShellNetwork
    nursery: trio.Nursery
    on_error: Callable[[BaseException], None]

    def start(self) -> None:
        if self.down_count or self.lost or self.world is not None:
            return
        self.starts_count += 1
        world = SimWorld(self, f"{self.seed}/{self.address}/{self.generation}/{self.starts_count}")
        self.world = world
        self.note("start", self.starts_count)
        self.network_of_shells.clock.woken = True
        self.nursery.start_soon(self._run, world)

    async def _run(self, world: SimWorld) -> None:
        """One boot. `world` is what the host's own machinery knows of it: alive, storages, dice."""
        transport = MemoryTransport(self.network_of_shells, self.address, lambda: world.alive)
        world.on_end = transport.close

        def open_storage(name: str, durability: Durability, _home: Home) -> ShellStorage:
            storage = ShellStorage(world, name, durability, self.network_of_shells)
            world.storages[name] = storage
            return storage

        surroundings = Surroundings(
            Credentials(self.address), transport, open_storage, self.clock, world.dice,
            lambda event, facts: self.trace(event, facts) if world.alive else None,
        )  # fmt: skip

        def factory(shell: World) -> Process:
            assert isinstance(shell, TrioWorld)

            def end() -> None:
                shell.end()
                transport.close()

            world.on_end = end
            self.process = self.factory(shell)
            return Watched(self, self.process)

        reason: str | None = None
        try:
            if world.alive:
                with trio.CancelScope() as scope:

                    def end() -> None:
                        scope.cancel()
                        transport.close()

                    world.on_end = end
                    reason = await run_process(factory, surroundings)
        except Exception as error:  # noqa: BLE001 - whatever a process raises is a finding
            if self.process is None and isinstance(leaf(error), StoreDamagedError):
                self.lost = True  # no identity: this disk will never do
                self._end(str(leaf(error)))
            else:
                self.on_error(error)
            return
        if world.alive and reason is not None:
            self.halt(reason)


def leaf(error: BaseException) -> BaseException:
    """What is inside of exception groups: the first of all."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class Watched:
    """A process whose invariants are looked at after every frame, and which a pause keeps frames from."""

    def __init__(self, host: ShellHost, process: Process) -> None:
        self._host = host
        self._process = process
        self._validate: Callable[[], None] | None = getattr(process, "validate", None)

    def on_frame(self, source: Address, frame: bytes, /) -> None:
        if self._host.blocked:
            self._host.put_off(lambda: self._tell(self._process.on_frame, source, frame))
        else:
            self._tell(self._process.on_frame, source, frame)

    def on_datagram(self, source: Address, datagram: bytes, /) -> None:
        if self._host.blocked:
            self._host.put_off(lambda: self._tell(self._process.on_datagram, source, datagram))
        else:
            self._tell(self._process.on_datagram, source, datagram)

    def _tell(self, told: Callable[[Address, bytes], None], source: Address, payload: bytes) -> None:
        if self._host.process is self._process:
            self._host.frames_count += 1
            told(source, payload)
            if self._validate is not None:
                self._validate()


def shell_host(simulation: Simulation, address: Address, factory: Factory) -> ShellHost:
    """Add a host to a simulation; it is started once its nursery is there."""
    host = ShellHost(
        simulation.loop, simulation.journal, simulation.network, simulation.seed, address, factory
    )
    simulation.hosts[address] = host
    return host
