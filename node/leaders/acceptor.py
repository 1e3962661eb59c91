"""The acceptor: what a node has promised and accepted, on disk before anybody is told.

Rules of this file:
1. Never below a promise: a ballot is compared with what was promised, not with what was accepted.
2. Every answer that says that something is kept is sent from the `done` of a commit that came after it, also
   when nothing had to be written any more: the same may have been asked a moment ago, and still be on its way
   to the disk.
3. An answer to "does this ballot still stand?" says something about this moment only, and needs no disk.
4. While a ballot stands, what the acceptor holds changes by that ballot alone. So a leader may look at it in
   pages.
5. A disk that is full takes nothing; what was believed kept since is read anew. Any other failure ends the
   process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Final

import msgspec

from ...exception import Error, StoreFullError
from ..network.leadermessage import (
    Accept,
    Accepted,
    AskNames,
    AskRecords,
    Learn,
    Pledge,
    Prepare,
    Promise,
    Proposal,
    Refusal,
    Refuse,
    TellNames,
    TellRecords,
)
from ..network.message import Message
from ..world import Changes, NodeId, Storage, World
from .ballot import NO_BALLOT, Ballot, Order
from .leaderconfig import PAGE_BYTES, PAGE_NAMES
from .record import BUCKETS, SUM_BYTES, Record, bucket_of, decode_record, encode_record, moved_sum

Say = Callable[[NodeId, Message], None]
Chosen = tuple[int, bytes, Record]
"""Partition, name, record."""

PROMISED: Final = b"Lp"
_SUM: Final = b"Ls"
RECORD: Final = b"Lr"
_PLACE: Final = Struct(">2sHB")
_TALLY: Final = Struct(f">{SUM_BYTES}sQ")
"""Sum of a bucket, and the highest token that was ever accepted in it."""

_encode: Final = msgspec.msgpack.Encoder().encode
_ballot: Final = msgspec.msgpack.Decoder(Ballot).decode


class Draft:
    """Changes that are yet to be committed, seen on top of what is there."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.changes: Changes = {}

    def get(self, key: bytes) -> bytes | None:
        """What a key will be."""
        return self.changes[key] if key in self.changes else self._storage.get(key)


