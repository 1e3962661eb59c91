"""Replicas for tests: entries, one replica on a made-up disk, and whole members that talk to each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

from ringdict.exception import Error
from ringdict.node.disk.durability import Durability
from ringdict.node.network.bus import Bus
from ringdict.node.network.message import Mark, Reply, Request
from ringdict.node.network.peermessage import Applied, Replicate
from ringdict.node.network.wire import decode
from ringdict.node.replicas.convergence import Convergence
from ringdict.node.replicas.hints import Hints
from ringdict.node.replicas.nameexchange import NameExchange
from ringdict.node.replicas.names import Names
from ringdict.node.replicas.place import place_of
from ringdict.node.replicas.purge import Purger
from ringdict.node.replicas.rank import beats
from ringdict.node.replicas.replica import Replica
from ringdict.node.replicas.replicadesk import ReplicaDesk
from ringdict.node.replicas.stretch import Row, partition_at
from ringdict.node.ringview import RingView
from ringdict.node.store import layout
from ringdict.node.store.entry import NO_OPERATION, Stored, encode
from ringdict.node.store.transaction import DictState
from ringdict.node.world import NS_PER_MS, NS_PER_S, Address, NodeId, World
from ringdict.ring.decree import Decree
from ringdict.ring.member import Member as RingMember
from ringdict.ring.member import MemberState
from ringdict.ring.partition import dict_seed, key_hash
from ringdict.ring.table import Table
from ringdict.sim.network import Noise
from ringdict.sim.simulation import Simulation

DICT = b"dict-id8"
OTHER = b"other-id"
NOW_MS = 1_000_000
PARTITIONS = 64
"""Of the ring of these tests: as good as many, and what looks through all of them costs less."""
EVERYWHERE = b"\xff" * (PARTITIONS // 8)


def row(
    key: bytes,
    version: int = 1,
    body: bytes = b"\x01",
    *,
    dict_id: bytes = DICT,
    node: int = 1,
    touch: int = 0,
    expires_ms: int = 0,
    flags: int = 0,
    partitions: int = PARTITIONS,
) -> Row:
    """One entry and its place. `key` gets the first byte that keys have."""
    key = key if key.startswith(b"\x03") else b"\x03" + key
    hash_ = key_hash(dict_seed(dict_id), key)
    long_key = key if layout.is_long(key) else b""
    entry = Stored(flags, version, node, touch, expires_ms, NO_OPERATION, long_key, body)
    return place_of(dict_id, key, hash_, partitions - 1), encode(entry, hash_)


class Quiet:
    """A process that does nothing."""

    def on_frame(self, _source: Address, _frame: bytes) -> None:
        raise NotImplementedError

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        raise NotImplementedError


class One:
    """A single replica on a made-up disk."""

    def __init__(self, dicts: Sequence[bytes] = (DICT, OTHER)) -> None:
        self.simulation = Simulation(seed=1)
        self.now_ms = NOW_MS
        self.answers: list[tuple[Error | None, int]] = []
        self.host = self.simulation.host("node", self._start)
        self.simulation.run_for(0.1)
        for dict_id in dicts:
            self.storage.commit({layout.STATE + dict_id: DictState(0, 0, 0, 0, 0).encode()}, lambda _: None)
        self.settle()

    def _start(self, world: World) -> Quiet:
        self.world = world
        self.storage = world.storage("entries", Durability.NONE)
        self.replica = Replica(world, self.storage, lambda: self.now_ms)
        self.replica.set_partitions(PARTITIONS)
        return Quiet()

    def settle(self) -> None:
        """Let what was asked for happen."""
        self.simulation.run_for(0.5)

    def apply(self, *rows: Row) -> int:
        """Merge entries; the highest version that stands where one was not newer."""
        self.answers.clear()
        self.replica.apply(rows, lambda error, newer: self.answers.append((error, newer)))
        self.settle()
        [(error, newer)] = self.answers
        assert error is None
        return newer

    def contents(self) -> dict[bytes, bytes]:
        """All that stands there."""
        return dict(self.storage.scan((256).to_bytes(8, "big"), b"\xff" * 20, 1_000_000))


class Member:
    """A process of what keeps replicas equal, and nothing else: writes come from the test."""

    def __init__(self, world: World, cluster: Cluster) -> None:
        self.world = world
        self.cluster = cluster
        self.node = world.identity.node
        cluster.addresses[self.node] = world.identity.address
        cluster.members[world.identity.address] = self
        self.storage = world.storage("entries", Durability.NONE)
        self.replica = Replica(world, self.storage, lambda: NOW_MS)
        self.replica.set_partitions(PARTITIONS)
        self.bus = Bus(world, self)
        self.desk = ReplicaDesk(self.bus, self, self.replica)
        self.names = Names(world, self.storage, self.replica)
        self.exchange = NameExchange(world, self.bus, self.names, self.desk)
        self.hints = cluster.hints(world, world.storage("hints"), self.bus, self.replica, self.hear)
        self.convergence = cluster.convergence(
            world, self.replica, self.bus, self.hear, tail_lost=cluster.tail_lost
        )
        self.purger = cluster.purger(world, self.replica, self.bus, self.desk, self.convergence, self.hear)
        self.replica.on_missed = self.convergence.miss
        self.handlers = {**self.desk.handlers(), **self.exchange.handlers(), **self.purger.handlers()}
        self.heard: list[tuple[NodeId, Mark]] = []
        #: How often it was asked what, by name of the kind.
        self.asked: Counter[str] = Counter()
        if cluster.decree is not None:
            self.set_decree(cluster.decree)

    def set_decree(self, decree: Decree) -> None:
        """Go by a ring."""
        self.view = RingView(decree, self.node)
        for part in (self.desk, self.exchange, self.hints, self.convergence, self.purger):
            part.set_view(self.view)

    def address_of(self, node: NodeId) -> Address | None:
        return self.cluster.addresses.get(node)

    def node_at(self, address: Address) -> NodeId | None:
        return next((node for node, there in self.cluster.addresses.items() if there == address), None)

    def hear(self, node: NodeId, mark: Mark) -> None:
        self.heard.append((node, mark))

    def on_frame(self, source: Address, frame: bytes) -> None:
        message = decode(frame)
        if isinstance(message, Reply):
            self.bus.hear(source, message)
        else:
            assert isinstance(message, Request)
            self.asked[type(message).__name__] += 1
            self.handlers[type(message)](source, message)

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        raise NotImplementedError

    def write(self, *rows: Row, hint: bool = True) -> None:
        """Coordinate a write as simply as can be: here, and to all other writers; hints for who is silent."""
        for place, raw in rows:
            writers = self.view.writers(partition_at(place))
            if self.node in writers:
                self.replica.apply([(place, raw)], partial(self._applied, place, raw))
            for node in writers:
                if node != self.node:
                    self._send(node, (place, raw), hint=hint)

    def _applied(self, place: bytes, raw: bytes, error: Error | None, _newer: int) -> None:
        assert error is None
        standing = self.cluster.acknowledged.get(place)
        if standing is None or beats(raw, standing):
            self.cluster.acknowledged[place] = raw

    def _send(self, node: NodeId, row_: Row, *, hint: bool) -> None:
        def answered(reply: Reply | None) -> None:
            if not isinstance(reply, Applied) and hint:
                self.hints.add(node, [row_], lambda _error: None)

        self.bus.ask(node, Replicate(0, self.view.mark, [row_]), answered, 200 * NS_PER_MS)

    def contents(self) -> dict[bytes, bytes]:
        """All entries that stand here, of partitions that this node keeps."""
        rows = self.storage.scan((256).to_bytes(8, "big"), b"\xff" * 20, 1_000_000)
        return {place: raw for place, raw in rows if self.view.keeps(partition_at(place))}

    def validate(self) -> None:
        self.bus.validate()


class Cluster:
    """Members on made-up hosts, who all own everything if there are at most three."""

    hints = Hints
    convergence = Convergence
    purger = Purger
    tail_lost = False

    def __init__(self, count: int, seed: int = 1, noise: Noise | None = None) -> None:
        self.simulation = Simulation(seed, noise)
        self.addresses: dict[NodeId, Address] = {}
        self.members: dict[Address, Member] = {}
        self.decree: Decree | None = None
        #: For each place the entry that should stand there in the end: of all that a coordinator stored.
        self.acknowledged: dict[bytes, bytes] = {}
        self.hosts = [self.simulation.host(f"n{number}", self._make) for number in range(count)]
        self.run_for(0.1)
        self.set_ring()

    def _make(self, world: World) -> Member:
        return Member(world, self)

    def __getitem__(self, number: int) -> Member:
        return self.members[Address(f"n{number}")]

    def __iter__(self) -> Iterator[Member]:
        return (self[number] for number in range(len(self.hosts)))

    def set_ring(
        self,
        owning: Sequence[int] | None = None,
        pending: Sequence[int] | None = None,
        *,
        removed: Sequence[int] = (),
    ) -> None:
        """The next epoch: the data belongs to those members, and goes to those that are pending. Those who
        are removed are no members any more."""
        epoch = 1 if self.decree is None else self.decree.epoch + 1
        staying = [member for number, member in enumerate(self) if number not in removed]
        every = [RingMember(member.node, MemberState.ACTIVE, 1, "", "10.0.0.1:7000") for member in staying]
        table = self._table(every, range(len(every)) if owning is None else owning)
        self.decree = Decree(
            b"cluster-of-tests",
            epoch,
            bytes(8) if epoch == 1 else b"a parent",
            tuple(every),
            table,
            None if pending is None else self._table(every, pending),
            (1,) * PARTITIONS,
            ((),) * PARTITIONS,
        )
        for member in self:
            member.set_decree(self.decree)

    @staticmethod
    def _table(every: list[RingMember], owning: Sequence[int]) -> Table:
        count = len(owning)
        rows = [
            [owning[(number + place) % count] for place in range(min(3, count))]
            for number in range(PARTITIONS)
        ]
        return Table.of(rows, 3)

    def run_for(self, span_s: float) -> None:
        self.simulation.run_for(span_s)

    def leap(self, span_s: float) -> None:
        """Let that much time pass at once: all that was to happen in it happens now, late, and once."""
        self.simulation.loop.now_ns += int(span_s * NS_PER_S)

    def split(self, *numbers: int) -> AbstractContextManager[None]:
        """Cut these members off from the others, as long as the context lasts."""
        addresses = [host.address for host in self.hosts]
        side = {addresses[number] for number in numbers}
        return self.simulation.network.partition(side, set(addresses) - side)

    def assert_equal(self) -> None:
        """Assert that all who keep a partition hold the same there."""
        for partition_holder in self:
            mine = partition_holder.contents()
            for other in self:
                theirs = other.contents()
                assert {
                    place: raw for place, raw in mine.items() if other.view.keeps(partition_at(place))
                } == {
                    place: raw
                    for place, raw in theirs.items()
                    if partition_holder.view.keeps(partition_at(place))
                }
            partition_holder.replica.validate()
