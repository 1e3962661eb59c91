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
from .locknode import LockNode

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
