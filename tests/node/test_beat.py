"""When a node does what it does again and again."""

from __future__ import annotations

import pytest

from ringdict.node.beat import until_beat_ns
from ringdict.node.world import NS_PER_S, Address, World
from ringdict.sim.simulation import Simulation


class Idle:
    """A process that does nothing."""

    def __init__(self, world: World) -> None:
        self.world = world

    def on_frame(self, _source: Address, _frame: bytes) -> None: ...

    def on_datagram(self, _source: Address, _datagram: bytes) -> None: ...


def started(simulation: Simulation, name: str) -> World:
    host = simulation.host(name, Idle)
    simulation.run_for(0.1)
    assert isinstance(host.process, Idle)
    return host.process.world


@pytest.mark.parametrize("interval_ns", [NS_PER_S // 8, NS_PER_S // 4, 2 * NS_PER_S])
def test_beats_come_an_interval_apart_and_lateness_does_not_add_up(interval_ns: int) -> None:
    simulation = Simulation(seed=1)
    world = started(simulation, "a")
    simulation.run_for(until_beat_ns(world, interval_ns) / NS_PER_S)
    late_ns = interval_ns - until_beat_ns(world, interval_ns)
    assert late_ns < NS_PER_S // 1_000
    simulation.run_for(interval_ns * 0.3 / NS_PER_S)
    assert until_beat_ns(world, interval_ns) == pytest.approx(interval_ns * 0.7, abs=NS_PER_S // 500)


def test_what_is_done_more_seldom_has_company() -> None:
    world = started(Simulation(seed=1), "a")
    seldom_ns, often_ns = until_beat_ns(world, 2 * NS_PER_S), until_beat_ns(world, NS_PER_S // 8)
    assert (seldom_ns - often_ns) % (NS_PER_S // 8) == 0


def test_each_node_has_beats_of_its_own() -> None:
    simulation = Simulation(seed=1)
    first, second = started(simulation, "a"), started(simulation, "b")
    assert until_beat_ns(first, NS_PER_S) != until_beat_ns(second, NS_PER_S)
