"""Whatever befalls replicas, nothing is lost that was not alone for too long, and nothing dead comes back."""

from __future__ import annotations

import pytest

from .repairtrial import Trial
from .repairwrong import WRONG, caught, hasten

SEEDS = range(3)
MORE_SEEDS = range(3, 60)
ALL_SEEDS = range(60, 2_060)
MANY_KEYS = 10_000


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


@pytest.mark.parametrize("seed", SEEDS)
def test_replicas_are_equal_and_right_after_anything(seed: int) -> None:
    Trial(seed).run()


@pytest.mark.deep
@pytest.mark.parametrize("seed", MORE_SEEDS)
def test_replicas_are_equal_and_right_after_anything_also_here(seed: int) -> None:
    Trial(seed).run()


@pytest.mark.deep
def test_replicas_of_many_keys_are_equal_and_right_after_anything() -> None:
    Trial(1, MANY_KEYS).run()


@pytest.mark.campaign
def test_replicas_are_equal_and_right_after_anything_in_two_thousand_seeds() -> None:
    for seed in ALL_SEEDS:
        Trial(seed).run()


@pytest.mark.deep
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_version_is_noticed(name: str) -> None:
    assert caught(WRONG[name]) is not None
