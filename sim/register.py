"""A small system to try the simulator on: registers, each replicated on all nodes, read and changed by
majorities.

Each key is one register that changes by single-decree rounds (Rystsov, "CASPaxos", 2018): whichever node a
client asks *prepares* a ballot with a majority, computes the new state from the newest that it was shown, and
has a majority *accept* it. Reads do the same and change nothing.

A client that gets no answer asks another node, and any request may come twice: so the state of a register
says, beside its value, what each client asked for last and was answered.

Rules of this file:
1. A promise and an accepted value are on disk before anybody is told of them.
2. A ballot is (counter, boot, node): no two rounds share one, whatever was forgotten.
3. A round that fails says nothing: what it had accepted somewhere may yet be taken up by another. Whether a
   request was carried out is seen in the state, and nowhere else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import ormsgpack

from ..exception import Error, StoreDamagedError
from ..node.world import NS_PER_MS, NS_PER_S, Address, Factory, Process, Timer, World
from .check import Watcher, linearizable, progress
from .history import Operation, Status
from .registerclient import RegisterClient
from .scenario import Caption, Scenario

Ballot: TypeAlias = tuple[int, int, str]
Accepted: TypeAlias = tuple[Ballot, Any]
"""The ballot and the state that an acceptor accepted last."""

NO_BALLOT: Ballot = (0, 0, "")
ROUND_NS = 2_000 * NS_PER_MS
"""A round that is not done by then is given up, to let others have their turn; its client has long asked
elsewhere."""
QUEUE_COUNT_MAX = 64
"""Requests that wait for one key on one node."""


def pack(*message: object) -> bytes:
    """The bytes of a message."""
    return ormsgpack.packb(message)


State: TypeAlias = tuple[Any, dict[str, tuple[int, Any]]]
"""The value of a register; and for each client the number and the answer of its last request that changed
it."""

NOTHING: State = (None, {})


def carry_out(request: Round, state: State) -> tuple[State, object] | None:
    """The state after a request, and its answer; None: its client has moved on long since."""
    value, answered = state
    number, answer = answered.get(request.client, (0, None))
    if request.kind != "read":
        if request.number < number:
            return None
        if request.number == number:
            return state, answer
    after, answer = change(request.kind, request.argument, value)
    if request.kind == "read":
        return state, answer
    return (after, answered | {request.client: (request.number, answer)}), answer


def change(kind: str, argument: Any, state: object) -> tuple[object, object]:  # noqa: ANN401 - what clients send
    """What an operation makes of a register: the new state, and the answer."""
    if kind == "write":
        return argument, None
    if kind == "cas":
        expected, new = argument
        return (new, True) if state == expected else (state, False)
    assert kind == "read"
    return state, state


class Round:
    """One attempt of one node to carry out one request."""

    __slots__ = (
        "accepts", "answer", "argument", "ballot", "client", "kind", "newest", "number", "promises",
        "state", "timer",
    )  # fmt: skip

    def __init__(self, client: Address, number: int, kind: str, argument: object) -> None:
        self.client = client
        self.number = number
        self.kind = kind
        self.argument = argument
        self.ballot = NO_BALLOT
        self.promises: list[Address] = []
        self.accepts: list[Address] = []
        self.newest: Accepted = (NO_BALLOT, NOTHING)
        #: What it has accepted; None: it is still asking for promises.
        self.state: State | None = None
        self.answer: object = None
        self.timer: Timer | None = None


class RegisterNode:
    """Proposer and acceptor of all registers."""

    def __init__(self, world: World, nodes: Sequence[Address]) -> None:
        self.world = world
        self.nodes = nodes
        self.me = world.identity.address
        self.storage = world.storage("registers")
        self.counter = 0
        #: The round under way and those that wait, by key. A key is in here only while there is one.
        self.rounds: dict[str, deque[Round]] = {}

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.on_frame(source, datagram)

    def on_frame(self, source: Address, frame: bytes) -> None:
        kind, key, *rest = ormsgpack.unpackb(frame)
        try:
            getattr(self, f"_on_{kind}")(source, key, *rest)
        except StoreDamagedError as error:
            self.world.halt(str(error))

    def validate(self) -> None:
        """Every round under way has a ballot, and is the first of its key."""
        for waiting in self.rounds.values():
            assert waiting
            assert waiting[0].ballot != NO_BALLOT

    # -- acceptor ----------------------------------------------------------------------------------

    def load(self, key: str) -> tuple[Ballot, Accepted]:
        """The highest promised ballot of a register, and what it accepted last."""
        stored = self.storage.get(key.encode())
        if stored is None:
            return NO_BALLOT, (NO_BALLOT, NOTHING)
        promised, ballot, state = ormsgpack.unpackb(stored)
        return tuple(promised), (tuple(ballot), state)

    def store(self, key: str, promised: Ballot, accepted: Accepted, to: Address, reply: bytes) -> None:
        """Write it down; once it is on disk, reply."""

        def done(error: Error | None) -> None:
            if error is None:
                self.world.send(to, reply)
            else:
                self.world.halt(str(error))

        self.storage.commit({key.encode(): pack(promised, *accepted)}, done)

    def _on_prepare(self, source: Address, key: str, ballot: list[Any]) -> None:
        promised, accepted = self.load(key)
        asked: Ballot = tuple(ballot)
        if asked <= promised:
            self.world.send(source, pack("refuse", key, asked, promised))
        else:
            self.store(key, asked, accepted, source, pack("promise", key, asked, *accepted))

    def _on_accept(self, source: Address, key: str, ballot: list[Any], state: State) -> None:
        promised, _ = self.load(key)
        asked: Ballot = tuple(ballot)
        if asked < promised:
            self.world.send(source, pack("refuse", key, asked, promised))
        else:
            self.store(key, asked, (asked, state), source, pack("accepted", key, asked))

    # -- proposer ----------------------------------------------------------------------------------

    def _on_request(self, source: Address, key: str, number: int, kind: str, argument: object) -> None:
        waiting = self.rounds.setdefault(key, deque())
        if len(waiting) >= QUEUE_COUNT_MAX:
            self.world.send(source, pack("refused", key, number))
            return
        waiting.append(Round(source, number, kind, argument))
        if len(waiting) == 1:
            self._prepare(key)

    def targets(self) -> Sequence[Address]:
        """Whom a round asks."""
        return self.nodes

    def enough(self, votes: list[Address]) -> bool:
        """Whether these are a majority of all nodes."""
        return 2 * len(votes) > len(self.nodes)

    def _prepare(self, key: str) -> None:
        here = self.rounds[key][0]
        self.counter += 1
        here.ballot = (self.counter, self.world.identity.boot, self.me)
        here.timer = self.world.call_after(ROUND_NS, lambda: self._finish(key, here, None))
        for node in self.targets():
            self.world.send(node, pack("prepare", key, here.ballot))

    def _current(self, key: str, ballot: list[Any]) -> Round | None:
        waiting = self.rounds.get(key)
        return waiting[0] if waiting and waiting[0].ballot == tuple(ballot) else None

    def _on_promise(
        self, source: Address, key: str, ballot: list[Any], newest: list[Any], state: State
    ) -> None:
        here = self._current(key, ballot)
        if here is None or here.state is not None or source in here.promises:
            return
        here.promises.append(source)
        accepted: Accepted = (tuple(newest), state)
        if accepted[0] > here.newest[0]:
            here.newest = accepted
        if self.enough(here.promises):
            self._accept(key, here)

    def _accept(self, key: str, here: Round) -> None:
        done = carry_out(here, here.newest[1])
        if done is None:
            self._finish(key, here, None)
            return
        here.state, here.answer = done
        for node in self.targets():
            self.world.send(node, pack("accept", key, here.ballot, here.state))

    def _on_accepted(self, source: Address, key: str, ballot: list[Any]) -> None:
        here = self._current(key, ballot)
        if here is None or source in here.accepts:
            return
        here.accepts.append(source)
        if self.enough(here.accepts):
            self.world.trace("chosen", key=key, ballot=here.ballot, parent=here.newest[0])
            self._finish(key, here, pack("answer", key, here.number, here.answer))

    def _on_refuse(self, _source: Address, key: str, ballot: list[Any], promised: list[Any]) -> None:
        self.counter = max(self.counter, promised[0])
        here = self._current(key, ballot)
        if here is not None:
            self._finish(key, here, pack("refused", key, here.number))

    def _finish(self, key: str, here: Round, reply: bytes | None) -> None:
        if here.timer is not None:
            here.timer.cancel()
        if reply is not None:
            self.world.send(here.client, reply)
        waiting = self.rounds[key]
        waiting.popleft()
        if waiting:
            self._prepare(key)
        else:
            del self.rounds[key]


class RegisterModel:
    """One register: it holds what was written last; None before that."""

    def initial(self) -> object:
        return None

    def apply(self, state: object, operation: Operation) -> tuple[bool, object]:
        after, answer = change(operation.kind, operation.argument, state)
        return operation.status is not Status.OK or answer == operation.result, after


class NoFork:
    """Of each state of a register at most one successor is ever chosen."""

    def __init__(self) -> None:
        self.successors: dict[tuple[object, object], object] = {}

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> str | None:
        if event != "chosen":
            return None
        ballot, parent = facts["ballot"], facts["parent"]
        other = self.successors.setdefault((facts["key"], parent), ballot)
        if other == ballot:
            return None
        key, instant_s = facts["key"], at_ns / NS_PER_S
        return (
            f"key {key!r}: at {instant_s:.3f} s {address} made {ballot} of {parent}, "
            f"and {other} was made of it already"
        )


class RegisterScenario(Scenario):
    """Replicated registers on five nodes, with four clients."""

    keys: ClassVar[Sequence[str]] = ("a", "b")
    """Few, so that clients meet."""
    node_class: ClassVar[type[RegisterNode]] = RegisterNode
    # A fresh disk under an old name would vote again, and the members never change here.
    without = frozenset({"replaced"})
    checks = (linearizable(RegisterModel()), progress(5.0))

    def node(self, _number: int, /) -> Factory:
        return lambda world: self.node_class(world, self.nodes)

    def client(self, _number: int, /) -> Factory:
        def make(world: World) -> Process:
            return RegisterClient(world, self.nodes, self.history, self.keys)

        return make

    def watchers(self) -> Sequence[Watcher]:
        return [NoFork()]

    def caption(self, payload: bytes) -> Caption:
        kind, key, *rest = ormsgpack.unpackb(payload)
        return Caption(kind, key, " ".join([kind, *(str(part) for part in rest)]))
