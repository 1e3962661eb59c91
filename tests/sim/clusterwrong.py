"""Wrong versions of a node, to see that the simulator catches each of them; see wrong.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ringdict.node.network.message import Ack, Put, PutMany, Request
from ringdict.node.network.peermessage import Row
from ringdict.node.replicas.admission import Admission
from ringdict.node.replicas.hints import Hints, Stored
from ringdict.node.replicas.stamper import Stamper
from ringdict.node.replicas.tenure import Tenures
from ringdict.node.replicas.writers import Writers
from ringdict.node.world import NS_PER_MS, Address, NodeId
from ringdict.sim.clusterscenario import ClusterScenario, ThreeNodes
from ringdict.sim.clustervariants import ClocksApart, HintsAlone, RingChanges, SafetyAlone, TwoSides
from ringdict.sim.clusterwatch import WatchedCoordinator, WatchedService, WatchedWrite
from ringdict.sim.mutant import Mutant


class AcknowledgesFirst(WatchedWrite):
    """Answers before anybody has applied it, this node included."""

    def _judge(self) -> None:
        if not self.answered:
            self._has = [node for each in self._drafts.partitions for node in self.view.owners(each)]
            self._open = {}
        super()._judge()

    def _send(self, node: NodeId, rows: list[Row]) -> None:
        super()._send(node, rows)
        self._judge()


class IgnoresNewer(WatchedWrite):
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


class NoFloor(WatchedCoordinator):
    """Does not look what the client has seen."""

    def _above(self, request: Put | PutMany) -> int:
        return 0


class Hasty(WatchedCoordinator):
    write_class = AcknowledgesFirst


class Deaf(WatchedCoordinator):
    write_class = IgnoresNewer


class Forgetful(Hints):
    """Says that a hint is kept, and keeps none."""

    def add(self, node: NodeId, rows: Sequence[Row], done: Stored) -> None:
        self._world.call_after(0, lambda: done(None))


class AnyEpoch(Admission):
    """Does not look at the epoch of a request."""

    def admits(self, source: Address, request: Request, epoch: int) -> bool:
        known = self._view is not None and self._view.me is not None
        return super().admits(source, request, self.view.epoch if known else epoch)


class WithoutAsking(Tenures):
    """Coordinates at once, without asking what the others have."""

    def hold(self, partitions: Sequence[int], then: Callable[[], None]) -> None:
        then()


class Untenured(WatchedCoordinator):
    def __init__(self, parts: Writers, admission: Admission) -> None:
        parts.tenures = WithoutAsking(parts.world, parts.bus, parts.replica)
        super().__init__(parts, admission)


class DeafAndUntenured(Untenured):
    write_class = IgnoresNewer


class Generous(WatchedService):
    """Answers for what it does not own."""

    def _is_served(self, source: Address, request: Request, partitions: Sequence[int]) -> bool:
        return True


class AsksForMost(WatchedWrite):
    """Wants a majority for every write."""

    def begin(self) -> None:
        self._ack = Ack.MAJORITY
        super().begin()


class Demanding(WatchedCoordinator):
    write_class = AsksForMost


def version(
    name: str, scenario: type[ClusterScenario] = ThreeNodes, **parts: type[object]
) -> type[ClusterScenario]:
    """The scenario with nodes of which some parts are wrong."""
    changes: dict[str, object] = {"__module__": __name__}
    for which in ("node_class", "late_class"):
        node = getattr(scenario, which, None)
        if node is not None:
            keeping = type(name, (node.keeping_class,), dict(parts))
            changes[which] = type(name, (node,), {"keeping_class": keeping})
    return type(name, (scenario,), changes)


AckFirst = version("AckFirst", SafetyAlone, coordinator_class=Hasty)
OnWallClock = version("OnWallClock", stamper_class=WallClock, coordinator_class=Deaf)
WithoutFloor = version("WithoutFloor", coordinator_class=NoFloor)
ForgetsHints = version("ForgetsHints", HintsAlone, hints_class=Forgetful)
IgnoresEpoch = version("IgnoresEpoch", RingChanges, admission_class=AnyEpoch)
ServesAll = version("ServesAll", ClusterScenario, service_class=Generous)
MajorityOnly = version("MajorityOnly", TwoSides, coordinator_class=Demanding)
NeverNewer = version("NeverNewer", ClocksApart, coordinator_class=Deaf)
NeitherOfThem = version("NeitherOfThem", coordinator_class=DeafAndUntenured)

LATER = "the_later_put_wins"

# NoTenure is not in the table, as it breaks no promise of puts. Whoever would have told the floor of a key
# gets the write as well, and says so if what it has is newer: the write is stamped anew before it is
# acknowledged. What a tenure adds is for others: touches (tests/node/test_coordinator.py) and leaders go by
# it. The version that neither asks nor listens is caught at once.
MUTANTS: Mapping[str, Mutant] = {
    "AckFirst": Mutant(seeds_max=8, check=LATER, profile="harsh"),
    "OnWallClock": Mutant(seeds_max=4, check=LATER, profile="harsh"),
    "WithoutFloor": Mutant(seeds_max=8, check=LATER, profile="harsh"),
    "NeitherOfThem": Mutant(seeds_max=4, check=LATER, profile="harsh"),
    "NeverNewer": Mutant(seeds_max=8, check=LATER, profile="harsh"),
    "ForgetsHints": Mutant(seeds_max=6, check="replicas_end_equal", profile="harsh"),
    "IgnoresEpoch": Mutant(seeds_max=4, check="OnlyOwners"),
    "ServesAll": Mutant(seeds_max=4, check="OnlyOwners"),
    "MajorityOnly": Mutant(seeds_max=6, check="both_sides_serve", profile="lossless"),
}
