"""Who decides the ring in the scenario of atomic operations: a process that does not die, in place of a vote.

It founds a cluster of the first nodes that it hears of, lets others join, flips rows one at a time, has one
leave, and forgets former sets that a leader says are settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from ..node.world import NS_PER_MS, NS_PER_S, Address, NodeId, World
from ..ring.change import flip, join, leave
from ..ring.codec import encode_decree
from ..ring.config import FORMER_SETS_MAX
from ..ring.decree import NO_PARENT, Decree
from ..ring.member import Member, MemberState
from ..ring.placement import target_table
from .locknode import MAYOR_TURN_NS, pack, unpack

FOUNDERS = 3
PARTITIONS = 4
REPLICAS = 3
QUIET_NS = 9 * NS_PER_S
"""After this the ring keeps its members: what follows is about those."""


class LockMayor:
    """The process. `decrees` are all that it made, for those who look on."""

    quiet_ns: ClassVar[int] = QUIET_NS
    haste: ClassVar[float] = 0.4
    fickleness: ClassVar[float] = 0.3
    """The chance of a change at one look, and that one leaves while all are members."""

    def __init__(
        self, world: World, nodes: Sequence[Address], decrees: list[Decree], *, changes: bool
    ) -> None:
        self.world = world
        self.nodes = nodes
        self.decrees = decrees
        self.changes = changes
        self.dice = world.dice("mayor")
        self.ids: dict[Address, NodeId] = {}
        self.epochs: dict[NodeId, int] = {}
        self.begun_ns = world.now_ns()
        #: Partitions that were said to be settled, and since when their sets are what they are.
        self.settled: set[tuple[int, int]] = set()
        self._look()

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.on_frame(source, datagram)

    def on_frame(self, source: Address, frame: bytes) -> None:
        parts = unpack(frame)
        if parts is None or parts[0] != "hello":
            return
        _, node, epoch, settled = parts
        self.ids.setdefault(source, NodeId(node))
        self.epochs[NodeId(node)] = epoch
        self.settled |= {(partition, since) for partition, since in settled}
        if not self.decrees and len(self.ids) >= FOUNDERS:
            self._found()

    def _found(self) -> None:
        members = tuple(
            Member(node, MemberState.ACTIVE, address=address)
            for address, node in sorted(self.ids.items())[:FOUNDERS]
        )
        table = target_table(members, PARTITIONS, REPLICAS)
        none = ((),) * PARTITIONS
        self.decrees.append(Decree(bytes(16), 1, NO_PARENT, members, table, None, (1,) * PARTITIONS, none))
        self._tell()

    def _look(self) -> None:
        self.world.call_after(MAYOR_TURN_NS, self._look)
        if self.decrees:
            if self.changes:
                self._change()
            self._tell()

    def _change(self) -> None:
        now = self.decrees[-1]
        forget = [
            partition
            for partition in range(PARTITIONS)
            if now.former[partition] and (partition, now.since[partition]) in self.settled
        ]
        quiet = self.world.now_ns() - self.begun_ns > self.quiet_ns
        if forget:
            self.decrees.append(flip(now, (), forget))
        elif not quiet and self.dice.random() < self.haste:
            self._grow(now)

    def _grow(self, now: Decree) -> None:
        if now.pending is not None:
            waiting = [
                partition
                for partition in range(PARTITIONS)
                if now.table.row(partition) != now.pending.row(partition)
                and len(now.former[partition]) < FORMER_SETS_MAX - 1
            ]
            if waiting:
                self.decrees.append(flip(now, [self.dice.choice(waiting)]))
            return
        known = {member.member_id for member in now.members}
        strangers = [(address, node) for address, node in sorted(self.ids.items()) if node not in known]
        if strangers:
            address, node = self.dice.choice(strangers)
            self.decrees.append(join(now, Member(node, MemberState.JOINING, address=address)))
        elif len(now.members) > FOUNDERS and self.dice.random() < self.fickleness:
            active = [one for one in now.members if one.state is MemberState.ACTIVE]
            if len(active) > FOUNDERS:
                self.decrees.append(leave(now, self.dice.choice(active).member_id))

    def _tell(self) -> None:
        """Tell some, so that others are behind for a while."""
        raw = encode_decree(self.decrees[-1])
        for address in self.nodes:
            if self.epochs.get(self.ids.get(address, NodeId(b"")), 0) < self.decrees[-1].epoch:
                delay_ns = self.dice.randrange(300) * NS_PER_MS
                self.world.call_after(delay_ns, partial(self.world.send, address, pack("decree", raw)))


class RestlessMayor(LockMayor):
    """One who changes the ring until shortly before the end."""

    quiet_ns = 6 * NS_PER_S
    haste = 0.8
    fickleness = 0.7
