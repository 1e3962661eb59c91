"""What must hold of what the clients of atomic operations were told, and that they are told something."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from itertools import pairwise

from ..node.world import NS_PER_MS, NS_PER_S
from ..ring.decree import Decree
from .check import Check, Finished
from .history import Operation, Status, by_key
from .lockcheck import OneLeader

NEVER = "not held, and never will be"
"""What comes of a cancelled operation: it may have been held for a while."""
SETTLED_NS = 3 * NS_PER_S
"""By then the leaders are those that can stay."""
CHANGES_MAX = 2
"""Of leaders of one partition after that: to hand back is one."""


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
        case "extend":
            return state, state == operation.argument
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
    mine = with_ends([one for one in operations if not one.kind.startswith("plain")])
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


def with_ends(operations: Sequence[Operation]) -> list[Operation]:
    """Each grant for a time as a put, and a release by nobody that may come once the time of the last
    extension is over."""
    begun: dict[object, int] = {}
    for one in operations:
        if one.kind == "extend" and one.status is Status.OK and one.result:
            begun[one.argument] = one.invoked_ns
    found: list[Operation] = []
    for one in operations:
        if one.kind != "lease":
            found.append(one)
            continue
        word, ttl_ms = one.argument
        found.append(replace(one, kind="put", argument=word))
        if one.result is not False:
            over_ns = max(one.invoked_ns, begun.get(word, 0)) + ttl_ms * NS_PER_MS
            found.append(
                Operation(one.serial, one.client, "release", one.key, word, over_ns, status=Status.UNKNOWN)
            )
    return sorted(found, key=lambda one: one.invoked_ns)


def _words_met(operations: Sequence[Operation]) -> set[object]:
    """All words that some answer told, or some request expected or made of another."""
    met: set[object] = set()
    for one in operations:
        if one.kind == "replace":
            met.update(one.argument)
        elif one.kind in {"release", "let-go"}:
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


_REMOVES = {"pop", "clear", "release", "let-go"}


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


def leaders_stay(run: Finished) -> str | None:
    """Once two nodes are estranged for good, the others' leaders stay what they are."""
    estranged = [fault.at_ns for fault in run.plan.faults if fault.kind == "estrange"]
    if not estranged:
        return None
    since_ns = max(estranged) + SETTLED_NS
    for watcher in run.watchers:
        if isinstance(watcher, OneLeader):
            changes = Counter(partition for at_ns, partition in watcher.leads if at_ns > since_ns)
            for partition, count in changes.items():
                run.checks_count += 1
                if count > CHANGES_MAX:
                    return f"partition {partition} got {count} leaders after {since_ns / NS_PER_S:.3f} s"
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
        one.ended_ns or 0
        for one in operations
        if (one.status is Status.OK or one.result == NEVER) and (one.ended_ns or 0) > heal_ns
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
