"""What an acceptor forgets: what a leader has it purge, and what it held before it was a replica.

The rules stand in node/leaders/purge.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...exception import StoreDamagedError
from ..network.leadermessage import Ask, Forgotten, Prepare, Purge
from ..network.message import Message
from ..ringview import RingView
from ..world import Changes, NodeId, World
from .ballot import Ballot, Order
from .leaderconfig import FORGET_ROWS_MAX
from .record import Record, decode_record
from .shelf import Apply, Draft, Shelf, move_sum, place


class Forgetting:
    """One acceptor's part in it. `keep` commits changes, `apply` shows records to readers; both call back
    once that is on disk."""

    def __init__(
        self,
        world: World,
        shelf: Shelf,
        say: Callable[[NodeId, Message], None],
        keep: Callable[[Changes, Callable[[], None]], None],
        apply: Apply,
        prepare: Callable[[Prepare], None],
    ) -> None:
        self._world = world
        self._me = world.identity.node
        self._shelf = shelf
        self._say = say
        self._keep = keep
        self._apply = apply
        self._prepare = prepare
        self._view: RingView | None = None
        self._since: Sequence[int] = ()
        #: Partitions in which no former replica has a say, by this node's own ring.
        self._alone: frozenset[int] = frozenset()
        #: Partitions of which all is being forgotten; nothing is taken up there before it is.
        self._emptying: set[int] = set()
        #: Who asked last for a promise that could not be given yet, by partition.
        self._postponed: dict[int, tuple[bytes, int, Ask]] = {}

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring; forget what this node holds of partitions in which it has no say any more, or
        has one anew: whatever was decided meanwhile, and forgotten by all, it may not bring back.

        A replica that was one before and after a change knows of it by a promise, or a majority has taken
        over all that was ever decided: then the new decree names no former replicas. One that looks away
        while it is none, and is one again, may find itself among the former replicas all the same.
        """
        before, self._view = self._view, view
        decree, me = view.decree, view.me
        self._since = decree.since
        alone: list[int] = []
        for partition, since in enumerate(decree.since):
            *former, row = decree.acceptor_sets(partition)
            if not former:
                alone.append(partition)
            is_former = me is not None and any(me in one for one in former)
            has_say = is_former or (me is not None and me in row)
            is_behind = self._shelf.promised(partition).since < since
            if not has_say or (is_behind and not (is_former and _counts(before, view, partition, self._me))):
                self._empty(partition)
        self._alone = frozenset(alone)
        self._answer_postponed()

    def _empty(self, partition: int) -> None:
        """Forget all of a partition but its promise and its highest tokens, in bounded steps."""
        places = self._shelf.leavings(partition, FORGET_ROWS_MAX)
        if not places:
            if partition in self._emptying:
                self._emptying.discard(partition)
                self._answer_postponed()
            return
        self._emptying.add(partition)
        changes: Changes = dict.fromkeys(places, None)
        if len(places) < FORGET_ROWS_MAX:
            self._shelf.no_sums(changes, partition)
        self._keep(changes, self._then(lambda: self._empty(partition)))

    def knows(self, partition: int, since: int) -> bool:
        """Whether this node knows of that set of replicas, and has forgotten what it had to."""
        known = partition < len(self._since) and since <= self._since[partition]
        return known and partition not in self._emptying

    def postpone(self, message: Prepare, ask: Ask) -> None:
        """Answer that as soon as it is known what may be promised."""
        self._postponed[ask[0]] = (message.node, message.boot, ask)

    def _answer_postponed(self) -> None:
        asked: dict[tuple[bytes, int], list[Ask]] = {}
        for partition, (node, boot, ask) in list(self._postponed.items()):
            if self.knows(partition, ask[1]):
                del self._postponed[partition]
                asked.setdefault((node, boot), []).append(ask)
        for (node, boot), asks in asked.items():
            self._prepare(Prepare(node, boot, asks))

    def is_straggler(self, ballot: Ballot, partition: int, rows: list[tuple[bytes, bytes]]) -> bool:
        """Whether one of these records was sent before its removal, which was forgotten since."""
        mark = self._shelf.mark(partition)
        if mark.ballot != ballot:
            return False
        for name, raw in rows:
            new = decode_record(raw)
            if (
                new.body is not None
                and new.order.ballot == ballot
                and new.order <= mark
                and self._shelf.record(partition, name) is None
            ):
                return True
        return False

    def is_forgotten(self, ballot: Ballot, partition: int, new: Record) -> bool:
        """Whether a record that says "absent", where nothing stands, may be one that was forgotten. All that
        has it taken up is content with nothing; a stale one would hide from `cancel` what came after it."""
        mark = self._shelf.mark(partition)
        return new.body is None and mark.ballot == ballot and new.order <= mark

    def on_purge(self, message: Purge) -> None:
        """Forget what still stands as it did when all had it; readers know first, and durably.

        Not while former replicas have a say by this node's own ring, whatever the leader goes by: elected by
        the older ring, it would ask them, and had nothing left that outdoes what they have.
        """
        if not self._may_forget(message):
            return
        standing = self._standing(message)
        shown = [(message.partition, name, record) for name, record in standing]
        self._apply(shown, self._then(lambda: self._forget(message)))

    def _may_forget(self, message: Purge) -> bool:
        is_followed = self._ballot_of(message) == self._shelf.promised(message.partition)
        return is_followed and message.partition in self._alone

    def _ballot_of(self, message: Purge) -> Ballot:
        return Ballot(message.since, message.round, message.node, message.boot)

    def _standing(self, message: Purge) -> list[tuple[bytes, Record]]:
        found: list[tuple[bytes, Record]] = []
        for name, order in message.rows:
            record = self._shelf.record(message.partition, name)
            if record is not None and record.order == order and record.body is None:
                found.append((name, record))
        return found

    def _then(self, call: Callable[[], None]) -> Callable[[], None]:
        """What follows on a disk's answer: who brings that does not know what a damaged record means."""

        def then() -> None:
            try:
                call()
            except StoreDamagedError as error:
                self._world.halt(str(error))

        return then

    def _forget(self, message: Purge) -> None:
        partition, ballot = message.partition, self._ballot_of(message)
        if not self._may_forget(message):
            return
        draft = Draft(self._shelf.storage)
        for name, record in self._standing(message):
            draft.changes[place(partition, name)] = None
            move_sum(draft, partition, name, record.order, None, 0)
        self._shelf.raise_mark(draft.changes, partition, Order(ballot, message.decided))
        to = NodeId(message.node)
        said = Forgotten(self._me, message.boot, message.number)
        self._keep(draft.changes, lambda: self._say(to, said))


def _counts(before: RingView | None, view: RingView, partition: int, me: NodeId) -> bool:
    """Whether a set of replicas that this node knew when it looked last, and is in, is asked still. Sets are
    added at the end and given up all together, but for the last; a recovery by force makes others of them."""
    if before is None or before.decree.recoveries != view.decree.recoveries:
        return True
    known, sets = _sets(before, partition), _sets(view, partition)
    for first in range(len(known)):
        kept = known[first:]
        if sets[: len(kept)] == kept:
            return any(me in one for one in kept)
    return False


def _sets(view: RingView, partition: int) -> list[frozenset[NodeId]]:
    sets = view.decree.acceptor_sets(partition)
    return [frozenset(view.members[number] for number in one) for one in sets]
