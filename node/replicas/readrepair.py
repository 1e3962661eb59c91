"""What a read finds out about replicas, mended behind its back.

Rules of this file:
1. A place is *doubted* when a read saw that its owners do not agree: a client got something older than it
   has seen, a fresh read got two versions, or what stands there is damaged. A few of all reads are *sampled*:
   the place is looked up at one other owner, to find what nobody has noticed.
2. Nobody waits for it. Places wait in a queue of bounded length; one question is open at a time, and so many
   are asked a second.
3. Only fronts of entries are asked for. A difference is looked at again a moment later, since most are writes
   under way; then whoever is behind gets the entry whole, to be merged like any other. Nothing is deleted: a
   tombstone is an entry too, and what is too old for a purged partition is refused where it arrives.
4. Only owners in the present ring are asked and mended, and only by an owner.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from ...exception import Error
from ...ring.partition import dict_seed, key_hash
from ..config import (
    COMPARISON_SETTLE_S,
    REPAIR_PAUSE_S,
    REPAIR_PLACES_MAX,
    REPAIR_SAMPLE_READS,
    REPAIR_TIMEOUT_S,
)
from ..network.bus import Bus
from ..network.message import Reply
from ..network.peermessage import Applied, AskFronts, AskRows, Fronts, Replicate, Rows
from ..ringview import RingView
from ..world import NS_PER_S, NodeId, World
from .glance import front_at
from .place import place_of
from .rank import FRONT_BYTES, STAMP_AT, STAMP_END
from .replica import Replica
from .stretch import partition_at

PAUSE_NS = int(REPAIR_PAUSE_S * NS_PER_S)
SETTLE_NS = int(COMPARISON_SETTLE_S * NS_PER_S)
TIMEOUT_NS = int(REPAIR_TIMEOUT_S * NS_PER_S)


NO_STAMP_BYTES = bytes(STAMP_END - STAMP_AT)


class RepairStatus(NamedTuple):
    """For people."""

    waiting: int
    """Places that wait to be looked up."""
    sampled_count: int
    """Reads whose place was looked up at another owner, for a try."""
    doubted_count: int
    """Places that a read had reason to doubt."""
    dropped_count: int
    """Places not looked up, since too many waited."""
    mended_count: int
    """Entries that this node got."""
    sent_count: int
    """Entries that this node gave to owners that were behind."""


class _Doubt:
    """A place, and the owners that it has still to be looked up at."""

    __slots__ = ("is_sample", "owners", "place", "settles")

    def __init__(self, place: bytes, *, is_sample: bool) -> None:
        self.place = place
        self.is_sample = is_sample
        self.owners: list[NodeId] | None = None
        #: Whether a difference was seen already, a moment ago.
        self.settles = False


class ReadRepair:
    """One node's. Does nothing before `set_view`."""

    def __init__(self, world: World, replica: Replica, bus: Bus) -> None:
        self._world = world
        self._replica = replica
        self._bus = bus
        self._me = world.identity.node
        self._dice = world.dice("repair")
        self._view: RingView | None = None
        #: Until the next read that is sampled.
        self._reads_left = self._dice.randrange(REPAIR_SAMPLE_READS)
        #: By place, the oldest first.
        self._waiting: dict[bytes, _Doubt] = {}
        self._busy = False
        self._sampled_count = 0
        self._doubted_count = 0
        self._dropped_count = 0
        self._mended_count = 0
        self._sent_count = 0

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring: owners are drawn anew."""
        self._view = view
        for doubt in self._waiting.values():
            doubt.owners = None

    def status(self) -> RepairStatus:
        """What was found and mended."""
        return RepairStatus(
            len(self._waiting),
            self._sampled_count,
            self._doubted_count,
            self._dropped_count,
            self._mended_count,
            self._sent_count,
        )

    # -- reads --------------------------------------------------------------------------------------

    def read(self, dict_id: bytes, key: bytes) -> None:
        """A key was read here. Each read pays for this."""
        self._reads_left -= 1
        if self._reads_left < 0:  # drawn, so that no rhythm of a client falls in with it
            self._reads_left = self._dice.randrange(2 * REPAIR_SAMPLE_READS - 1)
            self._sampled_count += 1
            self._take(_Doubt(self._place_of(dict_id, key), is_sample=True))

    def doubt(self, dict_id: bytes, key: bytes) -> None:
        """A read of that key showed that its owners do not agree, or that something is damaged."""
        self.doubt_place(self._place_of(dict_id, key))

    def doubt_place(self, place: bytes) -> None:
        """As `doubt`."""
        self._doubted_count += 1
        self._take(_Doubt(place, is_sample=False))

    def _place_of(self, dict_id: bytes, key: bytes) -> bytes:
        hash_ = key_hash(dict_seed(dict_id), key)
        return place_of(dict_id, key, hash_, self._replica.partitions - 1)

    def _take(self, doubt: _Doubt) -> None:
        known = self._waiting.get(doubt.place)
        if known is not None:
            if known.is_sample and not doubt.is_sample:
                known.is_sample, known.owners = False, None
            return
        if len(self._waiting) >= REPAIR_PLACES_MAX:
            self._dropped_count += 1
            return
        self._waiting[doubt.place] = doubt
        self._go_on()

    # -- looking up ---------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if not self._busy and self._waiting and self._view is not None:
            self._busy = True
            self._world.call_after(PAUSE_NS, self._step)

    def _step(self) -> None:
        """Ask one owner about the place that has waited longest."""
        view = self._view
        assert view is not None
        place, doubt = next(iter(self._waiting.items()))
        if doubt.owners is None:
            doubt.owners = self._drawn(view, doubt)
        owners = [node for node in doubt.owners if self._bus.routable(node)]
        if not owners:
            del self._waiting[place]
            self._done()
            return
        self._bus.ask(
            owners[0],
            AskFronts(0, view.mark, [place]),
            partial(self._told, view, doubt, owners[0]),
            TIMEOUT_NS,
        )

    def _drawn(self, view: RingView, doubt: _Doubt) -> list[NodeId]:
        """Whom to ask: all other owners, or one of them for a sample."""
        owners = view.owners(partition_at(doubt.place))
        others = [node for node in owners if node != self._me]
        if self._me not in owners or not others:
            return []
        return [self._dice.choice(others)] if doubt.is_sample else others

    def _told(self, view: RingView, doubt: _Doubt, node: NodeId, reply: Reply | None) -> None:
        if self._view is not view:  # under another ring now: begin anew
            self._done()
            return
        theirs = reply.fronts[0] if isinstance(reply, Fronts) and len(reply.fronts) == 1 else None
        if theirs is None:
            self._finish(doubt, node)
            return
        mine = front_at(self._replica.storage, doubt.place)
        ahead, behind = is_newer(theirs, mine), is_newer(mine, theirs)
        if not ahead and not behind:
            self._finish(doubt, node)
        elif not doubt.settles:
            doubt.settles = True
            self._world.call_after(SETTLE_NS, self._done)
        elif ahead:
            question = AskRows(0, view.mark, [doubt.place])
            self._bus.ask(node, question, partial(self._got, view, doubt, node), TIMEOUT_NS)
        else:
            self._give(view, doubt, node)

    def _got(self, view: RingView, doubt: _Doubt, node: NodeId, reply: Reply | None) -> None:
        rows = reply.rows if isinstance(reply, Rows) else []
        rows = [(place, raw) for place, raw in rows if place == doubt.place]
        if not rows or self._replica.fault_of(*rows[0]):
            self._finish(doubt, node)
            return

        def applied(error: Error | None, _newer: int) -> None:
            if error is None and front_at(self._replica.storage, doubt.place) == rows[0][1][:FRONT_BYTES]:
                self._mended_count += 1
                self._world.trace("mended", partition=partition_at(doubt.place))
                doubt.is_sample = False
                if self._view is view:  # who was asked before may be behind it as well
                    doubt.owners = self._drawn(view, doubt)
            self._finish(doubt, node)

        self._replica.apply(rows, applied)

    def _give(self, view: RingView, doubt: _Doubt, node: NodeId) -> None:
        rows = self._replica.rows([doubt.place])
        if not rows:
            self._finish(doubt, node)
            return

        def applied(reply: Reply | None) -> None:
            if isinstance(reply, Applied) and not reply.newer:
                self._sent_count += 1
            self._finish(doubt, node)

        self._bus.ask(node, Replicate(0, view.mark, rows), applied, TIMEOUT_NS)

    def _finish(self, doubt: _Doubt, node: NodeId) -> None:
        """That owner was asked."""
        doubt.settles = False
        if doubt.owners is not None and node in doubt.owners:
            doubt.owners.remove(node)
        if not doubt.owners and doubt.owners is not None:
            self._waiting.pop(doubt.place, None)
        self._done()

    def _done(self) -> None:
        self._busy = False
        self._go_on()


def is_newer(front: bytes, standing: bytes) -> bool:
    """Whether the stamp in an entry's front is the higher one. What differs in other ways is for comparisons
    to mend. A front that is empty, or zeros, is older than any."""
    return front[STAMP_AT:STAMP_END] > (standing[STAMP_AT:STAMP_END] or NO_STAMP_BYTES)
