"""Faults for leaders alone: takings of the lead that no rule of good conduct would allow.

Stickiness, resignation and ranks leave few moments with two leaders, and none of them is needed for safety.
So here nodes take the lead in spite of them, as a candidate may who holds a forged consent: safety is for
ballots and quorums to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ..node.network.leadermessage import Transfer
from ..node.world import Address, NodeId
from .config import MS, S
from .fault import Drawn, Fault, Field, Kind, hit, one, span
from .host import Host
from .locknode import LockNode, unpack

HAUNT_NS = 15 * MS
"""In which old answers come again: about as long as a candidate takes to be elected."""
BACK_NS = 4 * MS
"""Of a process that dies: before what it told is asked for again."""


def take_the_lead(host: Host) -> list[Address]:
    """Have a node try to lead all its partitions, whoever leads them; where the leaders are that it knows."""
    node = host.process
    leaders: list[Address] = []
    if not isinstance(node, LockNode) or host.paused_count:
        return leaders
    view = node.leaders.view
    for partition in range(0 if view is None else view.decree.partitions):
        held = node.leaders.acceptor.promised(partition)
        node.leaders.on_message(Transfer(held.node, partition, held))
        address = node.addresses.get(NodeId(held.node))
        if address is not None and address != host.address and address not in leaders:
            leaders.append(address)
    return leaders


def part(field: Field, pairs: list[tuple[Address, Address]], for_ns: int) -> None:
    """Let nothing through on these links for a while."""
    network = field.simulation.network
    for pair in pairs:
        network.cut(*pair)
        field.simulation.loop.call_after(for_ns, network.mend, *pair)


class Usurp(Kind):
    """A node takes the lead of all its partitions. By `amount` the leaders before it hear of it (0), are cut
    off from all other nodes (1), or from the new one (2); clients reach them always."""

    name = "usurp"
    rate = (0.3, 3.0)

    def __init__(self) -> None:
        self._pairs: list[tuple[Address, Address]] = []

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 0.4, 2.0), dice.choice((0, 1, 1, 2)))

    def begin(self, field: Field, fault: Fault) -> None:
        host = field.nodes[fault.nodes[0]]
        before = take_the_lead(host)
        for leader in before:
            others = [other.address for other in field.nodes if other.address != leader]
            if fault.amount == 2:
                others = [host.address]
            for other in others if fault.amount else ():
                self._pairs += [(leader, other), (other, leader)]
        for pair in self._pairs:
            field.simulation.network.cut(*pair)

    def end(self, field: Field, fault: Fault) -> None:
        del fault
        for pair in self._pairs:
            field.simulation.network.mend(*pair)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        how = ("", ", and the leaders are cut off", ", and the leaders cannot talk to it")[fault.amount]
        return f"{hit(fault, names)} takes the lead of all its partitions{how}"


class Forget(Kind):
    """A process dies right after it told somebody that it promised, or keeps a record, and is back at once.

    What it accepted: another node takes the lead, and leaders are cut off for `amount` nanoseconds. What it
    promised: two others cannot talk to each other for so long.
    """

    name = "forget"
    rate = (0.3, 3.0)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(tuple(dice.sample(range(count), 2)), S, span(dice, 0.6, 2.0))

    def begin(self, field: Field, fault: Fault) -> None:
        self._armed = True
        host = field.nodes[fault.nodes[0]]
        before = host.watch

        def watch(address: Address, event: str, facts: dict[str, object]) -> None:
            if before is not None:
                before(address, event, facts)
            if self._armed and event in {"promised", "accepted"}:
                self._armed = False
                field.simulation.crash_after_send(host, lambda: self._died(field, fault, event))

        host.watch = watch

    def _died(self, field: Field, fault: Fault, event: str) -> None:
        first, third = (field.nodes[number] for number in fault.nodes)
        loop = field.simulation.loop
        loop.call_after(BACK_NS, field.simulation.restart, first)
        if event == "accepted":
            for leader in take_the_lead(third):
                rest = [other.address for other in field.nodes if other.address != leader]
                pairs = [pair for other in rest for pair in ((leader, other), (other, leader))]
                part(field, pairs, fault.amount)
            return
        others = [other.address for other in field.nodes if other not in {first, third}]
        told = others[fault.amount % len(others)]
        part(field, [(told, third.address), (third.address, told)], fault.amount)

    def end(self, field: Field, fault: Fault) -> None:
        del field, fault
        self._armed = False

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{names[fault.nodes[0]]} dies right after it has promised or accepted something"


class Estrange(Kind):
    """From some time on two nodes do not hear each other (`amount` 0), or one does not hear the other (1)."""

    name = "estrange"
    rate = (0.05, 0.1)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(tuple(dice.sample(range(count), 2)), 60 * S, dice.randrange(2))

    def begin(self, field: Field, fault: Fault) -> None:
        one, other = (field.nodes[number].address for number in fault.nodes)
        field.simulation.network.cut(one, other)
        if not fault.amount:
            field.simulation.network.cut(other, one)

    def end(self, field: Field, fault: Fault) -> None:
        one, other = (field.nodes[number].address for number in fault.nodes)
        field.simulation.network.mend(one, other)
        if not fault.amount:
            field.simulation.network.mend(other, one)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        one, other = (names[number] for number in fault.nodes)
        return f"{other} does not hear {one} any more" + ("" if fault.amount else ", nor the other way round")


class Straggle(Kind):
    """What a client sends to a node, or a node to it, is held up; it comes all at once, when the client may
    have given it up.

    `amount` is twice the number of the client, one more if its answers are held up.
    """

    name = "straggle"
    rate = (1.0, 10.0)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 0.15), dice.randrange(1 << 16))

    def begin(self, field: Field, fault: Fault) -> None:
        client = field.clients[fault.amount // 2 % len(field.clients)].address
        node = field.nodes[fault.nodes[0]].address
        pair = (node, client) if fault.amount % 2 else (client, node)
        field.simulation.network.clog(*pair, field.simulation.loop.now_ns + fault.for_ns)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        what = "answers of" if fault.amount % 2 else "what a client sends to"
        return f"{what} {hit(fault, names)} are held up"


class Echo(Kind):
    """Somebody hears again, in the same order and at the same pace, what it heard a moment ago.

    It is a node that restarts in between (`amount` 0 of 3), so that its predecessor was meant, or a client.
    """

    name = "echo"
    rate = (0.5, 4.0)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 0.3), dice.randrange(1 << 16))

    def begin(self, field: Field, fault: Fault) -> None:
        self._heard: list[tuple[int, Address, bytes, bool]] = []
        self._begun_ns = field.simulation.loop.now_ns
        self._host = field.nodes[fault.nodes[0]]
        if fault.amount % 3:
            self._host = field.clients[fault.amount // 3 % len(field.clients)]
        field.simulation.network.overheard[self._host.address] = self._hear

    def _hear(self, at_ns: int, source: Address, payload: bytes, datagram: bool) -> None:  # noqa: FBT001 - as sent
        if unpack(payload) is None:  # a plain put that comes again after a restart is another put
            self._heard.append((at_ns - self._begun_ns, source, payload, datagram))

    def end(self, field: Field, fault: Fault) -> None:
        network, loop = field.simulation.network, field.simulation.loop
        network.overheard.pop(self._host.address, None)
        if fault.amount % 3 == 0:
            field.simulation.crash(self._host)
            loop.call_after(BACK_NS, field.simulation.restart, self._host)
        for after_ns, source, payload, datagram in self._heard:
            loop.call_after(BACK_NS + after_ns, network.repeat, source, self._host.address, payload, datagram)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        whom = "a client" if fault.amount % 3 else f"{hit(fault, names)}, which restarts,"
        return f"{whom} hears again what it heard"


class Haunt(Kind):
    """A node takes the lead of all its partitions, and within a moment all clients hear once more what they
    had heard before: old answers come while nobody knows what becomes of the new requests."""

    name = "haunt"
    rate = (0.3, 2.0)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 1.0), dice.randrange(1 << 16))

    def begin(self, field: Field, fault: Fault) -> None:
        del fault
        self._heard: list[tuple[Address, Address, bytes, bool]] = []
        for client in field.clients:
            self._listen(field, client.address)

    def _listen(self, field: Field, client: Address) -> None:
        def hear(_at_ns: int, source: Address, payload: bytes, datagram: bool) -> None:  # noqa: FBT001 - as sent
            if unpack(payload) is None:
                self._heard.append((source, client, payload, datagram))

        field.simulation.network.overheard.setdefault(client, hear)

    def end(self, field: Field, fault: Fault) -> None:
        network, dice = field.simulation.network, Random(f"{fault.amount}/haunt")
        for client in field.clients:
            network.overheard.pop(client.address, None)
        take_the_lead(field.nodes[fault.nodes[0]])
        for heard in self._heard:
            field.simulation.loop.call_after(dice.randrange(HAUNT_NS), network.repeat, *heard)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{hit(fault, names)} takes the lead, and clients hear again what they heard before"
