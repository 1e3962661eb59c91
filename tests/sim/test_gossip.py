"""Gossip on the seam, in the simulator: seeds of faults, crowds, and wrong versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringdict.node.world import NS_PER_S, Address
from ringdict.sim.gossipnode import GossipNode
from ringdict.sim.mutant import Mutant, try_mutant
from ringdict.sim.run import run
from ringdict.sim.scenario import plan_for
from ringdict.sim.simulation import Simulation

from .gossipwrong import MUTANTS, GivesUpNode

PLACE = "ringdict.sim.gossipscenario:GossipScenario"
WRONG = Path(__file__).parent / "gossipwrong.py"


def play(seed: int, profile: str = "default") -> None:
    outcome = run(plan_for(PLACE, seed, profile))
    assert outcome.failure is None, f"seed {seed}: {outcome.failure}"


def test_all_faults_end_before_the_calm() -> None:
    plan = plan_for(PLACE, 3)
    assert plan.heal_ns == 60 * NS_PER_S
    assert plan.core == tuple(range(7))
    assert plan.faults
    assert all(fault.end_ns <= plan.heal_ns for fault in plan.faults)


def test_after_all_faults_all_agree() -> None:
    outcome = run(plan_for(PLACE, 0, size=(3, 0, 110.0)))
    assert outcome.failure is None


@pytest.mark.deep
@pytest.mark.parametrize("profile", ["default", "harsh", "restarts"])
def test_after_all_faults_all_agree_in_many_ways(profile: str) -> None:
    for seed in range(1, 3):
        play(seed, profile)


@pytest.mark.campaign
@pytest.mark.parametrize("block", range(20))
@pytest.mark.timeout(900)
def test_after_all_faults_all_agree_over_a_thousand_seeds(block: int) -> None:
    for seed in range(50 * block, 50 * block + 50):
        play(seed)


@pytest.mark.deep
@pytest.mark.parametrize(("name", "mutant"), MUTANTS.items())
def test_wrong_versions_are_caught(name: str, mutant: Mutant) -> None:
    caught = try_mutant(f"{WRONG}:{name}", name, mutant)
    assert caught.as_expected, caught


def heals(kind: type[GossipNode]) -> bool:
    """Whether two sides that held each other for dead for a minute find each other again."""
    simulation = Simulation(2)
    names = [Address(f"n{number}") for number in range(6)]
    hosts = [simulation.host(name, lambda world: kind(world, names[:1], insecure=True)) for name in names]
    simulation.run_for(5.0)
    nodes = [host.process for host in hosts if isinstance(host.process, GossipNode)]
    with simulation.network.partition(names[:3], names[3:]):
        simulation.run_for(60.0)
        assert all(node.gossiping.status()["live_count"] == 3 for node in nodes)
    simulation.run_for(20.0)
    return all(node.gossiping.status()["live_count"] == 6 for node in nodes)


@pytest.mark.deep
def test_a_cut_of_a_minute_heals_and_does_not_if_the_dead_are_given_up() -> None:
    assert heals(GossipNode)
    assert not heals(GivesUpNode)


@pytest.mark.deep
def test_a_hundred_that_start_at_once_agree_within_seconds() -> None:
    simulation = Simulation(1)
    names = [Address(f"n{number}") for number in range(100)]
    hosts = [
        simulation.host(name, lambda world: GossipNode(world, names[:3], insecure=True)) for name in names
    ]
    simulation.run_for(8.0)
    nodes = [host.process for host in hosts]
    digests = {node.gossiping.digest for node in nodes if isinstance(node, GossipNode)}
    assert len(digests) == 1
    assert all(isinstance(node, GossipNode) and len(node.gossiping.members()) == 100 for node in nodes)
