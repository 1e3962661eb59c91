"""Nodes for tests in a made-up world, without gossip: the test hands them their rings."""

from __future__ import annotations

from collections.abc import Sequence

from ringdict.node.disk.durability import Durability
from ringdict.node.keeping import Keeping
from ringdict.node.network.bus import Bus
from ringdict.node.network.message import Reply, Request, Resolve, Resolved
from ringdict.node.network.wire import decode
from ringdict.node.ringview import RingView
from ringdict.node.store.catalogue import Record
from ringdict.node.world import NS_PER_MS, Address, Factory, NodeId, World
from ringdict.ring.codec import digest_of
from ringdict.ring.decree import NO_PARENT, Decree
from ringdict.ring.member import Member, MemberState
from ringdict.ring.table import Table
from ringdict.sim.network import Noise
from ringdict.sim.simulation import Simulation

CLUSTER = b"c" * 16
KEY = b"\x03key"
PARTITIONS = 1024
TIMEOUT_NS = 3_000 * NS_PER_MS


class Known:
    """Who is there: all that a test made."""

    def __init__(self, nodes: dict[NodeId, Address]) -> None:
        self.nodes = nodes

    def address_of(self, node: NodeId, /) -> Address | None:
        return self.nodes.get(node)

    def node_at(self, address: Address, /) -> NodeId | None:
        return next((node for node, there in self.nodes.items() if there == address), None)

    def is_alive(self, node: NodeId, /) -> bool:
        return node in self.nodes


class KeepingNode:
    """A node that goes by the ring it was handed last."""

    def __init__(self, world: World, cluster: Cluster) -> None:
        self.world = world
        self.heard: list[tuple[NodeId, tuple[int, bytes]]] = []
        cluster.known.nodes[world.identity.node] = world.identity.address
        self.keeping = Keeping(
            world,
            world.storage("consensus"),
            cluster.known,
            durability=Durability.NONE,
            value_bytes_max=100_000,
            heard=self.hear,
            behind=lambda _epoch: None,
            status=lambda: b"{}",
        )
        if cluster.decree is not None:
            self.keeping.set_view(RingView(cluster.decree, world.identity.node))

    def hear(self, node: NodeId, mark: tuple[int, bytes]) -> None:
        """Somebody goes by another ring."""
        self.heard.append((node, mark))

    def on_frame(self, source: Address, frame: bytes) -> None:
        self.keeping.on_message(source, frame)

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        raise NotImplementedError

    def validate(self) -> None:
        self.keeping.validate()


class Asker:
    """A client that asks what the test wants."""

    def __init__(self, world: World, known: Known) -> None:
        self.world = world
        self.bus = Bus(world, known)

    def on_frame(self, source: Address, frame: bytes) -> None:
        reply = decode(frame)
        assert isinstance(reply, Reply)
        self.bus.hear(source, reply)

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        raise NotImplementedError


class Cluster:
    """Some of them, with a client."""

    def __init__(self, count: int = 3, seed: int = 1, noise: Noise | None = None, replicas: int = 3) -> None:
        self.simulation = Simulation(seed, noise)
        self.known = Known({})
        self.decree: Decree | None = None
        self.hosts = [self.simulation.host(f"n{n}", self._factory()) for n in range(count)]
        client = self.simulation.host("client", lambda world: Asker(world, self.known))
        self.run_for(0.05)
        assert isinstance(client.process, Asker)
        self.client = client.process
        self.decide(range(count), replicas)
        self.dict_id = self._make_dict()

    def _factory(self) -> Factory:
        return lambda world: KeepingNode(world, self)

    def run_for(self, span_s: float) -> None:
        self.simulation.run_for(span_s)

    def node(self, number: int) -> NodeId:
        """The id of a node."""
        world = self.hosts[number].world
        assert world is not None
        return world.identity.node

    def keeping(self, number: int) -> Keeping:
        process = self.hosts[number].process
        assert isinstance(process, KeepingNode)
        return process.keeping

    def decide(
        self, members: Sequence[int], replicas: int = 3, told: Sequence[int] | None = None, first: int = 0
    ) -> None:
        """A next ring, in which the `first` of the members is every key's primary owner, told to some."""
        order = [*members[first:], *members[:first]]
        row = [list(members).index(number) for number in order[:replicas]]
        before = self.decree
        self.decree = Decree(
            CLUSTER,
            before.epoch + 1 if before else 1,
            digest_of(before) if before else NO_PARENT,
            tuple(
                Member(self.node(number), MemberState.ACTIVE, address=self.hosts[number].address)
                for number in members
            ),
            Table.of([row] * PARTITIONS, len(row)),
            None,
            (1,) * PARTITIONS,
            ((),) * PARTITIONS,
        )
        for number in members if told is None else told:
            self.keeping(number).set_view(RingView(self.decree, self.node(number)))

    @property
    def epoch(self) -> int:
        assert self.decree is not None
        return self.decree.epoch

    def begin(self, number: int, request: Request) -> list[Reply | None]:
        """Ask a node; the answer will be in the list."""
        answers: list[Reply | None] = []
        self.client.bus.ask(self.node(number), request, answers.append, TIMEOUT_NS)
        return answers

    def ask(self, number: int, request: Request) -> Reply:
        """Ask a node, and wait."""
        answers = self.begin(number, request)
        for _ in range(100):
            if answers:
                break
            self.run_for(0.03)
        [reply] = answers
        assert reply is not None
        return reply

    def _make_dict(self) -> bytes:
        record = Record("main", "d", 1, "test", 0)
        reply = self.ask(0, Resolve(0, "main", "d", record.encode()))
        assert isinstance(reply, Resolved)
        return reply.dict_id
