"""The voter: what a member answers when the next epoch is voted on. The acceptor of single-decree Paxos.

Rules of this file:
1. A promise and an accepted decree are on disk before anybody is told of them.
2. A ballot is heeded if it is not below the promised one, whatever was accepted.
3. A member votes on one epoch only, the one after the decree that it goes by, which names it as a voter:
   whoever is behind catches up first, whoever is ahead says so.
4. It answers for itself alone. A request that names another voter came to an address that changed hands.
5. What may follow what is looked at here (ring/succession.py), so no majority can decide what may not be.
"""

from __future__ import annotations

from collections.abc import Callable

from ...exception import StoreDamagedError
from ...ring.codec import decode_decree, digest_of
from ...ring.decree import DecreeError
from ...ring.succession import check_successor
from ..network.message import Mark, Reply
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
from ..ringview import NO_MARK, RingView
from ..world import World
from .decreelog import NO_BALLOT, DecreeLog, Vote

Answer = Callable[[Reply], None]


class Voter:
    """One node's votes. `view` gives the ring that the node goes by."""

    def __init__(self, world: World, log: DecreeLog, view: Callable[[], RingView | None]) -> None:
        self._world = world
        self._log = log
        self._view = view

    def prepare(self, asked: Prepare, answer: Answer) -> None:
        """Promise to heed no lower ballot, if none that is higher is heeded."""
        vote = self._vote(asked, answer)
        if vote is None:
            return
        vote = Vote(vote.epoch, asked.ballot, vote.accepted, vote.digest)
        self._write(asked, vote, b"", answer)

    def accept(self, asked: Accept, answer: Answer) -> None:
        """Accept a decree, if the ballot is heeded and the decree may follow."""
        vote = self._vote(asked, answer)
        if vote is None:
            return
        if not asked.decree:
            if vote.accepted == NO_BALLOT or vote.digest != asked.digest:
                answer(self._rejected(asked, NO_BALLOT, "the decree is not here"))
                return
        elif (fault := self._fault(asked)) is not None:
            answer(self._rejected(asked, NO_BALLOT, fault))
            return
        self._write(asked, Vote(vote.epoch, asked.ballot, asked.ballot, asked.digest), asked.decree, answer)

    def proposal(self, asked: AskProposal, answer: Answer) -> None:
        """Tell what was accepted."""
        if asked.voter != self._world.identity.node:
            return
        try:
            decree = self._log.proposal(asked.parent[0] + 1, asked.digest)
        except StoreDamagedError as error:
            self._world.halt(str(error))
            return
        answer(TellProposal(asked.number, decree))

    # -- parts -------------------------------------------------------------------------------------

    def _vote(self, asked: Prepare | Accept, answer: Answer) -> Vote | None:
        """How it voted so far, if the ballot is heeded. Else it is rejected, or not answered at all."""
        if asked.voter != self._world.identity.node:
            return None
        if (reason := self._reason_not_to_vote(asked.parent)) is not None:
            answer(self._rejected(asked, NO_BALLOT, reason))
            return None
        try:
            vote = self._log.vote(asked.parent[0] + 1)
        except StoreDamagedError as error:
            self._world.halt(str(error))
            return None
        if not self._heeds(asked.ballot, vote):
            answer(self._rejected(asked, vote.promised, "a higher ballot is heeded"))
            return None
        return vote

    def _heeds(self, ballot: EpochBallot, vote: Vote) -> bool:
        return ballot >= vote.promised

    def _reason_not_to_vote(self, parent: Mark) -> str | None:
        view = self._view()
        if view is None:
            return "this node is in no ring"
        if view.mark != parent:
            return f"this node goes by epoch {view.epoch}, not by that epoch {parent[0]}"
        if view.me is None or not view.decree.members[view.me].votes:
            return "this node has no vote"
        return None

    def _fault(self, asked: Accept) -> str | None:
        """What keeps the decree from being the next."""
        view = self._view()
        assert view is not None
        try:
            decree = decode_decree(asked.decree)
            check_successor(view.decree, decree)
        except DecreeError as error:
            return str(error)
        return None if digest_of(decree) == asked.digest else "a decree of another digest"

    def _write(self, asked: Prepare | Accept, vote: Vote, decree: bytes, answer: Answer) -> None:
        """Write the vote down; once it is on disk, tell of it."""

        def written(on_disk: bool) -> None:  # noqa: FBT001 - as told
            if not on_disk:
                answer(self._rejected(asked, NO_BALLOT, "the disk is full"))
                return
            self._tell(asked, vote, answer)

        self._log.write_vote(vote, decree, written)

    def _tell(self, asked: Prepare | Accept, vote: Vote, answer: Answer) -> None:
        kind = "promise" if isinstance(asked, Prepare) else "accept"
        self._world.trace(
            kind, node=self._world.identity.node, epoch=vote.epoch, ballot=vote.promised, digest=vote.digest
        )
        if isinstance(asked, Prepare):
            answer(Promise(asked.number, asked.ballot, vote.accepted, vote.digest))
        else:
            answer(Accepted(asked.number, asked.ballot))

    def _rejected(self, asked: Prepare | Accept, promised: EpochBallot, text: str) -> Rejected:
        view = self._view()
        return Rejected(asked.number, asked.ballot, promised, NO_MARK if view is None else view.mark, text)
