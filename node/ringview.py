"""The ring as one node sees it: a decree that was decided, with what is asked of it all the time.

Rules of this file:
1. A view is a value. A newer decree makes a new one, so whoever holds a view sees one ring, whole.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..ring.codec import digest_of
from ..ring.decree import Decree
from .network.message import Mark
from .world import NodeId

NO_MARK: Mark = (0, bytes(8))
"""Of a node that goes by no ring."""


class RingView:
    """One epoch, from the place of one node."""

    __slots__ = ("_keeps", "_owners", "_owns", "_writers", "decree", "mark", "me", "members")

    def __init__(self, decree: Decree, node: NodeId) -> None:
        self.decree = decree
        self.mark: Mark = (decree.epoch, digest_of(decree))
        self.members: tuple[NodeId, ...] = tuple(NodeId(member.member_id) for member in decree.members)
        #: This node's number in the decree; None: it is no member.
        self.me = decree.number_of(node)
        me, rows = self.me, decree.table.rows()
        self._owners: list[tuple[NodeId, ...]] = self._named(rows)
        self._writers = self._owners
        if decree.pending is not None:
            self._writers = self._named(map(decree.writers, range(decree.partitions)))
        self._owns = [me is not None and node in row for row in self._owners]
        self._keeps = [me is not None and node in row for row in self._writers]

    def _named(self, rows: Iterable[bytes]) -> list[tuple[NodeId, ...]]:
        """Rows by their members' ids. There are few different ones, and each is made once."""
        members = self.members
        known: dict[bytes, tuple[NodeId, ...]] = {}
        named: list[tuple[NodeId, ...]] = []
        for row in rows:
            ids = known.get(row)
            if ids is None:
                ids = known[row] = tuple([members[number] for number in row])
            named.append(ids)
        return named

    @property
    def epoch(self) -> int:
        return self.decree.epoch

    def owners(self, partition: int) -> tuple[NodeId, ...]:
        """Who serves a partition, the primary owner first. Majorities are of these."""
        return self._owners[partition]

    def writers(self, partition: int) -> tuple[NodeId, ...]:
        """Who gets every write: the owners, then those who are to be."""
        return self._writers[partition]

    def owns(self, partition: int) -> bool:
        """Whether this node serves the partition."""
        return self._owns[partition]

    def keeps(self, partition: int) -> bool:
        """Whether this node gets the partition's writes."""
        return self._keeps[partition]

    def shared_with(self, node: NodeId) -> list[int]:
        """The partitions that both this node and another one keep."""
        return [
            partition
            for partition, keeps in enumerate(self._keeps)
            if keeps and node in self._writers[partition]
        ]

    def owned(self) -> list[int]:
        """The partitions that this node serves."""
        return [partition for partition, owns in enumerate(self._owns) if owns]
