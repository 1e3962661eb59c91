"""Hearsay is looked into: the node that it is about has to answer, or not, to this node itself.

Rules of this file:
1. An answer counts if it carries the nonce of this check. Nothing that was recorded before can.
2. A check is a round of a probe: directly, then through helpers and a stream, too. It ends after a probe
   interval.
3. Of one node there is one check at a time. Later words about it change what it is about, and do not prolong
   it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from .config import CHECKS_MAX, OPEN_CHECKS_MAX
from .member import NOBODY, NodeId, Record, Status
from .message import Dead, Duplicate, Message, PingRequest, Suspect

if TYPE_CHECKING:
    from .agenda import Appointment
    from .desk import Answer, Desk
    from .membership import Membership
    from .probe import Prober
    from .selfhood import Selfhood


class Reason(enum.Enum):
    """Why a node is checked, and what comes of it."""

    CLAIM = enum.auto()
    """It is said to be alive and is not held for it. An answer lets it in."""
    WORD = enum.auto()
    """A sync says that it is suspected or dead. No answer makes the word believed."""
    MOVE = enum.auto()
    """It is said to be back at another address. Let in there, if the old address is silent."""
    MYSELF = enum.auto()
    """This node's id is said to be in use elsewhere."""


class Check:
    """One check: under way from when `nonces` are out."""

    __slots__ = ("answered", "next", "nonces", "reason", "record")

    def __init__(self, reason: Reason, record: Record) -> None:
        self.reason = reason
        self.record = record
        self.nonces: list[int] = []
        self.answered = False
        self.next: Appointment | None = None


