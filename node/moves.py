"""How far the ring's way to its next table is, as one node sees it: for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ..ring.table import Move, moves
from .ringview import RingView
from .world import NS_PER_S, NodeId, World


class Moves:
    """What is pending in the ring, and what of it this node is to take over.

    Args:
        ready: whether this node has all of a partition.
        awaited: with which owners it still has to compare one.
        behind: of which owners it does not know yet that they go by this ring.
        moved: entries and bytes that it has taken over since it started.
    """

    def __init__(
        self,
        world: World,
        *,
        ready: Callable[[int], bool],
        awaited: Callable[[int], Sequence[NodeId]],
        behind: Callable[[int], Sequence[NodeId]],
        moved: Callable[[], tuple[int, int]],
    ) -> None:
        self._world = world
        self._ready = ready
        self._awaited = awaited
        self._behind = behind
        self._moved = moved
        self._moves: list[Move] = []
        self._mine: list[int] = []
        self._since_ns = 0
        self._before = (0, 0)

    def turned(self, view: RingView) -> None:
        """The node goes by another ring. A way of several epochs is one."""
        decree = view.decree
        were_pending, self._moves = bool(self._moves), []
        if decree.pending is not None:
            self._moves = moves(decree.table, decree.pending)
        self._mine = [move.partition for move in self._moves if view.me is not None and view.me in move.added]
        if self._moves and not were_pending:
            self._since_ns = self._world.now_ns()
            self._before = self._moved()

    def facts(self) -> Mapping[str, object] | None:
        """None: the ring is at rest."""
        if not self._moves:
            return None
        since_s = (self._world.now_ns() - self._since_ns) / NS_PER_S
        entries, size_bytes = (now - then for now, then in zip(self._moved(), self._before, strict=True))
        waits: Counter[str] = Counter()
        ready = 0
        for partition in self._mine:
            blockers = {*self._behind(partition)} or {*self._awaited(partition)}
            waits.update(node.hex() for node in blockers)
            ready += not blockers and self._ready(partition)
        return {
            "pending_partitions": len(self._moves),
            "taking_partitions": len(self._mine),
            "ready_partitions": ready,
            "since_s": since_s,
            "moved_entries": entries,
            "moved_bytes": size_bytes,
            "rate_bytes_s": size_bytes / since_s if since_s else 0.0,
            #: For how many of those partitions each node is waited for.
            "waits_for": dict(waits),
        }
