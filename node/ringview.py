"""The ring as one node sees it: a decree that was decided, with what is asked of it all the time.

Rules of this file:
1. A view is a value. A newer decree makes a new one, so whoever holds a view sees one ring, whole.
"""

from __future__ import annotations

from ..ring.codec import digest_of
from ..ring.decree import Decree
from .message import Mark
from .world import NodeId

NO_MARK: Mark = (0, bytes(8))
"""Of a node that goes by no ring."""


class RingView:
    """One epoch, from the place of one node."""

    __slots__ = ("decree", "mark", "me", "members")

    def __init__(self, decree: Decree, node: NodeId) -> None:
        self.decree = decree
        self.mark: Mark = (decree.epoch, digest_of(decree))
        self.members: tuple[NodeId, ...] = tuple(NodeId(member.member_id) for member in decree.members)
        #: This node's number in the decree; None: it is no member.
        self.me = decree.number_of(node)

    @property
    def epoch(self) -> int:
        return self.decree.epoch

    def owners(self, partition: int) -> tuple[NodeId, ...]:
        """Who serves a partition, the primary owner first. Majorities are of these."""
        members = self.members
        return tuple([members[number] for number in self.decree.owners(partition)])

    def writers(self, partition: int) -> tuple[NodeId, ...]:
        """Who gets every write: the owners, then those who are to be."""
        members = self.members
        return tuple([members[number] for number in self.decree.writers(partition)])

    def owns(self, partition: int) -> bool:
        """Whether this node serves the partition."""
        return self.me is not None and self.me in self.decree.owners(partition)

    def keeps(self, partition: int) -> bool:
        """Whether this node gets the partition's writes."""
        return self.me is not None and self.me in self.decree.writers(partition)

    def shared_with(self, node: NodeId) -> list[int]:
        """The partitions that both this node and another one keep."""
        decree, other = self.decree, self.decree.number_of(node)
        if self.me is None or other is None:
            return []
        both = {self.me, other}
        return [partition for partition in range(decree.partitions) if both <= set(decree.writers(partition))]

    def owned(self) -> list[int]:
        """The partitions that this node serves."""
        return [partition for partition in range(self.decree.partitions) if self.owns(partition)]