class Checker:
    """All checks: some under way, the rest waiting."""

    membership: Membership
    prober: Prober
    selfhood: Selfhood

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._open: dict[NodeId, Check] = {}
        self._waiting: dict[NodeId, Check] = {}

    @property
    def busy(self) -> bool:
        """Whether the view may change soon."""
        return bool(self._open)

    def is_open(self, node_id: NodeId) -> bool:
        """Whether this node is being asked."""
        return node_id in self._open

    def claim(self, record: Record) -> None:
        """Somebody whom this node does not hold for alive is said to be."""
        self._add(Reason.CLAIM, record)

    def word(self, record: Record) -> None:
        """Somebody whom this node holds for alive is said to be suspected or dead."""
        self._add(Reason.WORD, record)

    def move(self, record: Record) -> None:
        """Somebody whom this node holds for alive is said to have started again, elsewhere."""
        self._add(Reason.MOVE, record)

    def myself(self, record: Record) -> None:
        """This node is said to have started again, elsewhere."""
        self._add(Reason.MYSELF, record)

    def restart(self) -> None:
        """This node was not there to hear answers: all checks under way begin again."""
        for check in list(self._open.values()):
            self._drop_nonces(check)
            self._begin(check)

    # -- one check ---------------------------------------------------------------------------------

    def _add(self, reason: Reason, record: Record) -> None:
        node_id = record.node_id
        check = self._open.get(node_id) or self._waiting.get(node_id)
        if check is not None:
            if record.rank() > check.record.rank():
                check.record = record
                check.reason = reason
        elif len(self._open) < OPEN_CHECKS_MAX:
            check = self._open[node_id] = Check(reason, record)
            self._begin(check)
        elif len(self._waiting) < CHECKS_MAX:
            self._waiting[node_id] = Check(reason, record)
        else:
            self._desk.counters["checks_refused"] += 1

    def _begin(self, check: Check) -> None:
        desk = self._desk
        if check.next is not None:
            check.next.cancel()
        check.answered = False
        self._ping(check, check.record.profile.address)
        if check.reason is Reason.MOVE:
            self._challenge(check)
        check.next = desk.agenda.at(desk.now + desk.settings.probe_timeout_s, lambda: self._insist(check))

    def _ping(self, check: Check, address: str) -> None:
        nonce = self._nonce(check, lambda sender, generation: self._answered(check, sender, generation))
        self._desk.send(address, *self._words(check), self.prober.ping(nonce, check.record.node_id))

    def _insist(self, check: Check) -> None:
        """No answer so far: ask through others and by a stream, too."""
        desk = self._desk
        settings = desk.settings
        if not check.answered:
            record = check.record
            nonce = self._nonce(check, lambda sender, generation: self._answered(check, sender, generation))
            ping = self.prober.ping(nonce, record.node_id)
            desk.send(record.profile.address, *self._words(check), ping)
            desk.send_frame(record.profile.address, *self._words(check), ping)
            for helper in self.prober.pick(settings.indirect_probes, record.node_id):
                desk.send(helper.profile.address, PingRequest(nonce, record.node_id))
        if check.reason is Reason.MOVE:
            self._challenge(check)
        rest_s = settings.probe_interval_s - settings.probe_timeout_s
        check.next = desk.agenda.at(desk.now + rest_s, lambda: self._end(check))

    def _challenge(self, check: Check) -> None:
        """Ask whether the old one is still there, where it was."""
        desk = self._desk
        member = desk.table.live(check.record.node_id)
        if member is None:
            return
        nonce = self._nonce(check, lambda sender, generation: self._elder_answered(check, sender, generation))
        ping = self.prober.ping(nonce, member.node_id)
        desk.send(member.profile.address, ping)
        desk.send_frame(member.profile.address, ping)

    def _words(self, check: Check) -> list[Message]:
        """What the node has to know to answer well: who asks, and what is said of it."""
        desk = self._desk
        record = check.record
        words: list[Message] = []
        if check.reason in (Reason.CLAIM, Reason.MOVE) and not desk.leaving:
            words.append(desk.own_word())
        member = desk.table.get(record.node_id)
        if member is not None and member.status is Status.DEAD:
            words.append(Dead(member.node_id, member.generation, member.incarnation, desk.node_id))
        if check.reason is Reason.WORD:
            kind = Dead if record.status is Status.DEAD else Suspect
            words.append(kind(record.node_id, record.generation, record.incarnation, NOBODY))
        return words

    # -- how it ends -------------------------------------------------------------------------------

    def _answered(self, check: Check, sender: NodeId, generation: int) -> None:
        record = check.record
        if sender != record.node_id or generation < record.generation:
            return
        if generation > record.generation and check.reason is not Reason.WORD:
            return
        check.answered = True
        if check.reason is not Reason.MOVE:  # which waits for the old one's answer until the end
            self._end(check)

    def _elder_answered(self, check: Check, sender: NodeId, generation: int) -> None:
        """The old one is there: the new one has a copy of its folder, and is turned away."""
        member = self._desk.table.live(check.record.node_id)
        if member is None or sender != member.node_id or generation != member.generation:
            return
        self._close(check)
        if generation < check.record.generation:
            self._desk.counters["duplicates_refused"] += 1
            self._desk.send(
                check.record.profile.address,
                Duplicate(member.node_id, generation, check.record.generation),
            )

    def _end(self, check: Check) -> None:
        self._close(check)
        desk, record = self._desk, check.record
        if check.reason is Reason.MYSELF:
            if check.answered:
                self.selfhood.superseded()
            else:
                self.selfhood.outlive(record)
            return
        member = desk.table.get(record.node_id)
        later = member is None or record.rank()[:4] > member.record().rank()[:4]
        live = member is not None and member.live
        if check.reason is Reason.CLAIM and not check.answered:
            if not live:
                self.membership.deny(record)
        elif later and check.reason is Reason.WORD:
            if live and not check.answered:
                self._believe(record)
        elif later and check.answered:
            self.membership.accept(record)

    def _believe(self, record: Record) -> None:
        """A bad word that was looked into, and nobody answered."""
        numbers = (record.generation, record.incarnation)
        if record.status is Status.DEAD:
            self.membership.hear_dead(Dead(record.node_id, *numbers, self._desk.node_id))
        else:
            self.membership.hear_suspect(Suspect(record.node_id, *numbers, NOBODY))

    def _close(self, check: Check) -> None:
        if check.next is not None:
            check.next.cancel()
        self._drop_nonces(check)
        self._open.pop(check.record.node_id, None)
        if self._waiting:
            node_id = next(iter(self._waiting))
            check = self._open[node_id] = self._waiting.pop(node_id)
            self._begin(check)

    def _nonce(self, check: Check, answer: Answer) -> int:
        nonce = self._desk.nonce(answer)
        check.nonces.append(nonce)
        return nonce

    def _drop_nonces(self, check: Check) -> None:
        for nonce in check.nonces:
            self._desk.awaited.pop(nonce, None)
        check.nonces.clear()
