"""The acceptor: what a node has promised and accepted, on disk before anybody is told.

Rules of this file:
1. Never below a promise: a ballot is compared with what was promised, not with what was accepted.
2. Every answer that says that something is kept is sent from the `done` of a commit that came after it, also
   when nothing had to be written any more: the same may have been asked a moment ago, and still be on its way
   to the disk.
3. An answer to "does this ballot still stand?" says something about this moment only, and needs no disk.
4. While a ballot stands, what the acceptor holds changes by that ballot alone. So a leader may look at it in
   pages.
5. Who would lead a set of replicas that this node does not know of is answered once it does: coming into a
   row, it first forgets what it held of the partition before (node/leaders/purge.py).
6. A disk that is full takes nothing; what was believed kept since is read anew. Any other failure ends the
   process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

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
    Purge,
    Refusal,
    Refuse,
    TellNames,
    TellRecords,
)
from ..network.message import Message
from ..world import Changes, NodeId, Storage, World
from .ballot import Ballot
from .forgetting import Forgetting
from .leaderconfig import PAGE_BYTES
from .record import Record, decode_record, encode_record
from .shelf import Apply, Chosen, Draft, Shelf, move_sum, place
from .untold import Untold

Say = Callable[[NodeId, Message], None]


def no_more() -> None:
    """What follows when nothing is waited for."""


class Acceptor(Shelf):
    """All partitions of one node.

    `sticky` says whether a present leader stands in the way of another ballot; `failed` is told once the disk
    was full; `apply` gets what is known to be chosen.
    """

    forgetting_class: ClassVar[type[Forgetting]] = Forgetting

    def __init__(
        self,
        world: World,
        storage: Storage,
        say: Say,
        *,
        sticky: Callable[[int, Ballot, Ballot, Ballot | None], bool],
        failed: Callable[[], None],
        apply: Apply,
    ) -> None:
        super().__init__(storage)
        self._world = world
        self._say = say
        self._me = world.identity.node
        self._sticky = sticky
        self._failed = failed
        self._apply = apply
        self.untold = Untold()
        self.forgetting = self.forgetting_class(world, self, say, self._keep, apply, self.on_prepare)

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
            case Purge():
                self.forgetting.on_purge(message)
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
            if not self.forgetting.knows(partition, since):
                self.forgetting.postpone(message, (partition, since, number, consent))
                continue
            held = self.promised(partition)
            if ballot < held or (ballot != held and self._sticky(partition, ballot, held, consent)):
                refusals.append((partition, ballot, held, ballot > held))
                continue
            self.follow(changes, partition, ballot)
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

    # -- records -----------------------------------------------------------------------------------

    def on_accept(self, message: Accept) -> None:
        """Accept what may be accepted."""
        draft = Draft(self.storage)
        kept: list[int] = []
        standing: list[int] = []
        taken: list[Chosen] = []
        refusals: list[Refusal] = []
        for number, partition, since, turn, rows in message.proposals:
            ballot = Ballot(since, turn, message.node, message.boot)
            if not self.forgetting.knows(partition, since):
                continue
            if self.forgetting.is_straggler(ballot, partition, rows):
                continue
            if not self.may_accept(ballot, partition, rows):
                refusals.append((partition, ballot, self.promised(partition), False))
            elif rows:
                self.follow(draft.changes, partition, max(ballot, self.promised(partition)))
                taken += self._take(draft, ballot, partition, rows)
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

    def _take(
        self, draft: Draft, ballot: Ballot, partition: int, rows: Iterable[tuple[bytes, bytes]]
    ) -> list[Chosen]:
        taken: list[Chosen] = []
        for name, raw in rows:
            new = decode_record(raw)
            key = place(partition, name)
            there = draft.get(key)
            old = None if there is None else decode_record(there)
            if old is None and self.forgetting.is_forgotten(ballot, partition, new):
                continue
            taken.append((partition, name, new))
            if old is not None and old.order >= new.order:
                continue
            draft.changes[key] = raw
            self.untold.accepted(partition, name)
            move_sum(draft, partition, name, None if old is None else old.order, new.order, new.token)
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
                taken=record.taken_id,
            )
        self._say(to, Accepted(self._me, boot, numbers))

    def on_learn(self, message: Learn) -> None:
        """What is chosen can be shown to readers, if it is here."""
        chosen: list[Chosen] = []
        for partition, name, order in message.rows:
            record = self.record(partition, name)
            if record is not None and record.order == order:
                chosen.append((partition, name, record))
                self.untold.told(partition, name)
        if chosen:
            self._apply(chosen, no_more)

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
            raw = self.storage.get(place(partition, name))
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
                self.reread()
                self._failed()
            else:
                self._world.halt(str(error))

        self.storage.commit(changes, done)


def proposal(number: int, partition: int, ballot: Ballot, rows: list[tuple[bytes, Record]]) -> Proposal:
    """What a leader sends for records."""
    packed = [(name, encode_record(record)) for name, record in rows]
    return number, partition, ballot.since, ballot.round, packed