class Acceptor:
    """All partitions of one node.

    `sticky` says whether a present leader stands in the way of another ballot; `failed` is told once the disk
    was full; `apply` gets what is known to be chosen.
    """

    def __init__(
        self,
        world: World,
        storage: Storage,
        say: Say,
        *,
        sticky: Callable[[int, Ballot, Ballot, Ballot | None], bool],
        failed: Callable[[], None],
        apply: Callable[[list[Chosen]], None],
    ) -> None:
        self._world = world
        self._storage = storage
        self._say = say
        self._me = world.identity.node
        self._sticky = sticky
        self._failed = failed
        self._apply = apply
        self._promised: dict[int, Ballot] = {}

    # -- what is there -----------------------------------------------------------------------------

    def promised(self, partition: int) -> Ballot:
        """The highest ballot that is followed."""
        ballot = self._promised.get(partition)
        if ballot is None:
            raw = self._storage.get(_PLACE.pack(PROMISED, partition, 0))
            ballot = self._promised[partition] = NO_BALLOT if raw is None else _ballot(raw)
        return ballot

    def record(self, partition: int, name: bytes) -> Record | None:
        """What was accepted last for a name."""
        raw = self._storage.get(place(partition, name))
        return None if raw is None else decode_record(raw)

    def tallies(self, partition: int) -> tuple[int, bytes]:
        """The highest token, and the sums of all buckets: nothing if each is 0."""
        first = _PLACE.pack(_SUM, partition, 0)
        rows = self._storage.scan(first, _PLACE.pack(_SUM, partition, BUCKETS), BUCKETS)
        if not rows:
            return 0, b""
        sums = bytearray(BUCKETS * SUM_BYTES)
        highest = 0
        for key, raw in rows:
            total, token = _TALLY.unpack(raw)
            at = key[len(first) - 1] * SUM_BYTES
            sums[at : at + SUM_BYTES] = total
            highest = max(highest, token)
        return highest, bytes(sums)

    def names(self, partition: int, bucket: int, after: bytes) -> tuple[list[tuple[bytes, Order]], bool]:
        """A page of a bucket: names with orders, ascending, from behind a name on; whether more follow."""
        head = _PLACE.pack(RECORD, partition, bucket)
        end = _PLACE.pack(RECORD, partition, bucket + 1)
        rows = self._storage.scan(head + after + b"\0" * bool(after), end, PAGE_NAMES + 1)
        page = [(key[len(head) :], decode_record(raw).order) for key, raw in rows[:PAGE_NAMES]]
        return page, len(rows) > PAGE_NAMES

    def on_message(self, message: Message) -> None:
        """What leaders and candidates say to acceptors."""
        match message:
            case Prepare():
                self.on_prepare(message)
            case Accept():
                self.on_accept(message)
            case Learn():
                self.on_learn(message)
            case AskNames():
                self.on_ask_names(message)
            case AskRecords():
                self.on_ask_records(message)
            case _:
                pass

    # -- promises ----------------------------------------------------------------------------------

    def on_prepare(self, message: Prepare) -> None:
        """Promise what may be promised."""
        changes: Changes = {}
        pledges: list[Pledge] = []
        refusals: list[Refusal] = []
        for partition, since, number, consent in message.asks:
            ballot = Ballot(since, number, message.node, message.boot)
            held = self.promised(partition)
            if ballot < held or (ballot != held and self._sticky(partition, ballot, held, consent)):
                refusals.append((partition, ballot, held, ballot > held))
                continue
            self._follow(changes, partition, ballot)
            pledges.append((partition, since, number, *self.tallies(partition)))
        to = NodeId(message.node)
        if refusals:
            self._say(to, Refuse(self._me, refusals))
        if pledges:
            self._keep(changes, lambda: self._promise(to, message, pledges))

    def _promise(self, to: NodeId, message: Prepare, pledges: list[Pledge]) -> None:
        for partition, since, number, _, _ in pledges:
            ballot = Ballot(since, number, message.node, message.boot)
            self._world.trace("promised", node=self._me, partition=partition, ballot=ballot.plain())
        self._say(to, Promise(self._me, message.node, message.boot, pledges))

    def _follow(self, changes: Changes, partition: int, ballot: Ballot) -> None:
        """Let no lower ballot in from now on."""
        self._promised[partition] = ballot
        changes[_PLACE.pack(PROMISED, partition, 0)] = _encode(ballot)

    # -- records -----------------------------------------------------------------------------------

    def on_accept(self, message: Accept) -> None:
        """Accept what may be accepted."""
        draft = Draft(self._storage)
        kept: list[int] = []
        standing: list[int] = []
        taken: list[Chosen] = []
        refusals: list[Refusal] = []
        for number, partition, since, turn, rows in message.proposals:
            ballot = Ballot(since, turn, message.node, message.boot)
            if not self.may_accept(ballot, partition, rows):
                refusals.append((partition, ballot, self.promised(partition), False))
            elif rows:
                self._follow(draft.changes, partition, max(ballot, self.promised(partition)))
                taken += self._take(draft, partition, rows)
                kept.append(number)
            else:
                standing.append(number)
        to = NodeId(message.node)
        if refusals:
            self._say(to, Refuse(self._me, refusals))
        if standing:
            self._say(to, Accepted(self._me, message.boot, standing))
        if kept:
            self._keep(draft.changes, lambda: self._accepted(to, message.boot, kept, taken))

    def may_accept(self, ballot: Ballot, partition: int, _rows: list[tuple[bytes, bytes]]) -> bool:
        """Whether that ballot is still followed."""
        return ballot >= self.promised(partition)

    def _take(self, draft: Draft, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> list[Chosen]:
        taken: list[Chosen] = []
        for name, raw in rows:
            new = decode_record(raw)
            key = place(partition, name)
            there = draft.get(key)
            old = None if there is None else decode_record(there)
            taken.append((partition, name, new))
            if old is not None and old.order >= new.order:
                continue
            draft.changes[key] = raw
            at = _PLACE.pack(_SUM, partition, bucket_of(name))
            tally = draft.get(at)
            total, highest = (b"", 0) if tally is None else _TALLY.unpack(tally)
            moved = moved_sum(
                int.from_bytes(total, "big"), name, None if old is None else old.order, new.order
            )
            draft.changes[at] = _TALLY.pack(moved.to_bytes(SUM_BYTES, "big"), max(highest, new.token))
        return taken

    def _accepted(self, to: NodeId, boot: int, numbers: list[int], taken: list[Chosen]) -> None:
        for partition, name, record in taken:
            self._world.trace(
                "accepted",
                node=self._me,
                partition=partition,
                name=name,
                order=record.order.plain(),
                operation=record.operation_id,
                parent=record.parent_id,
                token=record.token,
                present=record.body is not None,
            )
        self._say(to, Accepted(self._me, boot, numbers))

    def on_learn(self, message: Learn) -> None:
        """What is chosen can be shown to readers, if it is here."""
        chosen: list[Chosen] = []
        for partition, name, order in message.rows:
            record = self.record(partition, name)
            if record is not None and record.order == order:
                chosen.append((partition, name, record))
        if chosen:
            self._apply(chosen)

    # -- pages for whoever was promised to -----------------------------------------------------------

    def on_ask_names(self, message: AskNames) -> None:
        """Tell what is in a bucket."""
        partition, ballot = message.partition, message.ballot
        if self._stands(message.node, partition, ballot):
            rows, more = self.names(partition, message.bucket, message.after)
            self._say(
                NodeId(message.node),
                TellNames(self._me, partition, ballot, message.bucket, message.after, rows, more),
            )

    def on_ask_records(self, message: AskRecords) -> None:
        """Tell records, at least one."""
        partition, ballot = message.partition, message.ballot
        if not self._stands(message.node, partition, ballot):
            return
        rows: list[tuple[bytes, bytes]] = []
        size_bytes = 0
        for name in message.names:
            raw = self._storage.get(place(partition, name))
            if raw is None:
                continue
            if rows and size_bytes + len(raw) > PAGE_BYTES:
                break
            rows.append((name, raw))
            size_bytes += len(raw)
        self._say(NodeId(message.node), TellRecords(self._me, partition, ballot, message.bucket, rows))

    def _stands(self, node: bytes, partition: int, ballot: Ballot) -> bool:
        held = self.promised(partition)
        if held != ballot:
            self._say(NodeId(node), Refuse(self._me, [(partition, ballot, held, False)]))
        return held == ballot

    # -- the disk ----------------------------------------------------------------------------------

    def _keep(self, changes: Changes, then: Callable[[], None]) -> None:
        """Commit, and go on once it is on disk."""

        def done(error: Error | None) -> None:
            if error is None:
                then()
            elif isinstance(error, StoreFullError):
                self._promised.clear()
                self._failed()
            else:
                self._world.halt(str(error))

        self._storage.commit(changes, done)


def place(partition: int, name: bytes | None) -> bytes:
    """Under which key of the disk a record is, or, without a name, the promise of a partition."""
    if name is None:
        return _PLACE.pack(PROMISED, partition, 0)
    return _PLACE.pack(RECORD, partition, bucket_of(name)) + name


def proposal(number: int, partition: int, ballot: Ballot, rows: list[tuple[bytes, Record]]) -> Proposal:
    """What a leader sends for records."""
    packed = [(name, encode_record(record)) for name, record in rows]
    return number, partition, ballot.since, ballot.round, packed
