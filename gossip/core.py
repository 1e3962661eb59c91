"""The core of gossip: one object that is told what arrived and what time it is, and says what to do.

What the shell owes it:
1. Time is seconds that never go back (`now`). No call may be made during another.
2. Every call returns instructions. Carry them out in order, all of them.
3. Call `tick` when `next_deadline` has come. BEFORE a `tick`, hand over every datagram and frame that has
   arrived: answers that wait in a socket must not count as missing.
4. `generation` comes from `member.next_generation`, and is durable before the node starts; so is one that
   `KeepGeneration` names.
5. Persist `known_members` now and then, and hand it back as `former`: after a full outage it is all there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .broadcast import Broadcasts
from .check import Checker
from .codec import CodecError, decode, label_of
from .config import DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX, LAN, LATENESS_RATIO, Settings
from .contact import Contacts
from .desk import Desk, view
from .instruction import Halted, Instruction, MemberView, RingHeard
from .member import NODE_ID_BYTES, Dice, NodeId, Profile
from .membership import Membership
from .message import (
    Ack,
    Broadcast,
    Dead,
    Duplicate,
    Entry,
    Left,
    Letter,
    Message,
    Nack,
    Ping,
    PingRequest,
    RelayedAck,
    Ring,
    Rumour,
    Suspect,
    SyncAsk,
    SyncTell,
)
from .probe import Prober
from .selfhood import Selfhood
from .spread import Spreader
from .sync import Syncer


class Gossip:
    """One member's knowledge of who is here.

    `node_id` is `NODE_ID_BYTES` random bytes of the data folder. ValueError for an id of another length, a
    profile that is too long, or a generation below 1.
    """

    def __init__(
        self,
        node_id: NodeId,
        generation: int,
        profile: Profile,
        dice: Dice,
        *,
        settings: Settings = LAN,
        seeds: Iterable[str] = (),
        former: Mapping[NodeId, str] | None = None,
    ) -> None:
        if len(node_id) != NODE_ID_BYTES or generation < 1:
            raise ValueError(f"an id has {NODE_ID_BYTES} bytes, and a generation is at least 1")
        self._desk = desk = Desk(settings, node_id, generation, profile.check(), dice)
        self._label = label_of(settings.label)
        self._membership = Membership(desk)
        self._selfhood = Selfhood(desk)
        self._checker = Checker(desk)
        self._prober = Prober(desk)
        self._syncer = Syncer(desk)
        self._contacts = Contacts(desk)
        self._spreader = Spreader(desk)
        self._broadcasts = Broadcasts(desk)
        self._introduce()
        self._contacts.set_seeds(seeds)
        for former_id, address in (former or {}).items():
            self._contacts.remember(former_id, address)
        self._late_for: float | None = None  # the deadline whose lateness was noticed last

    def _introduce(self) -> None:
        """Make the parts known to each other."""
        self._membership.checker = self._selfhood.checker = self._syncer.checker = self._checker
        self._checker.membership = self._prober.membership = self._membership
        self._contacts.membership = self._spreader.membership = self._membership
        self._checker.prober = self._membership.prober = self._prober
        self._syncer.prober = self._contacts.prober = self._spreader.prober = self._prober
        self._checker.selfhood = self._membership.selfhood = self._selfhood
        self._membership.contacts = self._contacts
        self._contacts.syncer = self._syncer

    # -- what the shell calls ----------------------------------------------------------------------

    def start(self, now: float) -> list[Instruction]:
        """Begin. Called once, before anything else."""
        desk = self._desk
        desk.now = now
        desk.become(desk.boot, 0)
        self._spreader.start()
        self._syncer.start()
        self._contacts.start()
        return self._taken()

    def next_deadline(self) -> float | None:
        """Return when `tick` is wanted; None after a `Halt`."""
        return None if self._desk.halted else self._desk.agenda.next_due()

    def tick(self, now: float) -> list[Instruction]:
        """Do what is due."""
        if self._turn(now):
            self._desk.agenda.run(self._desk.now)
        return self._taken()

    def handle_datagram(self, data: bytes, address: str, now: float) -> list[Instruction]:
        """Hear what arrived from `address`. Whatever the bytes are, nothing is raised."""
        if self._turn(now):
            self._hear(data, address, DATAGRAM_BYTES_MAX, stream=False)
        return self._taken()

    def handle_frame(self, data: bytes, address: str, now: float) -> list[Instruction]:
        """Hear what arrived on a stream. `address` is what an answer on the same stream is to be sent to."""
        if self._turn(now):
            self._hear(data, address, FRAME_BYTES_MAX, stream=True)
        return self._taken()

    def leave(self, now: float) -> list[Instruction]:
        """Say goodbye. A `Halt` follows, now or within `LEAVE_TIMEOUT_S`."""
        if self._turn(now):
            self._selfhood.leave()
        return self._taken()

    def set_profile(self, profile: Profile, now: float) -> list[Instruction]:
        """Tell something else of this node. ValueError if a field is too long."""
        if self._turn(now):
            self._selfhood.change(profile)
        return self._taken()

    def broadcast(self, payload: bytes, now: float) -> list[Instruction]:
        """Send bytes of the application to all, with what room is left. ValueError if there are too many."""
        if self._turn(now):
            self._broadcasts.send(payload)
        return self._taken()

    def set_seeds(self, addresses: Iterable[str], now: float) -> list[Instruction]:
        """Replace the addresses that are tried for ever: what the seeds' names resolve to now."""
        if self._turn(now):
            self._contacts.set_seeds(addresses)
        return self._taken()

    def set_ring(self, ring: Ring, members: Iterable[NodeId]) -> None:
        """Say what is told of the ring in pings and acks, and whose tombstones are kept for long."""
        self._desk.ring = ring
        self._desk.ring_members = frozenset(members)

    # -- what can be asked -------------------------------------------------------------------------

    @property
    def node_id(self) -> NodeId:
        return self._desk.node_id

    @property
    def halted(self) -> Halted | None:
        """Why it does nothing any more, or None."""
        return self._desk.halted

    @property
    def digest(self) -> int:
        """The digest of who is alive: equal views have equal digests."""
        return self._desk.table.digest

    def agreement(self) -> tuple[int, int, int]:
        """Return how many live peers last showed this node's own digest, how many another one since this
        view last changed, and how many have not been heard since. Takes time in proportion to the members."""
        table = self._desk.table
        same = other = 0
        for peer in table.peers:
            digest, at = peer.digest_heard or (None, 0.0)
            same += digest == table.digest
            other += digest not in (None, table.digest) and at > table.changed_at
        return same, other, len(table.peers) - same - other

    @property
    def health_points(self) -> int:
        """From 0, this node keeps up well, to `HEALTH_POINTS_MAX`."""
        return self._desk.health.points

    @property
    def live_count(self) -> int:
        """Members alive or suspected, this node included."""
        return self._desk.table.live_count

    def counters(self) -> dict[str, int]:
        """Return how often things happened that an operator may ask about."""
        return {**self._desk.counters, "rumours_crowded_out": self._desk.rumours.crowded_out}

    def member(self, node_id: NodeId) -> MemberView | None:
        """Return what is believed of a node, or None."""
        member = self._desk.table.get(node_id)
        return None if member is None else view(member)

    def is_live(self, node_id: NodeId) -> bool:
        """Whether a node is alive, as far as is known here: a suspect is, until its time is up."""
        return self._desk.table.live(node_id) is not None

    def address_of(self, node_id: NodeId) -> str | None:
        """Return where a node serves, be it dead: what was heard last; None: nobody has told."""
        member = self._desk.table.get(node_id)
        if member is None:
            return self._contacts.address_of(node_id)
        return member.profile.service or member.profile.address

    def members(self) -> list[MemberView]:
        """Return all that is believed, the dead and this node included."""
        return [view(member) for member in self._desk.table]

    def known_members(self) -> dict[NodeId, str]:
        """Return ids and addresses to persist, for `former` of the next start."""
        return self._contacts.known()

    def validate(self) -> None:
        """Assert what must always hold. For tests: takes time in proportion to the members."""
        self._desk.table.validate()

    # -- inside ------------------------------------------------------------------------------------

    def _taken(self) -> list[Instruction]:
        out, self._desk.out = self._desk.out, []
        return out

    def _turn(self, now: float) -> bool:
        """Let it be `now`; return whether there is still something to do."""
        desk = self._desk
        if desk.halted:
            return False
        desk.now = max(desk.now, now)
        due = desk.agenda.next_due()
        if due is not None and due != self._late_for:
            late_s = desk.now - due
            if late_s > LATENESS_RATIO * desk.settings.probe_timeout_s:
                self._late_for = due
                self._was_late(late_s)
        return True

    def _was_late(self, late_s: float) -> None:
        """This node did not look for so long: what it missed is nobody's fault."""
        self._desk.counters["late"] += 1
        self._desk.health.add(1)
        self._prober.void()
        self._checker.restart()
        self._membership.postpone(late_s)

    def _hear(self, data: bytes, address: str, bytes_max: int, *, stream: bool) -> None:
        desk = self._desk
        try:
            letter = decode(data, self._label, bytes_max=bytes_max)
        except CodecError:
            desk.counters["letters_rejected"] += 1
            return
        if letter.sender == desk.node_id and letter.generation != desk.me.generation:
            self._meet_myself(letter, address)
        # Answers last: a datagram that refutes and answers must have refuted before the answer is judged.
        answers: list[Message] = []
        told: SyncTell | None = None
        for message in letter.messages:
            kind = type(message)
            if kind is Ack or kind is RelayedAck:
                answers.append(message)
            else:
                if told is None and isinstance(message, SyncTell):
                    told = message
                self._take(message, letter, address, stream=stream)
        for message in answers:
            self._take(message, letter, address, stream=stream)
        if told is not None:
            self._syncer.told(told, address)

    def _meet_myself(self, letter: Letter, address: str) -> None:
        """Somebody with this node's id was started later, and does not know of this node."""
        desk = self._desk
        # While this node asks which of the two the cluster goes by, that is what will be decided by.
        if letter.generation > desk.me.generation and not self._checker.is_open(desk.node_id):
            desk.send(address, Duplicate(desk.node_id, desk.boot, letter.generation))

    def _take(self, message: Message, letter: Letter, address: str, *, stream: bool) -> None:
        match message:
            case Ping():
                self._prober.answer(message, letter.sender, letter.generation, address, stream=stream)
                self._heard_of_view(letter.sender, message, address)
            case Ack():
                answer = self._desk.awaited.get(message.nonce)
                if answer is not None:
                    answer(letter.sender, letter.generation)
                    self._heard_of_view(letter.sender, message, address)
            case RelayedAck():
                answer = self._desk.awaited.get(message.nonce)
                if answer is not None:
                    answer(message.target, message.generation)
            case PingRequest():
                self._prober.relay(message, address)
            case Nack():
                self._prober.nack(message.nonce, letter.sender)
            case SyncAsk():
                self._syncer.asked(message, address)
            case SyncTell():
                pass  # what it says comes as entries behind it
            case Duplicate():
                self._selfhood.hear_duplicate(message)
            case Broadcast():
                self._broadcasts.hear(message)
            case _:
                self._take_word(message)

    def _take_word(self, message: Rumour | Entry | Suspect | Dead | Left) -> None:
        match message:
            case Rumour():
                self._membership.hear_alive(message.record)
            case Entry():
                self._membership.hear_entry(message.record)
            case Suspect():
                self._membership.hear_suspect(message)
            case Dead():
                self._membership.hear_dead(message)
            case Left():
                self._membership.hear_left(message)

    def _heard_of_view(self, sender: NodeId, message: Ping | Ack, address: str) -> None:
        """A ping or ack tells, besides, what its sender's view and ring are."""
        desk = self._desk
        member = desk.table.live(sender)
        if member is not None and sender != desk.node_id:
            member.digest_heard = (message.digest, desk.now)
            if member.ring != message.ring:
                member.ring = message.ring
                desk.out.append(RingHeard(sender, message.ring))
        self._syncer.compare(message.digest, address if member is None else member.profile.address)
