"""Forgetting the dead for good: deleted keys, headers of what has expired, cleared and deleted Dicts.

What was deleted leaves a tombstone, and what has expired a header, since an older value on a replica that was
away would come back otherwise. Here it is found out when they are not needed any more.

Rules of this file:
1. A partition is purged up to a version once all its owners, those who are to be included, hold the same up
   to it: each of them has pulled from each other one since it was asked first. Members that own nothing of it
   keep nothing of it.
2. No clock decides: what is waited for is answers. Only an owner that was silent for `PURGE_AWAY_S` of this
   node's own time, or less if there is very much that is dead, is not waited for, and never by less than a
   majority.
3. Who purges raises the partition's mark first (marks.py): nothing at or below it comes back.
4. The first owner that answers asks. Two who ask do no harm.
5. A value is dropped once it has expired by the clocks of all whom this node compares with; its header stays.
   All replicas make the same header of the same entry.
6. All of it in bounded steps, and nothing where nothing is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..beat import until_beat_ns
from ..config import (
    COLLECT_TICK_S,
    PURGE_ASK_S,
    PURGE_AWAY_S,
    PURGE_AWAY_S_MIN,
    PURGE_DELAY_S,
    PURGE_PARTITIONS_MAX,
    PURGE_ROWS_MAX,
    PURGE_TIMEOUT_S,
    PURGE_WATCH_S,
)
from ..network.bus import Bus
from ..network.message import Mark, Refused, Reply, Request
from ..network.peermessage import Applied, AskPurge, MayPurge, Purge
from ..ringview import RingView
from ..world import NS_PER_S, Address, NodeId, World
from .collect import Collector
from .convergence import Convergence
from .replica import Replica
from .replicadesk import Handler, ReplicaDesk
from .stretch import partition_rows

TICK_NS = int(COLLECT_TICK_S * NS_PER_S)
ASK_NS = int(PURGE_ASK_S * NS_PER_S)
TIMEOUT_NS = int(PURGE_TIMEOUT_S * NS_PER_S)
DELAY_NS = int(PURGE_DELAY_S * NS_PER_S)
AWAY_NS_MIN = PURGE_AWAY_S_MIN * NS_PER_S
WATCH_NS = int(PURGE_WATCH_S * NS_PER_S)


class PurgeStatus(NamedTuple):
    """For people."""

    dead_count: int
    """Tombstones, headers of what has expired, and what stands of cleared and deleted Dicts, when it was
    looked at last."""
    purged_count: int
    expired_count: int
    """Values dropped because they had expired."""
    too_old_count: int
    """Entries refused because their partition was purged further."""
    too_large_count: int
    """Entries, imported from an embedded store, that others asked for and that fit into no frame."""
    purged_partitions: int
    """Partitions purged by this node's asking."""


class _Watch:
    """Of a partition: who has still to be pulled from before it may be purged."""

    __slots__ = ("asked_ns", "begun_ns", "version", "waiting")

    def __init__(self, version: int, now_ns: int, waiting: set[NodeId]) -> None:
        self.version = version
        self.begun_ns = now_ns
        self.asked_ns = now_ns
        self.waiting = waiting


class _Wish:
    """Of a partition: the version up to which this node would purge it, and who has agreed."""

    __slots__ = ("agreed", "dead_count", "since_ns", "version")

    def __init__(self, version: int, now_ns: int) -> None:
        self.version = version
        self.since_ns = now_ns
        self.dead_count = 0
        self.agreed: set[NodeId] = set()


