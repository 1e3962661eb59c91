"""Placement: who should own what, as a pure function of the members. Consistent hashing with bounded loads.

Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with Bounded Loads" (2016), with ranks and zones. Each
partition is a point on the continuum and walks clockwise. First each takes its primary owner, then each
its second replica, then each its third: the first member met that

1. is not in the row yet,
2. is below its cap, of primaries in the first round and of copies in all,
3. is in a zone that the row has not, while there is one.

Where nobody with room fits any more, a full member is taken, and a member with room takes its place in
another row. Rules 1 and 3 always hold. Rule 2 gives way where there is no such exchange, which no test has
seen at the caps that the shares make.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TypeAlias

from .config import TARGETS_MAX
from .continuum import continuum, partition_point
from .member import Member
from .partition import check_partitions
from .share import copy_shares, load_cap, primary_shares
from .table import EMPTY_PLACE, Table

__all__ = ["target_table"]

_Traits: TypeAlias = tuple[bytes, int, str]
"""What of a member decides what it owns: id, weight, zone."""


def target_table(members: Sequence[Member], partitions: int, replicas: int) -> Table:
    """Return the table that these members should have.

    The numbers in it are places in `members`; who takes no data is given none. In whatever order the members
    come, each owns the same rows. A row has `replicas` members, or all if there are fewer. ValueError if
    nobody takes data.
    """
    check_partitions(partitions)
    owners = [number for number, member in enumerate(members) if member.takes_data]
    owners.sort(key=lambda number: members[number].member_id)
    if not owners:
        raise ValueError("a table needs a member that takes data")
    traits = tuple((one.member_id, one.weight, one.zone) for one in (members[number] for number in owners))
    numbers = bytes(owners).ljust(EMPTY_PLACE, b"\0") + bytes([EMPTY_PLACE])
    return _placed(traits, partitions, replicas).renumbered(numbers)


@lru_cache(TARGETS_MAX)
def _placed(members: tuple[_Traits, ...], partitions: int, replicas: int) -> Table:
    return Table.of(_Placing(members, partitions, replicas).rows, replicas)


class _Placing:
    """One run of the algorithm. Members are indexes into `members`, which are sorted by id.

    `copies` counts what stands in `rows`, at every moment; `open` are those with room for a copy more.
    """

    def __init__(self, members: Sequence[_Traits], partitions: int, replicas: int) -> None:
        weights, zones = [weight for _, weight, _ in members], [zone for _, _, zone in members]
        names = sorted(set(zones))
        self.zones = [names.index(zone) for zone in zones]
        self.zone_count = len(names)
        self.caps = [load_cap(share, partitions) for share in copy_shares(weights, zones, replicas)]
        self.primary_caps = [load_cap(share, partitions) for share in primary_shares(weights)]
        self.copies = [0] * len(members)
        self.open = set(range(len(members)))
        self.rows: list[list[int]] = [[] for _ in range(partitions)]
        ring = continuum({member_id.hex(): weight for member_id, weight, _ in members})
        index_of = {member_id.hex(): index for index, (member_id, _, _) in enumerate(members)}
        self.circle = [index_of[name] for name in ring.names]
        starts = [bisect_right(ring.points, partition_point(number)) for number in range(partitions)]
        self.place_primaries(starts)
        for _ in range(1, min(replicas, len(members))):
            self.place_next(starts)

    def place_primaries(self, starts: Sequence[int]) -> None:
        """Give each row its first member. The caps add up to more than all rows, so somebody has room."""
        room = list(self.primary_caps)
        for partition, start in enumerate(starts):
            index = next(one for one in self.walk(start) if room[one] and self.copies[one] < self.caps[one])
            room[index] -= 1
            self.give(partition, index)

    def place_next(self, starts: Sequence[int]) -> None:
        """Give each row one member more."""
        for partition, start in enumerate(starts):
            row = self.rows[partition]
            if any(self.fits(index, row) for index in self.open):
                index = next(one for one in self.walk(start) if one in self.open and self.fits(one, row))
            else:
                index = self.make_room(partition)
            self.give(partition, index)

    def walk(self, start: int) -> Iterator[int]:
        """Whom one meets on the way around the circle, each member as often as it has points."""
        return (self.circle[at] for at in chain(range(start, len(self.circle)), range(start)))

    def give(self, partition: int, index: int) -> None:
        self.rows[partition].append(index)
        self.count(index, 1)

    def count(self, index: int, change: int) -> None:
        self.copies[index] += change
        if self.copies[index] < self.caps[index]:
            self.open.add(index)
        else:
            self.open.discard(index)

    def fits(self, index: int, row: Sequence[int]) -> bool:
        """Whether a row may have this member: not twice, and no zone twice while it lacks another."""
        if index in row:
            return False
        taken = {self.zones[one] for one in row}
        return self.zones[index] not in taken or len(taken) == self.zone_count

    def make_room(self, partition: int) -> int:
        """Return a member that fits into the row, after another took over one of its copies where need be."""
        row = self.rows[partition]
        givers = [index for index in range(len(self.copies)) if self.fits(index, row)]
        for giver in givers:
            if self.hand_over(giver):
                return giver
        return min(givers, key=lambda index: (self.copies[index] / self.caps[index], index))

    def hand_over(self, giver: int) -> bool:
        """Give one copy of a full member, of a row that it is not the primary owner of, to one with room."""
        for row in self.rows:
            if giver in row[1:]:
                rest = [index for index in row if index != giver]
                taker = min((index for index in self.open if self.fits(index, rest)), default=None)
                if taker is not None:
                    row[row.index(giver)] = taker
                    self.count(giver, -1)
                    self.count(taker, 1)
                    return True
        return False
