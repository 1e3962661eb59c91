"""Faults of the network: cuts of every shape, clogs, holds, slow links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from random import Random

from ..node.world import Address
from .config import MS, S
from .fault import Drawn, Fault, Field, Kind, hit, log_uniform, one, span

Pair = tuple[Address, Address]


class Cut(Kind):
    """Base of those that lose everything on some links for a while."""

    def pairs(self, field: Field, fault: Fault) -> Iterator[Pair]:
        """The links."""
        raise NotImplementedError

    def begin(self, field: Field, fault: Fault) -> None:
        for pair in self.pairs(field, fault):
            field.simulation.network.cut(*pair)

    def end(self, field: Field, fault: Fault) -> None:
        for pair in self.pairs(field, fault):
            field.simulation.network.mend(*pair)


class Split(Cut):
    """Nodes in two sides, neither of which hears the other. Each client is on one of them."""

    name = "split"
    rate = (0.05, 0.5)

    def draw(self, dice: Random, count: int) -> Drawn:
        side = dice.sample(range(count), dice.randrange(1, max(2, count)))
        return Drawn(tuple(sorted(side)), span(dice, 2.0), dice.randrange(1 << 30))

    def pairs(self, field: Field, fault: Fault) -> Iterator[Pair]:
        inside = {field.nodes[number].address for number in fault.nodes}
        for number, client in enumerate(field.clients):
            if fault.amount >> (number % 30) & 1:
                inside.add(client.address)
        everyone = [host.address for host in (*field.nodes, *field.clients)]
        return (pair for pair in permutations(everyone, 2) if (pair[0] in inside) != (pair[1] in inside))

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        others = ", ".join(name for number, name in enumerate(names) if number not in fault.nodes)
        return f"the network splits: {hit(fault, names)} on one side, {others or 'clients'} on the other"


class Isolate(Cut):
    """One node that hears no other node and is heard by none; clients still reach it."""

    name = "isolate"
    rate = (0.05, 0.5)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 2.0))

    def pairs(self, field: Field, fault: Fault) -> Iterator[Pair]:
        victim = field.nodes[fault.nodes[0]].address
        others = (host.address for host in field.nodes if host.address != victim)
        return (pair for other in others for pair in ((victim, other), (other, victim)))

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{hit(fault, names)} is cut off from all other nodes, and clients still reach it"


class OneWay(Cut):
    """One node that others hear and that hears nobody, or the other way round."""

    name = "one-way"
    rate = (0.05, 0.5)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 2.0), dice.randrange(2))

    def pairs(self, field: Field, fault: Fault) -> Iterator[Pair]:
        victim = field.nodes[fault.nodes[0]].address
        others = (host.address for host in field.nodes if host.address != victim)
        return ((other, victim) if fault.amount else (victim, other) for other in others)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        if fault.amount:
            return f"{hit(fault, names)} hears no other node, and they hear it"
        return f"{hit(fault, names)} is heard by no other node, and hears them"


class Bridge(Cut):
    """Two nodes that cannot talk to each other, while everybody else can talk to both."""

    name = "bridge"
    rate = (0.05, 0.5)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(tuple(dice.sample(range(count), min(2, count))), span(dice, 3.0))

    def pairs(self, field: Field, fault: Fault) -> Iterator[Pair]:
        return permutations([field.nodes[number].address for number in fault.nodes], 2)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{hit(fault, names)} cannot talk to each other, and all others talk to both"


class Swizzle(Kind):
    """The links of some nodes are clogged one by one, and cleared one by one in another order."""

    name = "swizzle"
    rate = (0.03, 0.2)

    def draw(self, dice: Random, count: int) -> Drawn:
        some = dice.sample(range(count), dice.randrange(1, count + 1))
        return Drawn(tuple(some), span(dice, 2.0), dice.randrange(1 << 30))

    def begin(self, field: Field, fault: Fault) -> None:
        order = list(fault.nodes)
        Random(fault.amount).shuffle(order)
        step_ns = fault.for_ns // (2 * len(order))
        loop, network = field.simulation.loop, field.simulation.network
        for turn, number in enumerate(fault.nodes):
            until_ns = fault.end_ns - step_ns * order.index(number)
            victim = field.nodes[number].address
            for other in (host.address for host in field.nodes if host.address != victim):
                for pair in ((victim, other), (other, victim)):
                    loop.call_at(fault.at_ns + turn * step_ns, network.clog, *pair, until_ns)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"the links of {hit(fault, names)} clog one by one, and clear in another order"


class Hold(Kind):
    """All that is sent to one node is kept, and comes at once later."""

    name = "hold"
    rate = (0.05, 0.5)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 1.0))

    def begin(self, field: Field, fault: Fault) -> None:
        victim = field.nodes[fault.nodes[0]].address
        for host in field.nodes:
            if host.address != victim:
                field.simulation.network.hold(host.address, victim)

    def end(self, field: Field, fault: Fault) -> None:
        victim = field.nodes[fault.nodes[0]].address
        for host in field.nodes:
            if host.address != victim:
                field.simulation.network.release(host.address, victim)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"what other nodes send to {hit(fault, names)} is held back"


class SlowLinks(Kind):
    """All links of one node, clients' too, take longer by `amount` nanoseconds."""

    name = "slow-links"
    rate = (0.05, 0.5)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 2.0), int(log_uniform(dice, 5 * MS, 1 * S)))

    def begin(self, field: Field, fault: Fault) -> None:
        self._set(field, fault, fault.amount)

    def end(self, field: Field, fault: Fault) -> None:
        self._set(field, fault, -fault.amount)

    def _set(self, field: Field, fault: Fault, by_ns: int) -> None:
        network = field.simulation.network
        victim = field.nodes[fault.nodes[0]].address
        for host in (*field.nodes, *field.clients):
            if host.address != victim:
                network.slow(host.address, victim, by_ns)
                network.slow(victim, host.address, by_ns)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"every message from or to {hit(fault, names)} takes {fault.amount // MS} ms longer"


KINDS: list[type[Kind]] = [Split, Isolate, OneWay, Bridge, Swizzle, Hold, SlowLinks]
