"""A made-up cluster whose replicas suffer all that can happen, and an oracle that knows what must come of it.

Five nodes, coordinators and all: entries are put, touched by time and deleted by whoever owns them, while
lines break, processes die and stop, clocks jump by hours, disks and hints are lost, and nodes are away for so
long that the others purge without them. Then everything heals, and ten seconds later it is looked at.

The oracle looks at every commit of every node: for each key it knows the entry that beats all others which
anybody has had. When the last copy of that one goes with a disk, the best that is left takes its place; when
it goes in any other way, that is a loss, which only a node may cause that was away for too long (R4).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ringdict.exception import Error
from ringdict.node.config import PURGE_AWAY_S
from ringdict.node.keeping import Keeping
from ringdict.node.network.message import Ack
from ringdict.node.replicas.draft import one_draft
from ringdict.node.replicas.marks import NO_MARK, PURGED
from ringdict.node.replicas.place import place_of
from ringdict.node.replicas.rank import STAMP_AT, beats, version_of
from ringdict.node.replicas.replica import Replica
from ringdict.node.replicas.write import Write
from ringdict.node.ringview import RingView
from ringdict.node.store import layout
from ringdict.node.store.entry import (
    EXPIRES_AT,
    FLAGS_AT,
    HEADER_BYTES,
    NO_OPERATION,
    TOMBSTONE,
    Stored,
    encode,
)
from ringdict.node.store.table import VALUELESS
from ringdict.node.world import NS_PER_S, Changes, Done, NodeId, World
from ringdict.ring.codec import digest_of
from ringdict.ring.decree import NO_PARENT, Decree
from ringdict.ring.member import Member, MemberState
from ringdict.ring.partition import dict_seed, key_hash
from ringdict.ring.table import Table
from ringdict.sim.host import Host
from ringdict.sim.network import Noise

from . import keepers
from .keepers import CLUSTER, PARTITIONS, KeepingNode

HEAL_S = 10.0
"""So soon after the last fault replicas are equal, hints lost or not."""
LEFT_S = 32.0
"""So soon after that nobody has anything left of what others own: one look at one partition each quarter of
a second, three owners each."""
NODES = 5
REPLICAS = 3
USED_PARTITIONS = 16
"""Keys are only in so many: what is purged in one has neighbours."""
HINT_AT = 16 + 8
"""Where the entry begins in a hint, and where the place begins in its key."""
NODE_BYTES = 16


class WatchedNode(KeepingNode):
    """A node whose commits are looked at."""

    def __init__(self, world: World, cluster: RepairCluster) -> None:
        super().__init__(world, cluster)
        self._cluster = cluster
        self.stored: dict[bytes, bytes] = dict(
            self.keeping.entries.scan((256).to_bytes(8, "big"), b"\xff" * 20, 1_000_000)
        )
        watch(self.keeping.entries, lambda changes: cluster.oracle.saw(world.identity.address, changes, 0))
        watch(
            self.keeping.hints._storage,
            lambda changes: cluster.oracle.saw(world.identity.address, changes, NODE_BYTES),
        )

    def hear(self, node: NodeId, mark: tuple[int, bytes]) -> None:
        """Somebody goes by another ring: by a newer one this node will go, too."""
        super().hear(node, mark)
        view = self.keeping.view
        if view is not None and mark[0] > view.epoch:
            self.world.call_after(0, self._turn)

    def _turn(self) -> None:
        decree, view = self._cluster.decree, self.keeping.view
        if decree is not None and view is not None and decree.epoch > view.epoch:
            self.keeping.set_view(RingView(decree, self.world.identity.node))


def watch(storage: object, told: Callable[[Changes], None]) -> None:
    """Be told of each commit, once it has happened."""
    original = storage.commit  # type: ignore[attr-defined]

    def commit(changes: Changes, done: Done) -> None:
        changes = dict(changes)

        def ended(error: Error | None) -> None:
            if error is None:
                told(changes)
            done(error)

        original(changes, ended)

    storage.commit = commit  # type: ignore[attr-defined]


class RepairCluster(keepers.Cluster):
    """Nodes that own partitions in turn, three of five."""

    node_class: type[WatchedNode] = WatchedNode

    def __init__(self, seed: int) -> None:
        self.oracle = Oracle(self)
        super().__init__(NODES, seed)

    def _factory(self) -> Callable[[World], KeepingNode]:
        return lambda world: self.node_class(world, self)

    def decide(
        self,
        members: Sequence[int],
        replicas: int = REPLICAS,
        told: Sequence[int] | None = None,
        first: int = 0,
    ) -> None:
        """A next ring, whose rows are of each of the members in turn."""
        self.turn(self.rows(replicas, first), None, members if told is None else told)

    @staticmethod
    def rows(replicas: int = REPLICAS, first: int = 0) -> list[bytes]:
        """Of each of the nodes in turn, beginning with one."""
        return [
            bytes((number + first + place) % NODES for place in range(replicas))
            for number in range(PARTITIONS)
        ]

    def turn(self, rows: list[bytes], pending: list[bytes] | None, told: Sequence[int]) -> None:
        """A next ring, told to some; the others hear of it."""
        before = self.decree
        self.decree = Decree(
            CLUSTER,
            before.epoch + 1 if before else 1,
            digest_of(before) if before else NO_PARENT,
            tuple(
                Member(self.node(number), MemberState.ACTIVE, address=self.hosts[number].address)
                for number in range(NODES)
            ),
            Table.of(rows, REPLICAS),
            None if pending is None else Table.of(pending, REPLICAS),
            (1,) * PARTITIONS,
            ((),) * PARTITIONS,
        )
        for number in told:
            process = self.hosts[number].process
            if isinstance(process, KeepingNode):
                process.keeping.set_view(RingView(self.decree, self.node(number)))

    def node(self, number: int) -> NodeId:
        """The id of a node, up or not."""
        address = self.hosts[number].address
        return next(node for node, there in self.known.nodes.items() if there == address)


class Oracle:
    """What the best entry of each place is."""

    def __init__(self, cluster: RepairCluster) -> None:
        self.cluster = cluster
        self.best: dict[bytes, bytes] = {}
        #: Addresses of nodes that were away for so long that nobody waited for them.
        self.away: set[str] = set()
        #: Entries that such a node alone had when it came back: others may get them, and lose them again.
        self.lonely: set[bytes] = set()
        self.losses_count = 0
        self.purged_count = 0

    def saw(self, address: str, changes: Changes, place_at: int) -> None:
        """A node has stored this; places begin there in the keys."""
        for key, value in changes.items():
            place = key[place_at:]
            if place < layout.FIRST_DICT or (value is not None and len(value) < HEADER_BYTES):
                continue
            if value is None:
                self._gone(address, place)
                continue
            raw = value[HINT_AT - NODE_BYTES :] if place_at else value
            best = self.best.get(place)
            if best is None or beats(raw, best):
                self.best[place] = raw

    def _gone(self, address: str, place: bytes) -> None:
        best = self.best.get(place)
        if best is None or best[FLAGS_AT] & VALUELESS or expires(best):
            self.purged_count += 1
            return
        left = self.left(place)
        if left == best:
            return
        is_allowed = address in self.away or best in self.lonely
        assert is_allowed, f"{address} has lost the last of {place.hex()}"
        self.losses_count += 1
        self._replace(place, left)

    def disk_lost(self, lost: dict[bytes, bytes]) -> None:
        """These entries went with a disk."""
        for place, raw in lost.items():
            if self.best.get(place) == raw:
                self._replace(place, self.left(place))
        for place, best in list(self.best.items()):  # it was purged, and nobody is left who remembers that
            if version_of(best) > self.mark(place) and self.left(place) != best:
                self._replace(place, self.left(place))

    def mark(self, place: bytes) -> int:
        """The highest mark of a place's partition on the disks of those who keep it: nobody asks others."""
        name = place[layout.DICT_ID_BYTES : layout.PREFIX_BYTES]
        key = PURGED + name
        decree = self.cluster.decree
        assert decree is not None
        keepers = [self.cluster.hosts[number] for number in decree.writers(int.from_bytes(name, "big"))]
        volumes = [host.disk.volumes.get("entries") for host in keepers]
        marks = [each.durable.get(key, NO_MARK) for each in volumes if each is not None]
        return int.from_bytes(max(marks, default=NO_MARK), "big")

    def _replace(self, place: bytes, left: bytes | None) -> None:
        if left is None:
            del self.best[place]
        else:
            self.best[place] = left

    def comes_back(self, absent: Host) -> None:
        """A node that was away for so long is about to be back."""
        others = [host for host in self.cluster.hosts if host is not absent]
        self.lonely.update(best for place, best in self.best.items() if self.left(place, others) != best)

    def left(self, place: bytes, hosts: Sequence[Host] = ()) -> bytes | None:
        """The best copy on any disk, or on any of these."""
        found: bytes | None = None
        for host in hosts or self.cluster.hosts:
            volumes = host.disk.volumes
            copies = []
            if (entries := volumes.get("entries")) is not None and place in entries.durable:
                copies.append(entries.durable[place])
            if (hints := volumes.get("hints")) is not None:
                for node in self.cluster.known.nodes:
                    hint = hints.durable.get(node + place)
                    copies += [hint[8:]] if hint is not None else []
            for raw in copies:
                if found is None or beats(raw, found):
                    found = raw
        return found


