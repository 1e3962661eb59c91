"""Three ways to run the same processes: in a made-up world, on real sockets and disks, and under the real
shell in virtual time. A test says what is to run and until when; one `play` is one boot of every process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import trio

from ringdict.node.network.sockets import free_address
from ringdict.node.network.switchboard import Credentials
from ringdict.node.trioworld import real_surroundings, run_process
from ringdict.node.world import Address, Factory, Process, World
from ringdict.sim.shellhost import ShellHost, shell_host
from ringdict.sim.shellnetwork import ShellNetwork
from ringdict.sim.simulation import Simulation
from ringdict.sim.trioclock import SimClock
from ringdict.sim.triodeterminism import deterministic_trio

WAIT_S_MAX = 20.0


class Worlds(Protocol):
    """Where processes run."""

    def address(self, name: str) -> Address: ...

    def play(self, factories: dict[str, Factory], until: Callable[[], bool]) -> None:
        """Start all, wait until it is so, end all as a crash does. Fails if it does not come to be so."""
        ...

    def fill_disk(self, name: str, *, full: bool) -> None:
        """Let the disk take nothing more; where that is real, the test's own limits do it."""
        ...


class Made:
    """Tier 1."""

    def __init__(self) -> None:
        self.simulation = Simulation(seed=7)
        self.factories: dict[str, Factory] = {}

    def address(self, name: str) -> Address:
        return Address(name)

    def play(self, factories: dict[str, Factory], until: Callable[[], bool]) -> None:
        hosts = []
        for name, factory in factories.items():
            host = self.simulation.hosts.get(Address(name)) or self.simulation.host(
                name, factory, start=False
            )
            host.factory = factory
            host.start()
            hosts.append(host)
        for _ in range(int(WAIT_S_MAX * 100)):
            if until():
                break
            self.simulation.run_for(0.01)
        assert until()
        for host in hosts:
            host.crash()
            host.lost = False
        self.simulation.run_for(0.0)

    def fill_disk(self, name: str, *, full: bool) -> None:
        self.simulation.hosts[Address(name)].disk.full = full


class Real:
    """Sockets, threads, LMDB; with epoll where there is one, or without."""

    def __init__(self, folder: Path, *, plain: bool = False) -> None:
        self.plain = plain
        self.folder = folder
        self.addresses: dict[str, Address] = {}

    def address(self, name: str) -> Address:
        return self.addresses.setdefault(name, free_address())

    def play(self, factories: dict[str, Factory], until: Callable[[], bool]) -> None:
        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for name, factory in factories.items():
                    around = real_surroundings(
                        Credentials(self.address(name)), self.folder / name, plain=self.plain
                    )
                    nursery.start_soon(run_process, factory, around)
                with trio.move_on_after(WAIT_S_MAX):
                    while not until():  # noqa: ASYNC110 - anything may be waited for
                        await trio.sleep(0.002)
                nursery.cancel_scope.cancel()

        trio.run(main)
        assert until()

    def fill_disk(self, name: str, *, full: bool) -> None:
        pass


class Shell:
    """Tier 2."""

    def __init__(self) -> None:
        self.simulation = Simulation(seed=7)
        self.hosts: dict[str, ShellHost] = {}

    def address(self, name: str) -> Address:
        return Address(name)

    def play(self, factories: dict[str, Factory], until: Callable[[], bool]) -> None:
        clock = SimClock(self.simulation.loop)
        network = ShellNetwork(self.simulation, clock)
        errors: list[BaseException] = []

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(network.deliver_mail)
                for name, factory in factories.items():
                    if name not in self.hosts:
                        self.hosts[name] = shell_host(self.simulation, Address(name), factory)
                    host = self.hosts[name]
                    host.factory, host.nursery, host.network_of_shells = factory, nursery, network
                    host.on_error = errors.append
                    host.start()
                for _ in range(int(WAIT_S_MAX * 100)):
                    if until() or errors:
                        break
                    await trio.sleep(0.01)
                for name in factories:
                    self.hosts[name].crash()
                clock.ended = True
                nursery.cancel_scope.cancel()

        with deterministic_trio(7):
            trio.run(main, clock=clock)
        if errors:
            raise errors[0]
        assert until()

    def fill_disk(self, name: str, *, full: bool) -> None:
        self.simulation.hosts[Address(name)].disk.full = full


class Scripted:
    """A process for tests: what it does at its start, and with what comes, is handed in."""

    def __init__(
        self,
        world: World,
        start: Callable[[World], Any] = lambda _: None,
        frame: Callable[[World, Address, bytes], Any] = lambda *_: None,
        datagram: Callable[[World, Address, bytes], Any] = lambda *_: None,
    ) -> None:
        self.world = world
        self._frame = frame
        self._datagram = datagram
        start(world)

    def on_frame(self, source: Address, frame: bytes) -> None:
        self._frame(self.world, source, frame)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self._datagram(self.world, source, datagram)


def scripted(**script: Callable[..., Any]) -> Factory:
    def make(world: World) -> Process:
        return Scripted(world, **script)

    return make
