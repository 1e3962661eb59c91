"""Whole nodes and clients in a bad world: the right ones hold what is promised, and wrong ones are caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringdict.sim.clusterwatch import OnlyOwners
from ringdict.sim.mutant import try_mutant
from ringdict.sim.run import Run, run
from ringdict.sim.scenario import module_of, plan_for

SCENARIO = "ringdict.sim.clusterscenario:ClusterScenario"
SMALL = "ringdict.sim.clusterscenario:ThreeNodes"
VARIANTS = "ringdict.sim.clustervariants"
WRONG = Path(__file__).parent / "clusterwrong.py"
MUTANTS = module_of(str(WRONG)).MUTANTS  # type: ignore[attr-defined]
DEEP = ("AckFirst", "ForgetsHints", "IgnoresEpoch", "MajorityOnly")


@pytest.mark.parametrize(("profile", "seed"), [("default", 0), ("harsh", 1)])
def test_three_nodes_hold_what_is_promised(profile: str, seed: int) -> None:
    outcome = run(plan_for(SMALL, seed, profile))
    assert outcome.failure is None
    assert outcome.statuses["ok"] > 100


@pytest.mark.deep
@pytest.mark.parametrize(("profile", "seed"), [("calm", 0), ("default", 1), ("harsh", 2)])
def test_five_nodes_hold_what_is_promised(profile: str, seed: int) -> None:
    assert run(plan_for(SCENARIO, seed, profile)).failure is None


@pytest.mark.deep
@pytest.mark.parametrize("seed", [5, 9])
def test_both_sides_of_a_cut_serve_puts_and_gets(seed: int) -> None:
    outcome = run(plan_for(f"{VARIANTS}:TwoSides", seed))
    assert outcome.faults["halves"]
    assert outcome.failure is None


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(3))
def test_hints_alone_make_replicas_equal_after_cuts(seed: int) -> None:
    assert run(plan_for(f"{VARIANTS}:HintsAlone", seed, "harsh")).failure is None


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(2))
def test_only_owners_serve_while_the_ring_changes(seed: int) -> None:
    running = Run(plan_for(f"{VARIANTS}:RingChanges", seed))
    assert running.finish().outcome.failure is None
    watcher = next(one for one in running.watchers if isinstance(one, OnlyOwners))
    assert len(watcher.decrees) > 20
    assert watcher.served_count > 500


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("profile", ["default", "harsh"])
@pytest.mark.parametrize("place", [SMALL, SCENARIO, f"{VARIANTS}:TwoSides", f"{VARIANTS}:RingChanges"])
def test_many_seeds_hold_what_is_promised(place: str, profile: str) -> None:
    for seed in range(10, 210):
        assert run(plan_for(place, seed, profile)).failure is None, seed


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each, marks=pytest.mark.deep if each in DEEP else pytest.mark.campaign)
        for each in MUTANTS
    ],
)
def test_every_wrong_version_of_a_node_is_caught(name: str) -> None:
    caught = try_mutant(f"{WRONG}:{name}", name, MUTANTS[name])
    assert caught.as_expected, caught
