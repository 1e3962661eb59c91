"""The table: for each partition the ordered list of its replicas, first the primary owner.

Rules of this file:
1. A table is a value: nobody changes one, so whoever has it sees one ring, whole.
2. It names members by their numbers, which mean something within one decree only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple, Self

from .partition import check_partitions

__all__ = ["EMPTY_PLACE", "LOST_MEMBER", "Move", "Table", "moves"]

EMPTY_PLACE: Final = 0xFF
"""In a row with fewer replicas than there are places; at its end."""

LOST_MEMBER: Final = 0xFE
"""What a member's number becomes in a decree that no longer names the member."""


@dataclass(frozen=True, slots=True)
class Table:
    """`places`: one byte for each place of each row, `replicas` places a row, row after row.

    A look-up in a hot loop is ``table.places[partition * table.replicas]``: the primary owner's number.
    """

    places: bytes
    replicas: int

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]], replicas: int) -> Self:
        """Return the table with these rows; ValueError for one of more than `replicas`, or no number."""
        cells = bytearray()
        for row in rows:
            if len(row) > replicas:
                raise ValueError(f"a row of {len(row)} replicas, where {replicas} are the most")
            cells += bytes(row).ljust(replicas, bytes([EMPTY_PLACE]))
        return cls(bytes(cells), replicas)

    @property
    def partitions(self) -> int:
        return len(self.places) // self.replicas

    def row(self, partition: int) -> bytes:
        """Return the numbers of a partition's replicas, in order of preference."""
        start = partition * self.replicas
        return self.places[start : start + self.replicas].rstrip(b"\xff")

    def rows(self) -> Iterator[bytes]:
        places, width = self.places, self.replicas
        return iter([places[at : at + width].rstrip(b"\xff") for at in range(0, len(places), width)])

    def primary(self, partition: int) -> int:
        """Return the number of the one member that coordinates the partition in health."""
        return self.places[partition * self.replicas]

    def renumbered(self, numbers: bytes) -> Table:
        """Return the table with each number n replaced by ``numbers[n]`` (256 bytes)."""
        return Table(self.places.translate(numbers), self.replicas)

    def copies(self, members: int) -> list[int]:
        """Return how many rows name each of so many members."""
        return [self.places.count(number) for number in range(members)]

    def primaries(self, members: int) -> list[int]:
        """Return of how many rows each of so many members is the primary owner."""
        return [self.places[:: self.replicas].count(number) for number in range(members)]

    def named(self) -> set[int]:
        """Return the numbers of all members in the table."""
        return set(self.places) - {EMPTY_PLACE}

    def fault(self, members: int) -> str | None:
        """Return what makes this no table of so many members, None if nothing does.

        Each row names somebody, nobody twice, and has its empty places at its end.
        """
        if self.replicas < 1 or len(self.places) % self.replicas:
            return f"{len(self.places)} places are no rows of {self.replicas}"
        try:
            check_partitions(self.partitions)
        except ValueError as error:
            return str(error)
        sound: set[bytes] = set()  # there are few different rows
        for partition, row in enumerate(self.rows()):
            if row in sound:
                continue
            if not row:
                return f"partition {partition} has no replica"
            if max(row) >= members:
                return f"partition {partition} names member {max(row)} of {members}"
            if len(set(row)) < len(row):
                return f"partition {partition} names a member twice"
            sound.add(row)
        return None


class Move(NamedTuple):
    """What becomes different for one partition: who takes it over, from any of whom, and who gives it up."""

    partition: int
    added: bytes
    sources: bytes
    dropped: bytes


def moves(old: Table, new: Table) -> list[Move]:
    """Return what moves between two tables of one numbering, by partition; an order is no move.

    ValueError if the tables differ in their partitions.
    """
    if old.partitions != new.partitions:
        raise ValueError(f"tables of {old.partitions} and {new.partitions} partitions")
    found: list[Move] = []
    for partition, (before, after) in enumerate(zip(old.rows(), new.rows(), strict=True)):
        if before == after:
            continue
        added = bytes(number for number in after if number not in before)
        dropped = bytes(number for number in before if number not in after)
        if added or dropped:
            found.append(Move(partition, added, before, dropped))
    return found


def copies_moved(found: Iterable[Move]) -> int:
    """Return how many partitions' data must be sent for these moves."""
    return len(list(chain.from_iterable(move.added for move in found)))
