"""Heartbeats: whom this node hears, who hears it, and who says that it leads what.

It says nothing of who may lead: that is for ballots alone. It only keeps those that need not try from trying,
and lets a leader that reaches nobody know it.

Rules of this file:
1. One heartbeat a pair of nodes, whatever the number of partitions.
2. Time in which this node itself stood still does not count: what came meanwhile is not read yet.
3. A pulse counts from when the heartbeat that it answers was sent, by the clock of who sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..network.leadermessage import Heartbeat, Pulse
from ..network.message import Mark, Message
from ..world import NS_PER_S, NodeId, World
from .leaderconfig import STICKY_S, TICK_S

_STICKY_NS = int(STICKY_S * NS_PER_S)
_TICK_NS = int(TICK_S * NS_PER_S)


class _Peer:
    __slots__ = ("boot", "healthy_ns", "heard_ns", "leads")

    def __init__(self) -> None:
        self.boot = 0
        self.heard_ns = -_STICKY_NS * 1_000
        #: Since when it has been heard without a gap.
        self.healthy_ns = 0
        self.leads = b""


class Heartbeats:
    """One node's."""

    def __init__(
        self, world: World, say: Callable[[NodeId, Message], None], hear_mark: Callable[[NodeId, Mark], None]
    ) -> None:
        self._world = world
        self._say = say
        self._hear_mark = hear_mark
        self._me = world.identity.node
        self._boot = world.identity.boot
        self._peers: dict[NodeId, _Peer] = {}
        #: When what each node answered last was sent.
        self._answered_ns: dict[NodeId, int] = {}
        self._ticked_ns = world.now_ns()

    def tick(self) -> None:
        """Called every `TICK_S`, unless this node stands still."""
        now_ns = self._world.now_ns()
        late_ns, self._ticked_ns = now_ns - self._ticked_ns - _TICK_NS, now_ns
        if late_ns > _TICK_NS:
            for node in self._answered_ns:
                self._answered_ns[node] = min(now_ns, self._answered_ns[node] + late_ns)
            for peer in self._peers.values():
                peer.heard_ns = min(now_ns, peer.heard_ns + late_ns)

    def send(self, nodes: Iterable[NodeId], leads: bytes, mark: Mark) -> None:
        """Say to these nodes that this one is here, and leads that."""
        message = Heartbeat(self._me, self._boot, self._world.now_ns(), leads, mark)
        for node in nodes:
            if node != self._me:
                self._say(node, message)

    def on_heartbeat(self, message: Heartbeat, mark: Mark) -> None:
        """Note it, and answer with this node's own ring."""
        node, now_ns = NodeId(message.node), self._world.now_ns()
        peer = self._peers.setdefault(node, _Peer())
        if message.boot < peer.boot:
            return  # of an earlier start, and late
        if now_ns - peer.heard_ns > _STICKY_NS or message.boot != peer.boot:
            peer.healthy_ns = now_ns
        peer.boot, peer.heard_ns, peer.leads = message.boot, now_ns, message.leads
        self._say(node, Pulse(self._me, message.boot, message.sent_ns, mark))
        self._hear_mark(node, message.mark)

    def on_pulse(self, message: Pulse) -> None:
        """Somebody hears this node."""
        if message.boot == self._boot and message.sent_ns <= self._world.now_ns():
            self.note(NodeId(message.node), message.sent_ns)
            self._hear_mark(NodeId(message.node), message.mark)

    def note(self, node: NodeId, sent_ns: int) -> None:
        """A node answered something that was sent then."""
        if sent_ns > self._answered_ns.get(node, sent_ns - 1):
            self._answered_ns[node] = sent_ns

    def hears(self, node: NodeId) -> bool:
        """Whether that node was heard lately; this node hears itself."""
        peer = self._peers.get(node)
        return node == self._me or (peer is not None and self._world.now_ns() - peer.heard_ns <= _STICKY_NS)

    def healthy_ns(self, node: NodeId) -> int:
        """For how long a node has been heard without a gap."""
        peer = self._peers.get(node)
        if peer is None or not self.hears(node):
            return 0
        return self._world.now_ns() - peer.healthy_ns

    def claims(self, node: NodeId, partition: int) -> bool:
        """Whether a node was heard lately, and said that it leads a partition."""
        peer = self._peers.get(node)
        if peer is None or self._world.now_ns() - peer.heard_ns > _STICKY_NS:
            return False
        at, bit = partition >> 3, partition & 7
        return at < len(peer.leads) and bool(peer.leads[at] >> bit & 1)

    def claimed(self, shares: Mapping[NodeId, int]) -> int:
        """Of these partitions of each node, all that are claimed by one of theirs: as bits, the lowest is
        partition 0. What `claims` says of each, in one go."""
        now_ns, bits = self._world.now_ns(), 0
        for node, share in shares.items():
            peer = self._peers.get(node)
            if peer is not None and now_ns - peer.heard_ns <= _STICKY_NS:
                bits |= share & int.from_bytes(peer.leads, "little")
        return bits

    def answered(self, within_ns: int) -> list[NodeId]:
        """Which nodes answered something that was sent so lately; this one counts."""
        since_ns = self._world.now_ns() - within_ns
        return [self._me, *(node for node, at_ns in self._answered_ns.items() if at_ns >= since_ns)]
