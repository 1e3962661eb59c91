"""Who has a say in one partition: the present replicas, and former ones whose knowledge may be missing.

Rules of this file:
1. Sets are of fixed size. Whoever is dead or unheard counts in them like everybody else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ...ring.member import has_quorum
from ..ringview import RingView
from ..world import NodeId


class Electorate:
    """The acceptors of one partition, by one ring."""

    __slots__ = ("_numbers", "_sets", "everyone", "is_simple", "row", "senior", "since")

    def __init__(self, view: RingView, partition: int) -> None:
        decree = view.decree
        #: The present replicas, the primary owner first.
        self.row = view.owners(partition)
        self.since = decree.since[partition]
        self._sets = decree.acceptor_sets(partition)
        #: Whether there is one set: the present replicas.
        self.is_simple = len(self._sets) == 1
        #: Of the present replicas; of two it decides alone (`has_quorum`).
        self.senior = view.members[min(self._sets[-1])]
        named = sorted(set(b"".join(self._sets)))
        #: All that are asked for promises, in order of seniority.
        self.everyone = tuple(view.members[number] for number in named)
        self._numbers = dict(zip(self.everyone, named, strict=True))

    def agreed(self, answered: Iterable[NodeId]) -> bool:
        """Whether these are a quorum of every set: whatever was chosen, one of them knows it."""
        numbers = self._known(answered)
        return all(has_quorum(one, numbers) for one in self._sets)

    def chosen(self, answered: Collection[NodeId]) -> bool:
        """Whether these are a quorum of the present replicas: what all of them accepted is chosen."""
        return has_quorum(self._sets[-1], self._known(answered))

    def _known(self, answered: Iterable[NodeId]) -> list[int]:
        numbers = self._numbers
        return [numbers[node] for node in answered if node in numbers]


def shares(electorates: Mapping[int, Electorate]) -> dict[NodeId, int]:
    """Of which of these partitions each node is a replica, as bits: the lowest is partition 0."""
    bits: dict[NodeId, int] = {}
    for partition, electorate in electorates.items():
        for node in electorate.row:
            bits[node] = bits.get(node, 0) | 1 << partition
    return bits


def bitmap(partitions: Iterable[int], count: int) -> bytes:
    """Some of so many partitions as they go over the line: a bit each, the lowest first."""
    bits = bytearray(count + 7 >> 3)
    for partition in partitions:
        bits[partition >> 3] |= 1 << (partition & 7)
    return bytes(bits)
