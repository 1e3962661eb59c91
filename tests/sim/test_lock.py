"""The core of atomic operations in the simulator: the right one holds, and wrong ones are caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringdict.sim.batch import Batch, Sum, run_batch
from ringdict.sim.mutant import try_mutant
from ringdict.sim.run import run
from ringdict.sim.scenario import module_of, plan_for

PLACE = "ringdict.sim.lockscenario:LockScenario"
WRONG = Path(__file__).parent / "lockwrong.py"
MUTANTS = module_of(str(WRONG)).MUTANTS  # type: ignore[attr-defined]


@pytest.mark.deep
@pytest.mark.parametrize("profile", ["calm", "default", "harsh", "bridge", "power", "restarts"])
def test_the_right_core_holds(profile: str) -> None:
    total = Sum()
    for outcome in run_batch(Batch(PLACE, range(4), profile), jobs=1):
        total.add(outcome)
    assert [(failed.plan.seed, failed.failure) for failed in total.failures] == []
    assert total.statuses["ok"] > 50


@pytest.mark.deep
@pytest.mark.parametrize("name", MUTANTS)
def test_every_wrong_version_is_caught(name: str) -> None:
    caught = try_mutant(f"{WRONG}:{name}", name, MUTANTS[name])
    assert caught.as_expected, caught


@pytest.mark.deep
@pytest.mark.parametrize(("seed", "profile"), [(11, "default"), (7, "bridge")])
def test_a_client_forgets_a_ballot_that_nobody_answers_for(seed: int, profile: str) -> None:
    assert run(plan_for(PLACE, seed, profile)).failure is None
