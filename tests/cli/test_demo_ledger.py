"""The demo's verdict: it holds for a story that went well, and not for one in which something went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import ringdict
from ringdict.client.shell import demo_ledger, demo_worker
from ringdict.client.shell.demo_ledger import Ledger, Race, verdict
from ringdict.client.shell.demo_worker import BATCH_ENTRIES, SHIFT_TTL_S, AnyDict, Report, primes_below

NAMES = ["ada", "bob"]
PRIMES = 25
KILLED_S = 10.0


@pytest.fixture(autouse=True)
def _few_primes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (demo_ledger, demo_worker):
        monkeypatch.setattr(module, "PRIMES_BELOW", 100)


@pytest.fixture
def dictionary() -> Iterator[AnyDict]:
    """What a demo that went well leaves behind."""
    with ringdict.Dict.ephemeral() as dictionary:
        for who in NAMES:
            dictionary.put(("put", who, 1), f"value of {who}")
            dictionary.update((("batch", who, 1, number), who) for number in range(BATCH_ENTRIES))
        dictionary.update({"count": 2, "primes": PRIMES})
        yield dictionary


@pytest.fixture
def ledger() -> Ledger:
    """What was reported in it: bob took a lock and was killed, ada took it over."""
    ledger = Ledger()
    for number, who in enumerate(NAMES, start=1):
        for what, value, text in (
            ("ready", 0, ""),
            ("put", 1, f"value of {who}"),
            ("counted", number, ""),
            ("batch", 1, ""),
        ):
            ledger.record(who, Report(what, 1.0, value, text))
    for token in (7, 8):
        ledger.races.append(Race())
        ledger.record("ada", Report("won", 2.0, token, ""))
        ledger.record("bob", Report("lost", 2.0, 0, ""))
        ledger.record("ada", Report("released", 2.0, 0, ""))
    ledger.record("ada", Report("computing", 3.0, 0, ""))
    ledger.record("ada", Report("computed", 3.0, PRIMES, ""))
    for who in NAMES:
        ledger.record(who, Report("answered", 3.0, PRIMES, ""))
    ledger.record("bob", Report("on shift", KILLED_S - 1.0, 20, ""))
    ledger.record("bob", Report("extended", KILLED_S - 0.5, 0, ""))
    ledger.killed, ledger.killed_s = "bob", KILLED_S
    ledger.record("bob", Report("ended", KILLED_S, 0, ""))
    ledger.record("ada", Report("on shift", KILLED_S - 0.5 + SHIFT_TTL_S, 21, ""))
    ledger.record("ada", Report("stopped", 20.0, 1, ""))
    return ledger


def broken(ledger: Ledger, dictionary: AnyDict) -> list[str]:
    """The promises that did not hold."""
    return [check.name for check in verdict(ledger, dictionary, NAMES) if not check.holds]


def test_a_story_that_went_well(ledger: Ledger, dictionary: AnyDict) -> None:
    assert broken(ledger, dictionary) == []
    assert primes_below(100) == PRIMES


def test_what_was_under_way_may_have_happened(ledger: Ledger, dictionary: AnyDict) -> None:
    dictionary.put(("put", "bob", 2), "unreported")
    dictionary.incr("count")
    checks = {check.name: check for check in verdict(ledger, dictionary, NAMES)}
    assert all(check.holds for check in checks.values())
    assert checks["puts"].text.endswith("(and 1 that bob could no longer report)")
    assert checks["counter"].text == (
        "the counter says 3 after 2 acknowledged increments (and 1 that bob could no longer report)"
    )


def lose_put(ledger: Ledger, dictionary: AnyDict) -> None:
    del dictionary["put", "ada", 1]


def change_put(ledger: Ledger, dictionary: AnyDict) -> None:
    dictionary.put(("put", "ada", 1), "something else")


def add_put(ledger: Ledger, dictionary: AnyDict) -> None:
    dictionary.put(("put", "ada", 2), "from nobody")


def add_two_puts(ledger: Ledger, dictionary: AnyDict) -> None:
    dictionary.put(("put", "bob", 2), "under way")
    dictionary.put(("put", "bob", 3), "impossible")


def tear_batch(ledger: Ledger, dictionary: AnyDict) -> None:
    del dictionary["batch", "bob", 1, 0]


def mix_batch(ledger: Ledger, dictionary: AnyDict) -> None:
    dictionary.put(("batch", "bob", 1, 0), "another")


def lose_batch(ledger: Ledger, dictionary: AnyDict) -> None:
    dictionary.delete_many([("batch", "ada", 1, number) for number in range(BATCH_ENTRIES)])


def lose_count(ledger: Ledger, dictionary: AnyDict) -> None:
    dictionary.put("count", 1)


def lose_counter(ledger: Ledger, dictionary: AnyDict) -> None:
    del dictionary["count"]


def count_twice(ledger: Ledger, dictionary: AnyDict) -> None:
    dictionary.incr("count", 2)


def give_one_number_to_two(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.counts[1] = 1


def let_two_win(ledger: Ledger, dictionary: AnyDict) -> None:
    race = ledger.races[0]
    race.winners, race.losers = ["ada", "bob"], []


def let_nobody_win(ledger: Ledger, dictionary: AnyDict) -> None:
    race = ledger.races[0]
    race.winners, race.losers = [], ["ada", "bob"]


def give_a_token_again(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.races[1].tokens = [7]


def run_no_race(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.races.clear()


def compute_twice(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.record("bob", Report("computing", 3.0, 0, ""))


def answer_wrongly(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.answers["bob"] = PRIMES + 1


def forget_the_answer(ledger: Ledger, dictionary: AnyDict) -> None:
    del dictionary["primes"]


def take_over_too_soon(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.shifts[-1] = demo_ledger.Shift("ada", 21, KILLED_S + 0.1)


def take_over_too_late(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.shifts[-1] = demo_ledger.Shift("ada", 21, KILLED_S + 60.0)


def take_over_with_an_old_token(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.shifts[-1] = demo_ledger.Shift("ada", 19, KILLED_S + 1.0)


def take_over_never(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.shifts.pop()


def fail(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.record("ada", Report("failed", 20.0, 0, "UnavailableError: no"))


def end_early(ledger: Ledger, dictionary: AnyDict) -> None:
    ledger.stopped.discard("ada")
    ledger.record("ada", Report("ended", 20.0, 0, ""))


@pytest.mark.parametrize(
    ("harm", "promise"),
    [
        (lose_put, "puts"),
        (change_put, "puts"),
        (add_put, "puts"),
        (add_two_puts, "puts"),
        (tear_batch, "batches"),
        (mix_batch, "batches"),
        (lose_batch, "batches"),
        (lose_count, "counter"),
        (lose_counter, "counter"),
        (count_twice, "counter"),
        (give_one_number_to_two, "counter"),
        (let_two_win, "races"),
        (let_nobody_win, "races"),
        (give_a_token_again, "races"),
        (run_no_race, "races"),
        (compute_twice, "computation"),
        (answer_wrongly, "computation"),
        (forget_the_answer, "computation"),
        (take_over_too_soon, "takeover"),
        (take_over_too_late, "takeover"),
        (take_over_with_an_old_token, "takeover"),
        (take_over_never, "takeover"),
        (fail, "survivors"),
        (end_early, "survivors"),
    ],
    ids=lambda case: getattr(case, "__name__", case),
)
def test_every_harm_is_noticed(
    ledger: Ledger, dictionary: AnyDict, harm: Callable[[Ledger, AnyDict], None], promise: str
) -> None:
    harm(ledger, dictionary)
    assert broken(ledger, dictionary) == [promise]


def test_a_lock_that_was_let_go_has_no_holder(ledger: Ledger) -> None:
    ledger.record("ada", Report("off shift", 20.0, 0, ""))
    assert ledger.holder is None
