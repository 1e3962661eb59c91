"""What must hold of atomic operations: watchers that see every record when it is on a disk, and checks of
what the clients were told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from ..node.world import NS_PER_S, Address
from ..ring.decree import Decree
from .check import Check, Finished
from .history import Operation, Status, by_key
from .lockdisk import place_of


class Chosen:
    """When a record is chosen, seen from outside: a majority of its ballot's row has it on disk.

    `told` hears of each operation the first time.
    """

    def __init__(self, told: Callable[[int, dict[str, Any]], str | None]) -> None:
        self._told = told
        self._rows: dict[tuple[int, object], list[bytes]] = {}
        self._holders: dict[tuple[object, ...], set[bytes]] = defaultdict(set)
        self._chosen: set[object] = set()

    def watch(self, at_ns: int, _address: Address, event: str, facts: dict[str, Any]) -> str | None:
        """Count acceptors."""
        if event == "leads":
            self._rows[facts["partition"], facts["ballot"]] = facts["row"]
        elif event == "accepted":
            ballot = facts["order"][0]
            holders = self._holders[facts["partition"], facts["name"], facts["order"]]
            holders.add(facts["node"])
            row = self._rows[facts["partition"], ballot]
            mark = (facts["partition"], facts["name"], facts["operation"])
            if 2 * len(holders) > len(row) and mark not in self._chosen:
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
    """The token of what is chosen for a key is higher than those of all that was chosen for it before."""

    def __init__(self) -> None:
        self._chosen = Chosen(self._check)
        self._tokens: dict[object, int] = {}
        self._forgotten: set[object] = set()

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, Any]) -> str | None:
        if event == "purges":
            self._forgotten.update((facts["partition"], name) for name in facts["names"])
        return self._chosen.watch(at_ns, address, event, facts)

    def _check(self, at_ns: int, facts: dict[str, Any]) -> str | None:
        name, token = (facts["partition"], facts["name"]), facts["token"]
        before = self._tokens.get(name, 0)
        self._tokens[name] = max(before, token)
        nothing = not before or name in self._forgotten
        barred = not token and nothing and not facts["present"]  # a cancel, before anything was there
        if token > before or barred:
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


# -- what clients were told --------------------------------------------------------------------------


class LockModel:
    """A key that holds a word or a number, or nothing."""

    def initial(self) -> Hashable:
        return None

    def apply(self, state: Hashable, operation: Operation) -> tuple[bool, Hashable]:
        after, answer = _change(operation, state)
        return operation.status is not Status.OK or answer == operation.result, after


def _change(operation: Operation, state: Hashable) -> tuple[Hashable, Hashable]:  # noqa: PLR0911 - one a kind
    match operation.kind:
        case "put":
            return (operation.argument, True) if state is None else (state, False)
        case "pop":
            return None, state
        case "read":
            return state, state
        case "replace":
            expected, new = operation.argument
            return (new, True) if state == expected else (state, False)
        case "release":
            return (None, True) if state == operation.argument else (state, False)
        case "incr":
            total = (state if isinstance(state, int) else 0) + 1
            return total, total
        case _:
            return None, True  # clear


UNSEEN = "a word that nobody saw"


def spread(operations: Sequence[Operation], partition_of_key: Callable[[str], int]) -> list[Operation]:
    """The operations of words and numbers, with a `clear` of a partition for each of the partition's keys.

    Of unknown outcome, what cannot be told apart is made one: a `clear` is a `pop`, and words that were put
    and are met nowhere else are one word. The checker then tries one of them instead of all.
    """
    mine = [one for one in operations if not one.kind.startswith("plain")]
    keys = sorted({one.key for one in mine if one.kind != "clear"})
    met = _words_met(mine)
    found: list[Operation] = []
    for one in mine:
        unknown = one.status is not Status.OK and one.status is not Status.FAILED
        if one.kind == "clear":
            kind = "pop" if unknown else "clear"
            same = [key for key in keys if partition_of_key(key) == partition_of_key(one.key)]
            found += [replace(one, key=key, kind=kind) for key in same]
        elif one.kind == "put" and unknown and one.argument not in met:
            found.append(replace(one, argument=UNSEEN))
        else:
            found.append(one)
    return found


def _words_met(operations: Sequence[Operation]) -> set[object]:
    """All words that some answer told, or some request expected or made of another."""
    met: set[object] = set()
    for one in operations:
        if one.kind == "replace":
            met.update(one.argument)
        elif one.kind == "release":
            met.add(one.argument)
        elif one.kind in {"read", "pop"} and one.status is Status.OK:
            met.add(one.result)
    return met


def plain_values_are_popped_once(run: Finished) -> str | None:
    """What one plain put stored goes to at most one pop."""
    takers: dict[object, str] = {}
    for one in run.operations:
        if one.kind == "plain-pop" and one.status is Status.OK and one.result is not None:
            run.checks_count += 1
            if one.result in takers:
                return f"{one.result!r} was popped by {takers[one.result]} and by {one.client}"
            takers[one.result] = one.client
    return None


_REMOVES = {"pop", "clear", "release"}


def nobody_holds_what_another_holds(run: Finished) -> str | None:
    """From when a put-if-absent returned until somebody asks for the key's removal, no other succeeds."""
    for key, operations in by_key(run.operations).items():
        if not str(key).startswith("lock"):
            continue
        removals = [one for one in operations if one.kind in _REMOVES and one.status is not Status.FAILED]
        removals += [one for one in run.operations if one.kind == "clear" and one.key != key]
        held: list[tuple[int, int, Operation]] = []
        for one in operations:
            if one.kind != "put" or one.status is not Status.OK or not one.result:
                continue
            begun_ns = one.returned_ns or 0
            ends = [
                max(removal.invoked_ns, begun_ns)
                for removal in removals
                if removal.returned_ns is None or removal.returned_ns > one.invoked_ns
            ]
            held.append((begun_ns, min(ends, default=run.simulation.loop.now_ns), one))
        held.sort(key=lambda hold: hold[:2])
        run.checks_count += len(held)
        last: tuple[int, Operation] | None = None
        for begun_ns, end_ns, one in held:
            if end_ns <= begun_ns:
                continue
            if last is not None and begun_ns < last[0]:
                return f"{key!r}: {one.client} and {last[1].client} held it at {begun_ns / NS_PER_S:.3f} s"
            last = (end_ns, one)
    return None


