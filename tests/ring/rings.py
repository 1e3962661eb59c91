"""What tests of the ring have in common: made-up members."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from ringdict.ring.change import flip, found, join
from ringdict.ring.decree import Decree
from ringdict.ring.member import Member, MemberState
from ringdict.ring.table import Table


def member(
    number: int, *, weight: int = 1, zone: str = "", state: MemberState = MemberState.ACTIVE
) -> Member:
    """A member whose id is a hash of a number, as random as any."""
    return Member(random.Random(number).randbytes(16), state, weight, zone, f"10.0.0.{number % 256}:7000")


def members_of(count: int, seed: int = 0) -> list[Member]:
    return [member(seed * 1000 + number) for number in range(count)]


def named_rows(table: Table, members: Sequence[Member]) -> list[list[bytes]]:
    """A table by the ids of its members, so that tables of different numberings can be compared."""
    return [[members[number].member_id for number in row] for row in table.rows()]


def partitions_for(count: int) -> int:
    """The number of partitions that is recommended for so many members."""
    return 1024 if count <= 32 else 4096


CLUSTER_ID = b"a cluster's id.."
PARTITIONS = 16


def everywhere(decree: Decree) -> range:
    return range(decree.partitions)


def at_rest(decree: Decree, *, settled: bool = True) -> Decree:
    """Flip all that is pending, in every partition, until nothing is."""
    while decree.pending is not None:
        decree = flip(decree, everywhere(decree), everywhere(decree) if settled else ())
    return decree


@cache
def cluster_of(count: int, *, partitions: int = PARTITIONS, settled: bool = True) -> Decree:
    """A cluster that was founded by one member and grew to `count`, one after the other."""
    decree = found(CLUSTER_ID, member(0), partitions, 3)
    for number in range(1, count):
        decree = at_rest(join(decree, member(number)), settled=settled)
    return decree if not settled or count == 1 else flip(decree, (), everywhere(decree))
