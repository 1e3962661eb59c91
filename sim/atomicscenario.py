"""Whole nodes with clients of the real kind that decide: put-if-absent, pop, replace, incr, fresh get, locks
and clear beside plain puts, while nodes die, are cut off, and the ring changes.

What the core of atomic operations alone promises is looked for by sim/lockscenario.py, faster; here it is the
wiring: leaders on the replicas, clocks, lines and decrees of a node, and the client library.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import ClassVar

from ..node.keeping import Keeping
from ..node.leaders.verdict import see
from ..node.leading import Leading
from ..node.network.message import Mark
from ..node.node import Node
from ..node.replicas.service import Presence
from ..node.world import NS_PER_S, NodeId, Storage, World
from ..ring.decree import Decree
from ..ring.partition import dict_seed, partition_of
from .atomicclient import AtomicClient
from .check import Check, Finished, Watcher
from .clusterclient import ClusterClient
from .clusterscenario import PARTITIONS, ClusterNode, ClusterScenario, OneRing, settle
from .clustervariants import LateNode, RingChanges
from .clusterwatch import OnlyOwners
from .history import Operation, Status, by_key
from .linearizability import Verdict, check_key
from .lockcheck import NoFork, NoGhost, OneLeader, SaidIsDurable, TokensGrow, ToldIsChosen
from .lockdisk import WatchedStorage
from .lockjudge import LockModel, longest_in_vain, nobody_holds_what_another_holds, spread

IN_VAIN_S = 6.0
"""So long a healed core may serve nobody who asks: a client waits 1.2 s for a leader that is gone, is told of
the next one within 2 s, and may have been told once of one that is gone as well."""
CLEARS = 2
"""So often one `clear` may clear a partition: again, if its leader was lost meanwhile."""


ASKED = frozenset({"put", "setdefault", "read", "replace", "pop", "incr", "extend", "let-go", "clear"})
"""Of leaders, by clients; the rest is asked of replicas, or by operators."""


class AtomicModel(LockModel):
    """A key that holds a word or a number, or nothing."""

    def apply(self, state: Hashable, operation: Operation) -> tuple[bool, Hashable]:
        if operation.kind == "setdefault":
            after = operation.argument if state is None else state
            return operation.status is not Status.OK or operation.result == after, after
        if operation.kind == "let-go":  # whose answer was lost is told "yes" the second time, too
            mine = state == operation.argument
            fits = operation.status is not Status.OK or bool(operation.result) or not mine
            return fits, None if mine else state
        return super().apply(state, operation)


def every_key_is_linearizable(run: Finished) -> str | None:
    """The answers on each key are those of one copy that serves one client at a time."""
    for key, operations in by_key(_spread(run.operations)).items():
        answer = check_key(AtomicModel(), operations)
        run.checks_count += 1
        if answer.verdict is Verdict.NO:
            stuck = [one for one in operations if one.serial not in answer.longest]
            ok = next(one for one in stuck if one.status is Status.OK)
            return (
                f"key {key!r}: {ok.client} was told {ok.result!r} for {ok.kind} {ok.argument!r} at "
                f"{(ok.returned_ns or 0) / NS_PER_S:.3f} s, which no order allows"
            )
        if answer.verdict is Verdict.UNRESOLVED:
            run.unresolved.append(key)
    return None


def _spread(operations: Sequence[Operation]) -> list[Operation]:
    """All but the plain ones; a `clear` is one of each key, as often as it may have happened."""
    found: list[Operation] = []
    asked = [one for one in operations if one.kind in ASKED]
    for one in spread(asked, lambda _key: 0):
        found += [replace(one) for _ in range(CLEARS if one.kind == "clear" else 1)]
    for serial, one in enumerate(found):
        one.serial = serial
    return found


def plain_values_are_popped_once(run: Finished) -> str | None:
    """What one plain put stored, that was sent once, goes to at most one pop."""
    once = {one.argument for one in run.operations if one.kind == "plain-put" and one.result == 1}
    takers: dict[object, str] = {}
    for one in run.operations:
        if one.kind == "plain-pop" and one.status is Status.OK and one.result in once:
            run.checks_count += 1
            if one.result in takers:
                return f"{one.result!r} was popped by {takers[one.result]} and by {one.client}"
            takers[one.result] = one.client
    return None


def readers_never_go_back(run: Finished) -> str | None:
    """What a client reads of a key is not older than what the key's leader told it before."""
    for one in run.operations:
        if one.kind == "plain-look" and one.status is Status.OK:
            run.checks_count += 1
            stamp, body = one.result
            if body is not None and stamp[0] < one.argument:
                return (
                    f"key {one.key!r}: {one.client} read {one.result}, and was told of {one.argument} before"
                )
    return None