def healed_partitions_serve(bound_s: float, decrees_of: Callable[[Finished], Sequence[Decree]]) -> Check:
    """A check of progress: partition by partition, by the ring that there is at the end."""
    bound_ns = int(bound_s * NS_PER_S)

    def a_healed_core_serves(run: Finished) -> str | None:
        """Once a core is healed, nobody asks a partition with quorums in it in vain for long."""
        heal_ns, decrees = run.plan.heal_ns, decrees_of(run)
        if heal_ns is None or not decrees:
            return None
        names = {f"n{number}" for number in run.plan.core}
        decree = decrees[-1]
        core = {n for n, member in enumerate(decree.members) if member.address in names}
        for partition, operations in sorted(_asked(run, heal_ns).items()):
            sets = decree.acceptor_sets(partition)
            if not all(2 * len(core.intersection(one)) > len(one) for one in sets):
                continue
            run.checks_count += 1
            vain_ns, until_ns = longest_in_vain(operations, heal_ns, run.simulation.loop.now_ns)
            if vain_ns > bound_ns:
                return (
                    f"healed at {heal_ns / NS_PER_S:.3f} s, and partition {partition} was asked in vain for "
                    f"{vain_ns / NS_PER_S:.3f} s until {until_ns / NS_PER_S:.3f} s"
                )
        return None

    return a_healed_core_serves


def longest_in_vain(operations: Sequence[Operation], heal_ns: int, end_ns: int) -> tuple[int, int]:
    """For how long some client was waiting without anybody being served, and until when that was.

    Time in which nobody waits does not count: nobody can tell then whether anybody would be served.
    """
    served = sorted(
        one.returned_ns
        for one in operations
        if one.status is Status.OK and one.returned_ns is not None and one.returned_ns > heal_ns
    )
    longest = (0, 0)
    for before_ns, after_ns in pairwise([heal_ns, *served, end_ns]):
        vain_ns, seen_ns = 0, before_ns
        for one in operations:  # by when they were invoked
            begun_ns = max(seen_ns, one.invoked_ns)
            ended_ns = min(after_ns, end_ns if one.ended_ns is None else one.ended_ns)
            if ended_ns > begun_ns:
                vain_ns += ended_ns - begun_ns
                seen_ns = ended_ns
        longest = max(longest, (vain_ns, after_ns))
    return longest


def _asked(run: Finished, heal_ns: int) -> dict[int, list[Operation]]:
    """What each partition was asked for after the heal."""
    from .lockscenario import partition_of_key

    asked: dict[int, list[Operation]] = defaultdict(list)
    for one in run.operations:
        if not one.kind.startswith("plain") and (one.ended_ns is None or one.ended_ns > heal_ns):
            asked[partition_of_key(one.key)].append(one)
    return asked
