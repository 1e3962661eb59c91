"""What a node that coordinates partitions knows of them: stamps above which nobody wrote without it.

Rules of this file:
1. Whoever begins to coordinate a partition asks the replicas that it can reach, once, for their highest
   version there. From then on every version of the partition goes through it, or it is told by a replica that
   has a newer one (write.py): so the floor need not be asked for again.
2. That holds within one epoch, and ends when the node stood back: another one may have written meanwhile.
3. A replica that does not answer is left out: nobody waits for it at the next write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..config import FLOOR_TIMEOUT_S
from ..network.bus import Bus
from ..network.message import Reply
from ..network.peermessage import AskFloor, Floor
from ..ringview import RingView
from ..world import NS_PER_S, NodeId, World
from .replica import Replica

TIMEOUT_NS = int(FLOOR_TIMEOUT_S * NS_PER_S)


class _Asking:
    """Partitions whose tenure is about to begin."""

    __slots__ = ("floors", "left", "waiting")

    def __init__(self, partitions: Sequence[int]) -> None:
        self.floors = dict.fromkeys(partitions, 0)
        self.left = 1
        self.waiting: list[Callable[[], None]] = []


class Tenures:
    """One node's tenures. None before `set_view`."""

    def __init__(self, world: World, bus: Bus, replica: Replica) -> None:
        self._world = world
        self._bus = bus
        self._replica = replica
        self._view: RingView | None = None
        self._floors: dict[int, int] = {}
        self._asking: dict[int, _Asking] = {}

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring: all tenures end."""
        self._view = view
        self._floors.clear()
        self._asking.clear()

    def end(self, partition: int) -> None:
        """Another node coordinates this partition now."""
        self._floors.pop(partition, None)
        self._asking.pop(partition, None)

    def floor(self, partition: int) -> int:
        """Above which version to stamp there, within a tenure."""
        return max(self._floors.get(partition, 0), self._replica.highest(partition) or 0)

    def lacks(self, partition: int) -> bool:
        """Whether others had something newer there, when the tenure began, than this node has yet."""
        return self._floors.get(partition, 0) > (self._replica.highest(partition) or 0)

    def hold(self, partitions: Sequence[int], then: Callable[[], None]) -> None:
        """See that the tenure of each of these has begun; then make a call, at once if it has.

        It may end again before the call, with an epoch or a step back: whoever asks looks at the view again.
        """
        lacking = [each for each in partitions if each not in self._floors and each not in self._asking]
        if lacking:
            self._begin(lacking)
        asking = [self._asking[each] for each in partitions if each in self._asking]
        if not asking:
            then()
            return
        rounds = list({id(each): each for each in asking}.values())
        left = len(rounds)

        def ended() -> None:
            nonlocal left
            left -= 1
            if not left:
                then()

        for each in rounds:
            each.waiting.append(ended)

    def _begin(self, partitions: list[int]) -> None:
        view = self._view
        assert view is not None
        asking = _Asking(partitions)
        for partition in partitions:
            self._asking[partition] = asking
        by_node: dict[NodeId, list[int]] = {}
        for partition in partitions:
            for node in view.owners(partition):
                by_node.setdefault(node, []).append(partition)
        by_node.pop(self._world.identity.node, None)
        for node, theirs in by_node.items():
            if self._bus.routable(node):
                self._ask(node, theirs, view, asking)
        self._replica.ready(partitions, lambda: self._told(asking))

    def _ask(self, node: NodeId, partitions: list[int], view: RingView, asking: _Asking) -> None:
        asking.left += 1

        def answered(reply: Reply | None) -> None:
            if isinstance(reply, Floor):
                for partition, version in zip(partitions, reply.versions, strict=False):
                    asking.floors[partition] = max(asking.floors[partition], version)
            self._told(asking)

        self._bus.ask(node, AskFloor(0, view.mark, partitions), answered, TIMEOUT_NS)

    def _told(self, asking: _Asking) -> None:
        asking.left -= 1
        if asking.left:
            return
        for partition, floor in asking.floors.items():
            if self._asking.get(partition) is asking:
                del self._asking[partition]
                self._floors[partition] = floor
        for each in asking.waiting:
            each()

    @property
    def count(self) -> int:
        """Tenures held."""
        return len(self._floors)

    def validate(self) -> None:
        """Assert what must always hold."""
        assert not any(partition in self._floors for partition in self._asking)
        assert all(asking.left for asking in self._asking.values())
