"""A made-up world with hosts in it, and its verbs. Everything in it follows from one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from ..node.world import NS_PER_S, Address, Factory
from .config import EVENTS_MAX, SLICE_NS
from .host import Host
from .journal import Journal
from .loop import Loop
from .network import Network, Noise


class Simulation:
    """Loop, network, hosts and journal.

    A test that wants one particular story builds one and tells it:

        simulation = Simulation(seed=1)
        nodes = [simulation.host(f"n{number}", make_node) for number in range(3)]
        simulation.run_for(1.0)
        with simulation.network.partition({"n0"}, {"n1", "n2"}):
            simulation.run_for(5.0)
    """

    def __init__(self, seed: int | str, noise: Noise | None = None, keep: range = range(0)) -> None:
        self.seed = seed
        self.loop = Loop()
        self.journal = Journal(keep)
        self.network = Network(self.loop, self.journal, seed, noise or Noise())
        self.hosts: dict[Address, Host] = {}

    def host(self, address: str, factory: Factory, *, start: bool = True) -> Host:
        """Add a host, and start its process."""
        name = Address(address)
        assert name not in self.hosts
        host = Host(self.loop, self.journal, self.network, self.seed, name, factory)
        self.hosts[name] = host
        if start:
            self.loop.call_after(0, host.start)
        return host

    def dice(self, purpose: str) -> Random:
        """Random numbers for something outside of all hosts."""
        return Random(f"{self.seed}/{purpose}")

    def run_for(self, span_s: float) -> None:
        """Let that much virtual time pass."""
        self.run_until(self.loop.now_ns + int(span_s * NS_PER_S))

    def run_until(self, end_ns: int) -> None:
        """Let time pass up to that instant."""
        loop, journal = self.loop, self.journal
        while loop.now_ns < end_ns and not loop.stopped:
            loop.run_until(min(end_ns, loop.now_ns + SLICE_NS))
            journal.fold()
            assert loop.steps_count < EVENTS_MAX, "a run that has no end"

    # -- verbs for crashes -------------------------------------------------------------------------

    def crash(self, host: Host, *, power: bool = False) -> None:
        """End a process and keep it down until `restart`."""
        host.down_count += 1
        host.crash(power=power)

    def restart(self, host: Host) -> None:
        """Take one crash back; the process starts if none is left."""
        host.down_count -= 1
        host.start()

    def crash_after_send(self, host: Host, then: Callable[[], None]) -> None:
        """End the process right after the next message it sends; then make a call."""

        def now() -> None:
            self.crash(host)
            then()

        if host.up:
            self.network.watched[host.address] = now

    def crash_before_sync(self, host: Host, then: Callable[[], None], *, power: bool) -> None:
        """End the process, or the power, between its next commit and the sync of it; then make a call.

        Neither happens if the process ends before.
        """

        def soon(within_ns: int) -> None:
            delay_ns = host.disk.dice.randrange(within_ns)
            self.loop.call_after(delay_ns, now, host.world)

        def now(world: object) -> None:
            if world is not None and world is host.world:
                self.crash(host, power=power)
                then()

        if host.up:
            host.disk.on_commit = soon

    def cut_power(self, hosts: Iterable[Host]) -> None:
        """All these hosts lose power at the same instant."""
        for host in hosts:
            self.crash(host, power=True)
