"""Wrong versions of what makes replicas equal and forgets what is dead. The trial (repairtrial.py) has to
notice each of them.

`python -m ringdict.tests.node.repairwrong` tries them all and prints after how many seeds each is noticed,
and by what; docs/replication.md has the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from ringdict.node.replicas import collect, hints, purge, replica
from ringdict.node.replicas.collect import Collector
from ringdict.node.replicas.comparison import Comparison
from ringdict.node.replicas.convergence import Convergence
from ringdict.node.replicas.glance import front_at
from ringdict.node.replicas.leftovers import Leftovers
from ringdict.node.replicas.marks import Marks
from ringdict.node.replicas.purge import Purger
from ringdict.node.replicas.rank import may_beat
from ringdict.node.replicas.readrepair import ReadRepair
from ringdict.node.replicas.replica import Replica
from ringdict.node.replicas.replicadesk import ReplicaDesk
from ringdict.node.replicas.stretch import Row
from ringdict.node.ringview import RingView
from ringdict.node.world import NS_PER_S, NodeId

from .repairtrial import Trial

Patch = pytest.MonkeyPatch


def hasten(patch: Patch) -> None:
    """Purging is as patient as ever with those who are away; how long it waits otherwise is made shorter, so
    that much happens in a minute."""
    patch.setattr(purge, "DELAY_NS", 2 * NS_PER_S)
    patch.setattr(collect, "INTERVAL_NS", 2 * NS_PER_S)


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


def headless(patch: Patch) -> None:
    """Removes what has expired with its header."""

    def settle(self: Collector, purged: list[Row], expired: list[Row]) -> None:
        standing = [(place, self._replica.storage.get(place)) for place, _ in expired]
        gone = [(place, raw) for place, raw in standing if raw is not None]
        self._replica.remove([*purged, *gone], lambda _error, _newer: None)

    patch.setattr(Collector, "_settle", settle)


def to_former(patch: Patch) -> None:
    """Repairs whoever is a member, owner or not, and takes what it does not own."""

    def drawn(self: ReadRepair, view: RingView, _doubt: object) -> list[NodeId]:
        return [node for node in view.members if node != self._me]

    patch.setattr(ReadRepair, "_drawn", drawn)
    patch.setattr(ReplicaDesk, "keeps", lambda _self, _place: True)


def unhanded(patch: Patch) -> None:
    """Takes over before it has all; and who kept it removes it without a look whether the others have it."""
    original = Leftovers._look

    def look(self: Leftovers, view: RingView, partition: int) -> None:
        original(self, view, partition)
        if partition in self._owners:
            self._owners[partition] = []

    patch.setattr(Leftovers, "_look", look)
    patch.setattr(Convergence, "equal", lambda _self, _partition: True)


def deleting(patch: Patch) -> None:
    """Removes, when a read finds that another owner has nothing, what is here."""

    def give(self: ReadRepair, _view: RingView, doubt: object, node: NodeId) -> None:
        place: bytes = doubt.place  # type: ignore[attr-defined]
        self._replica.remove([(place, front_at(self._replica.storage, place))], lambda _error, _newer: None)
        self._finish(doubt, node)  # type: ignore[arg-type]

    patch.setattr(ReadRepair, "_give", give)


class Wrong(NamedTuple):
    """A wrong version, and within how many seeds it has to be noticed."""

    make: Callable[[Patch], None]
    seeds_max: int


WRONG = {
    "PurgesByTime": Wrong(by_time, 40),
    "IgnoresMarks": Wrong(ignored, 40),
    "PurgeForgets": Wrong(forgets, 40),
    "DropsHintsOnRestart": Wrong(amnesiac, 40),
    "RemovesWhatOthersLack": Wrong(greedy, 40),
    "AdoptsMarksEarly": Wrong(early, 40),
    "ExpiryForgetsHeader": Wrong(headless, 40),
    "RepairsFormerOwners": Wrong(to_former, 40),
    "TakesOverEarly": Wrong(unhanded, 40),
    "ReadRepairDeletes": Wrong(deleting, 40),
}


class Noticed(NamedTuple):
    """What noticed a wrong version, in words, and in which of the seeds, from 1 on."""

    seeds: int
    words: str


def caught(wrong: Wrong) -> Noticed | None:
    """Try seeds from 0 on until one notices."""
    with Patch.context() as patch:
        hasten(patch)
        wrong.make(patch)
        for seed in range(wrong.seeds_max):
            try:
                Trial(seed).run()
            except AssertionError as error:
                return Noticed(seed + 1, str(error).partition(":")[0].partition("\n")[0])
    return None


def main(names: Sequence[str]) -> int:
    """Print the table; 1 if one was not noticed."""
    missed = 0
    for name in names or WRONG:
        noticed = caught(WRONG[name])
        missed += noticed is None
        words = "NOT NOTICED" if noticed is None else f"{noticed.seeds:3}  {noticed.words}"
        print(f"{name:24} {words}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
