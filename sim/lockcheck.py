"""What must hold of atomic operations: watchers that see every record when it is on a disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ..node.world import NS_PER_S, Address
from .lockdisk import place_of


class Chosen:
    """When a record is chosen, seen from outside: a majority of its ballot's row has it on disk; of two, the
    senior one has.

    `told` hears of each operation the first time.
    """

    def __init__(self, told: Callable[[int, dict[str, Any]], str | None]) -> None:
        self._told = told
        self._rows: dict[tuple[int, object], tuple[list[bytes], bytes]] = {}
        self._holders: dict[tuple[object, ...], set[bytes]] = defaultdict(set)
        self._chosen: set[object] = set()

    def watch(self, at_ns: int, _address: Address, event: str, facts: dict[str, Any]) -> str | None:
        """Count acceptors."""
        if event == "leads":
            self._rows[facts["partition"], facts["ballot"]] = facts["row"], facts["senior"]
        elif event == "accepted":
            ballot = facts["order"][0]
            holders = self._holders[facts["partition"], facts["name"], facts["order"]]
            holders.add(facts["node"])
            row, senior = self._rows[facts["partition"], ballot]
            enough = senior in holders if len(row) == 2 else 2 * len(holders) > len(row)
            mark = (facts["partition"], facts["name"], facts["operation"])
            if enough and mark not in self._chosen:
                self._chosen.add(mark)
                return self._told(at_ns, facts)
        return None


class NoFork:
    """Of each state of a key at most one successor is ever chosen."""

    def __init__(self) -> None:
        self._chosen = Chosen(self._check)
        self._successors: dict[tuple[object, bytes], bytes] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, Any]) -> str | None:
        if event == "purges":  # all replicas say "absent": the next record begins a chain of its own
            for name in facts["names"]:
                self._successors.pop(((facts["partition"], name), b""), None)
        return self._chosen.watch(at_ns, address, event, facts)

    def _check(self, at_ns: int, facts: dict[str, Any]) -> str | None:
        name, parent, operation = (facts["partition"], facts["name"]), facts["parent"], facts["operation"]
        other = self._successors.setdefault((name, parent), operation)
        if other == operation:
            return None
        return (
            f"{name!r}: at {at_ns / NS_PER_S:.3f} s {operation.hex()} was made of {parent.hex()}, and "
            f"{other.hex()} was made of it already"
        )


class TokensGrow:
    """The token of what is chosen for a key is higher than those of all that was chosen for it before; only
    what extends a grant keeps its token."""

    def __init__(self) -> None:
        self._chosen = Chosen(self._check)
        self._tokens: dict[object, int] = {}
        self._orders: dict[object, Any] = {}
        self._forgotten: set[object] = set()
        self._taken: dict[object, bytes] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, Any]) -> str | None:
        if event == "purges":
            self._forgotten.update((facts["partition"], name) for name in facts["names"])
        return self._chosen.watch(at_ns, address, event, facts)

    def _check(self, at_ns: int, facts: dict[str, Any]) -> str | None:
        name, token = (facts["partition"], facts["name"]), facts["token"]
        before = self._tokens.get(name, 0)
        order = facts["order"]
        if name in self._orders and order < self._orders[name] and token <= before:
            # Who had it on disk, too, has crashed before it could say so: it was chosen long ago, and what
            # was chosen since was made of it, or `NoFork` complains.
            return None
        self._orders[name] = order
        forgotten = name in self._forgotten
        if token:  # there is a record again
            self._forgotten.discard(name)
        self._tokens[name] = max(before, token)
        extended = token == before and facts["present"] and self._taken.get(name) == facts["taken"]
        self._taken[name] = facts["taken"]
        nothing = not before or forgotten
        barred = not token and nothing and not facts["present"]  # a cancel, before anything was there
        if token > before or barred or extended:
            return None
        return f"{name!r}: at {at_ns / NS_PER_S:.3f} s token {token} was chosen, after {before}"


class NoGhost:
    """Nothing is chosen for the first time after its client was told that it never will be."""

    def __init__(self) -> None:
        self._chosen = Chosen(self._check)
        self._dead: dict[bytes, int] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, Any]) -> str | None:
        if event == "dead":
            self._dead[facts["operation"]] = at_ns
        return self._chosen.watch(at_ns, address, event, facts)

    def _check(self, at_ns: int, facts: dict[str, Any]) -> str | None:
        told_ns = self._dead.get(facts["operation"])
        if told_ns is None:
            return None
        return (
            f"{facts['name']!r}: {facts['operation'].hex()} was chosen at {at_ns / NS_PER_S:.3f} s, and its "
            f"client was told at {told_ns / NS_PER_S:.3f} s that it never will be"
        )


class ToldIsChosen:
    """Who is told that it has a key has it: the operation was chosen, with the token that was told."""

    def __init__(self) -> None:
        self._chosen = Chosen(self._check)
        self._tokens: dict[bytes, int] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, Any]) -> str | None:
        if event == "won" and self._tokens.get(facts["operation"]) != facts["token"]:
            return f"{address} was told that it has token {facts['token']}, which was not chosen"
        return self._chosen.watch(at_ns, address, event, facts)

    def _check(self, _at_ns: int, facts: dict[str, Any]) -> str | None:
        self._tokens[facts["operation"]] = facts["token"]
        return None


class OneLeader:
    """A ballot is of one start of one node; an order is of one record; promises never go back."""

    def __init__(self) -> None:
        self._leaders: dict[tuple[int, object], Address] = {}
        self._orders: dict[tuple[int, object], tuple[bytes, bytes]] = {}
        self._promised: dict[tuple[bytes, int], Any] = {}
        self.leads: list[tuple[int, int]] = []

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, Any]) -> str | None:
        partition = facts.get("partition", 0)
        if event == "leads":
            self.leads.append((at_ns, partition))
            if (partition, facts["ballot"]) in self._leaders:
                return f"partition {partition}: {address} leads with a ballot that was led with before"
            self._leaders[partition, facts["ballot"]] = address
        elif event == "accepted":
            said = (facts["name"], facts["operation"])
            if self._orders.setdefault((partition, facts["order"]), said) != said:
                return f"partition {partition}: two records have the order {facts['order']}"
        elif event == "promised":
            before = self._promised.setdefault((facts["node"], partition), facts["ballot"])
            self._promised[facts["node"], partition] = facts["ballot"]
            if facts["ballot"] < before:
                return f"partition {partition}: {address} promised {before}, then {facts['ballot']}"
        return None


class SaidIsDurable:
    """What an acceptor says that it promised or keeps is on its disk already."""

    def __init__(self) -> None:
        self._synced: dict[tuple[bytes, bytes], Any] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, Any]) -> str | None:
        if event == "synced":
            for place, kept in facts["places"]:
                self._synced[facts["node"], place] = max(kept, self._synced.get((facts["node"], place), kept))
        elif event in {"promised", "accepted"}:
            said = facts["ballot"] if event == "promised" else facts["order"]
            place = place_of(facts["partition"], facts.get("name"))
            kept = self._synced.get((facts["node"], place))
            if kept is None or kept < said:
                return f"at {at_ns / NS_PER_S:.3f} s {address} says {event} {said}, and its disk has {kept}"
        return None
