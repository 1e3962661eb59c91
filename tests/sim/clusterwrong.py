"""Wrong versions of a node, to see that the simulator catches each of them; see wrong.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ringdict.node.admission import Admission
from ringdict.node.coordinator import Coordinator
from ringdict.node.hints import Hints, Stored
from ringdict.node.keeping import Keeping
from ringdict.node.message import Natural, Put, PutMany, Request
from ringdict.node.peermessage import Row
from ringdict.node.replicadesk import ReplicaDesk
from ringdict.node.stamper import Stamper
from ringdict.node.world import NS_PER_MS, Address, NodeId
from ringdict.node.write import Write
from ringdict.sim.clusterscenario import ClusterNode, ClusterScenario
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


class ForgetsHints(Hints):
    """Says that it keeps hints, and does not."""

    def add(self, node: NodeId, rows: Sequence[Row], done: Stored) -> None:
        self._world.call_after(0, lambda: done(None))


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


class ServesAnyEpoch(Admission):
    """Does not look which ring a client goes by."""

    def admits(self, source: Address, request: Request, epoch: int) -> bool:
        return super().admits(source, request, self._view.epoch if self._view else epoch)


class TakesAnyEpoch(ReplicaDesk):
    """Does not look which ring another node goes by."""

    def admits(
        self, source: Address, request: Request, mark: tuple[int, bytes], partitions: Sequence[Natural] = ()
    ) -> bool:
        return super().admits(source, request, self._view.mark if self._view else mark, partitions)


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
    return type(name, (ClusterScenario,), {"node_class": node, "__module__": __name__})


AckFirst = version("AckFirst", coordinator_class=Hasty)
NewerIgnored = version("NewerIgnored", coordinator_class=Deaf)
HintsForgotten = version("HintsForgotten", hints_class=ForgetsHints)
OnWallClock = version("OnWallClock", stamper_class=WallClock)
AnyEpoch = version("AnyEpoch", admission_class=ServesAnyEpoch, desk_class=TakesAnyEpoch)
WithoutFloor = version("WithoutFloor", coordinator_class=NoFloor)

MUTANTS: Mapping[str, Mutant] = {
    "AckFirst": Mutant(seeds_max=40, check="replicas_end_equal"),
    "NewerIgnored": Mutant(seeds_max=40, check="the_later_put_wins"),
    "HintsForgotten": Mutant(seeds_max=60, check="replicas_end_equal"),
    "OnWallClock": Mutant(seeds_max=20, check="the_later_put_wins"),
    "AnyEpoch": Mutant(seeds_max=60, check="replicas_end_equal"),
    "WithoutFloor": Mutant(seeds_max=60, check="the_later_put_wins"),
}
