"""A node's hybrid clock, on a made-up disk, under wall clocks that do as they like."""

from __future__ import annotations

from ringdict.exception import Error
from ringdict.node.clock import COUNTER_BITS
from ringdict.node.config import SKEW_MS_MAX, STAMP_AHEAD_MS
from ringdict.node.replicas.stamper import Stamper
from ringdict.node.world import NS_PER_MS, Address, World
from ringdict.sim.host import Host
from ringdict.sim.simulation import Simulation


class Stamping:
    """A process with a clock."""

    def __init__(self, world: World) -> None:
        self.stamper = Stamper(world, world.storage("consensus"))

    def on_frame(self, _source: Address, _frame: bytes) -> None:
        raise NotImplementedError

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        raise NotImplementedError


class Clocks:
    """One node, and the stamps it gave."""

    def __init__(self) -> None:
        self.simulation = Simulation(seed=1)
        self.host: Host = self.simulation.host("node", Stamping)
        self.simulation.run_for(0.1)
        self.stamps: list[int] = []

    @property
    def stamper(self) -> Stamper:
        process = self.host.process
        assert isinstance(process, Stamping)
        return process.stamper

    def stamp(self, above: int = 0) -> int:
        before = len(self.stamps)

        def then(version: int | Error) -> None:
            assert isinstance(version, int)
            self.stamps.append(version)

        self.stamper.stamp(above, then)
        self.simulation.run_for(0.05)
        self.stamper.validate()
        assert len(self.stamps) == before + 1
        return self.stamps[-1]

    def ahead(self, ms: int) -> int:
        return (self.stamper.now_ms() + ms) << COUNTER_BITS


def test_stamps_and_the_clock_never_run_back() -> None:
    clocks = Clocks()
    for jump_ms in (0, 3_600_000, -7_200_000, 5, -5):
        clocks.host.clock.skew_ns += jump_ms * NS_PER_MS
        before = clocks.stamper.now_ms()
        clocks.stamp()
        assert clocks.stamper.now_ms() >= before
    assert clocks.stamps == sorted(set(clocks.stamps))


def test_no_stamp_is_given_twice_over_a_power_cut() -> None:
    clocks = Clocks()
    for _ in range(20):
        clocks.stamp()
        clocks.host.clock.skew_ns += -100 * NS_PER_MS
        clocks.simulation.crash(clocks.host, power=True)
        clocks.simulation.restart(clocks.host)
        clocks.simulation.run_for(0.02)
    assert clocks.stamps == sorted(set(clocks.stamps))


def test_a_restart_alone_alarms_nobody() -> None:
    clocks = Clocks()
    clocks.stamp()
    clocks.simulation.crash(clocks.host)
    clocks.simulation.restart(clocks.host)
    clocks.simulation.run_for(0.01)
    wall_ms = clocks.host.clock.wall_ns() // NS_PER_MS
    assert clocks.stamper.now_ms() - wall_ms <= STAMP_AHEAD_MS < SKEW_MS_MAX


def test_a_stamp_within_the_skew_moves_the_clock() -> None:
    clocks = Clocks()
    seen = clocks.ahead(300)
    clocks.stamper.see(seen)
    assert clocks.stamp() > seen
    assert clocks.stamper.alarms_count == 0


def test_a_stamp_from_further_ahead_is_alarmed_and_does_not_move_the_clock() -> None:
    clocks = Clocks()
    seen = clocks.ahead(3_600_000)
    clocks.stamper.see(seen)
    assert clocks.stamper.alarms_count == 1
    assert clocks.stamp() < seen
    above = clocks.stamp(seen)
    assert above > seen
    assert clocks.stamp() < seen
    assert clocks.stamp(seen) > above


def test_stamps_beyond_the_clock_are_not_given_twice_either() -> None:
    clocks = Clocks()
    far = clocks.ahead(3_600_000)
    first = clocks.stamp(far)
    clocks.simulation.crash(clocks.host, power=True)
    clocks.simulation.restart(clocks.host)
    clocks.simulation.run_for(0.02)
    assert clocks.stamp(far) > first


def test_many_small_steps_ahead_do_not_add_up() -> None:
    clocks = Clocks()
    for _ in range(50):
        clocks.stamper.see(clocks.ahead(400))
    wall_ms = clocks.host.clock.wall_ns() // NS_PER_MS
    assert clocks.stamper.now_ms() - wall_ms <= SKEW_MS_MAX


def test_after_a_recovery_by_force_all_stamps_are_above_its_floor_also_of_a_slow_clock() -> None:
    clocks = Clocks()
    leap = clocks.stamper.leap()
    assert leap > clocks.stamper.stamp_at_once(0)
    far = leap + ((10 * SKEW_MS_MAX) << COUNTER_BITS)
    for floor in (leap, far):
        clocks.stamper.raise_floor(floor)
        stamps = [clocks.stamper.stamp_at_once(0) for _ in range(3)]
        assert stamps == sorted(set(stamps))
        assert stamps[0] > floor
    clocks.stamper.raise_floor(leap)
    assert clocks.stamper.stamp_at_once(0) > far
