"""What a node believes of others: SWIM's merge rule with generations, and Lifeguard's suspicions.

Rules of this file:
1. (generation, incarnation) decides. What is lower than what is known changes nothing, so that old datagrams,
   sent again, neither revive nor kill nor move anybody.
2. Nobody becomes alive here by hearsay. Who is not held for alive now has to answer a fresh nonce first
   (`check`).
3. Every word that is news is told on, and every change of a status is an event.
4. A suspicion ends in a higher incarnation of the suspect, or in its death. A higher incarnation that is
   suspected too is a suspicion of its own, with its whole time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .codec import encode
from .config import (
    ACCUSATION_REFILL_S,
    ACCUSATIONS_MAX,
    GOSSIP_TO_DEAD_S,
    TOMBSTONE_RING_S,
    TOMBSTONE_S,
    TOMBSTONES_MAX,
)
from .instruction import Change
from .member import NodeId, Record, Status, plausible
from .message import Dead, Left, Rumour, Suspect
from .suspicion import Suspicion
from .table import Member

if TYPE_CHECKING:
    from .check import Checker
    from .contact import Contacts
    from .desk import Desk
    from .probe import Prober
    from .selfhood import Selfhood


class Membership:
    """Hears words about nodes, and changes the table by them."""

    checker: Checker
    contacts: Contacts
    prober: Prober
    selfhood: Selfhood

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._accusations = float(ACCUSATIONS_MAX)
        self._refilled_at = 0.0
        self._fresh_dead: deque[tuple[float, NodeId]] = deque()  # until when they get rumours

    # -- hearing -----------------------------------------------------------------------------------

    def hear_alive(self, record: Record, *, by_sync: bool = False) -> None:
        """A node says that it is alive, or somebody has it so in his table."""
        desk = self._desk
        if record.node_id == desk.node_id:
            self.selfhood.hear_alive(record)
            return
        member = desk.table.get(record.node_id)
        if not self._plausible(member, record.generation, record.incarnation):
            return
        if member is None or not member.live:
            if member is None or _may_return(member, record, by_sync=by_sync):
                self.checker.claim(record)
        elif (record.generation, record.incarnation) > (member.generation, member.incarnation):
            moved = record.profile.address != member.profile.address
            if moved and record.generation > member.generation:
                self.checker.move(record)
            else:
                self.accept(record)

    def hear_suspect(self, word: Suspect) -> None:
        """Somebody got no answer from a node."""
        desk = self._desk
        if word.node_id == desk.node_id:
            self.selfhood.hear_bad_word(word.generation, word.incarnation)
            return
        member = desk.table.live(word.node_id)
        numbers = (word.generation, word.incarnation)
        if member is None or numbers < (member.generation, member.incarnation):
            return
        if self._plausible(member, *numbers):
            self.suspect(member, *numbers, word.reporter)

    def hear_dead(self, word: Dead) -> None:
        """Somebody waited in vain for a suspect to refute."""
        desk = self._desk
        if word.node_id == desk.node_id:
            self.selfhood.hear_bad_word(word.generation, word.incarnation)
            return
        member = desk.table.get(word.node_id)
        if member is None or not self._plausible(member, word.generation, word.incarnation):
            return
        record = Record(word.node_id, word.generation, word.incarnation, Status.DEAD, member.profile)
        if record.rank()[:4] > member.record().rank()[:4]:
            self._bury(member, record)

    def hear_left(self, word: Left) -> None:
        """A node's last word in this generation."""
        desk = self._desk
        if word.node_id == desk.node_id:
            self.selfhood.hear_left(word)
            return
        member = desk.table.get(word.node_id)
        if member is None or not self._plausible(member, word.generation, word.incarnation):
            return
        already = member.status is Status.LEFT and member.generation >= word.generation
        if word.generation >= member.generation and not already:
            record = Record(word.node_id, word.generation, word.incarnation, Status.LEFT, member.profile)
            self._bury(member, record)

    def hear_entry(self, record: Record) -> None:
        """An entry of somebody's table. What it says is old: it is looked into before it is believed."""
        if record.status is Status.ALIVE:
            self.hear_alive(record, by_sync=True)
        elif record.status is Status.LEFT:
            self.hear_left(Left(record.node_id, record.generation, record.incarnation))
        elif record.node_id == self._desk.node_id:
            self.selfhood.hear_bad_word(record.generation, record.incarnation)
        else:
            self._hear_bad_entry(record)

    def _hear_bad_entry(self, record: Record) -> None:
        member = self._desk.table.get(record.node_id)
        if not self._plausible(member, record.generation, record.incarnation):
            return
        if member is None:
            if record.status is Status.SUSPECT:
                self.checker.claim(record._replace(status=Status.ALIVE))
        elif member.live:
            if record.rank()[:4] > member.record().rank()[:4]:
                self.checker.word(record)
        elif record.status is Status.SUSPECT:
            self.hear_alive(record._replace(status=Status.ALIVE), by_sync=True)

    def _plausible(self, member: Member | None, generation: int, incarnation: int) -> bool:
        """Whether a node can have come to these numbers by honest steps from what is known of it."""
        known = (member.generation, member.incarnation) if member is not None else (0, 0)
        if plausible(known, (generation, incarnation)):
            return True
        self._desk.counters["implausible_words"] += 1
        return False

    # -- changing ----------------------------------------------------------------------------------

    def accept(self, record: Record) -> None:
        """Hold a node for alive: it has been checked, or was alive before and these numbers are higher."""
        desk = self._desk
        member = desk.table.get(record.node_id)
        joined = member is None or not member.live
        if joined and desk.table.live_count >= desk.settings.members_max:
            desk.counters["members_refused"] += 1
            return
        change = Change.UPDATED
        if member is None or joined or member.generation != record.generation:
            change = Change.JOINED
        if member is not None:
            _end(member)
        member = desk.table.put(record._replace(status=Status.ALIVE), desk.now)
        desk.rumours.put_word(record.node_id, encode(Rumour(member.record())))
        desk.stir()
        desk.tell(change, member)
        if joined:
            self.prober.add(record.node_id)

    def suspect(self, member: Member, generation: int, incarnation: int, reporter: NodeId) -> None:
        """Suspect a member that is alive, or count one more reporter of a suspicion."""
        desk = self._desk
        suspicion = member.suspicion
        numbers = (generation, incarnation)
        if suspicion is None or numbers > (member.generation, member.incarnation):
            _end(member)
            record = Record(member.node_id, *numbers, Status.SUSPECT, member.profile)
            desk.table.put(record, desk.now)
            suspicion = member.suspicion = Suspicion(desk.settings, desk.table.live_count, reporter, desk.now)
            desk.tell(Change.SUSPECTED, member)
            if reporter != desk.node_id:
                self.prober.heard_suspected(member.node_id)
        elif not suspicion.confirm(reporter):
            return
        suspicion.own = suspicion.own or reporter == desk.node_id
        desk.rumours.put_word(member.node_id, encode(Suspect(member.node_id, *numbers, reporter)))
        desk.stir()
        self._schedule(member, suspicion)

    def accuse(self, node_id: NodeId) -> None:
        """This node got no answer itself: suspect the member, unless it has accused too many lately."""
        desk = self._desk
        member = desk.table.live(node_id)
        if member is None:
            return
        suspicion = member.suspicion
        if suspicion is not None and (desk.node_id in suspicion.reporters or not suspicion.open):
            return
        if not self._may_accuse():
            return
        self.suspect(member, member.generation, member.incarnation, desk.node_id)

    def deny(self, record: Record) -> None:
        """Others hold this node for alive, and it did not answer this one: they should know.

        Else the one that missed a death would be alone with its suspicion, for as long as one lasts that
        nobody confirms.
        """
        desk = self._desk
        member = desk.table.get(record.node_id)
        numbers = (record.generation, record.incarnation)
        if self._may_accuse():
            word: Suspect | Dead = Suspect(record.node_id, *numbers, desk.node_id)
            if member is not None and (member.generation, member.incarnation) == numbers:
                word = Dead(record.node_id, *numbers, desk.node_id)
            desk.rumours.put_word(record.node_id, encode(word))
            desk.stir()

    def _may_accuse(self) -> bool:
        """Whether one more accusation is within the limit; count it."""
        desk = self._desk
        refill = (desk.now - self._refilled_at) / ACCUSATION_REFILL_S
        self._accusations = min(float(ACCUSATIONS_MAX), self._accusations + refill)
        self._refilled_at = desk.now
        if self._accusations < 1:
            desk.counters["accusations_withheld"] += 1
            return False
        self._accusations -= 1
        desk.counters["accusations"] += 1
        return True

    def postpone(self, late_s: float) -> None:
        """This node was not there for so long: suspects get that time once more. Looks at all peers."""
        for member in self._desk.table.peers:
            if member.suspicion is not None:
                member.suspicion.began += late_s
                self._schedule(member, member.suspicion)

    def fresh_dead(self) -> list[NodeId]:
        """Return those who died a short while ago: they still get rumours."""
        while self._fresh_dead and self._fresh_dead[0][0] <= self._desk.now:
            self._fresh_dead.popleft()
        return [node_id for _, node_id in self._fresh_dead]

    def _schedule(self, member: Member, suspicion: Suspicion) -> None:
        if suspicion.expiry is not None:
            suspicion.expiry.cancel()

        def expire() -> None:
            if member.suspicion is suspicion:
                numbers = (member.generation, member.incarnation)
                self._bury(member, Record(member.node_id, *numbers, Status.DEAD, member.profile))

        suspicion.expiry = self._desk.agenda.at(suspicion.due, expire)

    def _bury(self, member: Member, record: Record) -> None:
        desk = self._desk
        was_live, own = member.live, member.suspicion is not None and member.suspicion.own
        _end(member)
        desk.table.put(record, desk.now)
        self._keep_tombstone(member)
        numbers = (record.node_id, record.generation, record.incarnation)
        if record.status is Status.LEFT:
            word = encode(Left(*numbers))
        else:
            word = encode(Dead(*numbers, desk.node_id))
            if was_live:
                self._fresh_dead.append((desk.now + GOSSIP_TO_DEAD_S, member.node_id))
                self._accusations += own
        desk.rumours.put_word(member.node_id, word)
        desk.stir()
        if was_live or record.status is Status.LEFT:
            desk.tell(Change.LEFT if record.status is Status.LEFT else Change.FAILED, member)

    def _keep_tombstone(self, member: Member) -> None:
        desk = self._desk
        if len(desk.table.gone) > TOMBSTONES_MAX:
            oldest = next(iter(desk.table.gone.values()))
            self._forget(oldest)
        in_ring = member.node_id in desk.ring_members
        member.tombstone = desk.agenda.at(
            desk.now + (TOMBSTONE_RING_S if in_ring else TOMBSTONE_S), lambda: self._forget(member)
        )

    def _forget(self, member: Member) -> None:
        if member.tombstone is not None:
            member.tombstone.cancel()
        if member.status is Status.DEAD:
            self.contacts.remember(member.node_id, member.profile.address)
        self._desk.table.forget(member.node_id)


def _may_return(member: Member, record: Record, *, by_sync: bool) -> bool:
    """Whether one who is dead or has left may be what a record says, so that it is worth asking."""
    if member.status is Status.LEFT:
        return record.generation > member.generation
    theirs, ours = (record.generation, record.incarnation), (member.generation, member.incarnation)
    return theirs > ours or (by_sync and theirs == ours)


def _end(member: Member) -> None:
    """Call off what was to become of a member."""
    if member.suspicion is not None and member.suspicion.expiry is not None:
        member.suspicion.expiry.cancel()
    member.suspicion = None
    if member.tombstone is not None:
        member.tombstone.cancel()
        member.tombstone = None