class Purger:
    """One node's purging. Does nothing before `set_view`."""

    def __init__(
        self,
        world: World,
        replica: Replica,
        bus: Bus,
        desk: ReplicaDesk,
        convergence: Convergence,
        heard: Callable[[NodeId, Mark], None],
    ) -> None:
        self._world = world
        self._replica = replica
        self._bus = bus
        self._desk = desk
        self._convergence = convergence
        self._heard = heard
        self._me = world.identity.node
        self._view: RingView | None = None
        self._collector = Collector(replica, convergence.agreed_ms)
        self._watches: dict[int, _Watch] = {}
        self._wishes: dict[int, _Wish] = {}
        #: Since when a member that was asked has not answered.
        self._silent_ns: dict[NodeId, int] = {}
        self._ask_at_ns = 0
        self._purged_count = 0
        convergence.on_merged = self._merged
        world.call_after(until_beat_ns(world, TICK_NS), self._tick)

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring: what was agreed on in an older one is agreed on again."""
        self._view = view
        self._watches.clear()
        for partition in list(self._wishes):
            if view.keeps(partition):
                self._wishes[partition].agreed.clear()
            else:
                del self._wishes[partition]
        self._collector.set_kept([each for each in range(view.decree.partitions) if view.keeps(each)])

    def handlers(self) -> dict[type[Request], Handler]:
        """What is answered here."""
        return {AskPurge: self._on_ask_purge, Purge: self._on_purge}

    def status(self) -> PurgeStatus:
        """How much there is."""
        collector = self._collector
        return PurgeStatus(
            collector.dead_count,
            collector.purged_count,
            collector.expired_count,
            self._replica.too_old_count,
            self._replica.too_large_count,
            self._purged_count,
        )

    # -- looking for the dead -----------------------------------------------------------------------

    def _tick(self) -> None:
        self._world.call_after(until_beat_ns(self._world, TICK_NS), self._tick)
        view, now_ns = self._view, self._world.now_ns()
        if view is None:
            return
        for partition, dead_count, version in self._collector.step(now_ns):
            self._wish(partition, dead_count, version, now_ns)
        if now_ns >= self._ask_at_ns:
            self._ask_at_ns = now_ns + ASK_NS
            self._forget_watches(now_ns)
            self._ask_all(view, now_ns)

    def _wish(self, partition: int, dead_count: int, version: int, now_ns: int) -> None:
        if version <= self._replica.marks.get(partition):
            self._wishes.pop(partition, None)
            return
        wish = self._wishes.setdefault(partition, _Wish(version, now_ns))
        wish.dead_count = dead_count

    # -- asking -------------------------------------------------------------------------------------

    def _ask_all(self, view: RingView, now_ns: int) -> None:
        """Ask all members about what is due, and purge what all have agreed to."""
        due: list[int] = []
        for partition, wish in sorted(self._wishes.items()):
            if wish.version <= self._replica.marks.get(partition):
                del self._wishes[partition]
            elif now_ns - wish.since_ns >= DELAY_NS and self._is_first(view, partition):
                due.append(partition)
        due = due[:PURGE_PARTITIONS_MAX]
        if not due:
            return
        crowded = any(self._wishes[partition].dead_count > PURGE_ROWS_MAX for partition in due)
        away_s = PURGE_AWAY_S_MIN if crowded else PURGE_AWAY_S
        if crowded:
            due = [each for each in due if self._wishes[each].dead_count > PURGE_ROWS_MAX]
        ready = [each for each in due if self._has_agreed(view, each, away_s, now_ns)]
        if ready:
            self._declare(view, ready)
        rows = [(each, self._wishes[each].version) for each in due if each in self._wishes]
        for node in view.members:
            if node != self._me:
                self._ask(view, node, rows, away_s)

    def _is_first(self, view: RingView, partition: int) -> bool:
        """Whether no owner before this node answers."""
        for node in view.owners(partition):
            if node == self._me:
                return True
            if not self._convergence.silence_ns(node):
                return False
        return False

    def _ask(self, view: RingView, node: NodeId, rows: Sequence[tuple[int, int]], away_s: int) -> None:
        def answered(reply: Reply | None) -> None:
            if reply is None:
                self._silent_ns.setdefault(node, self._world.now_ns())
                return
            self._silent_ns.pop(node, None)
            if isinstance(reply, Refused):
                self._heard(node, reply.mark)
            elif isinstance(reply, MayPurge) and self._view is view:
                for (partition, version), ready in zip(rows, reply.ready, strict=False):
                    wish = self._wishes.get(partition)
                    if ready and wish is not None and wish.version == version:
                        wish.agreed.add(node)

        self._bus.ask(node, AskPurge(0, view.mark, list(rows), away_s), answered, TIMEOUT_NS)

    def _has_agreed(self, view: RingView, partition: int, away_s: int, now_ns: int) -> bool:
        wish = self._wishes[partition]
        owners = view.owners(partition)
        missing = [node for node in view.members if node != self._me and node not in wish.agreed]
        if any(self._away_ns(node, now_ns) < away_s * NS_PER_S for node in missing):
            return False
        there = sum(node not in missing for node in owners)
        return 2 * there > len(owners) and self._may_purge(view, partition, wish.version, away_s)

    def _away_ns(self, node: NodeId, now_ns: int) -> int:
        """For how long a node has answered neither question nor comparison."""
        silent_ns = self._silent_ns.get(node, now_ns)
        return max(now_ns - silent_ns, self._convergence.silence_ns(node))

    def _declare(self, view: RingView, partitions: list[int]) -> None:
        """All agree: purge, and say so."""
        rows = [(partition, self._wishes.pop(partition).version) for partition in partitions]
        self._world.trace("purge", partitions=len(rows))
        self._purged_count += len(rows)
        keepers = {node for partition in partitions for node in view.writers(partition)}
        for node in sorted(keepers - {self._me}):
            theirs = [row for row in rows if node in view.writers(row[0])]
            self._bus.ask(node, Purge(0, view.mark, theirs), lambda _: None, TIMEOUT_NS)
        for partition, version in rows:
            self._raise(partition, version)

    def _raise(self, partition: int, version: int) -> None:
        self._watches.pop(partition, None)
        self._replica.raise_mark(partition, version, lambda _error, _newer: None)
        self._collector.hasten(partition)

    # -- answering ----------------------------------------------------------------------------------

    def _on_ask_purge(self, source: Address, request: Request) -> None:
        assert isinstance(request, AskPurge)
        view = self._view
        partitions = [partition for partition, _ in request.rows]
        if view is None or not self._desk.admits(source, request, request.mark, partitions):
            return
        away_s = max(request.away_s, PURGE_AWAY_S_MIN)
        ready = [self._may_purge(view, partition, version, away_s) for partition, version in request.rows]
        self._bus.tell(source, MayPurge(request.number, ready))

    def _may_purge(self, view: RingView, partition: int, version: int, away_s: int) -> bool:
        """Whether this node has all that the other owners had when it was asked this first."""
        if not view.keeps(partition):
            return not partition_rows(self._replica.storage, partition, b"", 1)[0]
        if self._replica.marks.get(partition) >= version:
            return True
        now_ns = self._world.now_ns()
        watch = self._watches.get(partition)
        if watch is None or watch.version < version:
            others = {node for node in view.writers(partition) if node != self._me}
            watch = self._watches[partition] = _Watch(version, now_ns, others)
        watch.asked_ns = now_ns
        waiting = [
            node for node in sorted(watch.waiting) if self._convergence.silence_ns(node) < away_s * NS_PER_S
        ]
        tally = self._replica.tally(partition)
        return not waiting and tally is not None and not tally.damaged

    def _merged(self, node: NodeId, partition: int, begun_ns: int) -> None:
        """All that a peer had when a talk with it began is here."""
        watch = self._watches.get(partition)
        if watch is not None and begun_ns >= watch.begun_ns:
            watch.waiting.discard(node)

    def _on_purge(self, source: Address, request: Request) -> None:
        assert isinstance(request, Purge)
        view = self._view
        partitions = [partition for partition, _ in request.rows]
        if view is None or not self._desk.admits(source, request, request.mark, partitions):
            return
        for partition, version in request.rows:
            watch = self._watches.get(partition)
            is_ready = watch is not None and watch.version >= version
            if view.keeps(partition) and is_ready and self._may_purge(view, partition, version, PURGE_AWAY_S):
                self._raise(partition, version)
        self._bus.tell(source, Applied(request.number, 0))

    def _forget_watches(self, now_ns: int) -> None:
        for partition, watch in list(self._watches.items()):
            if now_ns - watch.asked_ns >= WATCH_NS:
                del self._watches[partition]
