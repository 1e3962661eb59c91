"""Epochs under every fault: the right ones hold, and every wrong version is caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringdict.sim.batch import Batch, Sum, run_batch
from ringdict.sim.mutant import try_mutant
from ringdict.sim.scenario import module_of

SCENARIO = "ringdict.sim.epochscenario:"
WRONG = Path(__file__).parent / "wrongepochs.py"
MUTANTS = module_of(str(WRONG)).MUTANTS  # type: ignore[attr-defined]


def sum_of(batch: Batch) -> Sum:
    total = Sum()
    for outcome in run_batch(batch, jobs=1):
        total.add(outcome)
    return total


@pytest.mark.parametrize(
    ("name", "profile", "count"),
    [
        ("EpochScenario", "calm", 1),
        ("EpochScenario", "default", 3),
        ("EpochScenario", "bridge", 1),
        ("EpochScenario", "power", 1),
        ("FourNodes", "default", 2),
        ("TwoClusters", "default", 2),
        ("ForcedFourNodes", "default", 3),
    ],
)
def test_epochs_hold(name: str, profile: str, count: int) -> None:
    total = sum_of(Batch(SCENARIO + name, range(count), profile))
    assert [(failed.plan.seed, failed.failure) for failed in total.failures] == []
    assert total.statuses["ok"] > 5 * count


@pytest.mark.deep
@pytest.mark.parametrize("profile", ["default", "harsh", "restarts"])
@pytest.mark.parametrize("name", ["EpochScenario", "FourNodes"])
def test_epochs_hold_for_long(name: str, profile: str) -> None:
    total = sum_of(Batch(SCENARIO + name, range(100, 104), profile))
    assert [(failed.plan.seed, failed.failure) for failed in total.failures] == []


SLOW = {"Hasty", "LiveMajority", "EitherOfTwo", "Stuck"}
"""Caught after some seeds only."""


@pytest.mark.untraced
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.deep] if name in SLOW else []) for name in MUTANTS]
)
def test_every_wrong_version_is_caught(name: str) -> None:
    caught = try_mutant(f"{WRONG}:{name}", name, MUTANTS[name])
    assert caught.as_expected, caught
