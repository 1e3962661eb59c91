"""Nodes that only gossip, under all faults, then under none: what must always hold holds, and in the end all
agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import ClassVar

from ..exception import StoreDamagedError
from ..node.world import NS_PER_S, Address, Factory, NodeId, Process, World
from .breakdowns import Crash
from .check import Finished, Watcher
from .cuts import Split
from .fault import Drawn, span
from .gossipnode import GossipNode
from .scenario import Caption, Scenario


class LongSplit(Split):
    """A split that lasts until each side holds the other for dead."""

    name = "long-split"
    rate = (0.02, 0.1)

    def draw(self, dice: Random, count: int) -> Drawn:
        return replace(super().draw(dice, count), for_ns=span(dice, 20.0, 40.0))


class LongCrash(Crash):
    """A process that is gone until others hold it for dead."""

    name = "long-crash"
    rate = (0.02, 0.1)

    def draw(self, dice: Random, count: int) -> Drawn:
        return replace(super().draw(dice, count), for_ns=span(dice, 15.0, 40.0))


class NumbersGrow:
    """What a node is believed to be in never goes back, nor does the generation that it starts in."""

    def __init__(self) -> None:
        self.started: dict[object, int] = {}
        self.believed: dict[Address, dict[object, tuple[int, int]]] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> str | None:
        if event == "gossip began":
            self.believed[address] = {}
            return self._start(at_ns, address, facts)
        if event == "gossip goes on":
            return self._start(at_ns, address, facts)
        if event != "member" or facts["change"] == "left":
            return None
        generation, incarnation = facts["generation"], facts["incarnation"]
        assert isinstance(generation, int)
        assert isinstance(incarnation, int)
        known = self.believed.setdefault(address, {})
        before = known.get(facts["node"], (0, 0))
        known[facts["node"]] = (generation, incarnation)
        if (generation, incarnation) >= before:
            return None
        return (
            f"at {at_ns / NS_PER_S:.3f} s {address} believed {(generation, incarnation)} of somebody whom it "
            f"had believed {before} of"
        )

    def _start(self, at_ns: int, address: Address, facts: dict[str, object]) -> str | None:
        generation = facts["generation"]
        assert isinstance(generation, int)
        before = self.started.get(facts["node"], 0)
        self.started[facts["node"]] = generation
        if generation > before:
            return None
        return f"at {at_ns / NS_PER_S:.3f} s {address} began in generation {generation} after {before}"


def all_agree(run: Finished) -> str | None:
    """Once nothing is broken any more, everybody who is up is alive for everybody, and nobody else is."""
    nodes: dict[Address, GossipNode] = {
        host.address: host.process
        for host in run.simulation.hosts.values()
        if isinstance(host.process, GossipNode) and host.process.gossiping.generation
    }
    up = {node.gossiping.id for node in nodes.values()}
    for address, node in sorted(nodes.items()):
        run.checks_count += 1
        alive = {NodeId(view.node_id) for view in node.gossiping.members() if view.status.name == "ALIVE"}
        if alive != up:
            names = {other.gossiping.id: name for name, other in nodes.items()}
            missed = ", ".join(sorted(names[one] for one in up - alive)) or "nobody"
            return f"{address} holds {missed} for dead, and {len(alive - up)} that are not there for alive"
    digests = {node.gossiping.digest for node in nodes.values()}
    return None if len(digests) <= 1 else f"{len(digests)} views of the same members"


class GossipScenario(Scenario):
    """Seven nodes for a minute of faults and a minute and a half without any."""

    nodes_count = 7
    clients_count = 0
    span_s = 150.0
    healed_s = 90.0
    kinds = (LongSplit, LongCrash)
    checks = (all_agree,)
    node_class: ClassVar[type[GossipNode]] = GossipNode

    def node(self, _number: int, /) -> Factory:
        def make(world: World) -> Process:
            try:
                return self.node_class(world, self.nodes, insecure=True)
            except StoreDamagedError as error:
                world.halt(str(error))
                return Nobody()

        return make

    def watchers(self) -> Sequence[Watcher]:
        return [NumbersGrow()]

    def caption(self, payload: bytes, /) -> Caption:
        return Caption("letter", None, f"a letter of {len(payload)} bytes")


class Nobody:
    """Stands where a process has ended before it began."""

    def on_frame(self, _source: Address, _frame: bytes) -> None:
        """Nobody hears."""

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        """Nobody hears."""
