"""Whatever befalls them, replicas are equal soon after it is over; and the tests would notice if not.

Each wrong version below is one that somebody has shipped, or could.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from ringdict.node.replicas import convergence
from ringdict.node.replicas import replica as replica_module
from ringdict.node.replicas.comparison import Comparison
from ringdict.node.replicas.convergence import Convergence
from ringdict.node.replicas.rank import stamp_of
from ringdict.node.replicas.stretch import partition_at
from ringdict.node.replicas.tally import Tallies
from ringdict.sim.host import Host
from ringdict.sim.network import Noise

from .replicas import Cluster, row

HEAL_S = 10.0
"""So soon after the last fault replicas are equal, hints lost or not."""
SEEDS = range(4)
MORE_SEEDS = range(4, 24)
NODES = 5


class Trial:
    """One run: writes everywhere, faults all the time, then ten seconds of peace."""

    def __init__(self, seed: int, hinted: float, make: type[Cluster] = Cluster) -> None:
        self.dice = random.Random(seed)
        noisy = self.dice.random() < 0.5
        noise = Noise(loss=0.02, duplication=0.05, replay=0.03, late=0.02) if noisy else Noise()
        self.cluster = make(NODES, seed, noise)
        #: How many of the writes get a hint where they are missed.
        self.hinted = hinted
        self.power_cuts = seed % 2 == 1
        self.version = 10
        self.mend: Callable[[], None] = lambda: None

    def run(self) -> None:
        """All of it, to the end: AssertionError if not all is well then."""
        for _ in range(10):
            self.mend()
            self.mend = self.befall()
            for _ in range(self.dice.randrange(8)):
                self.version += 1
                for _ in range(self.dice.randrange(1, 12)):
                    self.write()
                self.cluster.run_for(self.dice.random() * 0.3)
        self.mend()
        self.cluster.simulation.network.noise = Noise()
        self.cluster.run_for(HEAL_S)
        self.cluster.assert_equal()
        there = {place: raw for member in self.cluster for place, raw in member.contents().items()}
        assert self.cluster.acknowledged.keys()
        if not self.power_cuts:  # what one node alone had, and not yet on disk, is lost with its power
            assert self.cluster.acknowledged.items() <= there.items()

    def write(self) -> None:
        """One write or touch by one of its owners that runs, whatever its clock."""
        version = self.version - self.dice.randrange(3)
        touch = self.version * 10 + self.dice.randrange(10) if self.dice.random() < 0.3 else 0
        some = row(b"%d" % self.dice.randrange(60), version, b"%d" % version, node=version % 5, touch=touch)
        up = [host for host in self.cluster.hosts if host.up]
        for host in self.dice.sample(up, len(up)):
            member = self.cluster.members[host.address]
            if member.view.keeps(partition_at(some[0])):
                member.write(some, hint=self.dice.random() < self.hinted)
                return

    def befall(self) -> Callable[[], None]:
        """Let one thing go wrong; how to mend it."""
        simulation, dice = self.cluster.simulation, self.dice
        victim = dice.choice(self.cluster.hosts)
        kind = dice.randrange(5)
        if kind == 0:
            return self.cut(dice.sample(self.cluster.hosts, dice.randrange(1, 3)))
        if kind == 1:
            victim.pause()
            return victim.resume
        simulation.crash(victim)
        if kind == 2:
            victim.disk.volumes.pop("hints", None)
        elif kind == 3 and self.power_cuts:
            victim.disk.cut_power()
        return lambda: simulation.restart(victim)

    def cut(self, side: Sequence[Host]) -> Callable[[], None]:
        """Cut some off from the others, one way or both."""
        network = self.cluster.simulation.network
        pairs = [(one.address, two.address) for one in side for two in self.cluster.hosts if two not in side]
        if self.dice.random() < 0.8:
            pairs += [(two, one) for one, two in pairs]
        for pair in pairs:
            network.cut(*pair)

        def mend() -> None:
            for pair in pairs:
                network.mend(*pair)

        return mend


@pytest.mark.parametrize("seed", SEEDS)
def test_replicas_are_equal_ten_seconds_after_the_last_fault(seed: int) -> None:
    Trial(seed, hinted=0.7).run()


@pytest.mark.deep
@pytest.mark.parametrize("seed", MORE_SEEDS)
def test_replicas_are_equal_ten_seconds_after_the_last_fault_also_here(seed: int) -> None:
    Trial(seed, hinted=seed % 3 / 2).run()


# -- wrong versions ----------------------------------------------------------------------------------


def last_heard_wins(entry: bytes, standing: bytes) -> bool:
    return entry != standing


def touch_first(entry: bytes, standing: bytes) -> bool:
    version, node, touch = stamp_of(entry)
    old_version, old_node, old_touch = stamp_of(standing)
    return (touch, version, node) > (old_touch, old_version, old_node)


def node_left_out(entry: bytes, standing: bytes) -> bool:
    return stamp_of(entry)[0] > stamp_of(standing)[0]


class Deaf(Convergence):
    """Compares at the start of a ring and never again."""

    def _ended(self, peer: object, whole: bool) -> None:
        super()._ended(peer, whole)  # type: ignore[arg-type]
        peer.due_ns = 1 << 62  # type: ignore[attr-defined]


class Lame(Comparison):
    """Leaves out the first entry that it lacks."""

    def _pull(self, partition: int, places: list[bytes], then: Callable[[], None]) -> None:
        super()._pull(partition, places[1:], then)


def of(**parts: type) -> type[Cluster]:
    return type("Wrong", (Cluster,), parts)


@pytest.mark.deep
@pytest.mark.parametrize("wrong", [last_heard_wins, touch_first, node_left_out])
def test_a_wrong_merge_is_noticed(
    wrong: Callable[[bytes, bytes], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_module, "beats", wrong)
    assert caught(Cluster)


@pytest.mark.deep
def test_who_compares_only_once_is_noticed() -> None:
    assert caught(of(convergence=Deaf))


@pytest.mark.deep
def test_a_comparison_that_leaves_something_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convergence, "Comparison", Lame)
    assert caught(Cluster)


@pytest.mark.deep
def test_a_sum_that_says_nothing_of_values_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(self: Tallies, changes: Sequence[tuple[bytes, bytes | None, bytes]]) -> None:
        original(self, [each for each in changes if each[1] is None])

    original = Tallies.change
    monkeypatch.setattr(Tallies, "change", change)
    assert caught(Cluster)


def caught(make: type[Cluster]) -> bool:
    """Whether a wrong version fails within a few seeds."""
    for seed in range(12):
        try:
            Trial(seed, hinted=0.5, make=make).run()
        except AssertionError:
            return True
    return False
