"""Wrong versions of the replicated registers, to see that the simulator catches each of them.

`MUTANTS` says how: within how many seeds of which profile, and by which check. `ringdict sim mutants
tests/sim/wrong.py` tries them all and prints the table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from ringdict.node.world import NS_PER_MS, Address, World
from ringdict.sim.mutant import Mutant
from ringdict.sim.register import (
    NO_BALLOT,
    NOTHING,
    Accepted,
    Ballot,
    RegisterNode,
    RegisterScenario,
    Round,
    State,
    change,
    pack,
)


class RepliesBeforeSync(RegisterNode):
    """Tells others what it has written before it is on disk."""

    def store(self, key: str, promised: Ballot, accepted: Accepted, to: Address, reply: bytes) -> None:
        self.world.send(to, reply)
        self.storage.commit({key.encode(): pack(promised, *accepted)}, lambda _error: None)


class AnswersFromMemory(RegisterNode):
    """Answers reads with what it accepted last itself."""

    def _on_request(self, source: Address, key: str, number: int, kind: str, argument: object) -> None:
        if kind == "read":
            _, (_, (value, _)) = self.load(key)
            self.world.send(source, pack("answer", key, number, value))
        else:
            super()._on_request(source, key, number, kind, argument)


class VotesTwiceAfterRestart(RegisterNode):
    """Keeps its promises in memory only."""

    def __init__(self, world: World, nodes: Sequence[Address]) -> None:
        super().__init__(world, nodes)
        self.promises: dict[str, Ballot] = {}

    def load(self, key: str) -> tuple[Ballot, Accepted]:
        _, accepted = super().load(key)
        return max(self.promises.get(key, NO_BALLOT), accepted[0]), accepted

    def store(self, key: str, promised: Ballot, accepted: Accepted, to: Address, reply: bytes) -> None:
        self.promises[key] = promised
        if self.load(key)[1][0] == accepted[0]:
            self.world.send(to, reply)
        else:
            super().store(key, NO_BALLOT, accepted, to, reply)


class CountsOnlyLiveNodes(RegisterNode):
    """Takes a majority of those it has heard of lately for a majority."""

    SILENT_NS = 500 * NS_PER_MS

    def __init__(self, world: World, nodes: Sequence[Address]) -> None:
        super().__init__(world, nodes)
        self.heard_ns: dict[Address, int] = {}

    def on_frame(self, source: Address, frame: bytes) -> None:
        self.heard_ns[source] = self.world.now_ns()
        super().on_frame(source, frame)

    def enough(self, votes: list[Address]) -> bool:
        since_ns = self.world.now_ns() - self.SILENT_NS
        live = [node for node in self.nodes if self.heard_ns.get(node, 0) >= since_ns]
        return 2 * len(votes) > len(live)


class IteratesASet(RegisterNode):
    """Asks the nodes in the order of a set, which differs from process to process."""

    def targets(self) -> Sequence[Address]:
        return list(set(self.nodes))


class ForgetsWhoAsked(RegisterNode):
    """Carries out again what comes twice."""

    def _accept(self, key: str, here: Round) -> None:
        value, _ = here.newest[1]
        after, here.answer = change(here.kind, here.argument, value)
        here.state = (after, {})
        for node in self.targets():
            self.world.send(node, pack("accept", key, here.ballot, here.state))


class IgnoresWhatWasAccepted(RegisterNode):
    """Starts from what it accepted itself, instead of the newest that a majority shows."""

    def _on_promise(
        self, source: Address, key: str, ballot: list[Any], newest: list[Any], state: State
    ) -> None:
        if source != self.me:
            newest, state = list(NO_BALLOT), NOTHING
        super()._on_promise(source, key, ballot, newest, state)


class AcceptsBelowItsPromise(RegisterNode):
    """Compares an accept with what it accepted, instead of what it promised."""

    def _on_accept(self, source: Address, key: str, ballot: list[Any], state: State) -> None:
        promised, accepted = self.load(key)
        asked: Ballot = tuple(ballot)
        if asked < accepted[0]:
            self.world.send(source, pack("refuse", key, asked, promised))
        else:
            self.store(key, max(asked, promised), (asked, state), source, pack("accepted", key, asked))


class NeverAnswersAgain(RegisterNode):
    """Is stuck for good once a majority did not answer."""

    def _finish(self, key: str, here: Round, reply: bytes | None) -> None:
        if reply is not None:
            super()._finish(key, here, reply)


class ThrowsOnSurprise(RegisterNode):
    """Has no answer to a message that comes twice."""

    def _on_accepted(self, source: Address, key: str, ballot: list[Any]) -> None:
        waiting = self.rounds.get(key, deque())
        assert waiting[0].ballot == tuple(ballot)
        super()._on_accepted(source, key, ballot)


FORK = "NoFork"
LINEARIZABLE = "every_key_is_linearizable"


def version(node: type[RegisterNode]) -> type[RegisterScenario]:
    """The scenario with nodes of that class."""
    return type(node.__name__, (RegisterScenario,), {"node_class": node, "__module__": __name__})


NoSync = version(RepliesBeforeSync)
FromMemory = version(AnswersFromMemory)
VotesTwice = version(VotesTwiceAfterRestart)
VotesTwice.nodes_count, VotesTwice.clients_count = 3, 10  # many rounds, and few nodes to outvote
VotesTwice.keys = tuple("abcdefgh")
LiveMajority = version(CountsOnlyLiveNodes)
SetOrder = version(IteratesASet)
NoDedupe = version(ForgetsWhoAsked)
OwnStateOnly = version(IgnoresWhatWasAccepted)
BelowPromise = version(AcceptsBelowItsPromise)
Stuck = version(NeverAnswersAgain)
Surprised = version(ThrowsOnSurprise)

MUTANTS: Mapping[str, Mutant] = {
    "NoSync": Mutant(seeds_max=60, check=FORK, profile="power"),
    "FromMemory": Mutant(seeds_max=4, check=LINEARIZABLE),
    "VotesTwice": Mutant(seeds_max=100, check=FORK, profile="restarts"),
    "LiveMajority": Mutant(seeds_max=4, check=FORK),
    "NoDedupe": Mutant(seeds_max=10, check=LINEARIZABLE),
    "OwnStateOnly": Mutant(seeds_max=4, check=FORK),
    "BelowPromise": Mutant(seeds_max=4, check=FORK),
    "Stuck": Mutant(seeds_max=10, check="a_healed_core_serves"),
    "Surprised": Mutant(seeds_max=4, check="no process ends by an exception"),
    "SetOrder": Mutant(seeds_max=1, check="one seed is one run"),
}
