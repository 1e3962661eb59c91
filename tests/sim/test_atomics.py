"""Whole nodes and clients that decide, in a bad world: the right ones hold, and wrong ones are caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringdict.sim.mutant import try_mutant
from ringdict.sim.run import run
from ringdict.sim.scenario import module_of, plan_for

THREE = "ringdict.sim.atomicscenario:AtomicThree"
CHANGES = "ringdict.sim.atomicscenario:AtomicRingChanges"
WRONG = Path(__file__).parent / "atomicwrong.py"
MUTANTS = module_of(str(WRONG)).MUTANTS  # type: ignore[attr-defined]
FEW = ("Hasty", "AskedAnew")
"""Wrong versions that are tried each time."""


@pytest.mark.parametrize(("profile", "seed"), [("default", 0), ("harsh", 1), ("bridge", 2)])
def test_three_nodes_decide_each_thing_once(profile: str, seed: int) -> None:
    outcome = run(plan_for(THREE, seed, profile))
    assert outcome.failure is None
    assert outcome.statuses["ok"] > 100


@pytest.mark.parametrize(("profile", "seed"), [("default", 0), ("harsh", 1)])
def test_they_do_while_the_ring_changes(profile: str, seed: int) -> None:
    assert run(plan_for(CHANGES, seed, profile)).failure is None


def test_a_release_that_may_have_been_done_is_not_said_to_have_failed() -> None:
    """Its answer was lost, it was asked for anew, and then no majority was there: "nothing happened"."""
    assert run(plan_for(THREE, 3, "default")).failure is None


def test_a_disk_that_is_full_when_a_dict_is_cleared_ends_no_node() -> None:
    """What a clear changes beside entries was taken for entries, of partitions that there are none of."""
    assert run(plan_for(THREE, 4, "default")).failure is None


def test_who_stored_something_that_was_taken_is_not_told_that_he_stored_nothing() -> None:
    """Another's value stood there by the time that the first answer was given up: "somebody else's"."""
    assert run(plan_for(THREE, 8, "default")).failure is None


MANY = [(place, profile) for place in (THREE, CHANGES) for profile in ("default", "harsh", "bridge")]


@pytest.mark.deep
@pytest.mark.parametrize(("place", "profile"), MANY)
def test_some_seeds_hold(place: str, profile: str) -> None:
    for seed in range(10, 14):
        assert run(plan_for(place, seed, profile)).failure is None, seed


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(("place", "profile"), MANY)
def test_many_seeds_hold(place: str, profile: str) -> None:
    for seed in range(1_000, 1_200):
        assert run(plan_for(place, seed, profile)).failure is None, seed


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.deep) for name in MUTANTS]
)
def test_every_wrong_version_of_the_wiring_is_caught(name: str) -> None:
    caught = try_mutant(f"{WRONG}:{name}", name, MUTANTS[name])
    assert caught.as_expected, caught
