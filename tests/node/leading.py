"""A client of leaders, one call at a time, and three nodes for it in a made-up world."""

from __future__ import annotations

from ringdict.node.leaders.ballot import Ballot
from ringdict.node.network.bus import Bus
from ringdict.node.network.leadermessage import Act, Acted, Clear, Cleared, Greet, Greeted, Verb
from ringdict.node.network.message import AskRing, Get, Put, Reply, Request, Resolve, Resolved, TellRing
from ringdict.node.network.wire import decode
from ringdict.node.node import Node, NodeSettings
from ringdict.node.store.catalogue import Record
from ringdict.node.world import NS_PER_S, Address, Factory, NodeId, World
from ringdict.ring.codec import decode_decree
from ringdict.ring.decree import Decree
from ringdict.ring.partition import dict_seed, partition_of
from ringdict.sim.host import Host
from ringdict.sim.simulation import Simulation

KEY = b"\x04key"
SESSION = b"a session."


class Client:
    """Asks nodes by their address."""

    def __init__(self, world: World) -> None:
        self.bus = Bus(world, self)

    def address_of(self, node: NodeId, /) -> Address | None:
        return Address(node.rstrip(b"\0").decode())

    def on_frame(self, source: Address, frame: bytes) -> None:
        reply = decode(frame)
        assert isinstance(reply, Reply)
        self.bus.hear(source, reply)

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        raise NotImplementedError


