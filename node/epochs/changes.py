"""Changes of the ring that somebody asked this node for: one after the other each is proposed until decided.

Rules of this file:
1. A change is made on top of the ring that the node goes by. If another change was decided in its place, it
   is made again on top of that one; what is so already is answered as done.
2. It is answered once this node goes by a ring with it, or once the ring is such that it may not be; or, when
   its time is over, with the word whether it may yet be decided.
3. The same change asked for twice is one change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ...ring import change
from ...ring.codec import digest_of
from ...ring.decree import Decree, DecreeError
from ...ring.member import Member, MemberState
from ..config import (
    ASKERS_MAX,
    CHANGE_S_MAX,
    CHANGES_MAX,
    EPOCH_BACK_OFF_S_MAX,
    EPOCH_BACK_OFF_S_MIN,
)
from ..network.bus import Bus
from ..network.message import Commanded, Mark, Reason, Refused, Reply, Unknown
from ..network.peermessage import EpochBallot
from ..ringview import NO_MARK, RingView
from ..world import NS_PER_S, NodeId, Timer, World
from .proposal import Ending, Proposal
from .voter import Voter

Answer = Callable[[Reply], None]
"""Told how a change ended; the number of the reply is for the caller to set."""

VERBS: Final = ("join", "leave", "remove", "cancel", "adjust")

_IN: Final = (MemberState.JOINING, MemberState.ACTIVE)
_OUT: Final = (MemberState.REMOVED, MemberState.FORMER)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: one of VERBS, of a member. For a join and an adjustment also as what."""

    verb: str
    member: Member

    def is_so(self, decree: Decree) -> bool:
        """Whether the ring is as it is wished already."""
        number = decree.number_of(self.member.member_id)
        if number is None:
            return False
        there = decree.members[number]
        match self.verb:
            case "join":
                return there.state in _IN
            case "leave":
                return there.state in (MemberState.LEAVING, MemberState.FORMER)
            case "remove":
                return there.state in _OUT
            case "adjust":
                mine = self.member
                wished = (mine.weight, mine.zone, mine.address)
                return (there.weight, there.zone, there.address) == wished
            case _:
                return False

    def made(self, decree: Decree) -> Decree:
        """The next decree, with it. DecreeError if it may not be."""
        member_id = self.member.member_id
        match self.verb:
            case "join":
                return change.join(decree, self.member)
            case "leave":
                return change.leave(decree, member_id)
            case "remove":
                return change.remove(decree, member_id)
            case "cancel":
                return change.cancel(decree, member_id)
            case "adjust":
                return change.adjust(decree, self.member)
            case _:
                raise DecreeError(f"{self.verb!r} is no change of a ring: {', '.join(VERBS)} are")


@dataclass(frozen=True, slots=True)
class Flip:
    """Partitions that belong to their pending owners now, and those whose past is settled."""

    epoch: int
    """In which they were found ready: in a later one they are not known to be."""
    ready: tuple[int, ...]
    settled: tuple[int, ...]

    def is_so(self, decree: Decree) -> bool:
        """Whether that epoch is over: then there is nothing to do any more."""
        return decree.epoch != self.epoch

    def made(self, decree: Decree) -> Decree:
        """The next decree, with it. DecreeError if it may not be."""
        return change.flip(decree, self.ready, self.settled)


@dataclass(slots=True)
class _Change:
    what: Wish | Flip
    deadline_ns: int
    answers: list[Answer] = field(default_factory=list)
    timer: Timer | None = None
    sent: bool = False
    """Whether a voter may have accepted it for the next epoch: then others may have it decided."""
    digest: bytes = b""
    """Of the decree that was made of it last."""
    decided: bool = False


