"""The simulator against a small replicated register: the right one holds, and every wrong one is caught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ringdict.sim.batch import Batch, Sum, run_batch
from ringdict.sim.case import load_case, save_case
from ringdict.sim.determinism import compare
from ringdict.sim.mutant import try_mutant
from ringdict.sim.run import run
from ringdict.sim.scenario import DEFAULT, module_of, plan_for
from ringdict.sim.shellrun import run_shells
from ringdict.sim.shrink import Shrinker

pytestmark = pytest.mark.untraced

HERE = Path(__file__).parent
WRONG = HERE / "wrong.py"
MUTANTS = module_of(str(WRONG)).MUTANTS  # type: ignore[attr-defined]
REGRESSIONS = sorted((HERE / "regressions").glob("*.json"))


def sum_of(batch: Batch) -> Sum:
    total = Sum()
    for outcome in run_batch(batch, jobs=1):
        total.add(outcome)
    return total


@pytest.mark.parametrize(
    ("profile", "count"),
    [("calm", 3), ("default", 40), ("harsh", 20), ("bridge", 15), ("power", 5), ("restarts", 15)],
)
def test_the_right_register_holds(profile: str, count: int) -> None:
    total = sum_of(Batch(DEFAULT, range(count), profile))
    assert [(failed.plan.seed, failed.failure) for failed in total.failures] == []
    assert total.unresolved_count == 0
    assert total.statuses["ok"] > 20 * count
    assert 0 < total.live_count <= count


@pytest.mark.deep
@pytest.mark.parametrize(
    "profile",
    ["harsh", *(pytest.param(other, marks=pytest.mark.campaign) for other in ("default", "bridge"))],
)
def test_the_right_register_holds_for_long(profile: str) -> None:
    total = sum_of(Batch(DEFAULT, range(1_000, 1_300), profile))
    assert [(failed.plan.seed, failed.failure) for failed in total.failures] == []


def test_the_right_register_holds_under_its_shell() -> None:
    total = sum_of(Batch(DEFAULT, range(6), shells=True))
    assert [(failed.plan.seed, failed.failure) for failed in total.failures] == []
    assert total.statuses["ok"] > 300


@pytest.mark.deep
def test_the_right_register_holds_under_its_shell_for_long() -> None:
    total = sum_of(Batch(DEFAULT, range(100, 120), shells=True))
    assert [(failed.plan.seed, failed.failure) for failed in total.failures] == []


@pytest.mark.parametrize("name", MUTANTS)
def test_every_wrong_version_is_caught(name: str) -> None:
    caught = try_mutant(f"{WRONG}:{name}", name, MUTANTS[name])
    assert caught.as_expected, caught


def test_every_kind_of_fault_happens() -> None:
    from ringdict.sim.plan import KINDS

    total = sum_of(Batch(DEFAULT, range(40), "harsh"))
    assert set(KINDS) - set(total.faults) == {"replaced"}


def test_one_seed_is_one_run_in_every_process() -> None:
    assert compare(plan_for(DEFAULT, 3)) is None


def test_a_seed_under_the_shell_is_one_run_too() -> None:
    plan = plan_for(DEFAULT, 3)
    one, two = run_shells(plan), run_shells(plan)
    assert one.hash == two.hash
    assert one.hash != run(plan).hash


def test_different_seeds_are_different_runs() -> None:
    assert len({run(plan_for(DEFAULT, seed)).hash for seed in range(5)}) == 5


@pytest.mark.parametrize(
    ("name", "profile"),
    [("LiveMajority", "default"), pytest.param("NoSync", "power", marks=pytest.mark.campaign)],
)
def test_a_failing_seed_shrinks_to_fewer_than_five_faults(name: str, profile: str, tmp_path: Path) -> None:
    place = f"{WRONG}:{name}"
    plan = next(plan for seed in range(60) if run(plan := plan_for(place, seed, profile)).failure)
    failure = run(plan).failure
    assert failure is not None
    smaller = Shrinker(plan, failure).shrink()
    assert len(smaller.plan.faults) < 5 <= len(plan.faults)
    save_case(tmp_path / "case.json", smaller.plan, smaller.failure.check, smaller.failure.what)
    again, check = load_case(tmp_path / "case.json")
    assert again == smaller.plan
    replayed = run(again).failure
    assert replayed is not None
    assert replayed == smaller.failure
    assert replayed.check == check


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_was_once_found_stays_found(path: Path) -> None:
    """A case with a wrong version still fails by its check; one of the right version holds by now."""
    plan, check = load_case(path)
    name = plan.scenario.rpartition(":")[2]
    wrong = plan.scenario != DEFAULT
    failure = run(replace(plan, scenario=f"{WRONG}:{name}") if wrong else plan).failure
    if not wrong:
        assert failure is None, failure
    else:
        assert failure is not None
        assert failure.check == check
