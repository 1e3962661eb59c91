"""Purging: records that say "absent" are forgotten, so that locks taken and released leave nothing behind.

Rules of this file (part R4 and A8 of the protocol; docs/atomics.md):
1. Only what *every* present replica has accepted is forgotten, and only while no former replica has a say
   by the ring of any of them: nobody is left who could bring back what stood there before. A majority would
   not do, however old the record is: the one that missed it may still hold a lock that was released.
2. Who is told to forget notes up to which order of the ballot everything was decided (the *mark*). A record
   of that ballot that would make a key present, is not above the mark and has nothing to replace is a
   straggler, sent before its removal: it is not accepted.
3. Records of older ballots need no mark, since the ballots are refused. A replica that comes into a row has
   forgotten all that it held of the partition before (`Acceptor.set_view`).
4. Tokens go on to grow: the highest one of a bucket is kept beside its sum, not in the records.
5. The leader forgets last. Whatever is lost before, it finds the record again and begins anew.
6. Before a partition forgets anything, a record says so, for ever: of a key without a record it is then not
   known whether something once happened to it, and `cancel` does not claim to know.
7. Age decides nothing but when it is worth the while: keys that are used again soon are not purged each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from msgspec.structs import replace

from ..clock import COUNTER_BITS
from ..network.leadermessage import Forgotten, Purge
from ..network.message import Message
from ..world import NS_PER_MS, NS_PER_S, NodeId, Timer, World
from .acceptor import Acceptor
from .ballot import Ballot, Order
from .heartbeat import Heartbeats
from .leaderconfig import (
    PAGE_BYTES,
    PURGE_AGE_S,
    PURGE_LOOK_S,
    PURGE_PAGE_ROWS,
    PURGE_SCAN_BYTES,
    PURGE_STEP_BYTES,
    PURGE_TRY_S,
    RESEND_S,
    RESIGN_S,
)
from .leadership import Leadership
from .record import FORGETS, Record, dict_of, size_of
from .reshowing import Reshowing
from .round import Rounds
from .shelf import Chosen, place
from .successor import clearing

_HEARD_NS = int(RESIGN_S * NS_PER_S)
_RESEND_NS = int(RESEND_S * NS_PER_S)
_TRY_NS = int(PURGE_TRY_S * NS_PER_S)


def _nothing() -> None:
    """What follows when nothing is waited for."""


class Purged(Protocol):
    """What purging needs of its node."""

    world: World
    acceptor: Acceptor
    rounds: Rounds
    heartbeats: Heartbeats
    leaderships: dict[int, Leadership]
    me: NodeId

    def show(self, chosen: list[Chosen], row: tuple[NodeId, ...], /) -> None: ...

    def has_one_set(self, partition: int, /) -> bool: ...

    def say(self, to: NodeId, message: Message, /) -> None: ...

    def later(self, delay_ns: int, call: Callable[[], None], /) -> Timer: ...
    def at_beat(self, interval_ns: int, call: Callable[[], None], /) -> None: ...


class _Batch:
    """Names of one partition that are being forgotten."""

    __slots__ = ("leadership", "number", "rows", "waiting")

    def __init__(self, leadership: Leadership, rows: list[tuple[bytes, Order]], number: int) -> None:
        self.leadership = leadership
        self.rows = rows
        self.number = number
        #: Who has not said yet that it has forgotten them; the leader itself is not among them.
        self.waiting: list[NodeId] = []


class Purger:
    """Purges the partitions that its node leads, one at a time, in bounded steps."""

    #: How long a record says "absent" before it is looked at.
    age_ms: ClassVar[int] = int(PURGE_AGE_S * 1000)
    look_ns: ClassVar[int] = int(PURGE_LOOK_S * NS_PER_S)
    #: Whether a batch waits for every replica: rule 1.
    by_all: ClassVar[bool] = True

    def __init__(self, desk: Purged) -> None:
        self._desk = desk
        self._number = 0
        self._batch: _Batch | None = None
        #: Partitions in which something may say "absent", and from when on they are worth a walk.
        self._due_ns: dict[int, int] = {}
        #: Where a walk is: the partition, behind which place it goes on, whether it left something.
        self._at: tuple[int, bytes, bool] | None = None
        #: Records forgotten by all, since the start.
        self.purged_count = 0
        #: Of each partition, the ballot under which it is being said that it forgets.
        self._announced: dict[int, Ballot] = {}
        self._reshowing = Reshowing(desk)
        desk.at_beat(self.look_ns, self._look)

    def note(self, partition: int) -> None:
        """Something in a partition that is led here may say "absent" from now on."""
        self._due_ns.setdefault(partition, self._desk.world.now_ns() + self.age_ms * NS_PER_MS)

    def note_lead(self, partition: int) -> None:
        """A partition is led here from now on."""
        self.note(partition)
        self._reshowing.lead(partition)

    def note_shown(self, chosen: list[Chosen]) -> None:
        """Readers were told of that."""
        for partition, name, record in chosen:
            self._desk.acceptor.untold.told(partition, name)
            if record.body is None:
                self.note(partition)

    # -- finding -----------------------------------------------------------------------------------

    def _look(self) -> None:
        self._desk.at_beat(self.look_ns, self._look)
        self._walk()

    def _walk(self) -> None:
        """Look at records until some are found that can be forgotten, or enough were looked at."""
        bytes_left = PURGE_SCAN_BYTES
        while self._batch is None and bytes_left > 0:
            leadership = self._next()
            if leadership is None:
                return
            partition = leadership.partition
            found, bytes_count = self._page(leadership)
            bytes_left -= bytes_count + PURGE_STEP_BYTES
            if not found:
                continue
            if self._desk.acceptor.record(partition, FORGETS) is None:
                self._at = None
                self._due_ns[partition] = self._desk.world.now_ns()
                self._announce(leadership)
                return
            self._begin(leadership, found)

    def _next(self) -> Leadership | None:
        """The leadership whose records are looked at now."""
        led, now_ns = self._desk.leaderships, self._desk.world.now_ns()
        if self._at is not None:
            leadership = self._may(led.get(self._at[0]))
            if leadership is not None:
                return leadership
            self._at = None
        for partition, due_ns in list(self._due_ns.items()):
            if partition not in led:
                del self._due_ns[partition]  # whoever leads it now walks over it
            elif due_ns <= now_ns:
                leadership = self._may(led[partition])
                if leadership is not None:
                    self._at = (partition, b"", False)
                    return leadership
        return None

    def _may(self, leadership: Leadership | None) -> Leadership | None:
        """The same if all whose knowledge counts can be asked: rule 1."""
        if leadership is None or leadership.open or not self._desk.has_one_set(leadership.partition):
            return None
        answered = self._desk.heartbeats.answered(_HEARD_NS)
        return leadership if all(node in answered for node in leadership.electorate.row) else None

    def _page(self, leadership: Leadership) -> tuple[list[tuple[bytes, Record]], int]:
        """What can be forgotten of the next stretch of a partition's records; how many bytes were looked
        at."""
        assert self._at is not None
        partition, after, left = self._at
        now_ms = self._desk.world.wall_ns() // NS_PER_MS
        page, after = self._desk.acceptor.stretch(partition, after, PURGE_PAGE_ROWS)
        found: list[tuple[bytes, Record]] = []
        covered: list[tuple[bytes, Record]] = []
        bytes_count = found_bytes = 0
        for name, record in page:
            bytes_count += size_of(record)
            if name in {dict_of(name), FORGETS}:
                continue  # what a `clear` made covers keys
            if record.body is not None:
                cleared = self._desk.acceptor.record(partition, dict_of(name))
                if cleared is not None and record.born < cleared.born:
                    left = True
                    if self._is_due(leadership, cleared, now_ms) and name not in leadership.queues:
                        covered.append((name, record))
                continue
            left = True  # until another walk has seen that it is gone
            if self._is_due(leadership, record, now_ms):
                found.append((name, record))
                found_bytes += size_of(record)
                if found_bytes > PAGE_BYTES:
                    after = place(partition, name)
                    break
        if covered:
            self._empty(leadership, covered)
        self._at = (partition, after, left) if after else None
        if not after:
            del self._due_ns[partition]
            if left:
                self.note(partition)
        return found, bytes_count

    def _empty(self, leadership: Leadership, rows: list[tuple[bytes, Record]]) -> None:
        """Take the values out of records that a `clear` covers: the same records, which now say "absent"
        themselves. A new token would hide what was plainly put after the `clear`."""
        absent = [(name, replace(one, order=leadership.next_order(), body=None)) for name, one in rows]
        leadership.choose(absent, _nothing)

    def _is_due(self, leadership: Leadership, record: Record, now_ms: int) -> bool:
        if not leadership.has_decided(record):
            return False
        return now_ms - (record.token >> COUNTER_BITS) >= self.age_ms

    def _announce(self, leadership: Leadership) -> None:
        """Have it said that the partition forgets: rule 6; once a ballot, since a disk may be slow."""
        if self._announced.get(leadership.partition) == leadership.ballot:
            return
        self._announced[leadership.partition] = leadership.ballot
        operation_id = self._desk.world.dice("purge").randbytes(16)
        record = clearing(None, leadership.next_order(), operation_id, leadership.token(0))
        leadership.choose([(FORGETS, record)], _nothing)

    # -- having all accept it, then forget it --------------------------------------------------------

    def _begin(self, leadership: Leadership, rows: list[tuple[bytes, Record]]) -> None:
        desk = self._desk
        self._number += 1
        orders = [(name, record.order) for name, record in rows]
        batch = _Batch(leadership, orders, self._number)
        self._batch = batch
        number = desk.rounds.begin(
            leadership.partition,
            leadership.ballot,
            leadership.electorate,
            rows,
            lambda: self._forget(batch),
            by_all=self.by_all,
        )
        desk.later(_TRY_NS, lambda: self._give_up(batch, number))

    def _give_up(self, batch: _Batch, round_number: int) -> None:
        self._desk.rounds.forget(round_number)
        if self._batch is batch:
            self._batch = None

    def _forget(self, batch: _Batch) -> None:
        """All have accepted it, under this ballot."""
        if self._batch is not batch or batch.leadership.ended:
            return
        batch.waiting = [node for node in batch.leadership.electorate.row if node != self._desk.me]
        names = [name for name, _ in batch.rows]
        self._desk.world.trace("purges", partition=batch.leadership.partition, names=names)
        self._ask(batch)

    def _ask(self, batch: _Batch) -> None:
        """Tell those who have not answered; the leader's own acceptor once all others have."""
        if self._batch is not batch or batch.leadership.ended:
            return
        message = self._message(batch)
        for node in batch.waiting or [self._desk.me]:
            self._desk.say(node, message)
        self._desk.later(_RESEND_NS, lambda: self._ask(batch))

    def _message(self, batch: _Batch) -> Purge:
        lead = batch.leadership
        ballot = lead.ballot
        return Purge(
            self._desk.me,
            ballot.boot,
            batch.number,
            lead.partition,
            ballot.since,
            ballot.round,
            lead.decided,
            batch.rows,
        )

    def on_forgotten(self, message: Forgotten) -> None:
        """Somebody has forgotten a batch."""
        batch, node = self._batch, NodeId(message.node)
        if batch is None or (message.boot, message.number) != (self._desk.world.identity.boot, batch.number):
            return
        if node in batch.waiting:
            batch.waiting.remove(node)
            if not batch.waiting:
                self._desk.say(self._desk.me, self._message(batch))
        elif node == self._desk.me and not batch.waiting:
            self.purged_count += len(batch.rows)
            self._batch = None
            self._walk()