class Changes:
    """The changes that wait on one node. `view` gives the ring, `decided` is told of what
    was decided here, `hear` of voters with a newer ring."""

    proposal_class = Proposal

    def __init__(
        self,
        world: World,
        bus: Bus,
        voter: Voter,
        view: Callable[[], RingView | None],
        decided: Callable[[bytes], object],
        hear: Callable[[NodeId, Mark], None],
    ) -> None:
        self._world = world
        self._bus = bus
        self._voter = voter
        self._view = view
        self._decided = decided
        self._hear = hear
        self._dice = world.dice("epochs")
        self._waiting: list[_Change] = []
        self._proposal: Proposal | None = None
        self._back_off: Timer | None = None
        self._failures = 0
        self._round = 0

    @property
    def busy(self) -> bool:
        """Whether any change waits."""
        return bool(self._waiting)

    def ask(self, what: Wish | Flip, answer: Answer) -> None:
        """Have a change decided; `answer` is called once."""
        if (reason := self._reason_not_to()) is not None:
            answer(self._refused(Reason.NOT_SERVING, reason))
            return
        here = next((one for one in self._waiting if one.what == what), None)
        if here is None and len(self._waiting) >= CHANGES_MAX:
            answer(self._refused(Reason.OVERLOADED, f"{CHANGES_MAX} changes of the ring wait here"))
            return
        if here is None:
            span_ns = int(CHANGE_S_MAX * NS_PER_S)
            here = _Change(what, self._world.now_ns() + span_ns)
            here.timer = self._world.call_after(span_ns, lambda: self._give_up(here))
            self._waiting.append(here)
        here.answers.append(answer)
        if len(here.answers) > ASKERS_MAX:
            here.answers.pop(0)(self._refused(Reason.OVERLOADED, "others wait for the same"))
        self.go_on()

    def go_on(self) -> None:
        """Look at the first change, if nothing else is under way; the ring may be another by now."""
        if self._proposal is not None or self._back_off is not None:
            return
        while self._waiting:
            view, first = self._view(), self._waiting[0]
            reason = self._reason_not_to()
            if view is None or reason is not None:
                self._end(first, self._refused(Reason.NOT_SERVING, reason or "this node is in no ring"))
            elif first.decided or first.what.is_so(view.decree):
                self._end(first, Commanded(0, view.mark))
            else:
                try:
                    wanted = first.what.made(view.decree)
                except DecreeError as error:
                    self._end(first, self._refused(Reason.INVALID, str(error)))
                    continue
                self._propose(view, first, wanted)
                return

    def turned(self, view: RingView) -> None:
        """The node goes by another ring. What was under way for its epoch has come to nothing, or to this."""
        self._failures = 0
        for one in self._waiting:
            one.decided |= one.digest == view.mark[1]
            one.sent = False
        if self._proposal is not None:
            self._proposal.stop()
            self._proposal = None
        if self._back_off is not None:
            self._back_off.cancel()
            self._back_off = None
        self.go_on()

    # -- parts -------------------------------------------------------------------------------------

    def _reason_not_to(self) -> str | None:
        view = self._view()
        if view is None:
            return "this node is in no ring"
        if view.me is None or view.decree.members[view.me].state in _OUT:
            return "this node is not in the ring any more"
        return None

    def _refused(self, reason: Reason, text: str) -> Refused:
        view = self._view()
        return Refused(0, reason, text, NO_MARK if view is None else view.mark)

    def _propose(self, view: RingView, first: _Change, wanted: Decree) -> None:
        first.digest = digest_of(wanted)
        self._round += 1
        ballot = self.ballot(self._round)

        def ended(ending: Ending) -> None:
            self._ended(first, ending)

        proposal = self.proposal_class(self._world, self._bus, self._voter, view, ballot, wanted, ended)
        self._proposal = proposal
        proposal.begin()

    def _ended(self, first: _Change, ending: Ending) -> None:
        assert self._proposal is not None
        self._proposal = None
        first.sent |= ending.sent
        self._round = max(self._round, ending.round)
        if ending.newer is not None:
            self._hear(*ending.newer)
        if ending.decided:
            self._decided(ending.decided)
        self._wait()

    def ballot(self, number: int) -> EpochBallot:
        """One that nobody has used, nor this node before it was started."""
        return (number, self._world.identity.boot, self._world.identity.node)

    def _wait(self) -> None:
        """Try again after a while, which a newer ring cuts short."""
        most_s = min(EPOCH_BACK_OFF_S_MAX, EPOCH_BACK_OFF_S_MIN * 2 ** min(self._failures, 10))
        self._failures += 1
        delay_s = EPOCH_BACK_OFF_S_MIN + most_s * self._dice.random()
        self._back_off = self._world.call_after(int(delay_s * NS_PER_S), self._again)

    def _again(self) -> None:
        self._back_off = None
        self.go_on()

    def _end(self, ended: _Change, reply: Reply) -> None:
        self._waiting.remove(ended)
        if ended.timer is not None:
            ended.timer.cancel()
        for answer in ended.answers:
            answer(reply)

    def _give_up(self, late: _Change) -> None:
        if late not in self._waiting:
            return
        first = self._waiting[0] is late
        if first and self._proposal is not None:
            late.sent |= self._proposal.sent
            self._proposal.stop()
            self._proposal = None
        if late.sent:
            self._end(late, Unknown(0, "no majority of the voters answered in time; it may yet be decided"))
        else:
            self._end(late, self._refused(Reason.UNAVAILABLE, "no majority of the voters can be reached"))
        self.go_on()
