"""Whole nodes with clients of the real kind: what is promised of plain puts and gets, in a bad world.

The first node founds the cluster, and the others join it; some of them may come when faults happen already.
After the run all faults end, clients stop, and some quiet time passes: then the replicas are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..exception import ProtocolError
from ..node.disk.durability import Durability
from ..node.keeping import Keeping
from ..node.network.message import Get
from ..node.network.wire import decode
from ..node.node import Node, NodeSettings
from ..node.ringview import RingView
from ..node.world import NS_PER_S, Address, Factory, Process, World
from ..ring.codec import encode_decree
from ..ring.partition import dict_seed, key_hash
from .check import Finished, Watcher, progress
from .clusterclient import Bell, ClusterClient
from .clusterwatch import OnlyOwners, WatchedCoordinator, WatchedService
from .history import Operation, Status
from .network import Noise
from .scenario import Caption, Scenario

PROGRESS_S = 6.0
"""Within it a client is served: its own patience for one operation, and the next one."""
ENDING_S = 2.0
"""Until the last fault of a plan is over."""
PARTITIONS = 16
"""Of each cluster: few, since all nodes look at each of them after every change of the ring."""
QUIET_S = 25.0
"""Then so long nothing happens: hints are delivered, replicas compared."""


class ClusterKeeping(Keeping):
    """The parts of a node, of which some say what they do."""

    coordinator_class = WatchedCoordinator
    service_class = WatchedService


class ClusterNode(Node):
    """A node that says which ring it goes by, and what it serves."""

    keeping_class = ClusterKeeping

    def _turned(self, view: RingView) -> None:
        node, decree = self._world.identity.node, encode_decree(view.decree)
        self._world.trace("goes by", epoch=view.epoch, digest=view.mark[1], node=node, decree=decree)
        super()._turned(view)

    def _assemble(self) -> None:
        super()._assemble()
        service = self.keeping.service
        assert isinstance(service, WatchedService)
        service.serves = self._serves

    def _serves(self, epoch: int, partitions: list[int]) -> None:
        self._world.trace("serves", epoch=epoch, partitions=partitions)


class OneRing:
    """There is one ring an epoch."""

    def __init__(self) -> None:
        self.digests: dict[object, object] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> str | None:
        if event != "goes by":
            return None
        epoch, digest = facts["epoch"], facts["digest"]
        if self.digests.setdefault(epoch, digest) == digest:
            return None
        return f"epoch {epoch!r}: at {at_ns / NS_PER_S:.3f} s {address} goes by another ring than others did"


def puts_of(run: Finished) -> list[Operation]:
    """The acknowledged puts."""
    return [one for one in run.operations if one.kind == "put" and one.status is Status.OK]


def is_majority(put: Operation) -> bool:
    """Whether a majority of the owners has acknowledged it."""
    _, copies, wanted = put.result
    return bool(2 * copies > wanted)


def the_later_put_wins(run: Finished) -> str | None:
    """Of two puts of a key, each acknowledged by a majority, or of one client, the later stands."""
    by_key: dict[object, list[Operation]] = {}
    for put in puts_of(run):
        by_key.setdefault(put.key, []).append(put)
    for key, puts in by_key.items():
        for later in puts:
            for earlier in puts:
                if (earlier.returned_ns or 0) >= later.invoked_ns:
                    continue
                if earlier.client != later.client and not (is_majority(earlier) and is_majority(later)):
                    continue
                if earlier.result[0] >= later.result[0]:
                    return (
                        f"key {key!r}: {earlier.argument} of {earlier.client} got {earlier.result}, and then "
                        f"{later.argument} of {later.client} got {later.result}"
                    )
    return None


def clients_never_go_back(run: Finished) -> str | None:
    """What a client reads of a key is never older than what it wrote or read of it before."""
    seen: dict[tuple[str, object], tuple[int, ...]] = {}
    for one in sorted(run.operations, key=lambda each: each.returned_ns or 0):
        if one.status is not Status.OK or one.kind not in {"get", "put"}:
            continue
        stamp = one.result[0]
        before = seen.get((one.client, one.key), (0, 0, 0))
        if one.kind == "get" and stamp < before:
            return f"key {one.key!r}: {one.client} read {one.result}, after it had seen {before}"
        seen[one.client, one.key] = max(before, stamp)
    return None


class ClusterScenario(Scenario):
    """A cluster of five nodes, three replicas of each key, four clients."""

    nodes_count = 5
    clients_count = 4
    span_s = 24.0
    calm_s = 8.0
    keys: ClassVar[Sequence[str]] = ("a", "b", "c", "d")
    node_class: ClassVar[type[Node]] = ClusterNode
    client_class: ClassVar[type[ClusterClient]] = ClusterClient
    # A fresh disk is a stranger, who joins as one; that its old self is removed is for an operator.
    without = frozenset({"replaced"})

    def settings(self, number: int) -> NodeSettings:
        """What a node is told."""
        seeds = tuple(address for address in self.nodes if address != self.nodes[number])
        return NodeSettings(
            founds=number == 0,
            seeds=seeds,
            insecure=True,
            durability=Durability.FSYNC,
            version="sim",
            partitions=PARTITIONS,
        )

    def node(self, number: int, /) -> Factory:
        settings = self.settings(number)
        return lambda world: self.node_class(world, settings)

    def client(self, _number: int, /) -> Factory:
        if not hasattr(self, "bell"):
            self.bell = Bell()

        def make(world: World) -> Process:
            return self.client_class(world, self.nodes, self.history, self.keys, self.bell)

        return make

    def watchers(self) -> Sequence[Watcher]:
        return [OneRing(), OnlyOwners()]

    def caption(self, payload: bytes) -> Caption:
        try:
            message = decode(payload)
        except ProtocolError:
            return Caption("gossip", None, f"gossip, {len(payload)} bytes")
        key = message.key if isinstance(message, Get) else None
        return Caption(type(message).__name__, key, str(message)[:200])


def settle(run: Finished) -> list[Node]:
    """Let all faults end, clients stop and some quiet time pass; the nodes that are there then."""
    simulation = run.simulation
    for host in simulation.hosts.values():
        if isinstance(host.process, ClusterClient):
            host.process.bell.rung = True
    simulation.run_for(ENDING_S)
    simulation.network.noise = Noise()
    simulation.run_for(QUIET_S)
    return [host.process for host in simulation.hosts.values() if isinstance(host.process, Node)]


def replicas_end_equal(run: Finished) -> str | None:
    """After all faults are over, all owners of a key have the same, and no acknowledged put is lost."""
    nodes = settle(run)
    lost = run.plan.nodes_count - len(nodes)
    clients = [host.process for host in run.simulation.hosts.values()]
    dict_id = next(
        (each.dict_id for each in clients if isinstance(each, ClusterClient) and each.dict_id), b""
    )
    by_key: dict[object, list[Operation]] = {}
    for put in puts_of(run):
        if put.result[1] > lost or not lost:
            by_key.setdefault(put.key, []).append(put)
    for key, puts in by_key.items():
        encoded = b"\x03" + str(key).encode()
        partition = key_hash(dict_seed(dict_id), encoded) & (PARTITIONS - 1)
        owners = [node for node in nodes if node.view is not None and node.view.owns(partition)]
        stamps = {node.keeping.replica.read(dict_id, encoded).stamp for node in owners}
        if len(stamps) > 1:
            return f"key {key!r}: {len(owners)} owners have {sorted(stamps)}"
        last = max(puts, key=lambda put: put.result[0])
        for stamp in stamps:
            if stamp[:2] < last.result[0][:2]:
                return f"key {key!r}: {last.argument} was acknowledged as {last.result}, and there is {stamp}"
    return None


def a_healed_core_serves(run: Finished) -> str | None:
    """Once a majority of the ring is healed for good, each client is served within the bound, ever again."""
    hosts = [host.process for host in run.simulation.hosts.values()]
    views = [process.view for process in hosts if isinstance(process, Node) and process.view is not None]
    if not views:
        return None
    newest = max(views, key=lambda view: view.epoch)
    core = {f"n{number}" for number in run.plan.core}
    there = [member for member in newest.decree.members if member.address in core]
    if 2 * len(there) <= len(newest.members):
        return None  # the others of the core never came to join
    numbers = {newest.decree.number_of(member.member_id) for member in there}
    if not all(2 * len(numbers & set(row)) > len(row) for row in newest.decree.table.rows()):
        return (
            None  # of some keys a majority is lost: who wants one, or the only copy, waits as long as it may
        )
    return progress(PROGRESS_S)(run)


ClusterScenario.checks = (a_healed_core_serves, the_later_put_wins, clients_never_go_back, replicas_end_equal)


class ThreeNodes(ClusterScenario):
    """The smallest cluster that outlives a node, with clients that meet at two keys."""

    nodes_count = 3
    clients_count = 6
    keys = ("a", "b")
    span_s = 20.0
    calm_s = 6.0
