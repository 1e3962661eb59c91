"""Forgetting records of absent keys, in the simulator: the right version holds, and wrong ones are caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringdict.sim.mutant import try_mutant
from ringdict.sim.run import run
from ringdict.sim.scenario import module_of, plan_for

FORGETTING = "ringdict.sim.lockscenario:ForgettingLockScenario"
WRONG = Path(__file__).parent / "purgewrong.py"
MUTANTS = module_of(str(WRONG)).MUTANTS  # type: ignore[attr-defined]


def test_what_is_forgotten_never_returns() -> None:
    assert run(plan_for(FORGETTING, 7, "usurp")).failure is None


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(12))
def test_what_is_forgotten_never_returns_in_more_seeds(seed: int) -> None:
    assert run(plan_for(FORGETTING, seed, "usurp")).failure is None


SLOW = {"PurgedInSpiteOfFormer"}
"""Wrong versions that take a minute to catch."""


@pytest.mark.deep
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.campaign) if name in SLOW else name for name in MUTANTS]
)
def test_every_wrong_version_is_caught(name: str) -> None:
    caught = try_mutant(f"{WRONG}:{name}", name, MUTANTS[name])
    assert caught.as_expected, caught
