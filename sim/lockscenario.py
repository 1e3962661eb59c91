"""Atomic operations in a bad world: leaders, acceptors, a ring that changes, clients that take and release.

Two scenarios: one with the ring of its first three nodes for good, one whose ring grows, flips and shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..exception import ProtocolError
from ..node.network.wire import decode
from ..node.world import Address, Factory
from ..ring.decree import Decree
from ..ring.partition import dict_seed, partition_of
from .check import Check, Finished, Watcher
from .history import History, Status, by_key
from .leaseclient import LeaseClient
from .linearizability import Verdict, check_key
from .lockcheck import NoFork, NoGhost, OneLeader, SaidIsDurable, TokensGrow, ToldIsChosen
from .lockclient import DICT_ID, PARTITIONS, HastyClient, LockClient
from .lockfault import Echo, Estrange, Forget, Haunt, Straggle, Usurp
from .lockjudge import (
    LockModel,
    healed_partitions_serve,
    leaders_stay,
    nobody_holds_what_another_holds,
    plain_values_are_popped_once,
    spread,
)
from .lockmayor import LockMayor, RestlessMayor
from .locknode import LockNode, unpack
from .scenario import Caption, Scenario


def partition_of_key(key: str) -> int:
    """Where a key is."""
    return partition_of(dict_seed(DICT_ID), key.encode(), PARTITIONS)


def every_key_is_linearizable(run: Finished) -> str | None:
    """The answers on each key are those of one copy that serves one client at a time."""
    for key, operations in by_key(spread(run.operations, partition_of_key)).items():
        answer = check_key(LockModel(), operations)
        run.checks_count += 1
        if answer.verdict is Verdict.NO:
            stuck = [one for one in operations if one.serial not in answer.longest]
            ok = next(one for one in stuck if one.status is Status.OK)
            return (
                f"key {key!r}: {ok.client} was told {ok.result!r} for {ok.kind} {ok.argument!r} at "
                f"{(ok.returned_ns or 0) / 1e9:.3f} s, which no order of {len(operations)} operations allows"
            )
        if answer.verdict is Verdict.UNRESOLVED:
            run.unresolved.append(key)
    return None


class Ring:
    """Keeps the decrees of a run at hand for its checks."""

    def __init__(self, decrees: list[Decree]) -> None:
        self.decrees = decrees

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> None:
        del at_ns, address, event, facts


def decrees_of(run: Finished) -> Sequence[Decree]:
    """All decrees of a run."""
    return next(one.decrees for one in run.watchers if isinstance(one, Ring))


class LockScenario(Scenario):
    """Five nodes, a ring that changes, five clients and one who decides the ring."""

    nodes_count = 5
    clients_count = 6
    span_s = 20.0
    node_class: ClassVar[type[LockNode]] = LockNode
    client_class: ClassVar[type[LockClient]] = LockClient
    mayor_class: ClassVar[type[LockMayor]] = LockMayor
    changes: ClassVar[bool] = True
    keys: ClassVar[Sequence[str]] = ("lock-a", "lock-c", "lock-b", "lock-g", "count-d", "plain-f")
    """In partitions 3, 3, 0, 2, 1 and 3."""
    checks: ClassVar[Sequence[Check]] = (
        every_key_is_linearizable,
        nobody_holds_what_another_holds,
        plain_values_are_popped_once,
        healed_partitions_serve(4.0, decrees_of),
    )

    def __init__(self, nodes: tuple[Address, ...], clients: tuple[Address, ...], history: History) -> None:
        super().__init__(nodes, clients, history)
        self.decrees: list[Decree] = []
        self.puts: set[tuple[Address, int]] = set()

    def node(self, _number: int, /) -> Factory:
        return lambda world: self.node_class(world, self.clients[0], self.puts)

    def client(self, number: int, /) -> Factory:
        if number == 0:
            return lambda world: self.mayor_class(world, self.nodes, self.decrees, changes=self.changes)
        return lambda world: self.client_class(world, self.nodes, self.history, self.keys, self.decrees)

    def watchers(self) -> Sequence[Watcher]:
        return [
            NoFork(),
            TokensGrow(),
            NoGhost(),
            ToldIsChosen(),
            OneLeader(),
            SaidIsDurable(),
            Ring(self.decrees),
        ]

    def caption(self, payload: bytes) -> Caption:
        parts = unpack(payload)
        if parts is not None:
            return Caption(str(parts[0]), None, str(parts[0]))
        try:
            message = decode(payload)
        except ProtocolError:
            return Caption("message", None, f"{len(payload)} bytes")
        return Caption(type(message).__name__, getattr(message, "key", None), repr(message)[:200])


class FixedLockScenario(LockScenario):
    """The same with three nodes whose ring never changes."""

    nodes_count = 3
    changes = False


class EstrangedLockScenario(FixedLockScenario):
    """The same, and for good two of the three do not hear each other, or one does not hear the other."""

    kinds = (Estrange,)
    checks = (*LockScenario.checks, leaders_stay)


class LeaseLockScenario(LockScenario):
    """Locks for a time."""

    client_class = LeaseClient
    keys = ("lock-a", "lock-b", "lock-g")


class UsurpedLockScenario(LockScenario):
    """The same with few keys, impatient clients, a ring that never rests, and nodes that take the lead at
    any time, whoever leads."""

    span_s = 8.0
    client_class = HastyClient
    mayor_class = RestlessMayor
    keys = (*(["lock-a", "lock-b", "count-d", "plain-f"] * 3), *(f"lock-{number}" for number in range(8)))
    """A few that many want at one time, and some that are left alone for long."""
    kinds = (Usurp, Forget, Straggle, Echo, Haunt)


class ForgettingLockScenario(UsurpedLockScenario):
    """The same with three nodes whose ring never changes: all can say what is absent, and it is forgotten."""

    nodes_count = 3
    changes = False
