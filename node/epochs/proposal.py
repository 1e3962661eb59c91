"""One attempt to have the next epoch decided: the proposer of single-decree Paxos.

Rules of this file:
1. Ballots are (round, boot, node): a node that restarted uses none of its old ones again, whatever it forgot.
2. What a voter of the quorum had accepted is proposed again, the one of the highest ballot, and nothing else:
   it may be decided already.
3. A quorum is of all voters of the epoch before, dead ones counted (`Decree.may_decide`). An answer counts
   for the voter that was asked, if it names this very ballot.
4. The decree travels to whom has not shown that it has it, and nowhere else.
5. An attempt ends exactly once. One that failed says nothing: what it had accepted may yet be decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...ring.codec import digest_of, encode_decree
from ...ring.decree import Decree
from ..config import EPOCH_STEP_S
from ..network.bus import Bus
from ..network.message import Mark, Reply, Request
from ..network.peermessage import (
    Accept,
    Accepted,
    AskProposal,
    EpochBallot,
    Prepare,
    Promise,
    Rejected,
    TellProposal,
)
from ..ringview import RingView
from ..world import NS_PER_S, NodeId, World
from .decreelog import NO_BALLOT, NO_DIGEST
from .voter import Voter


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended."""

    decided: bytes = b""
    """The decree that is decided, encoded, be it another than was proposed; empty: nothing is known to be."""
    sent: bool = False
    """Whether what was to be proposed may be decided yet, by others."""
    round: int = 0
    """The highest round that a voter heeds: the next attempt must be above."""
    newer: tuple[NodeId, Mark] | None = None
    """A voter that goes by another ring, which is worth asking for."""


class Proposal:
    """One ballot for the successor of `view`. `wanted` is what is proposed if nothing else may be decided."""

    def __init__(
        self,
        world: World,
        bus: Bus,
        voter: Voter,
        view: RingView,
        ballot: EpochBallot,
        wanted: Decree,
        ended: Callable[[Ending], None],
    ) -> None:
        self._world = world
        self._bus = bus
        self._voter = voter
        self.view = view
        self._ballot = ballot
        self._ended = ended
        self._wanted = encode_decree(wanted)
        self.wanted_digest = digest_of(wanted)
        self._step_name = "promises"
        #: What is proposed, once a quorum promised; empty before.
        self._value = b""
        self._digest = NO_DIGEST
        #: Voters by number in the decree: what they had accepted; and who accepted now.
        self._promises: dict[int, tuple[EpochBallot, bytes]] = {}
        self._accepts: set[int] = set()
        #: Voters that have not answered the present step.
        self._waiting: set[int] = set()
        self._newer: tuple[NodeId, Mark] | None = None
        self._over = False

    def begin(self) -> None:
        """Ask all voters for their promise."""

        def prepare(number: int) -> None:
            asked = Prepare(0, self.view.members[number], self.view.mark, self._ballot)
            self._ask(number, asked, lambda reply: self._on_promise(number, reply))

        self._step(prepare)

    def stop(self) -> None:
        """Take no more notice of answers, and do not call `ended`."""
        self._over = True

    @property
    def sent(self) -> bool:
        """Whether what was wanted may be decided yet."""
        return self._digest == self.wanted_digest

    # -- asking ------------------------------------------------------------------------------------

    def _voters(self) -> tuple[int, ...]:
        """Whom it asks."""
        return self.view.decree.voters()

    def _enough(self, answered: set[int]) -> bool:
        """Whether these decide."""
        return self.view.decree.may_decide(answered)

    def _step(self, ask: Callable[[int], None]) -> None:
        voters = self._voters()
        self._waiting = set(voters)
        for number in voters:
            if not self._over:
                ask(number)

    def _ask(self, number: int, asked: Prepare | Accept, heard: Callable[[Reply | None], None]) -> None:
        def answered(reply: Reply | None) -> None:
            if not self._over:
                heard(reply)

        if number != self.view.me:
            self._bus.ask(self.view.members[number], asked, answered, int(EPOCH_STEP_S * NS_PER_S))
        elif isinstance(asked, Prepare):
            self._voter.prepare(asked, answered)
        else:
            self._voter.accept(asked, answered)

    # -- the two steps -----------------------------------------------------------------------------

    def _on_promise(self, number: int, reply: Reply | None) -> None:
        if self._step_name != "promises":
            return
        if isinstance(reply, Promise) and reply.ballot == self._ballot:
            self._promises[number] = (reply.accepted, reply.digest)
            if self._enough(set(self._promises)):
                self._choose()
                return
        self._miss(number, reply)

    def _choose(self) -> None:
        """Take up what may be decided already, if a promise names something."""
        self._step_name = "choice"
        accepted, digest = max(self._promises.values())
        if accepted == NO_BALLOT:
            self._propose(self._wanted, self.wanted_digest)
        elif digest == self.wanted_digest:
            self._propose(self._wanted, digest)
        else:
            holders = [number for number, (_, other) in sorted(self._promises.items()) if other == digest]
            self._fetch(holders, digest)

    def _fetch(self, holders: list[int], digest: bytes) -> None:
        """Get a decree of which only the digest is known, from one holder after the other."""
        if not holders:
            self._end(Ending(newer=self._newer))
            return
        number, *rest = sorted(holders, key=lambda one: one != self.view.me)
        asked = AskProposal(0, self.view.members[number], self.view.mark, digest)

        def answered(reply: Reply | None) -> None:
            if self._over:
                return
            if isinstance(reply, TellProposal) and reply.decree:
                self._propose(reply.decree, digest)
            else:
                self._fetch(rest, digest)

        if number == self.view.me:
            self._voter.proposal(asked, answered)
        else:
            self._bus.ask(self.view.members[number], asked, answered, int(EPOCH_STEP_S * NS_PER_S))

    def _propose(self, value: bytes, digest: bytes) -> None:
        self._step_name = "accepts"
        self._value, self._digest = value, digest

        def accept(number: int) -> None:
            has_it = self._promises.get(number, (NO_BALLOT, NO_DIGEST))[1] == digest
            body = b"" if has_it else value
            asked = Accept(0, self.view.members[number], self.view.mark, self._ballot, digest, body)
            self._ask(number, asked, lambda reply: self._on_accepted(number, reply))

        self._step(accept)

    def _on_accepted(self, number: int, reply: Reply | None) -> None:
        if isinstance(reply, Accepted) and reply.ballot == self._ballot:
            self._accepts.add(number)
            if self._enough(self._accepts):
                self._end(Ending(decided=self._value, sent=self.sent))
                return
        self._miss(number, reply)

    # -- ends --------------------------------------------------------------------------------------

    def _miss(self, number: int, reply: Request | Reply | None) -> None:
        """The answer does not end it well; end it if no answer can any more."""
        self._waiting.discard(number)
        if isinstance(reply, Rejected) and reply.ballot == self._ballot:
            if reply.mark[0] > self.view.epoch:
                self._newer = (self.view.members[number], reply.mark)
            if reply.promised > self._ballot:
                self._fail(reply.promised[0])
                return
        if not self._waiting or self._newer is not None:
            self._fail(0)

    def _fail(self, heeded: int) -> None:
        self._end(Ending(sent=self.sent, round=heeded, newer=self._newer))

    def _end(self, ending: Ending) -> None:
        self._over = True
        self._ended(ending)
