"""Scenarios of whole nodes in which one thing is to be seen: cuts with clients on both sides, hints without
anything that makes good for them, rings that change under traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ..node.replicas.convergence import Convergence
from ..node.world import NS_PER_S, Address, Factory, NodeId, Process, World
from ..ring.decree import Decree
from .check import Check, Finished, Watcher
from .clusterclient import Bell, ClusterClient
from .clusterscenario import (
    ClusterKeeping,
    ClusterNode,
    ClusterScenario,
    OneRing,
    ThreeNodes,
    clients_never_go_back,
    replicas_end_equal,
    the_later_put_wins,
)
from .clusterwatch import OnlyOwners
from .cuts import Split
from .epochoperator import EpochOperator, Knowledge
from .fault import Drawn, Fault, Kind
from .history import History, Operation, Status
from .plan import KINDS

CUT_S = 6.0
"""So long a cut lasts: longer than a client's patience for one operation."""
NOTICED_S = 3.0
"""Within it both sides have noticed that there is a cut, and serve."""
JOIN_S = 7.0
"""After its start, until a node that comes late asks to be let in: clients are busy by then."""
STOP_S = 16.5
"""When operators stop wanting: what they want last is over, or given up, before the run ends."""
SAFE: Sequence[Check] = (the_later_put_wins, clients_never_go_back, replicas_end_equal)


class Halves(Split):
    """The network in two sides for a while, each with a node and each client on one of them."""

    name = "halves"
    rate = (0.05, 0.06)

    def draw(self, dice: Random, count: int) -> Drawn:
        side = dice.sample(range(count), dice.randrange(1, count))
        return Drawn(tuple(sorted(side)), int(CUT_S * NS_PER_S), dice.randrange(1 << 30))


def alone(run: Finished) -> list[Fault]:
    """The cuts that no other one overlaps, and that are over before the end."""
    cuts = [fault for fault in run.plan.faults if fault.kind == Halves.name]
    return [
        cut
        for cut in cuts
        if cut.end_ns < run.plan.span_ns
        and cut.for_ns == int(CUT_S * NS_PER_S)
        and not any(one is not cut and one.at_ns < cut.end_ns and cut.at_ns < one.end_ns for one in cuts)
    ]


def both_sides_serve(run: Finished) -> str | None:
    """In a cut, puts and gets are served on both sides of it, wherever a client is."""
    for cut in alone(run):
        noticed_ns = cut.at_ns + int(NOTICED_S * NS_PER_S)
        sides: dict[bool, set[str]] = {True: set(), False: set()}
        for number in range(run.plan.clients_count):
            sides[bool(cut.amount >> number & 1)].add(f"c{number}")
        for inside, clients in sides.items():
            for kind in ("get", "put") if clients else ():
                run.checks_count += 1
                if not any(_is_of(one, kind, clients, noticed_ns, cut.end_ns) for one in run.operations):
                    where = "with" if inside else "without"
                    return (
                        f"cut at {cut.at_ns / NS_PER_S:.3f} s: on the side {where} nodes {cut.nodes} no "
                        f"{kind} was served from {noticed_ns / NS_PER_S:.3f} to {cut.end_ns / NS_PER_S:.3f} s"
                    )
    return None


def _is_of(one: Operation, kind: str, clients: set[str], begin_ns: int, end_ns: int) -> bool:
    served = one.status is Status.OK and one.kind == kind and one.client in clients
    return served and one.invoked_ns >= begin_ns and (one.returned_ns or end_ns) < end_ns


class Undemanding(ClusterClient):
    """A client that asks for no majority, which one side of a cut cannot have."""

    majority_ratio = 0.0


class TwoSides(ThreeNodes):
    """Three nodes that are cut in two, with clients on both sides, and nothing else that goes wrong: for the
    profile "lossless". A side of one node whose clients lose three answers in a row, or that all wait for a
    majority, is served nothing for 3 seconds, and nobody did anything wrong.
    """

    clients_count = 8
    span_s = 26.0
    healed_s = 2.0
    without = frozenset(KINDS)
    kinds: ClassVar[Sequence[type[Kind]]] = (Halves,)
    client_class = Undemanding
    checks = (*SAFE, both_sides_serve)


class Demanding(ClusterClient):
    """A client of which each put needs a majority."""

    majority_ratio = 0.43


class ClocksApart(ThreeNodes):
    """Three nodes that are cut off in turn, whose clocks jump, and clients that want a majority: what one
    coordinated while another was away is far ahead of that one's clock."""

    without = frozenset(KINDS) - {"isolate", "clock-jump"}
    client_class = Demanding
    checks = SAFE


class SafetyAlone(ThreeNodes):
    """Three nodes of which nobody asks how soon they serve again."""

    checks = SAFE


class NoComparison(Convergence):
    """Compares until the ring is whole, and then never: what hints do not bring is not brought."""

    def _tick(self) -> None:
        view = self._view
        if view is None or view.decree.pending is not None or len(view.members) < ThreeNodes.nodes_count:
            super()._tick()


class OnlyHints(ClusterKeeping):
    """The parts of a node that does not compare."""

    convergence_class = NoComparison


class HintingNode(ClusterNode):
    """A node that does not compare once it need not."""

    keeping_class = OnlyHints


class HintsAlone(ThreeNodes):
    """Three nodes that are cut off from each other at times, and have but hints to become equal."""

    span_s = 14.0
    without = frozenset(KINDS) - {"isolate", "split", "bridge"}
    node_class = HintingNode


class LateNode(ClusterNode):
    """One that asks to be let in when clients are busy already."""

    may_join = False

    def _start(self) -> None:
        super()._start()
        self._world.call_after(int(JOIN_S * NS_PER_S), self._wake)

    def _wake(self) -> None:
        self.may_join = True

    def _others(self) -> list[NodeId]:
        return super()._others() if self.may_join else []


class Wishful(EpochOperator):
    """An operator who has had enough after a while."""

    is_content = False

    def __init__(self, world: World, knowledge: Knowledge, history: History) -> None:
        super().__init__(world, knowledge, history)
        world.call_after(int(STOP_S * NS_PER_S), self._stop)

    def _stop(self) -> None:
        self.is_content = True

    def _want(self) -> None:
        if not self.is_content:
            super()._want()


class RingChanges(ClusterScenario):
    """Five nodes, of which one joins late, and operators that weigh nodes anew, make them leave, and remove
    some that may well live: those hand over what they alone have."""

    clients_count = 5
    takers_min: ClassVar[int] = 3
    late_class: ClassVar[type[ClusterNode]] = LateNode
    # Operators may have made those leave that would be the healed core.
    checks = SAFE
    without = ClusterScenario.without | {"lost"}

    def __init__(self, nodes: tuple[Address, ...], clients: tuple[Address, ...], history: History) -> None:
        super().__init__(nodes, clients, history)
        self.rings = OnlyOwners()
        self.bell = Bell()

    def node(self, number: int, /) -> Factory:
        settings = self.settings(number)
        node_class = self.late_class if number == len(self.nodes) - 1 else self.node_class
        return lambda world: node_class(world, settings)

    def client(self, number: int, /) -> Factory:
        def make(world: World) -> Process:
            if number == 0:
                return Wishful(world, self, self.history)
            return self.client_class(world, self.nodes, self.history, self.keys, self.bell)

        return make

    def newest(self) -> Decree | None:
        """The newest ring that any node goes by."""
        return max(self.rings.decrees.values(), key=lambda decree: decree.epoch, default=None)

    def watchers(self) -> Sequence[Watcher]:
        return [OneRing(), self.rings]
