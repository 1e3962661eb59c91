"""Whole nodes and clients in a bad world: the right ones hold what is promised, and wrong ones are caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringdict.sim.mutant import try_mutant
from ringdict.sim.run import run
from ringdict.sim.scenario import module_of, plan_for

SCENARIO = "ringdict.sim.clusterscenario:ClusterScenario"
SMALL = "ringdict.sim.clusterscenario:ThreeNodes"
WRONG = Path(__file__).parent / "clusterwrong.py"
MUTANTS = module_of(str(WRONG)).MUTANTS  # type: ignore[attr-defined]


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(5))
def test_three_nodes_hold_what_is_promised(seed: int) -> None:
    outcome = run(plan_for(SMALL, seed, "harsh"))
    assert outcome.failure is None
    assert outcome.statuses["ok"] > 100


@pytest.mark.deep
@pytest.mark.parametrize(("profile", "seed"), [("calm", 0), ("default", 1), ("harsh", 2)])
def test_five_nodes_hold_what_is_promised(profile: str, seed: int) -> None:
    assert run(plan_for(SCENARIO, seed, profile)).failure is None


@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MUTANTS)
def test_every_wrong_version_of_a_node_is_caught(name: str) -> None:
    caught = try_mutant(f"{WRONG}:{name}", name, MUTANTS[name])
    assert caught.as_expected, caught
