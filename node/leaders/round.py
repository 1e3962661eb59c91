"""Rounds: what a leader has its acceptors accept, said again until a majority has it or the ballot is gone.

Rules of this file:
1. A round ends well when a quorum of the partition's present replicas answered, and in no other way. Who is
   silent counts.
2. A round without records asks whether the ballot still stands: an answer that writes nothing is given after
   one, or somebody else may have been elected and have decided otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from ..network.leadermessage import Accepted, Proposal
from ..world import NS_PER_S, NodeId, World
from .acceptor import proposal
from .ballot import Ballot
from .electorate import Electorate
from .leaderconfig import RESEND_S
from .post import Post
from .record import Record

_RESEND_NS = int(RESEND_S * NS_PER_S)


class Round:
    """One of them."""

    __slots__ = ("answered", "ballot", "by_all", "done", "electorate", "proposal", "sent_ns")

    def __init__(
        self,
        ballot: Ballot,
        electorate: Electorate,
        said: Proposal,
        done: Callable[[], None],
        now_ns: int,
        *,
        by_all: bool,
    ) -> None:
        self.by_all = by_all
        self.ballot = ballot
        self.electorate = electorate
        self.proposal = said
        self.done = done
        self.sent_ns = now_ns
        self.answered: list[NodeId] = []


class Rounds:
    """All of one node, by number."""

    def __init__(self, world: World, post: Post, later: Callable[[int, Callable[[], None]], object]) -> None:
        self._world = world
        self._post = post
        self._later = later
        self._boot = world.identity.boot
        self._number = 0
        self._open: dict[int, Round] = {}
        self._ticking = False

    def begin(
        self,
        partition: int,
        ballot: Ballot,
        electorate: Electorate,
        rows: list[tuple[bytes, Record]],
        done: Callable[[], None],
        *,
        by_all: bool = False,
    ) -> int:
        """Have records accepted, or the ballot confirmed; `done` is called if that comes off.

        `by_all`: by every present replica, not by a majority. Returns what `forget` takes.
        """
        self._number += 1
        said = proposal(self._number, partition, ballot, rows)
        now_ns = self._world.now_ns()
        self._open[self._number] = Round(ballot, electorate, said, done, now_ns, by_all=by_all)
        for node in electorate.row:
            self._post.propose(node, said)
        if not self._ticking:
            self._ticking = True
            self._later(_RESEND_NS, self._resend)
        return self._number

    def forget(self, number: int) -> None:
        """Say it no more. What was said may yet be accepted."""
        self._open.pop(number, None)

    def on_accepted(self, message: Accepted) -> None:
        """Somebody accepted."""
        if message.boot != self._boot:
            return
        for number in message.numbers:
            one = self._open.get(number)
            if one is None or message.node in one.answered or message.node not in one.electorate.row:
                continue  # a double; a stranger at the address of a replica
            one.answered.append(NodeId(message.node))
            if self.is_enough(one):
                del self._open[number]
                one.done()

    def is_enough(self, one: Round) -> bool:
        """Whether what a round was about is chosen, or has all that it waits for."""
        if one.by_all:
            return len(one.answered) == len(one.electorate.row)
        return one.electorate.chosen(one.answered)

    def drop(self, ballot: Ballot, partition: int) -> None:
        """A ballot is gone: what was not chosen by then, nobody knows of."""
        for number, one in list(self._open.items()):
            if one.ballot == ballot and one.proposal[1] == partition:
                del self._open[number]

    def _resend(self) -> None:
        now_ns = self._world.now_ns()
        for one in self._open.values():
            if now_ns - one.sent_ns >= _RESEND_NS:
                one.sent_ns = now_ns
                for node in one.electorate.row:
                    if node not in one.answered:
                        self._post.propose(node, one.proposal)
        self._ticking = bool(self._open)
        if self._ticking:
            self._later(_RESEND_NS, self._resend)
