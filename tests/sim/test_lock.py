"""The core of atomic operations in the simulator: the right one holds, and wrong ones are caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringdict.sim.batch import Batch, Sum, run_batch
from ringdict.sim.mutant import try_mutant
from ringdict.sim.run import run
from ringdict.sim.scenario import module_of, plan_for

PLACE = "ringdict.sim.lockscenario:LockScenario"
USURPED = "ringdict.sim.lockscenario:UsurpedLockScenario"
WRONG = Path(__file__).parent / "lockwrong.py"
MUTANTS = module_of(str(WRONG)).MUTANTS  # type: ignore[attr-defined]


@pytest.mark.deep
@pytest.mark.parametrize(
    "profile",
    ["calm", "default", "harsh", "bridge", "power", "restarts"],
)
def test_the_right_core_holds(profile: str) -> None:
    total = Sum()
    for outcome in run_batch(Batch(PLACE, range(4), profile), jobs=1):
        total.add(outcome)
    assert [(failed.plan.seed, failed.failure) for failed in total.failures] == []
    assert total.statuses["ok"] > 50


PROFILES = ("default", "harsh", "bridge")
"""As bad as is promised: 15 % loss, 20 % doubles, nodes that not all others reach."""


def failures(profile: str, seeds: range) -> list[tuple[int, object]]:
    """Which of these seeds fail, and how."""
    outcomes = run_batch(Batch(PLACE, seeds, profile), jobs=1)
    return [(each.plan.seed, each.failure) for each in outcomes if each.failure is not None]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_few_seeds_hold(profile: str) -> None:
    assert failures(profile, range(4, 12)) == []


@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("profile", PROFILES)
def test_five_hundred_seeds_hold(profile: str) -> None:
    assert failures(profile, range(12, 178)) == []


@pytest.mark.campaign
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("profile", PROFILES)
def test_three_thousand_seeds_hold(profile: str) -> None:
    assert failures(profile, range(1_000)) == []


SLOW = {
    "BelowPromise",
    "NoPrev",
    "NoInc",
    "NoCheck",
    "TombstoneUnguarded",
    "LeaseEndsEarly",
    "CancelWithoutBarrier",
    "CancelWithoutMark",
}
"""Wrong versions that are caught by the ninth seed or later."""


@pytest.mark.parametrize(
    ("scenario", "profile"), [("LeaseLockScenario", "default"), ("EstrangedLockScenario", "estranged")]
)
def test_grants_for_a_time_and_leaders_among_the_estranged(scenario: str, profile: str) -> None:
    assert run(plan_for(f"ringdict.sim.lockscenario:{scenario}", 1, profile)).failure is None


@pytest.mark.parametrize("seed", [34, 48])
def test_a_record_that_is_forgotten_while_a_plain_value_is_read_still_hides_it(seed: int) -> None:
    """A pop asked a majority for the plain value before these had the removal, and looked at the record of
    the removal after it was forgotten: one value was popped twice."""
    assert run(plan_for(PLACE, seed, "bridge")).failure is None


def test_a_replica_that_came_back_brings_no_released_lock_back() -> None:
    """It was no replica while the lock was released and that was forgotten, slept through that, and took
    itself for one all along, since newer rings name it among the former ones."""
    assert run(plan_for(PLACE, 222, "bridge")).failure is None


def test_what_is_chosen_without_a_word_is_no_token_that_fell() -> None:
    """An acceptor crashed between its disk's answer and its own: the watcher took another's for it."""
    assert run(plan_for(PLACE, 224, "default")).failure is None


@pytest.mark.parametrize("seed", [3, 4])
def test_the_right_core_holds_when_the_lead_is_taken_at_any_time(seed: int) -> None:
    assert run(plan_for(USURPED, seed, "usurp")).failure is None


@pytest.mark.deep
def test_what_a_dead_process_left_is_durable_after_the_next_sync() -> None:
    # A process finds a record that the one before had written, is asked for it, and syncs a promise only.
    assert run(plan_for(USURPED, 22, "usurp")).failure is None


@pytest.mark.deep
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.campaign) if name in SLOW else name for name in MUTANTS],
)
def test_every_wrong_version_is_caught(name: str) -> None:
    caught = try_mutant(f"{WRONG}:{name}", name, MUTANTS[name])
    assert caught.as_expected, caught


@pytest.mark.deep
@pytest.mark.parametrize(("seed", "profile"), [(11, "default"), (7, "bridge")])
def test_a_client_forgets_a_ballot_that_nobody_answers_for(seed: int, profile: str) -> None:
    assert run(plan_for(PLACE, seed, profile)).failure is None


def test_a_client_does_not_answer_each_double_of_a_greeting_by_a_question() -> None:
    outcome = run(plan_for(USURPED, 31, "usurp"))
    assert outcome.failure is None
    assert outcome.messages_count < 100_000


@pytest.mark.parametrize(("seed", "profile"), [(1, "power"), (1, "restarts")])
def test_nobody_asks_in_vain_for_long_once_a_core_is_healed(seed: int, profile: str) -> None:
    """In the first nobody had asked, which the check took for a stall. In the second a try that a leader
    withstood had its own acceptor promise first, and that leader could decide nothing more."""
    assert run(plan_for(PLACE, seed, profile)).failure is None


@pytest.mark.parametrize(("seed", "profile"), [(44, "power"), (81, "default"), (69, "harsh")])
def test_a_fresh_host_at_a_replicas_address_is_not_asked_what_it_knows(seed: int, profile: str) -> None:
    """It promised, which counted for nothing; then each settlement waited for its names, and each leader gave
    up after 0.7 s, for ever."""
    assert run(plan_for(PLACE, seed, profile)).failure is None


def test_that_a_partition_forgets_is_said_once_a_ballot() -> None:
    """While a slow disk did not know yet that it had been said, it was said again and again: two successors
    of one state."""
    assert run(plan_for(PLACE, 177, "default")).failure is None


@pytest.mark.parametrize("seed", [338, 559])
def test_a_forgotten_record_that_comes_again_is_not_taken_up(seed: int) -> None:
    """It said "absent", and was not the last that had: two successors of one state, and a `cancel` would not
    have found what was done since."""
    assert run(plan_for(PLACE, seed, "default")).failure is None


def test_a_record_that_is_found_damaged_once_readers_know_ends_the_process() -> None:
    """A disk's answer led to it, where nobody took the error for what it is."""
    assert run(plan_for(PLACE, 784, "default")).failure is None


def test_tokens_of_what_was_forgotten_outlive_the_replicas_that_knew_them() -> None:
    """Two changes of the ring later nobody knew the highest one, and the next leader's clock was behind."""
    assert run(plan_for(PLACE, 391, "default")).failure is None


def test_a_plain_put_that_comes_again_after_a_restart_is_the_same_put() -> None:
    """Its double reached the next process of a node, which carried it out again: both were popped."""
    assert run(plan_for(PLACE, 229, "default")).failure is None


@pytest.mark.parametrize("seed", [122, 187])
def test_a_plain_put_is_one_put(seed: int) -> None:
    """A double of it, or one sent again when a node told who leads, was a second one: both were popped."""
    outcome = run(plan_for(USURPED, seed, "usurp"))
    assert outcome.failure is None
