"""Whatever befalls replicas, nothing is lost that was not alone for too long, and nothing dead comes back.

Purging is as patient as ever with those who are away; how long it waits otherwise is made shorter here, so
that much happens in a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from ringdict.node.replicas import collect, hints, purge, replica
from ringdict.node.replicas.collect import Collector
from ringdict.node.replicas.comparison import Comparison
from ringdict.node.replicas.marks import Marks
from ringdict.node.replicas.purge import Purger
from ringdict.node.replicas.rank import may_beat
from ringdict.node.replicas.replica import Replica
from ringdict.node.replicas.stretch import Row
from ringdict.node.world import NS_PER_S

from .repairtrial import Trial

SEEDS = range(3)
MORE_SEEDS = range(3, 60)
ALL_SEEDS = range(60, 2_060)
WRONG_SEEDS = range(40)
"""In so many seeds each wrong version is noticed."""
MANY_KEYS = 10_000

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: Patch) -> None:
    monkeypatch.setattr(purge, "DELAY_NS", 2 * NS_PER_S)
    monkeypatch.setattr(collect, "INTERVAL_NS", 2 * NS_PER_S)


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


# -- wrong versions ----------------------------------------------------------------------------------


def by_time(patch: Patch) -> None:
    """Purges what is dead after a while, whoever has it."""
    patch.setattr(Purger, "_has_agreed", lambda *_: True)


def ignored(patch: Patch) -> None:
    """Raises marks, and takes what is too old all the same, whoever sends it."""
    original = Replica._merge

    def merge(self: Replica, rows: Sequence[Row], _refusing: object, done: replica.Applied) -> None:
        original(self, rows, {}, done)

    def wanted(
        _self: Comparison, _partition: int, here: dict[bytes, bytes], there: dict[bytes, bytes]
    ) -> list[bytes]:
        return [place for place, front in there.items() if place not in here or may_beat(front, here[place])]

    patch.setattr(Replica, "_merge", merge)
    patch.setattr(Comparison, "_wanted", wanted)
    patch.setattr(Comparison, "_stale", lambda *_: [])


def forgets(patch: Patch) -> None:
    """Purges without raising the mark."""
    original = Collector._settle

    def settle(self: Collector, purged: list[Row], expired: list[Row]) -> None:
        original(self, purged, expired)

    patch.setattr(Collector, "_settle", settle)
    patch.setattr(Marks, "raised", lambda self, partition, version: self.hear(partition, version) or {})
    patch.setattr(Marks, "get", lambda self, partition: self.refused(partition))


def amnesiac(patch: Patch) -> None:
    """Forgets its hints when it is started again, and does not compare."""
    patch.setattr(hints.Hints, "_count_all", lambda _: None)
    patch.setattr(Comparison, "_walk_all", lambda self, _: self._end(whole=True))


def greedy(patch: Patch) -> None:
    """Removes what another one has not, though neither has purged it."""
    original = Comparison._stale

    def stale(
        self: Comparison, partition: int, here: dict[bytes, bytes], there: dict[bytes, bytes], _mark: int
    ) -> list[Row]:
        return [(place, front) for place, front in here.items() if place not in there] or original(
            self, partition, here, there, 0
        )

    patch.setattr(Comparison, "_stale", stale)


def early(patch: Patch) -> None:
    """Believes that it has all, before it has."""
    original = Comparison._walk_through

    def walk(self: Comparison, partition: int) -> None:
        mark = self._marks.get(partition, 0)
        if mark > self._replica.marks.get(partition):
            self._replica.raise_mark(partition, mark, lambda _error, _newer: None)
        original(self, partition)

    patch.setattr(Comparison, "_walk_through", walk)


WRONG = [by_time, ignored, amnesiac, greedy, early, forgets]


@pytest.mark.deep
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_version_is_noticed(wrong: Callable[[Patch], None], monkeypatch: Patch) -> None:
    wrong(monkeypatch)
    assert caught() is not None


def caught() -> int | None:
    """The first seed that notices."""
    for seed in WRONG_SEEDS:
        try:
            Trial(seed).run()
        except AssertionError:
            return seed
    return None
