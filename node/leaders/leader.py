"""The leaders of partitions, from the place of one node: which it leads, when it tries to, when it stops.

docs/atomics.md tells the whole protocol. What this file and those below it stand on:

1. Safety rests on ballots and quorums alone. Clocks, heartbeats and who is held for alive only say who tries.
2. A leader stops when a newer ring moves the partition, when no majority has answered for half a second, or
   when acceptors follow a higher ballot: at once if no quorum follows its own, else after what it has begun.
3. Of a row's replicas the first that is heard tries first, the next ones later.
4. After a change of the ring whoever is first in the new row tries at once: nobody waits for a client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from ...exception import StoreDamagedError
from ..beat import until_beat_ns
from ..network.bus import Bus, Directory
from ..network.leadermessage import (
    Accepted,
    Forgotten,
    Heartbeat,
    Promise,
    Pulse,
    Refuse,
    TellNames,
    TellRecords,
    Transfer,
)
from ..network.message import Mark, Message
from ..ringview import NO_MARK, RingView
from ..world import NS_PER_S, NodeId, Storage, Timer, World
from .acceptor import Acceptor, no_more
from .ballot import Ballot
from .candidacy import Candidacies, Candidacy
from .door import Door, OpenDoor
from .electorate import Electorate, bitmap, shares
from .handover import Handover
from .heartbeat import Heartbeats
from .leaderconfig import (
    BACKOFF_S_MAX,
    BACKOFF_S_MIN,
    FOLLOW_S,
    HEARTBEAT_S,
    RANK_WAIT_S,
    RESIGN_S,
    SETTLING_PARTITIONS_MAX,
    STICKY_S,
    TICK_S,
)
from .leaderdesk import LeaderDesk
from .leadership import Leadership
from .lessons import Lessons
from .plain import Plain
from .post import Post
from .purge import Purger
from .round import Rounds
from .shelf import Apply, Chosen

_TICK_NS = int(TICK_S * NS_PER_S)
_BEAT_NS = int((HEARTBEAT_S - TICK_S / 2) * NS_PER_S)  # at the tick that is nearest
_STICKY_NS = int(STICKY_S * NS_PER_S)
_RESIGN_NS = int(RESIGN_S * NS_PER_S)
_RANK_NS = int(RANK_WAIT_S * NS_PER_S)
_FOLLOW_NS = int(FOLLOW_S * NS_PER_S)


class Leaders:
    """One node's part in leading partitions.

    `stamp` gives version stamps, each above the given floor and all before; `apply` gets what is chosen, for
    readers; `hear_mark` gets which ring others go by. Frames go to `on_message`, calls of clients to `desk`.
    """

    acceptor_class: ClassVar[type[Acceptor]] = Acceptor
    leadership_class: ClassVar[type[Leadership]] = Leadership
    rounds_class: ClassVar[type[Rounds]] = Rounds
    candidacies_class: ClassVar[type[Candidacies]] = Candidacies
    desk_class: ClassVar[type[LeaderDesk]] = LeaderDesk
    purger_class: ClassVar[type[Purger]] = Purger

    def __init__(  # noqa: PLR0913 - each is one thing that only the whole node knows
        self,
        world: World,
        storage: Storage,
        directory: Directory,
        bus: Bus,
        plain: Plain,
        *,
        stamp: Callable[[int], int],
        apply: Apply,
        hear_mark: Callable[[NodeId, Mark], None],
        door: Door | None = None,
    ) -> None:
        self.world = world
        self.door = door or OpenDoor()
        self.plain = plain
        self.stamp = stamp
        self._apply = apply
        self.me = world.identity.node
        self.post = Post(world, directory, self.on_message)
        self.say = self.post.say
        self.acceptor = self.acceptor_class(
            world, storage, self.post.say, sticky=self._is_sticky, failed=self._give_up_all, apply=apply
        )
        self.rounds = self.rounds_class(world, self.post, self.later)
        self.heartbeats = Heartbeats(world, self.post.say, hear_mark)
        self.candidacies = self.candidacies_class(
            world, self.post, self.heartbeats, self._win, self._back_off
        )
        self.leaderships: dict[int, Leadership] = {}
        self.view: RingView | None = None
        self.desk = self.desk_class(self, bus)
        self.purger = self.purger_class(self)
        self._electorates: dict[int, Electorate] = {}
        #: Of each member, the partitions of this node that it is an owner of, too, as bits.
        self._shares: dict[NodeId, int] = {}
        self.viewed_ns = 0
        self._beaten_ns = 0
        #: Since when each partition has had no leader that is heard of.
        self._leaderless_ns: dict[int, int] = {}
        self._backoff_ns: dict[int, int] = {}
        self.handover = Handover(self)
        self._lessons = Lessons(self.me, self.say, self.later)
        self.at_beat(_TICK_NS, self._tick)

    # -- the ring ----------------------------------------------------------------------------------

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self.view = view
        self.viewed_ns = self.world.now_ns()
        self.acceptor.forgetting.set_view(view)
        mine = [partition for partition in range(view.decree.partitions) if view.owns(partition)]
        self._electorates = {partition: Electorate(view, partition) for partition in mine}
        self._shares = shares(self._electorates)
        for partition, leadership in list(self.leaderships.items()):
            if not self._still_stands(partition, leadership.ballot):
                self.resign(leadership, "the ring has changed")
        for partition in list(self.candidacies.partitions()):
            ballot = self.candidacies.ballot(partition)
            if ballot is not None and not self._still_stands(partition, ballot):
                self.candidacies.drop(partition)
        self._look_after_all()

    def has_one_set(self, partition: int) -> bool:
        """Whether, by the newest ring, the present replicas alone have a say in a partition."""
        electorate = self._electorates.get(partition)
        return electorate is not None and electorate.is_simple

    def _still_stands(self, partition: int, ballot: Ballot) -> bool:
        electorate = self._electorates.get(partition)
        return electorate is not None and electorate.since == ballot.since

    def settled(self, leadership: Leadership) -> None:
        """All that its acceptors may know is known to the present replicas: the next decree may forget the
        former ones."""
        self.world.trace("settled", partition=leadership.partition, ballot=leadership.ballot.plain())

    def settled_partitions(self) -> list[tuple[int, int]]:
        """Partitions led here and settled, and since which epoch their replicas are what they are."""
        led = self.leaderships.items()
        return [(partition, one.ballot.since) for partition, one in led if not one.open]

    # -- what comes in -----------------------------------------------------------------------------

    def on_message(self, message: Message) -> None:
        """A statement of a node about leading: kinds 96 to 111."""
        try:
            self._dispatch(message)
        except StoreDamagedError as error:
            self.world.halt(str(error))

    def _dispatch(self, message: Message) -> None:
        match message:
            case Accepted():
                self.heartbeats.note(NodeId(message.node), self.world.now_ns())
                self.rounds.on_accepted(message)
            case Heartbeat():
                mark = NO_MARK if self.view is None else self.view.mark
                self.heartbeats.on_heartbeat(message, mark)
            case Pulse():
                self.heartbeats.on_pulse(message)
            case Promise():
                self.candidacies.on_promise(message)
            case Refuse():
                self._on_refuse(message)
            case TellNames() | TellRecords():
                self._on_told(message)
            case Transfer():
                self._on_transfer(message)
            case Forgotten():
                self.purger.on_forgotten(message)
            case _:
                self.acceptor.on_message(message)

    def _on_told(self, message: TellNames | TellRecords) -> None:
        leadership = self.leaderships.get(message.partition)
        if leadership is None or leadership.ballot != message.ballot:
            return
        if isinstance(message, TellNames):
            leadership.on_names(message)
        else:
            leadership.on_records(message)

    def _on_refuse(self, message: Refuse) -> None:
        self.candidacies.on_refuse(message)
        for partition, refused, held, _ in message.refusals:
            leadership = self.leaderships.get(partition)
            if leadership is not None and leadership.ballot == refused and held > refused:
                self.handover.refused(leadership, NodeId(message.node))

    def _on_transfer(self, message: Transfer) -> None:
        electorate = self._electorates.get(message.partition)
        if electorate is not None and self._may_try(message.partition):
            promised = self.acceptor.promised(message.partition)
            self.candidacies.begin(message.partition, electorate, promised, message.ballot)

    def _may_try(self, partition: int) -> bool:
        return (
            not self.handover.leaving
            and partition not in self.leaderships
            and partition not in self.candidacies
        )

    # -- leading -----------------------------------------------------------------------------------

    def _win(self, partition: int, won: Candidacy) -> None:
        self._backoff_ns.pop(partition, None)
        self._leaderless_ns.pop(partition, None)
        row = [bytes(node) for node in won.electorate.row]
        senior = bytes(won.electorate.senior)
        self.world.trace("leads", partition=partition, ballot=won.ballot.plain(), row=row, senior=senior)
        self.leaderships[partition] = self.leadership_class(
            self, partition, won.ballot, won.electorate, won.pledges
        )
        self._beaten_ns = 0  # say so at the next look
        self.later(_FOLLOW_NS, lambda: self._ask_to_follow(partition, won))
        self.purger.note_lead(partition)
        if not self.leaderships[partition].open:
            self.settled(self.leaderships[partition])

    def _ask_to_follow(self, partition: int, won: Candidacy) -> None:
        """Whoever had not promised by the election may do so now: then it can tell clients who leads. And
        whoever has promised somebody else since says so now, and not to the first client's operation."""
        leadership = self.leaderships.get(partition)
        if leadership is not None and leadership.ballot == won.ballot:
            leadership.confirm(no_more)
            for node in won.electorate.row:
                if node not in won.pledges and self.heartbeats.hears(node):
                    self.post.ask(node, (partition, won.ballot.since, won.ballot.round, won.consent))

    def resign(self, leadership: Leadership, why: str) -> None:
        """Lead no more, and say so."""
        if self.leaderships.get(leadership.partition) is not leadership:
            return
        self.world.trace("resigns", partition=leadership.partition, ballot=leadership.ballot.plain(), why=why)
        del self.leaderships[leadership.partition]
        self.handover.given_up(leadership.partition, why)
        leadership.end()
        self._beaten_ns = 0

    def abandon(self, leadership: Leadership, why: str) -> None:
        """Begin anew with those that are there."""
        self.resign(leadership, why)
        self._back_off(leadership.partition)

    def _give_up_all(self) -> None:
        """What this node's own acceptor holds is not what it was believed to hold."""
        for leadership in list(self.leaderships.values()):
            self.resign(leadership, "the disk is full")

    def show(self, chosen: list[Chosen], row: tuple[NodeId, ...]) -> None:
        """Hand to readers what is chosen: here at once, to the other replicas a moment later."""
        self._apply(chosen, no_more)
        self.purger.note_shown(chosen)
        self._lessons.add(chosen, row)

    # -- who tries when ----------------------------------------------------------------------------

    def _is_sticky(self, partition: int, ballot: Ballot, held: Ballot, consent: Ballot | None) -> bool:
        """Whether a leader in health stands in the way of a ballot."""
        leadership = self.leaderships.get(partition)
        if ballot.since > held.since or ballot.node == held.node:
            return False
        if leadership is not None:
            return leadership.ballot != consent and ballot.node != self.me
        waived = {ballot.node, consent.node if consent is not None else b""}
        return any(node not in waived and self._claims(node, partition) for node in self._row(partition))

    def _row(self, partition: int) -> tuple[NodeId, ...]:
        return () if self.view is None else self.view.owners(partition)

    def _claims(self, node: NodeId, partition: int) -> bool:
        return self.heartbeats.claims(node, partition)

    def _tick(self) -> None:
        self.at_beat(_TICK_NS, self._tick)
        now_ns = self.world.now_ns()
        self.heartbeats.tick()
        answered = self.heartbeats.answered(_RESIGN_NS)
        all_answer = self.view is not None and set(answered).issuperset(self.view.members)
        for leadership in list(self.leaderships.values()):
            is_old = now_ns - leadership.begun_ns > _RESIGN_NS
            if not all_answer and is_old and not leadership.electorate.chosen(answered):
                self.resign(leadership, "no majority answers")
            elif leadership.waits:
                leadership.waits.tick()
        self.candidacies.tick()
        self._look_after_all()
        self.handover.look()
        self._settle_more()
        if self.view is not None and now_ns - self._beaten_ns >= _BEAT_NS:
            self._beaten_ns = now_ns
            leads = bitmap(self.leaderships, self.view.decree.partitions)
            self.heartbeats.send(self.view.members, leads, self.view.mark)

    def _look_after_all(self) -> None:
        claimed, promised = self.heartbeats.claimed(self._shares), self.acceptor.promised
        for partition, electorate in self._electorates.items():
            is_led = claimed >> partition & 1 and promised(partition).since == electorate.since
            if is_led and partition not in self._leaderless_ns:
                continue  # in health, most partitions
            if self._may_try(partition):
                self._look_after(partition, electorate)

    def _look_after(self, partition: int, electorate: Electorate) -> None:
        """Try to lead a partition that nobody leads, when it is this node's turn."""
        now_ns = self.world.now_ns()
        promised = self.acceptor.promised(partition)
        if promised.since == electorate.since and any(
            self._claims(node, partition) for node in electorate.row
        ):
            self._leaderless_ns.pop(partition, None)
            return
        since_ns = self._leaderless_ns.setdefault(partition, now_ns)
        if now_ns < self._backoff_ns.get(partition, 0):
            return
        unknown = now_ns - self.viewed_ns < _STICKY_NS  # nobody can have been heard yet
        before = electorate.row[: electorate.row.index(self.me)]
        rank = sum(1 for node in before if unknown or self.heartbeats.hears(node))
        if now_ns - since_ns >= rank * _RANK_NS:
            self.candidacies.begin(partition, electorate, promised)

    def _back_off(self, partition: int) -> None:
        """A try came to nothing."""
        span_ns = int((BACKOFF_S_MAX - BACKOFF_S_MIN) * NS_PER_S)
        wait_ns = int(BACKOFF_S_MIN * NS_PER_S) + self.world.dice("leader").randrange(span_ns)
        self._backoff_ns[partition] = self.world.now_ns() + wait_ns

    def try_again(self, partition: int) -> None:
        """A partition has just been given up: try to lead it at once, if it is this node's turn."""
        electorate = self._electorates.get(partition)
        if electorate is not None and self._may_try(partition):
            self._look_after(partition, electorate)

    def leave_alone(self, partition: int, span_ns: int) -> None:
        """Do not try to lead a partition for so long."""
        self._backoff_ns[partition] = self.world.now_ns() + span_ns

    def step_down(self) -> None:
        """Lead nothing any more: this node is about to end. Each partition goes to the next in its row, once
        nothing is under way there, and within `YIELD_S`."""
        self.handover.leaving = True
        for partition in self.candidacies.partitions():
            self.candidacies.drop(partition)
        self.handover.look()

    def _settle_more(self) -> None:
        """Let a few partitions settle in the background."""
        busy = [leadership for leadership in self.leaderships.values() if leadership.open]
        for leadership in busy[:SETTLING_PARTITIONS_MAX]:
            leadership.settle_next()

    # -- time --------------------------------------------------------------------------------------

    def later(self, delay_ns: int, call: Callable[[], None]) -> Timer:
        """Call later; a disk that is found damaged then ends the process."""
        return self.world.call_after(delay_ns, self._guard(call))

    def at_beat(self, interval_ns: int, call: Callable[[], None]) -> None:
        """Call at the next beat of an interval, as `later` does."""
        self.later(until_beat_ns(self.world, interval_ns), call)

    def _guard(self, call: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                call()
            except StoreDamagedError as error:
                self.world.halt(str(error))

        return guarded

    def validate(self) -> None:
        """Assert what must always hold."""
        for partition, leadership in self.leaderships.items():
            assert partition not in self.candidacies
            assert leadership.partition == partition
            leadership.validate()
