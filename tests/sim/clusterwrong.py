"""Wrong versions of a node, to see that the simulator catches each of them; see wrong.py."""

from __future__ import annotations

from collections.abc import Mapping

from ringdict.node.coordinator import Coordinator
from ringdict.node.keeping import Keeping
from ringdict.node.message import Put, PutMany
from ringdict.node.peermessage import Row
from ringdict.node.stamper import Stamper
from ringdict.node.world import NS_PER_MS, NodeId
from ringdict.node.write import Write
from ringdict.sim.clusterscenario import ClusterNode, ClusterScenario, ThreeNodes
from ringdict.sim.mutant import Mutant


class AcknowledgesFirst(Write):
    """Answers before anybody has applied it, this node included."""

    def _judge(self) -> None:
        if not self.answered:
            self._has = [node for draft in self._drafts for node in self.view.owners(draft.partition)]
            self._open = {}
        super()._judge()

    def _send(self, node: NodeId, rows: list[Row]) -> None:
        super()._send(node, rows)
        self._judge()


class IgnoresNewer(Write):
    """Takes a replica's word that it has a newer version for an acknowledgement."""

    def _is_news(self, rows: list[Row], newer: int) -> bool:
        return False


class WallClock(Stamper):
    """Stamps with what the wall clock shows."""

    def now_ms(self) -> int:
        return self._world.wall_ns() // NS_PER_MS

    def see(self, version: int) -> None:
        pass

    def _next(self, above: int, clock: int) -> int:
        self._last = (self.now_ms() << 16) | ((self._last + 1) & 0xFFFF)
        return self._last

    def _is_reserved(self, version: int) -> bool:
        return True


class NoFloor(Coordinator):
    """Does not look what the client has seen."""

    def _above(self, request: Put | PutMany) -> int:
        return 0


class Hasty(Coordinator):
    write_class = AcknowledgesFirst


class Deaf(Coordinator):
    write_class = IgnoresNewer


def version(name: str, **parts: type[object]) -> type[ClusterScenario]:
    """The scenario with nodes of which some parts are wrong."""
    keeping = type(name, (Keeping,), dict(parts))
    node = type(name, (ClusterNode,), {"keeping_class": keeping})
    return type(name, (ThreeNodes,), {"node_class": node, "__module__": __name__})


AckFirst = version("AckFirst", coordinator_class=Hasty)
OnWallClock = version("OnWallClock", stamper_class=WallClock, coordinator_class=Deaf)
WithoutFloor = version("WithoutFloor", coordinator_class=NoFloor)

LATER = "the_later_put_wins"

# A forgotten hint, an epoch that nobody looks at and a newer version that is ignored are made good for by
# other parts in most worlds; tests/node/test_coordinator.py has a story for each.
MUTANTS: Mapping[str, Mutant] = {
    "AckFirst": Mutant(seeds_max=4, check=LATER, profile="harsh"),
    "OnWallClock": Mutant(seeds_max=4, check=LATER, profile="harsh"),
    "WithoutFloor": Mutant(seeds_max=4, check=LATER, profile="harsh"),
}
