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


@pytest.mark.parametrize(("profile", "seed"), [("default", 0), ("harsh", 1), ("restarts", 2), ("default", 3)])
def test_three_nodes_hold_what_is_promised(profile: str, seed: int) -> None:
    outcome = run(plan_for(SMALL, seed, profile))
    assert outcome.failure is None
    assert outcome.statuses["ok"] > 100


@pytest.mark.parametrize(("profile", "seed"), [("calm", 0), ("default", 1), ("harsh", 2)])
def test_five_nodes_hold_what_is_promised(profile: str, seed: int) -> None:
    assert run(plan_for(SCENARIO, seed, profile)).failure is None


@pytest.mark.parametrize("seed", [2, 5])
def test_both_sides_of_a_cut_serve_puts_and_gets(seed: int) -> None:
    outcome = run(plan_for(f"{VARIANTS}:TwoSides", seed, "lossless"))
    assert outcome.faults["halves"]
    assert outcome.failure is None


@pytest.mark.parametrize("seed", [0, 1, 2, 1022])
def test_hints_alone_make_replicas_equal_after_cuts(seed: int) -> None:
    assert run(plan_for(f"{VARIANTS}:HintsAlone", seed, "harsh")).failure is None


@pytest.mark.parametrize("seed", range(3))
def test_the_later_put_wins_whatever_the_clocks_show(seed: int) -> None:
    assert run(plan_for(f"{VARIANTS}:ClocksApart", seed, "harsh")).failure is None


@pytest.mark.parametrize(("profile", "seed"), [("default", 0), ("default", 1), ("harsh", 1026)])
def test_only_owners_serve_while_the_ring_changes(profile: str, seed: int) -> None:
    running = Run(plan_for(f"{VARIANTS}:RingChanges", seed, profile))
    assert running.finish().outcome.failure is None
    watcher = next(one for one in running.watchers if isinstance(one, OnlyOwners))
    assert len(watcher.decrees) > 10
    assert watcher.served_count > 400


MANY = [
    *[(SMALL, profile) for profile in ("default", "harsh", "restarts")],
    *[(SCENARIO, profile) for profile in ("default", "harsh", "restarts")],
    (f"{VARIANTS}:TwoSides", "lossless"),
    (f"{VARIANTS}:HintsAlone", "harsh"),
    (f"{VARIANTS}:ClocksApart", "harsh"),
    *[(f"{VARIANTS}:RingChanges", profile) for profile in ("default", "harsh")],
]
"""A thousand runs and more, with a hundred seeds each."""


@pytest.mark.deep
@pytest.mark.parametrize(("place", "profile"), MANY)
def test_some_seeds_hold_what_is_promised(place: str, profile: str) -> None:
    for seed in range(10, 14):
        assert run(plan_for(place, seed, profile)).failure is None, seed


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(("place", "profile"), MANY)
def test_many_seeds_hold_what_is_promised(place: str, profile: str) -> None:
    for seed in range(1_000, 1_100):
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
