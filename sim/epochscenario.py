"""Epochs under every fault: nodes that have nothing else, operators that want something all the time.

What is watched (docs/epochs.md): of each epoch one decree, and each follows its parent; nothing is decided
twice; a promise never goes back; nothing is told that a restart forgets; an epoch never goes back; nobody
changes cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..exception import ProtocolError
from ..node.network.wire import decode
from ..node.ringview import RingView
from ..node.world import NS_PER_S, Address, Factory, Process, World
from ..ring.decree import Decree, Recovery
from ..ring.succession import check_successor
from .check import Check, Finished, Watcher
from .epochnode import EpochNode
from .epochoperator import EpochOperator
from .forcingoperator import ForcingOperator
from .history import History, Status
from .scenario import Caption, Scenario

CLUSTER = b"the one cluster!"
OTHER = b"and another one!"
PROGRESS_S = 6.0
"""Within which a healed core decides something: an operator asks three dead nodes first, then one that backs
off."""
KNOWN_S = 3.0
"""Within which all members of a healed core go by what was decided."""


class OneDecree:
    """Of each epoch there is one decree; each is an allowed successor of the one before."""

    def __init__(self, decrees: dict[tuple[bytes, int], Decree]) -> None:
        self.decrees = decrees
        self.digests: dict[tuple[object, object], object] = {}
        self.first_ns: dict[tuple[bytes, int], int] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> str | None:
        if event != "epoch":
            return None
        cluster, epoch, digest = facts["cluster"], facts["epoch"], facts["digest"]
        other = self.digests.setdefault((cluster, epoch), digest)
        if other != digest:
            return f"at {at_ns / NS_PER_S:.3f} s {address} goes by another epoch {epoch} than others did"
        assert isinstance(cluster, bytes)
        assert isinstance(epoch, int)
        self.first_ns.setdefault((cluster, epoch), at_ns)
        before, here = self.decrees.get((cluster, epoch - 1)), self.decrees.get((cluster, epoch))
        first = self.first_ns[cluster, epoch] == at_ns
        if first and before is not None and here is not None:
            try:
                check_successor(before, here)
            except ValueError as error:
                return f"at {at_ns / NS_PER_S:.3f} s epoch {epoch} does not follow: {error}"
        return None


class DecidedOnce:
    """A ballot is of one decree, and for no epoch do two decrees ever have a quorum of one ballot each."""

    def __init__(self, decrees: dict[tuple[bytes, int], Decree]) -> None:
        self.decrees = decrees
        self.accepts: dict[tuple[int, Any, object], set[bytes]] = {}
        self.decided: dict[tuple[bytes, int], object] = {}
        self.proposed: dict[tuple[int, object], object] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> str | None:
        if event != "accept":
            return None
        epoch, ballot, digest, node = facts["epoch"], facts["ballot"], facts["digest"], facts["node"]
        assert isinstance(epoch, int)
        assert isinstance(node, bytes)
        if self.proposed.setdefault((epoch, ballot), digest) != digest:
            return f"at {at_ns / NS_PER_S:.3f} s {address} accepted a second decree under one ballot"
        votes = self.accepts.setdefault((epoch, ballot, digest), set())
        votes.add(node)
        for (cluster, before), decree in list(self.decrees.items()):
            if before != epoch - 1 or decree.number_of(node) is None:
                continue
            numbers = {number for one in sorted(votes) if (number := decree.number_of(one)) is not None}
            if not decree.may_decide(numbers):
                continue
            other = self.decided.setdefault((cluster, epoch), digest)
            if other != digest:
                return f"at {at_ns / NS_PER_S:.3f} s {address} made a second decree of epoch {epoch} decided"
        return None


class PromisesHold:
    """What a node promised it keeps, within a start and beyond; what it told it remembers."""

    def __init__(self) -> None:
        self.promised: dict[tuple[object, object], Any] = {}
        self.accepted: dict[tuple[object, object], Any] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> str | None:
        if event not in ("promise", "accept", "recalled"):
            return None
        here = (facts["node"], facts["epoch"])
        nothing = (0, 0, b"")
        promised = facts["promised" if event == "recalled" else "ballot"]
        if promised < self.promised.get(here, nothing):
            return f"at {at_ns / NS_PER_S:.3f} s {address} went back behind what it promised: {event}"
        if event == "recalled":
            if facts["accepted"] < self.accepted.get(here, nothing):
                return f"at {at_ns / NS_PER_S:.3f} s {address} has forgotten what it accepted"
            return None
        self.promised[here] = promised
        if event == "accept":
            self.accepted[here] = promised
        return None


class NeverBack:
    """No node goes by an older epoch than before, or by that of another cluster."""

    def __init__(self) -> None:
        self.last: dict[object, tuple[object, Any]] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> str | None:
        if event != "epoch":
            return None
        cluster, epoch = self.last.get(facts["node"], (facts["cluster"], 0))
        self.last[facts["node"]] = (facts["cluster"], facts["epoch"])
        if cluster != facts["cluster"]:
            return f"at {at_ns / NS_PER_S:.3f} s {address} went from one cluster to another"
        if facts["epoch"] < epoch:
            return f"at {at_ns / NS_PER_S:.3f} s {address} went back from epoch {epoch}"
        return None


def a_healed_core_decides(run: Finished) -> str | None:
    """Once nodes that can decide are healed for good, they decide, again and again, and all know of it."""
    heal_ns, end_ns = run.plan.heal_ns, run.simulation.loop.now_ns
    if heal_ns is None:
        return None
    book = next(one for one in run.watchers if isinstance(one, OneDecree))
    core = [run.simulation.hosts[Address(f"n{number}")].process for number in run.plan.core]
    alive = [node for node in core if isinstance(node, EpochNode)]
    newest = max((key for key in book.decrees if key in book.first_ns), key=lambda key: key[1])
    decree, since_ns = book.decrees[newest], max(heal_ns, book.first_ns[newest])
    numbers = {number for node in alive if (number := decree.number_of(node.me)) is not None}
    if not decree.may_decide(numbers):
        return None  # whoever was made to leave may have left too few
    run.checks_count += 1
    if end_ns - since_ns > PROGRESS_S * NS_PER_S:
        return f"nothing was decided after {since_ns / NS_PER_S:.3f} s, though enough voters were healthy"
    for node in alive:
        view = node.epochs.view
        epoch = 0 if view is None else view.epoch
        if end_ns - since_ns > KNOWN_S * NS_PER_S and epoch != newest[1] and node.me in members_of(decree):
            return f"{node.world.identity.address} goes by epoch {epoch}, others by {newest[1]}"
    return None


def members_of(decree: Decree) -> set[bytes]:
    """The ids of all members."""
    return {member.member_id for member in decree.members}


def what_was_told_is_so(run: Finished) -> str | None:
    """A command that was answered as done is so in the ring that the answer names, or was so before."""
    book = next(one for one in run.watchers if isinstance(one, OneDecree))
    epochs = {epoch for _, epoch in book.decrees}
    for one in run.operations:
        if one.status is Status.OK:
            run.checks_count += 1
            if one.result not in epochs:
                return f"{one.client} was told of epoch {one.result}, which nobody goes by"
    return None


class EpochScenario(Scenario):
    """Seven nodes, of which the first founds a cluster and the others join it, and three operators."""

    nodes_count = 7
    clients_count = 3
    span_s = 30.0
    takers_min: ClassVar[int] = 3
    node_class: ClassVar[type[EpochNode]] = EpochNode
    founders: ClassVar[Mapping[str, bytes]] = {"n0": CLUSTER}
    checks: ClassVar[Sequence[Check]] = (what_was_told_is_so, a_healed_core_decides)

    def __init__(self, nodes: tuple[Address, ...], clients: tuple[Address, ...], history: History) -> None:
        super().__init__(nodes, clients, history)
        self.partitions, self.replicas = 8, 3
        self.to_found = dict(self.founders)
        self.decrees: dict[tuple[bytes, int], Decree] = {}

    def node(self, _number: int, /) -> Factory:
        return lambda world: self.node_class(world, self)

    def client(self, _number: int, /) -> Factory:
        def make(world: World) -> Process:
            return EpochOperator(world, self, self.history)

        return make

    def watchers(self) -> Sequence[Watcher]:
        return [OneDecree(self.decrees), DecidedOnce(self.decrees), PromisesHold(), NeverBack()]

    def caption(self, payload: bytes) -> Caption:
        try:
            message = decode(payload)
        except ProtocolError:
            return Caption("rumour", None, "a rumour")
        kind = type(message).__name__
        return Caption(kind, None, kind)

    # -- what nodes and operators know of each other ------------------------------------------------

    def founds(self, address: Address) -> bytes:
        return self.to_found.get(address, b"")

    def founded(self, address: Address) -> None:
        self.to_found.pop(address, None)

    def saw(self, _world: World, view: RingView) -> None:
        self.decrees.setdefault((view.decree.cluster_id, view.epoch), view.decree)

    def newest(self) -> Decree | None:
        if not self.decrees:
            return None
        return self.decrees[max(self.decrees, key=lambda key: key[1])]


class FourNodes(EpochScenario):
    """The same with few nodes, of which operators may leave one: majorities are of two, three and four."""

    nodes_count = 4
    takers_min: ClassVar[int] = 1


class OneHistory:
    """No node goes from one recovery by force to another that does not come of it, and none is undone."""

    def __init__(self, decrees: dict[tuple[bytes, int], Decree]) -> None:
        self.decrees = decrees
        self.last: dict[object, tuple[Recovery, ...]] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> str | None:
        if event != "epoch":
            return None
        cluster, epoch = facts["cluster"], facts["epoch"]
        assert isinstance(cluster, bytes)
        assert isinstance(epoch, int)
        before, now = self.last.get(facts["node"], ()), self.decrees[cluster, epoch].recoveries
        self.last[facts["node"]] = now
        if now[: len(before)] != before:
            return f"at {at_ns / NS_PER_S:.3f} s {address} went from one recovery by force to another"
        return None


class ForcedFourNodes(FourNodes):
    """Four nodes, and an operator who recovers the cluster by force whenever he does not hear of some, while
    those live on: the majority that was given up comes back, again and again."""

    def client(self, number: int, /) -> Factory:
        if number:
            return super().client(number)
        return lambda world: ForcingOperator(world, self, self.history)

    def watchers(self) -> Sequence[Watcher]:
        return [*super().watchers(), OneHistory(self.decrees)]


class TwoClusters(EpochScenario):
    """The same, but that two nodes found a cluster each, as happens by mistake."""

    founders: ClassVar[Mapping[str, bytes]] = {"n0": CLUSTER, "n1": OTHER}
    checks = (what_was_told_is_so,)