class Cluster:
    """Some nodes, the first of which founds, and a client."""

    def __init__(self, count: int = 3, seed: int = 1) -> None:
        self.simulation = Simulation(seed=seed)
        names = [f"n{number}" for number in range(count)]
        self.hosts: list[Host] = []
        for number, name in enumerate(names):
            self.hosts.append(self.simulation.host(name, _factory(number, names)))
            self.hosts[-1].validates = True
        host = self.simulation.host("client", Client)
        self.simulation.run_for(0.1)
        assert isinstance(host.process, Client)
        self.client = host.process
        self._serial = 0
        self._tickets: dict[tuple[bytes, int], int] = {}
        self.settle(count)
        made = self.ask(0, Resolve(0, "main", "d", Record("main", "d", 1, "test", 0).encode()))
        assert isinstance(made, Resolved)
        self.dict_id = made.dict_id

    def node(self, number: int) -> Node:
        process = self.hosts[number].process
        assert isinstance(process, Node)
        return process

    def settle(self, members: int, span_s: float = 40) -> None:
        """Wait until all are in the ring, nothing is pending, everything is led and settled."""
        nodes: list[Node] = []
        for _ in range(int(span_s * 4)):
            self.simulation.run_for(0.25)
            nodes = [self.node(number) for number, host in enumerate(self.hosts) if host.up]
            views = [node.view for node in nodes]
            if all(
                view is not None
                and len(view.members) == members
                and view.decree.pending is None
                and not any(view.decree.former)
                for view in views
            ):
                led = sum(len(node.leading.leaders.leaderships) for node in nodes)
                view = views[0]
                if view is not None and led == view.decree.partitions:
                    return
        raise AssertionError([node.facts() for node in nodes])

    def ask(self, number: int, request: Request, span_s: float = 2.0) -> Reply:
        """The answer of a node."""
        reply = self.ask_anyhow(number, request, span_s)
        assert reply is not None
        return reply

    def ask_anyhow(self, number: int, request: Request, span_s: float = 2.0) -> Reply | None:
        """The same, None if none comes."""
        answers: list[Reply | None] = []
        self.client.bus.ask(self.node_id(number), request, answers.append, int(span_s * NS_PER_S))
        for _ in range(int(span_s * 1000) + 1):
            if answers:
                break
            self.simulation.run_for(0.001)
        return answers[0] if answers else None

    def decree(self, number: int = 0) -> Decree:
        ring = self.ask(number, AskRing(0, 0))
        assert isinstance(ring, TellRing)
        return decode_decree(ring.decree)

    def partition(self, key: bytes = KEY) -> int:
        return partition_of(dict_seed(self.dict_id), key, self.decree(self.up).partitions)

    @property
    def up(self) -> int:
        """A node that is up."""
        return next(number for number, host in enumerate(self.hosts) if host.up)

    def number_of(self, node: bytes) -> int:
        """Which host a node is on."""
        for number in range(len(self.hosts)):
            if self.hosts[number].up and self.node(number)._world.identity.node == node:
                return number
        raise AssertionError(node)

    def greet(self, number: int) -> Greeted:
        greeted = self.ask(number, Greet(0, SESSION, b""))
        assert isinstance(greeted, Greeted)
        return greeted

    def ballot(self, key: bytes = KEY, via: int | None = None) -> Ballot | None:
        """Who leads a key's partition, as a node says."""
        ballots = dict(self.greet(self.up if via is None else via).ballots)
        return ballots.get(self.partition(key))

    def wait_ballot(self, key: bytes = KEY, not_of: bytes = b"", span_s: float = 5.0) -> Ballot:
        """The same, once there is one, of another node than that."""
        for _ in range(int(span_s * 50)):
            ballot = self.ballot(key)
            if ballot is not None and ballot.node != not_of:
                return ballot
            self.simulation.run_for(0.02)
        raise AssertionError("nobody leads it")

    def next_id(self) -> bytes:
        self._serial += 1
        return SESSION + self._serial.to_bytes(6, "big")

    def act(
        self, verb: Verb, body: bytes = b"", key: bytes = KEY, *, version: int = 0, ttl_ms: int = 0,
        initial: bytes = b"", via: int | None = None,
    ) -> Reply | None:  # fmt: skip
        """Do it at the leader, or by way of a node."""
        ballot = self.wait_ballot(key)
        leader = self.number_of(ballot.node)
        ticket = self.greet(leader).ticket
        request = Act(
            0, ballot, ticket, self.next_id(), 0, self.dict_id, key, verb, body, initial, version, ttl_ms
        )
        return self.ask_anyhow(leader if via is None else via, request)

    def done(self, verb: Verb, body: bytes = b"", key: bytes = KEY, **more: int) -> Acted:
        """The same, which is decided."""
        reply = self.act(verb, body, key, version=more.get("version", 0), ttl_ms=more.get("ttl_ms", 0))
        assert isinstance(reply, Acted), reply
        return reply

    def clear(self, *, ends: bool = False) -> None:
        """Clear the Dict: one request for each leader."""
        decree = self.decree(self.up)
        by_node: dict[bytes, list[tuple[int, Ballot]]] = {}
        for partition, ballot in self.greet(self.up).ballots:
            by_node.setdefault(ballot.node, []).append((partition, ballot))
        done: list[int] = []
        for node, ballots in by_node.items():
            number = self.number_of(node)
            ticket = self.greet(number).ticket
            cleared = self.ask(number, Clear(0, ballots, ticket, self.next_id(), 0, self.dict_id, ends))
            assert isinstance(cleared, Cleared), cleared
            done += cleared.done
        assert sorted(done) == list(range(decree.partitions))

    @staticmethod
    def node_id(number: int) -> NodeId:
        """By which the client's bus knows a node."""
        return NodeId(b"n%d" % number)

    def put(self, body: bytes, key: bytes = KEY, *, at: int = 0) -> Reply:
        epoch = self.decree(at).epoch
        return self.ask(at, Put(0, epoch, self.dict_id, key, body, 0, 0, 0, self.next_id()))

    def get(self, key: bytes = KEY, *, at: int = 0) -> Reply:
        return self.ask(at, Get(0, self.decree(at).epoch, self.dict_id, key))


def _factory(number: int, names: list[str]) -> Factory:
    seeds = tuple(names[:1]) if number else ()
    settings = NodeSettings(founds=number == 0, seeds=seeds, insecure=True, partitions=64)
    return lambda world: Node(world, settings)
