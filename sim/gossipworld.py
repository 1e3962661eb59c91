"""A made-up network of gossip cores: latency, loss, cuts, slow and blocked nodes, and one seed for all."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from random import Random

from ..gossip.config import LAN, Settings
from ..gossip.core import Gossip
from ..gossip.instruction import (
    Change,
    Halt,
    Halted,
    Instruction,
    KeepGeneration,
    MemberChanged,
    SendDatagram,
    SendFrame,
)
from ..gossip.member import NodeId, Profile, Record, Status
from ..gossip.table import Member, Table, bucket_of, hash_of

LATENCY_S = (0.000_5, 0.001_5)
STREAM_RETRY_S = 0.2  # a lost packet of a stream costs a retransmission, not the frame


class Node:
    """One process: a core, and how well its host treats it."""

    def __init__(self, world: World, index: int, address: str, core: Gossip, generation: int) -> None:
        self.world = world
        self.index = index
        self.address = address
        self.core = core
        self.generation = generation
        self.up = True
        self.slow_s: tuple[float, float] | None = None  # by how much it reads late
        self.blocked = False
        self.backlog: list[tuple[bool, bytes, str]] = []  # what arrived while it was blocked
        self.wanted: float | None = None  # the tick that is in the heap
        self.halted: Halted | None = None
        self.sent_bytes = 0
        self.sent_datagrams = 0

    @property
    def name(self) -> str:
        return f"n{self.index}"

    def believes(self, other: Node) -> Status | None:
        view = self.core.member(other.core.node_id)
        return None if view is None else view.status


def fill(table: Table, records: Sequence[tuple[Record, int]], now: float) -> None:
    """Put other nodes, and what each adds to a digest, into a table that has its owner only. `Table.put` does
    the same, but takes 17 s for a thousand views of a thousand."""
    members, circle = table._members, table._circle
    for record, hashed in records:
        node_id = record.node_id
        if node_id == table.owner:
            continue
        member = members[node_id] = Member(record, now)
        bucket = bucket_of(node_id)
        table._ids[bucket][node_id] = None
        member.hash = hashed
        table.digest ^= member.hash
        table.buckets[bucket] ^= member.hash
        member.place = len(table.peers)
        table.peers.append(member)
        circle.append(node_id)
    circle.sort()
    table.changed_at = now


class World:
    """Runs cores against each other. All chance comes from one seed."""

    def __init__(self, seed: int = 0, *, settings: Settings = LAN, loss: float = 0.0) -> None:
        self.random = Random(seed)
        self.settings = settings
        self.loss = loss
        self.now = 0.0
        self.nodes: list[Node] = []
        self.by_address: dict[str, Node] = {}
        self.events: list[tuple[float, str, Change, str]] = []  # when, who says, what, of whom
        self.cut: Callable[[Node, Node], bool] = lambda _from, _to: False
        self.on_send: Callable[[Node, str, bytes], None] | None = None
        self.validate = False
        self.counts: Counter[Change] = Counter()
        self.names: dict[NodeId, str] = {}
        self.watch: Callable[[Node, Instruction], None] | None = None
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    # -- making and breaking nodes -----------------------------------------------------------------

    def add(
        self,
        *,
        seeds: Iterable[str] = (),
        node_id: NodeId | None = None,
        generation: int = 1,
        address: str | None = None,
        former: dict[NodeId, str] | None = None,
        index: int | None = None,
        start: bool = True,
        profile: Profile | None = None,
    ) -> Node:
        index = len(self.nodes) if index is None else index
        address = address or f"10.0.{index >> 8}.{index & 255}:7000"
        node_id = node_id or NodeId(self.random.getrandbits(128).to_bytes(16, "big"))
        dice = Random(self.random.getrandbits(64))
        profile = profile or Profile(address, address.replace(":7000", ":7001"), "zone-a", "0.1.0")
        core = Gossip(node_id, generation, profile, dice, settings=self.settings, seeds=seeds, former=former)
        node = Node(self, index, address, core, generation)
        self.nodes.append(node)
        self.by_address[address] = node
        self.names.setdefault(node_id, node.name)
        if start:
            self.do(node, core.start(self.now))
        return node

    def form(self, size: int) -> list[Node]:
        """Nodes that all know each other already, at any phase of their rounds."""
        nodes = [self.add(start=False) for _ in range(size)]
        alive = [Record(node.core.node_id, 1, 0, Status.ALIVE, node.core._desk.profile) for node in nodes]
        records = [(one, hash_of(one.node_id, one.generation, one.incarnation)) for one in alive]
        for node in nodes:
            node.core.start(self.now)
            desk = node.core._desk
            fill(desk.table, records, self.now)
            node.core._prober._order = [peer.node_id for peer in desk.table.peers]
            desk.dice.shuffle(node.core._prober._order)
            last = node.core._prober._order.pop()
            node.core._prober.add(last)
            node.core._taken()
            self.arm(node)
        return nodes

    def crash(self, node: Node) -> None:
        node.up = False
        if self.by_address.get(node.address) is node:
            del self.by_address[node.address]

    def restart(self, node: Node, *, address: str | None = None, seeds: Iterable[str] = ()) -> Node:
        """Start the same folder again, with what it would have persisted."""
        if node.up:
            self.crash(node)
        known = node.core.known_members()
        lives = [other.core for other in self.nodes if other.core.node_id == node.core.node_id]
        generation = max(life._desk.me.generation for life in lives) + 1
        return self.add(
            node_id=node.core.node_id,
            generation=generation,
            address=address or node.address,
            former=known,
            index=node.index,
            seeds=seeds,
        )

    def block(self, node: Node, seconds: float) -> None:
        """Its loop does not run for so long; then it reads what has arrived, and only then looks at its
        timers."""
        node.blocked = True
        self.after(seconds, lambda: self._unblock(node))

    def _unblock(self, node: Node) -> None:
        node.blocked = False
        backlog, node.backlog = node.backlog, []
        for stream, data, address in backlog:
            self._hand_over(node, data, address, stream=stream)
        self._tick(node)

    # -- the network -------------------------------------------------------------------------------

    @contextmanager
    def partition(self, *sides: Iterable[Node]) -> Iterator[None]:
        """Nothing passes between the sides."""
        side_of = {id(node): number for number, side in enumerate(sides) for node in side}
        before = self.cut
        self.cut = lambda one, other: side_of.get(id(one)) != side_of.get(id(other)) or before(one, other)
        yield
        self.cut = before

    def send(self, sender: Node, address: str, data: bytes, *, stream: bool) -> None:
        sender.sent_bytes += len(data)
        sender.sent_datagrams += 1
        if self.on_send is not None:
            self.on_send(sender, address, data)
        receiver = self.by_address.get(address)
        if receiver is None or self.cut(sender, receiver):
            return
        low, high = LATENCY_S
        delay_s = low + (high - low) * self.random.random()
        if stream:
            if self.cut(receiver, sender):
                return  # no handshake
            delay_s *= 3
            while self.loss and self.random.random() < self.loss:
                delay_s += STREAM_RETRY_S
        elif self.loss and self.random.random() < self.loss:
            return
        if receiver.slow_s is not None:
            least, most = receiver.slow_s
            delay_s += least + (most - least) * self.random.random()
        self.after(delay_s, lambda: self.deliver(receiver, data, sender.address, stream=stream))

    def deliver(self, node: Node, data: bytes, address: str, *, stream: bool = False) -> None:
        if not node.up:
            return
        if node.blocked:
            node.backlog.append((stream, data, address))
            return
        self._hand_over(node, data, address, stream=stream)

    def _hand_over(self, node: Node, data: bytes, address: str, *, stream: bool) -> None:
        handle = node.core.handle_frame if stream else node.core.handle_datagram
        self.do(node, handle(data, address, self.now))

    def do(self, node: Node, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            if self.watch is not None:
                self.watch(node, instruction)
            match instruction:
                case SendDatagram(address, data):
                    assert len(data) <= 1400
                    self.send(node, address, data, stream=False)
                case SendFrame(address, data):
                    self.send(node, address, data, stream=True)
                case MemberChanged(change, view):
                    self.counts[change] += 1
                    name = self.names.get(view.node_id, view.node_id.hex())
                    self.events.append((self.now, node.name, change, name))
                case KeepGeneration(generation):
                    node.generation = generation
                case Halt(reason):
                    node.halted = reason
                    self.crash(node)
                case _:
                    pass
        if self.validate:
            node.core.validate()
        self.arm(node)

    # -- time --------------------------------------------------------------------------------------

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now + seconds, next(self._order), action))

    def arm(self, node: Node) -> None:
        due = node.core.next_deadline()
        if due is not None and (node.wanted is None or due < node.wanted):
            node.wanted = due
            heapq.heappush(self._heap, (due, next(self._order), lambda: self._due(node, due)))

    def _due(self, node: Node, due: float) -> None:
        if node.wanted == due:
            node.wanted = None
            if node.blocked:
                return
            self._tick(node)

    def _tick(self, node: Node) -> None:
        if node.up and not node.blocked:
            node.wanted = None
            self.do(node, node.core.tick(self.now))

    def run(self, seconds: float, *, until: Callable[[], bool] | None = None) -> float | None:
        """Let time pass; stop early, and return how long it took, once `until` holds."""
        began, end = self.now, self.now + seconds
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, action = heapq.heappop(heap)
            action()
            if until is not None and until():
                return self.now - began
        self.now = end
        return None

    # -- what can be said of it --------------------------------------------------------------------

    @property
    def live(self) -> list[Node]:
        return [node for node in self.nodes if node.up]

    def agree(self) -> bool:
        """All that are up have the same view: each other, in the same generation and incarnation, and no one
        else."""
        live = self.live
        digest = live[0].core.digest
        return all(node.core.digest == digest and node.core.live_count == len(live) for node in live)

    def false_deaths(self) -> list[tuple[float, str, Change, str]]:
        """Events that call somebody dead who was up all the time."""
        up = {node.name for node in self.live}
        return [event for event in self.events if event[2] is Change.FAILED and event[3] in up]