def expires(raw: bytes) -> bool:
    """Whether an entry has a time to live."""
    return raw[EXPIRES_AT:HEADER_BYTES] != bytes(8)


class Trial:
    """One run."""

    def __init__(
        self,
        seed: int,
        keys_count: int = 200,
        rounds: int = 12,
        make: type[RepairCluster] = RepairCluster,
    ) -> None:
        self.dice = random.Random(seed)
        noisy = self.dice.random() < 0.5
        self.cluster = make(seed)
        if noisy:
            self.cluster.simulation.network.noise = Noise(loss=0.02, duplication=0.05, replay=0.03, late=0.02)
        self.oracle = self.cluster.oracle
        self.rounds = rounds
        self.keys = self._keys(keys_count)
        self.written = 0
        self.acknowledged_count = 0
        self.turns_count = 0
        self.mend: Callable[[], None] = lambda: None
        #: Out of the way for so long, and not back yet.
        self.absent: Host | None = None

    def _keys(self, count: int) -> list[tuple[bytes, int]]:
        """Keys and their hashes, in few partitions."""
        keys: list[tuple[bytes, int]] = []
        number = 0
        while len(keys) < count:
            key = b"\x03%d" % number
            hash_ = key_hash(dict_seed(self.cluster.dict_id), key)
            if hash_ % PARTITIONS < USED_PARTITIONS:
                keys.append((key, hash_))
            number += 1
        return keys

    def run(self) -> None:
        """All of it: AssertionError if not all is well in the end."""
        cluster = self.cluster
        cluster.run_for(2)
        for _ in range(len(self.keys) // 2):
            self.write()
        cluster.run_for(1)
        for _ in range(self.rounds):
            self.mend()
            self.mend = self.befall()
            for _ in range(self.dice.randrange(1, 6)):
                for _ in range(self.dice.randrange(1, 10)):
                    self.write()
                    self.read()
                cluster.run_for(self.dice.random() * 1.5)
        self.mend()
        if self.absent is not None:
            self.come_back()
        cluster.simulation.network.noise = Noise()
        cluster.run_for(HEAL_S)
        self.judge()
        if self.turns_count:
            self.judge_leftovers()

    # -- what is done -------------------------------------------------------------------------------

    def write(self) -> None:
        """A put, a put that will expire, or a delete, by one of the key's owners that runs."""
        key, hash_ = self.dice.choice(self.keys)
        kind = self.dice.random()
        owners = [
            host
            for host in self.cluster.hosts
            if isinstance(host.process, WatchedNode) and not host.paused_count
            and (view := host.process.keeping.view) is not None and view.owns(hash_ % PARTITIONS)
        ]  # fmt: skip
        if not owners:
            return
        owner = self.dice.choice(owners)
        assert isinstance(owner.process, WatchedNode)
        keeping = owner.process.keeping
        self.written += 1
        body = b"%d" % self.written
        has_ttl = 0.5 <= kind < 0.65
        ttl_ms = self.dice.randrange(1, 5_000) if has_ttl else 0
        expires_ms = keeping.stamper.now_ms() + ttl_ms if ttl_ms else 0
        flags = TOMBSTONE if kind >= 0.65 else 0
        number = keeping.writers.number

        def sealed(version: int) -> bytes:
            body_ = b"" if flags else body
            return encode(Stored(flags, version, number, 0, expires_ms, NO_OPERATION, b"", body_), hash_)

        place = place_of(self.cluster.dict_id, key, hash_)
        draft = one_draft(place, hash_ % PARTITIONS, sealed)
        ack = Ack.MAJORITY if flags else self.dice.choice([Ack.ALL, Ack.ONE])
        Write(
            keeping.writers,
            draft,
            0,
            ack,
            tainted=False,
            until_ns=keeping.writers.world.now_ns() + 2 * NS_PER_S,
            ended=lambda _: self.acknowledge(),
        ).begin()

    def read(self) -> None:
        """Somebody who runs reads a key, and doubts what it has."""
        key, _ = self.dice.choice(self.keys)
        process = self.dice.choice(self.cluster.hosts).process
        if isinstance(process, WatchedNode):
            process.keeping.repair.doubt(self.cluster.dict_id, key)

    def acknowledge(self) -> None:
        """Some write was answered."""
        self.acknowledged_count += 1

    # -- what befalls -------------------------------------------------------------------------------

    def befall(self) -> Callable[[], None]:
        """Let one thing go wrong; how to mend it."""
        hosts = [host for host in self.cluster.hosts if host is not self.absent]
        victim = self.dice.choice(hosts)
        kinds = [
            self.cut, self.one_way, self.pause, self.crash, self.jump, self.lose_hints, self.lose_disk,
            self.leave_long, self.leave_long, self.turn, self.turn,
        ]  # fmt: skip
        return self.dice.choice(kinds)(victim)

    def cut(self, victim: Host, *, both: bool = True) -> Callable[[], None]:
        """Cut one off from the others."""
        network = self.cluster.simulation.network
        others = [host.address for host in self.cluster.hosts if host is not victim]
        pairs = [(victim.address, other) for other in others]
        pairs += [(other, victim.address) for other in others] if both else []
        for pair in pairs:
            network.cut(*pair)

        def mend() -> None:
            for pair in pairs:
                network.mend(*pair)

        return mend

    def one_way(self, victim: Host) -> Callable[[], None]:
        """What one says is not heard."""
        return self.cut(victim, both=False)

    def pause(self, victim: Host) -> Callable[[], None]:
        """Stop a process."""
        victim.pause()
        return victim.resume

    def crash(self, victim: Host) -> Callable[[], None]:
        """Kill a process, and start it again."""
        self.cluster.simulation.crash(victim)
        return lambda: self.cluster.simulation.restart(victim)

    def jump(self, victim: Host) -> Callable[[], None]:
        """Let a wall clock jump, by up to five hours, for good."""
        victim.clock.skew_ns += self.dice.randrange(-18_000, 18_000) * NS_PER_S
        return lambda: None

    def lose_hints(self, victim: Host) -> Callable[[], None]:
        """Kill a process and lose its hints."""
        self.cluster.simulation.crash(victim)
        lost = victim.disk.volumes.pop("hints", None)
        if lost is not None:
            self.oracle.disk_lost({key[NODE_BYTES:]: value[8:] for key, value in lost.durable.items()})
        return lambda: self.cluster.simulation.restart(victim)

    def lose_disk(self, victim: Host) -> Callable[[], None]:
        """Kill a process and lose its entries and hints."""
        self.cluster.simulation.crash(victim)
        for name, skip in (("entries", 0), ("hints", NODE_BYTES)):
            lost = victim.disk.volumes.pop(name, None)
            if lost is not None:
                at = HINT_AT - NODE_BYTES if skip else 0
                self.oracle.disk_lost({key[skip:]: raw[at:] for key, raw in lost.durable.items()})
        return lambda: self.cluster.simulation.restart(victim)

    def turn(self, victim: Host) -> Callable[[], None]:
        """Let every partition move on by one node. Its new owner may die meanwhile, with its disk; what is
        not ready when it is to flip stays where it was. Some hear of either ring late."""
        cluster = self.cluster
        assert cluster.decree is not None
        rows = [bytes(row) for row in cluster.decree.table.rows()]
        cluster.turn(rows, [bytes((number + 1) % NODES for number in row) for row in rows], self.told())
        mend: Callable[[], None] = self.dice.choice([lambda _: lambda: None, self.crash, self.lose_disk])(
            victim
        )

        def flip() -> None:
            mend()
            assert cluster.decree is not None
            assert cluster.decree.pending is not None
            pending = [bytes(row) for row in cluster.decree.pending.rows()]
            flipped = [
                pending[number] if self.is_ready(number, pending[number][-1]) else row
                for number, row in enumerate(rows)
            ]
            self.turns_count += flipped != rows
            cluster.turn(flipped, None, self.told())

        return flip

    def told(self) -> list[int]:
        """Who hears of a ring at once."""
        return self.dice.sample(range(NODES), self.dice.randrange(1, NODES + 1))

    def is_ready(self, partition: int, number: int) -> bool:
        """Whether a node could take over a partition now."""
        process, decree = self.cluster.hosts[number].process, self.cluster.decree
        if not isinstance(process, WatchedNode) or process.keeping.view is None or decree is None:
            return False
        view = process.keeping.view
        return view.epoch == decree.epoch and process.keeping.convergence.equal(partition)

    def leave_long(self, victim: Host) -> Callable[[], None]:
        """Take one away for days, or bring the one back that was."""
        if self.absent is not None:
            self.come_back()
            return lambda: None
        self.absent = victim
        self.oracle.away.add(victim.address)
        self.cluster.simulation.crash(victim)
        for _ in range(self.dice.randrange(1, 4)):
            for _ in range(20):
                self.write()
            self.cluster.run_for(5)
            if self.dice.random() < 0.8:
                self.cluster.simulation.loop.now_ns += int((PURGE_AWAY_S + 60) * NS_PER_S)
            self.cluster.run_for(8)
        return lambda: None

    def come_back(self) -> None:
        """The one that was away is back."""
        assert self.absent is not None
        self.oracle.comes_back(self.absent)
        self.cluster.simulation.restart(self.absent)
        self.absent = None

    # -- what must have come of it ------------------------------------------------------------------

    def judge(self) -> None:
        """Assert that replicas are equal, and hold what the oracle says."""
        there: dict[bytes, bytes] = {}
        keepings: list[Keeping] = []
        for host in self.cluster.hosts:
            assert isinstance(host.process, WatchedNode), f"{host.address} does not run"
            host.process.keeping.replica.validate()
            keepings.append(host.process.keeping)
        for partition in range(USED_PARTITIONS):
            owners = [each for each in keepings if each.view is not None and each.view.owns(partition)]
            mark = max(each.replica.marks.get(partition) for each in owners)
            copies = [rows_of(each.replica, self.cluster.dict_id, partition, mark) for each in owners]
            assert all(copy == copies[0] for copy in copies), f"not equal: partition {partition}"
            there.update(copies[0])
        for place in self.oracle.best.keys() | there.keys():
            best, final = self.oracle.best.get(place), there.get(place)
            assert final is None or best is not None, f"out of nothing: {place.hex()}"
            if best is None or final == (best[STAMP_AT:HEADER_BYTES] if expires(best) else best):
                continue
            assert final is None, f"something dead or overwritten is back: {place.hex()}"
            assert best[FLAGS_AT] & VALUELESS or expires(best), f"an entry is lost: {place.hex()}"
        assert self.acknowledged_count

    def judge_leftovers(self) -> None:
        """Assert that what others keep now is handed over and removed, whatever is read meanwhile."""
        for _ in range(8):
            for _ in range(20):
                self.read()
            self.cluster.run_for(LEFT_S / 8)
        for host in self.cluster.hosts:
            assert isinstance(host.process, WatchedNode)
            keeping = host.process.keeping
            for partition in range(USED_PARTITIONS):
                assert keeping.view is not None
                if not keeping.view.keeps(partition):
                    left = rows_of(keeping.replica, self.cluster.dict_id, partition, 0)
                    assert not left, (
                        f"{host.address} keeps partition {partition}, which is not its own any more"
                    )


def rows_of(replica: Replica, dict_id: bytes, partition: int, mark: int) -> dict[bytes, bytes]:
    """What stands in a partition; of what has a time to live, what is the same before and after that. What is
    about to be purged is not there."""
    prefix = dict_id + layout.PARTITION_NAMES[partition]
    rows: dict[bytes, bytes] = {}
    for place, raw in replica.storage.scan(prefix, prefix + b"\xff", 1_000_000):
        is_dead = raw[FLAGS_AT] & VALUELESS or expires(raw)
        if not is_dead or version_of(raw) > mark:
            rows[place] = raw[STAMP_AT:HEADER_BYTES] if expires(raw) else raw
    return rows