def what_is_decided_is_shown(run: Finished) -> str | None:
    """After all faults are over, each owner of a key shows what its leader has decided."""
    nodes = [node for node in settle(run) if node.view is not None]
    clients = [host.process for host in run.simulation.hosts.values()]
    dict_id = next(
        (each.dict_id for each in clients if isinstance(each, ClusterClient) and each.dict_id), b""
    )
    for key in sorted(
        {one.key for one in run.operations if isinstance(one.key, str) and one.kind != "clear"}
    ):
        encoded = b"\x03" + key.encode()
        partition = partition_of(dict_seed(dict_id), encoded, PARTITIONS)
        for leader in nodes:
            leadership = leader.leading.leaders.leaderships.get(partition)
            if leadership is None or leadership.open:
                continue
            run.checks_count += 1
            what = _unlike(nodes, leader, partition, (dict_id, encoded))
            if what is not None:
                return f"key {key!r}: {what}"
    return None


def _unlike(nodes: Sequence[Node], leader: Node, partition: int, name: tuple[bytes, bytes]) -> str | None:
    """Which owner shows anything else than its leader has decided."""
    acceptor = leader.leading.leaders.acceptor
    dict_id, encoded = name
    record, cleared = acceptor.record(partition, dict_id + encoded), acceptor.record(partition, dict_id)
    seen = see(record, cleared, None)
    for node in nodes:
        if node.view is None or not node.view.owns(partition):
            continue
        read = node.keeping.replica.read(dict_id, encoded)
        shown = 0 if read.entry is None else read.entry.version
        if seen.body is not None and shown < seen.version:
            return f"{seen.body!r} was decided as {seen.version}, and an owner shows {shown}"
        if seen.body is None and 0 < shown < seen.hidden:  # of the same instant a plain put stands above
            return f"it was removed as {seen.hidden}, and an owner shows {shown}"
    return None


def newest_decree(run: Finished) -> Decree | None:
    """The newest ring that any node goes by."""
    rings = next(one for one in run.watchers if isinstance(one, OnlyOwners))
    return max(rings.decrees.values(), key=lambda decree: decree.epoch, default=None)


def a_healed_core_decides(run: Finished) -> str | None:
    """Once a core is healed for good, nobody asks a partition with quorums in it in vain for long."""
    heal_ns, decree = run.plan.heal_ns, newest_decree(run)
    if heal_ns is None or decree is None:
        return None
    names = {f"n{number}" for number in run.plan.core}
    core = {number for number, member in enumerate(decree.members) if member.address in names}
    asked: dict[object, list[Operation]] = {}
    for one in run.operations:
        if not one.kind.startswith("plain") and one.kind != "clear":
            asked.setdefault(one.key, []).append(one)
    if not all(
        2 * len(core.intersection(one)) > len(one)
        for partition in range(decree.partitions)
        for one in decree.acceptor_sets(partition)
    ):
        return None  # the others of the core never came to join, or had left
    for key, operations in asked.items():
        run.checks_count += 1
        vain_ns, until_ns = longest_in_vain(operations, heal_ns, run.simulation.loop.now_ns)
        if vain_ns > int(IN_VAIN_S * NS_PER_S):
            return (
                f"healed at {heal_ns / NS_PER_S:.3f} s, and {key!r} was asked for in vain for "
                f"{vain_ns / NS_PER_S:.3f} s until {until_ns / NS_PER_S:.3f} s"
            )
    return None


class WatchedLeading(Leading):
    """Leaders on a disk that says what is synced. Wrong ones have another disk on top of it."""

    def __init__(
        self,
        world: World,
        decisions: Storage,
        keeping: Keeping,
        presence: Presence,
        heard: Callable[[NodeId, Mark], None],
    ) -> None:
        super().__init__(world, self.disk(world, WatchedStorage(world, decisions)), keeping, presence, heard)

    @staticmethod
    def disk(world: World, storage: Storage) -> Storage:
        """What is told and asked as the disk."""
        del world
        return storage


class AtomicNode(ClusterNode):
    """A node of which all that it promises and accepts is watched."""

    leading_class = WatchedLeading


class LateAtomicNode(LateNode, AtomicNode):
    """The same, that asks to be let in when clients are busy already."""


SAFE: Sequence[Check] = (
    every_key_is_linearizable,
    nobody_holds_what_another_holds,
    plain_values_are_popped_once,
    readers_never_go_back,
    what_is_decided_is_shown,
)


def _watchers() -> list[Watcher]:
    return [NoFork(), TokensGrow(), NoGhost(), ToldIsChosen(), OneLeader(), SaidIsDurable()]


class AtomicThree(ClusterScenario):
    """The smallest cluster that outlives a node, with five clients that decide."""

    nodes_count = 3
    clients_count = 5
    span_s = 20.0
    calm_s = 6.0
    keys = ("lock-a", "lock-b", "lock-m", "count-c", "plain-d")
    node_class = AtomicNode
    client_class: ClassVar[type[ClusterClient]] = AtomicClient
    checks = (a_healed_core_decides, *SAFE)

    def watchers(self) -> Sequence[Watcher]:
        return [OneRing(), OnlyOwners(), *_watchers()]


class AtomicRingChanges(RingChanges):
    """Five nodes, of which one joins late, and operators that weigh nodes anew, make them leave, and remove
    some that may well live, while clients decide."""

    keys = AtomicThree.keys
    node_class = AtomicNode
    late_class = LateAtomicNode
    client_class: ClassVar[type[ClusterClient]] = AtomicClient
    checks = SAFE

    def watchers(self) -> Sequence[Watcher]:
        return [*super().watchers(), *_watchers()]
