"""A leadership: one partition led under one ballot, from the promises of a quorum to the end.

Rules of this file:
1. Operations on one key are carried out one at a time, each on top of what was chosen before it. Different
   keys do not wait for each other.
2. A key is touched once its bucket is settled, the one of its Dict's `clear`, and the one that says whether
   the partition has forgotten any.
3. An answer that changes something is given when that is chosen and was handed to readers; one that changes
   nothing, when a majority still follows the ballot.
4. When a ballot is gone, what had not begun is told so, and may be asked of the next leader; of what had
   begun nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from ..network.leadermessage import Acted, TellNames, TellRecords, Verb
from ..network.message import Reason, Refused, Reply, Unknown
from ..ringview import NO_MARK
from ..world import NodeId
from .ballot import Ballot, Order
from .clears import Clears
from .desk import Desk
from .electorate import Electorate
from .grantclock import GrantClock
from .plain import PlainEntry
from .queues import Queues
from .record import BUCKETS, CLEAR_BUCKET, FORGETS, FORGETS_BUCKET, SUM_BYTES, Record, bucket_of, dict_of
from .request import Fate
from .settlement import Settlement
from .successor import ended, is_ended, successor
from .verdict import NEEDS_PLAIN, Change, Seen, Told, decide, find, never, see
from .waits import Waits
from .work import Work


class Leadership:
    """One of them. `pledges`: of each who promised, the highest token and the sums of its buckets."""

    def __init__(
        self,
        desk: Desk,
        partition: int,
        ballot: Ballot,
        electorate: Electorate,
        pledges: Mapping[NodeId, tuple[int, bytes]],
    ) -> None:
        self._desk = desk
        self.partition = partition
        self.ballot = ballot
        self.electorate = electorate
        self.me = NodeId(ballot.node)
        self.acceptor = desk.acceptor
        self.say = desk.say
        self.later = desk.later
        self.ended = False
        #: No new operation is taken: somebody else is to lead.
        self.yielding = False
        #: Acceptors that follow a higher ballot.
        self.lost: set[NodeId] = set()
        self.begun_ns = self.now_ns()
        self._sequence = 0
        self._undecided: set[int] = set()  # where each batch begins that is not chosen yet
        self._pledges = dict(pledges)
        self.highest = max(token for token, _ in pledges.values())
        self.queues = Queues(self._start)
        self._clears = Clears(self, self._resume)
        self.waits = Waits(self.now_ns, self._holder)
        self._grants = GrantClock(self.begun_ns, lambda name: desk.plain.peek(partition, name))
        self.open = self._unsettled()
        self._settlements: dict[int, Settlement] = {}
        #: What waits for a bucket.
        self._waiting: dict[int, list[Callable[[], None]]] = {}
        self._show_untold(lambda bucket: bucket not in self.open)

    def now_ns(self) -> int:
        """Of this node's clock."""
        return self._desk.world.now_ns()

    # -- settling ----------------------------------------------------------------------------------

    def promisers(self) -> Iterable[NodeId]:
        """Who promised, by the time that this one was elected."""
        return self._pledges

    def sum_at(self, node: NodeId, bucket: int) -> bytes:
        """A bucket's sum there, when it was promised."""
        sums = self._pledges[node][1]
        return sums[bucket * SUM_BYTES : (bucket + 1) * SUM_BYTES] if sums else bytes(SUM_BYTES)

    def _unsettled(self) -> set[int]:
        carries = not self.electorate.is_simple and self.acceptor.record(self.partition, FORGETS) is not None
        carried = {FORGETS_BUCKET} if carries else set()
        if len({sums for _, sums in self._pledges.values()}) == 1 and self.electorate.agreed(self._pledges):
            return carried  # all have the same, as in health: no bucket is to be looked at by itself
        return carried.union(bucket for bucket in range(BUCKETS) if not self._is_settled(bucket))

    def _is_settled(self, bucket: int) -> bool:
        mine = self.sum_at(self.me, bucket)
        same = [node for node in self._pledges if self.sum_at(node, bucket) == mine]
        return self.electorate.agreed(same)

    def settle(self, bucket: int) -> None:
        """Begin to settle a bucket, if nobody has."""
        if bucket not in self._settlements:
            one = Settlement(
                self,
                bucket,
                lambda: self._close(bucket),
                lambda: self._desk.abandon(self, "who promised is gone"),
            )
            self._settlements[bucket] = one
            one.start()

    def settle_next(self) -> None:
        """Settle one more bucket in the background."""
        if self.open and not self._settlements:
            self.settle(min(self.open))

    def on_names(self, message: TellNames) -> None:
        """Names of a bucket that is being settled."""
        if message.bucket in self._settlements:
            self._settlements[message.bucket].on_names(message)

    def on_records(self, message: TellRecords) -> None:
        """Records of it."""
        if message.bucket in self._settlements:
            self._settlements[message.bucket].on_records(message)

    def _close(self, bucket: int) -> None:
        del self._settlements[bucket]
        self.open.discard(bucket)
        self._show_untold(bucket.__eq__)
        if not self.open:
            self._desk.settled(self)
        for call in self._waiting.pop(bucket, []):
            if not self.ended:
                call()

    def _show_untold(self, is_settled: Callable[[int], bool]) -> None:
        """Show what was chosen in buckets that are settled now, and of which the last leader told nobody."""
        names = self.acceptor.untold.names(self.partition, is_settled)
        records = [(name, self.acceptor.record(self.partition, name)) for name in names]
        chosen = [(self.partition, name, record) for name, record in records if record is not None]
        if chosen:
            self._desk.show(chosen, self.electorate.row)

    def _when_settled(self, buckets: Sequence[int], call: Callable[[], None]) -> None:
        """Call once these buckets are settled; at once if they are."""
        missing = next((bucket for bucket in buckets if bucket in self.open), None)
        if missing is None:
            call()
        else:
            self._waiting.setdefault(missing, []).append(lambda: self._when_settled(buckets, call))
            self.settle(missing)

    # -- what is chosen ----------------------------------------------------------------------------

    def next_order(self) -> Order:
        """A place behind all that this ballot gave so far."""
        self._sequence += 1
        return Order(self.ballot, self._sequence)

    def has_decided(self, record: Record) -> bool:
        """Whether a record that is here is none that is under way."""
        return record.order.ballot != self.ballot or record.order.sequence <= self.decided

    @property
    def decided(self) -> int:
        """Up to this place of the ballot nothing is under way any more."""
        return min(self._undecided, default=self._sequence + 1) - 1

    def choose(self, rows: list[tuple[bytes, Record]], then: Callable[[], None]) -> None:
        """Have records chosen, show them to readers, and go on."""
        first = min(record.order.sequence for _, record in rows)
        self._undecided.add(first)

        def chosen() -> None:
            self._undecided.discard(first)
            self._desk.show([(self.partition, name, record) for name, record in rows], self.electorate.row)
            if self.waits:
                for name, _ in rows:
                    self.waits.changed(name)
            then()

        self._desk.rounds.begin(self.partition, self.ballot, self.electorate, rows, chosen)

    def confirm(self, then: Callable[[], None]) -> None:
        """Go on once a majority says that it follows this ballot still."""
        self._desk.rounds.begin(self.partition, self.ballot, self.electorate, [], then)

    def token(self, floor: int) -> int:
        """A version above that, and above all that this partition had."""
        self.highest = self._desk.stamp(max(floor, self.highest, self._desk.plain.floor(self.partition)))
        return self.highest

    # -- operations on a key -----------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self.queues and not self._clears

    def take(self, work: Work) -> None:
        """Carry an operation out when its turn has come."""
        work.asker.note(Fate.WAITING)
        if work.act.verb == Verb.CANCEL:
            self._mark(work)
        self.queues.add(work)

    def _mark(self, work: Work) -> None:
        """What is cancelled and was not begun is not begun any more, whenever it is asked for."""
        target, session = work.act.body, work.asker.session
        serial = int.from_bytes(target[len(target) - 6 :], "big")
        fate = session.fate(serial)
        if fate is Fate.NEW:
            session.note(serial, Fate.CANCELLED)
        elif fate is Fate.WAITING:
            for other in self.queues.of(work.name):
                if other.asker.operation_id == target:
                    session.note(serial, Fate.CANCELLED)

    def _start(self, work: Work) -> None:
        """The first of its queue: go on when nothing stands in the way."""
        dict_id = dict_of(work.name)
        if dict_id in self._clears:
            self._clears.stop(dict_id, work.name)
            return
        buckets = [CLEAR_BUCKET, FORGETS_BUCKET, bucket_of(work.name)]
        self._when_settled(buckets, lambda: self._look(work))

    def _look(self, work: Work) -> None:
        if self._is_given_up(work):
            self.queues.drop(work)
            return
        if dict_of(work.name) in self._clears:
            self._start(work)
            return
        held = self._see(work.name, None).held
        if held is not None and self._grants.is_over(work.name, held, self.now_ns()):
            self._expire(work, held)
        elif work.act.verb in NEEDS_PLAIN:
            stood = self.acceptor.record(self.partition, work.name) is not None
            self._desk.plain.read_majority(
                self.partition, work.name, lambda known, plain: self._plain_read(work, plain, known, stood)
            )
        else:
            self._decide(work, self._desk.plain.peek(self.partition, work.name))

    def _is_given_up(self, work: Work) -> bool:
        """Whether its client wants no answer any more: then it must not happen any more."""
        return work.asker.session.fate(work.asker.serial) in (Fate.CANCELLED, Fate.PAST)

    def _plain_read(self, work: Work, plain: PlainEntry | None, known: bool, stood: bool) -> None:  # noqa: FBT001
        if stood and not self.ended and self.acceptor.record(self.partition, work.name) is None:
            self._look(work)  # forgotten meanwhile: what was read may be what the record hid
        elif known and not self.ended:
            self._decide(work, plain)
        elif not self.ended:
            text = "no majority of the key's owners told its plain value"
            self._finish(work, Refused(0, Reason.NO_QUORUM, text, NO_MARK))

    def _see(self, name: bytes, plain: PlainEntry | None) -> Seen:
        cleared = self.acceptor.record(self.partition, dict_of(name))
        forgotten = 0 if self.acceptor.record(self.partition, FORGETS) is None else self.highest
        return see(self.acceptor.record(self.partition, name), cleared, plain, forgotten)

    def _decide(self, work: Work, plain: PlainEntry | None) -> None:
        if dict_of(work.name) in self._clears:
            self._start(work)
            return
        if self._is_given_up(work):
            self.queues.drop(work)
            return
        if is_ended(self.acceptor.record(self.partition, dict_of(work.name))):
            self._finish(work, Refused(0, Reason.NO_DICT, "the Dict was deleted", NO_MARK))
            return
        seen = self._see(work.name, plain)
        if work.act.verb == Verb.CANCEL:
            self._cancel(work, seen)
            return
        change, told = decide(work.act, seen)
        if change is None:
            self.confirm(lambda: self._tell(work, told))
            return
        record = self._record_of(work, change, seen)
        work.begin()
        self._grants.note(work.name, record, self.now_ns())
        self.choose([(work.name, record)], lambda: self._tell(work, told, record.token))

    def _record_of(self, work: Work, change: Change, seen: Seen) -> Record:
        if change.keeps_token and seen.held is not None:
            token = seen.held.token
        else:
            token = self.token(max(seen.version, 0 if seen.record is None else seen.record.token))
        operation_id = work.asker.operation_id
        return successor(seen, change, self.next_order(), operation_id, token, work.act.key)

    def _tell(self, work: Work, told: Told, token: int = 0) -> None:
        version = token if told.version is None else told.version
        self._finish(work, Acted(0, told.happened, version, told.body, told.invalid))

    def _finish(self, work: Work, reply: Reply) -> None:
        if self.ended:
            return
        work.answer(reply)
        self.queues.drop(work)

    # -- what becomes of an operation of unknown outcome ---------------------------------------------

    def _cancel(self, work: Work, seen: Seen) -> None:
        """Find it, or see to it that it will never be found.

        What the operation's acceptance under an older ballot may have left on some acceptor loses against
        the present state, accepted anew.
        """
        told = find(work.act, seen)
        if told is not None:
            self.confirm(lambda: self._tell(work, told))
        else:
            self._bar(work, seen, lambda: self._never(work, seen))

    def _bar(self, work: Work, seen: Seen, then: Callable[[], None]) -> None:
        """Have what stands there, absence included, accepted anew."""
        if seen.record is None:  # with no token: it hides no plain value
            nothing = Change(None, 0, takes=False)
            record = successor(seen, nothing, self.next_order(), work.asker.operation_id, 0, work.act.key)
        else:
            record = msgspec.structs.replace(seen.record, order=self.next_order())
        work.begin()
        self.choose([(work.name, record)], then)

    def _never(self, work: Work, seen: Seen) -> None:
        told = never(work.act, seen)
        if told is None:
            self._finish(work, Unknown(0, "too much has happened to that key since"))
        else:
            self._tell(work, told)

    def _expire(self, work: Work, held: Record) -> None:
        """End a grant whose time is over, by an operation of its own; then look again."""
        operation_id = self._desk.world.dice("expiry").randbytes(16)
        record = ended(held, self.next_order(), operation_id, self.token(held.token))
        self.choose([(work.name, record)], lambda: self._look(work))

    def clear(
        self, dict_id: bytes, operation_id: bytes, answer: Callable[[Reply], None], *, ends: bool = False
    ) -> None:
        """Make all of a Dict absent here; `ends`: and have nothing decided about it any more."""
        if self._clears.add(dict_id, operation_id, answer, ends=ends):
            self._when_settled([CLEAR_BUCKET], lambda: self._clears.go(dict_id))

    def _resume(self, name: bytes) -> None:
        """A `clear` was in the way, and is not any more."""
        if not self.ended:
            self.queues.go_on(name)

    def _holder(self, name: bytes) -> int:
        """By which token a name is held; 0: by none, or its time is over."""
        held = self._see(name, None).held
        return 0 if held is None or self._grants.is_over(name, held, self.now_ns()) else held.token

    # -- the end -----------------------------------------------------------------------------------

    def end(self) -> None:
        """The ballot is gone: tell those who wait."""
        self.ended = True
        self._desk.rounds.drop(self.ballot, self.partition)
        for work in self.queues:
            work.depose()
        self._clears.end()
        self.waits.end()

    def validate(self) -> None:
        """Assert what must always hold."""
        self.queues.validate()
        assert not self.ended
