"""A member of the cluster as the ring knows it: its part in the table, never whether it is alive.

Rules of this file:
1. A member's state changes by a decree and by nothing else. That a node is dead is gossip's to say, and
   moves no partition.
2. Members stand in order of seniority: who joined first stands first, and that order never changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = ["MEMBER_ID_BYTES", "Member", "MemberState", "has_quorum", "quorum_members"]

MEMBER_ID_BYTES: Final = 16


class MemberState(IntEnum):
    """A member's way through the cluster. The numbers are those of the codec: only append."""

    JOINING = 1
    """Takes data over. Counts in no vote, and in a row's majority only once the row has flipped to it."""
    ACTIVE = 2
    """Owns data, votes."""
    LEAVING = 3
    """Hands its data over, then goes. Votes until then."""
    REMOVED = 4
    """Dead, or taken for dead: its rows are given to others without it. Has no vote any more, but counts
    in the majority of each row that still names it."""
    FORMER = 5
    """Owns nothing. Named only because a former replica set, whose state is not known to be transferred,
    has it; forgotten when no set does."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member. `weight` is relative: a member of weight 2 holds twice the partitions of one of weight 1.

    `zone` is what fails together (a rack, a host of containers). Members that name none are one zone.
    `address` is where the member was reached when it joined: gossip knows better, a stranger with nothing
    but the table may begin there.
    """

    member_id: bytes
    state: MemberState
    weight: int = 1
    zone: str = ""
    address: str = ""

    @property
    def takes_data(self) -> bool:
        """Whether the target table gives it partitions."""
        return self.state in (MemberState.JOINING, MemberState.ACTIVE)

    @property
    def votes(self) -> bool:
        """Whether it is asked for the next decree, and counted whether it answers or not."""
        return self.state in (MemberState.ACTIVE, MemberState.LEAVING)


def quorum_members(count: int) -> int:
    """Return how many of `count` members are a majority. Always of all, dead ones counted.

    Of two it is one, but not any one: see `has_quorum`.
    """
    if count < 1:
        raise ValueError("nobody is no quorum")
    return 1 if count == 2 else count // 2 + 1


def has_quorum(members: Iterable[int], answered: Iterable[int]) -> bool:
    """Return whether those who answered decide for a set of members, all given as numbers in a decree.

    More than half of the set does, answers of others do not count. Of two, the senior alone decides, since
    otherwise neither could ever do without the other: any two quorums meet in the senior. The senior of a set
    is its lowest number. Nobody decides for an empty set.
    """
    whole = set(members)
    there = whole.intersection(answered)
    if len(whole) == 2:
        return min(whole) in there
    return len(there) * 2 > len(whole)
