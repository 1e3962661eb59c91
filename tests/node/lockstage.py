"""The core of leaders on nodes whose ring of one partition is made by hand, and a client that asks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ringdict.node.leaders.ballot import Ballot
from ringdict.node.leaders.leadership import Leadership
from ringdict.node.network.leadermessage import Act, Acted, Greet, Greeted, Verb
from ringdict.node.network.message import Message
from ringdict.node.network.wire import decode, encode
from ringdict.node.world import Address, NodeId, World
from ringdict.ring.codec import encode_decree
from ringdict.ring.decree import DIGEST_BYTES, NO_PARENT, Decree
from ringdict.ring.member import Member, MemberState
from ringdict.ring.table import Table
from ringdict.sim.lockcheck import NoFork, OneLeader, SaidIsDurable, TokensGrow
from ringdict.sim.locknode import LockNode, pack, unpack
from ringdict.sim.simulation import Simulation

KEY = b"lock-a"
DICT_ID = b"dict-no1"
SESSION = b"a session."


class Town:
    """Hears who is there, tells decrees, and asks one thing at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ids: dict[Address, NodeId] = {}
        self.heard: list[Message] = []

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.on_frame(source, datagram)

    def on_frame(self, source: Address, frame: bytes) -> None:
        parts = unpack(frame)
        if parts is None:
            self.heard.append(decode(frame))
        elif parts[0] == "hello":
            self.ids[source] = NodeId(parts[1])


class LockStage:
    """So many nodes, none of them in a ring before `go_by`. What must hold is watched all the time."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self.simulation = Simulation(seed=seed)
        town = self.simulation.host("town", Town)
        self.simulation.run_for(0.01)
        assert isinstance(town.process, Town)
        self.town = town.process
        self.hosts = [
            self.simulation.host(f"n{number}", lambda world: LockNode(world, Address("town")))
            for number in range(count)
        ]
        self.watchers: list[Any] = [NoFork(), TokensGrow(), OneLeader(), SaidIsDurable()]
        self.faults: list[str] = []
        for host in self.hosts:
            host.watch = self._watch
        self.simulation.run_for(0.5)
        self.epoch = 0
        self.since = 1
        self._serial = 0

    def _watch(self, address: Address, event: str, facts: dict[str, Any]) -> None:
        for watcher in self.watchers:
            fault = watcher.watch(self.simulation.loop.now_ns, address, event, facts)
            if fault:
                self.faults.append(fault)

    def node(self, number: int) -> LockNode:
        process = self.hosts[number].process
        assert isinstance(process, LockNode)
        return process

    def id_of(self, number: int) -> NodeId:
        return self.town.ids[Address(f"n{number}")]

    def go_by(self, row: Sequence[int], *, former: Sequence[Sequence[int]] = ()) -> None:
        """All hear of a ring with this row, and of sets whose knowledge may be missing."""
        self.epoch += 1
        self.since = self.epoch if former or self.epoch == 1 else self.since
        ids = sorted(self.town.ids.values())
        addresses = {node: address for address, node in self.town.ids.items()}
        members = tuple(Member(node, MemberState.ACTIVE, address=addresses[node]) for node in ids)

        def numbers(nodes: Sequence[int]) -> list[int]:
            return [ids.index(self.id_of(number)) for number in nodes]

        sets = tuple(bytes(sorted(numbers(one))) for one in former)
        table = Table.of([numbers(row)], 3)
        parent = NO_PARENT if self.epoch == 1 else bytes([self.epoch]) * DIGEST_BYTES
        decree = Decree(bytes(16), self.epoch, parent, members, table, None, (self.since,), (sets,))
        for host in self.hosts:
            self.town.world.send(host.address, pack("decree", encode_decree(decree)))

    def wait_leader(self, span_s: float = 5.0) -> int:
        """Who leads, once somebody of the present ring does, and all is settled."""
        for _ in range(int(span_s * 100)):
            self.simulation.run_for(0.01)
            for number, host in enumerate(self.hosts):
                lead = self.lead_of(number) if host.up else None
                if lead is not None and not lead.open and lead.ballot.since == self.since:
                    return number
        raise AssertionError("nobody leads it")

    def lead_of(self, number: int) -> Leadership | None:
        return self.node(number).leaders.leaderships.get(0)

    def next_id(self) -> bytes:
        self._serial += 1
        return SESSION + self._serial.to_bytes(6, "big")

    def ask(self, number: int, message: Message) -> Message | None:
        """What a node answers within a second."""
        self.town.heard.clear()
        self.town.world.send(self.hosts[number].address, encode(message))
        for _ in range(1_000):
            self.simulation.run_for(0.001)
            if self.town.heard:
                return self.town.heard.pop()
        return None

    def act(self, verb: Verb, body: bytes = b"", *, version: int = 0, key: bytes = KEY) -> Acted:
        """Have it done by whoever leads."""
        number = self.wait_leader()
        greeted = self.ask(number, Greet(1, SESSION, b""))
        assert isinstance(greeted, Greeted)
        ballot: Ballot = dict(greeted.ballots)[0]
        operation_id = self.next_id()
        act = Act(1, ballot, greeted.ticket, operation_id, 0, DICT_ID, key, verb, body, b"", version, 0)
        acted = self.ask(number, act)
        assert isinstance(acted, Acted), acted
        return acted
