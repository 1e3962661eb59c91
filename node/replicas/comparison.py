"""One node's talk with another about what both keep: find what differs, and make it equal.

It begins with one sum over everything, which costs two small messages and is nearly always equal. Where it is
not, one sum for each partition tells which; those are walked through side by side, a page of places at a
time, and only entries that one side lacks go over the line.

Rules of this file:
1. Nothing is ever deleted, and merging decides.
2. A node pulls what it lacks; what the other lacks, that one finds by a talk of its own. So nothing goes over
   the line twice when both find a difference at once. Only who hands over what it keeps no more pushes.
3. Both sides go by the same ring throughout. A talk ends at the first answer that is missing or is none, and
   what was made equal until then stays so.
4. One question is open at a time, and each question and answer is bounded: so clients get in between.
5. A partition is *merged* when everything that the other side held at some moment since this talk began is
   here (when handing over: the other way round).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from ...exception import Error
from ..config import (
    COMPARISON_SETTLE_S,
    COMPARISON_TIMEOUT_S,
    FRAME_ROWS_MAX,
    PLACES_ROWS_MAX,
)
from ..network.bus import Bus
from ..network.message import Mark, Refused, Reply, Request
from ..network.peermessage import (
    Applied,
    AskPlaces,
    AskRoot,
    AskRows,
    AskSums,
    Places,
    Replicate,
    Root,
    Rows,
    Sums,
)
from ..world import NS_PER_S, NodeId, World
from .rank import may_beat
from .replica import Replica
from .stretch import partition_at


class Listener(NamedTuple):
    """Who is told how a talk goes."""

    merged: Callable[[int], None]
    """A partition became equal."""
    answered: Callable[[], None]
    """The peer answered something: it lives."""
    heard: Callable[[NodeId, Mark], None]
    """The peer goes by another ring."""
    ended: Callable[[bool], None]
    """It is over, and whether it came to its end."""


TIMEOUT_NS = int(COMPARISON_TIMEOUT_S * NS_PER_S)
SETTLE_NS = int(COMPARISON_SETTLE_S * NS_PER_S)


class Comparison:
    """One talk with `peer` about `partitions`, under the ring of `mark`.

    `pulls` is off where this node does not keep them any more, and hands over.
    """

    def __init__(
        self,
        world: World,
        bus: Bus,
        replica: Replica,
        peer: NodeId,
        mark: Mark,
        partitions: Sequence[int],
        listener: Listener,
        *,
        pulls: bool,
    ) -> None:
        self._world = world
        self._bus = bus
        self._replica = replica
        self._mark = mark
        self._pulls = pulls
        self._listener = listener
        self._over = False
        #: Partitions to walk through, the next one last.
        self._differing: list[int] = []
        self._moved_count = 0
        self.peer = peer
        self.partitions = list(partitions)
        #: Whether it ended for want of an answer.
        self.unanswered = False
        #: Entries pulled and pushed.
        self.pulled_count = 0
        self.pushed_count = 0

    def begin(self, *, whole: bool) -> None:
        """Talk. `whole`: these are all the partitions that both sides keep, so that one sum may do."""
        if not whole:
            self._ask_sums()
            return

        def told(reply: Reply) -> None:
            assert isinstance(reply, Root)
            theirs = int.from_bytes(reply.root, "big")
            self._ready(lambda: self._compare_roots(theirs))

        self._ask(AskRoot(0, self._mark), Root, told)

    def stop(self) -> None:
        """Say nothing more, to anybody."""
        self._over = True

    # -- sums ---------------------------------------------------------------------------------------

    def _compare_roots(self, theirs: int) -> None:
        if theirs == self._replica.root(self.partitions):
            self._merge_all(self.partitions)
            self._end(whole=True)
        else:
            self._ask_sums()

    def _ask_sums(self) -> None:
        def told(reply: Reply) -> None:
            assert isinstance(reply, Sums)
            if len(reply.sums) != len(self.partitions):
                self._end(whole=False)
                return
            sums = [int.from_bytes(each, "big") for each in reply.sums]
            theirs = dict(zip(self.partitions, sums, strict=True))
            self._ready(lambda: self._compare_sums(theirs))

        question = AskSums(0, self._mark, self.partitions)
        self._ask(question, Sums, told)

    def _compare_sums(self, theirs: dict[int, int]) -> None:
        differing = self._still_differing(theirs)
        if differing:
            left = {partition: theirs[partition] for partition in differing}
            self._world.call_after(SETTLE_NS, lambda: self._ready(lambda: self._walk_all(left)))
        else:
            self._end(whole=True)

    def _walk_all(self, theirs: dict[int, int]) -> None:
        self._differing = self._still_differing(theirs)[::-1]
        self._next_partition()

    def _still_differing(self, theirs: dict[int, int]) -> list[int]:
        """Those whose sums differ, ascending; the others are merged."""
        differing: list[int] = []
        for partition, total in theirs.items():
            tally = self._replica.tally(partition)
            if tally is not None and tally.had(total):
                self._listener.merged(partition)
            else:
                differing.append(partition)
        return differing

    def _ready(self, then: Callable[[], None]) -> None:
        """Go on once this node's own sums are known."""
        self._replica.ready(self.partitions, lambda: None if self._over else then())

    # -- walking through a partition ------------------------------------------------------------------

    def _next_partition(self) -> None:
        if not self._differing:
            self._end(whole=True)
            return
        self._moved_count = 0
        self._walk(self._differing.pop(), b"")

    def _walk(self, partition: int, start: bytes) -> None:
        """Compare one page of places."""

        def told(reply: Reply) -> None:
            assert isinstance(reply, Places)
            mine, my_next = self._replica.places(partition, start, PLACES_ROWS_MAX)
            ends = [end for end in (reply.next, my_next) if end]
            end = min(ends) if ends else b""
            if end and end <= start:
                self._end(whole=False)
                return
            there = {place: front for place, front in reply.rows if not end or place < end}
            here = {place: front for place, front in mine if not end or place < end}
            wanted = [place for place, front in there.items() if self._lacks(here, place, front)]
            offered = [place for place, front in here.items() if self._lacks(there, place, front)]
            self._moved_count += len(wanted) + len(offered)
            then = partial(self._walk, partition, end) if end else partial(self._walked, partition)
            if self._pulls:
                self._pull(partition, wanted, then)
            else:
                self._push(offered, then)

        self._ask(AskPlaces(0, self._mark, partition, start), Places, told)

    @staticmethod
    def _lacks(side: dict[bytes, bytes], place: bytes, front: bytes) -> bool:
        standing = side.get(place)
        return standing is None or may_beat(front, standing)

    def _walked(self, partition: int) -> None:
        if not self._moved_count:  # the sums differ, and nothing else does: one of them is wrong
            self._replica.measure_anew(partition)
        self._listener.merged(partition)
        self._next_partition()

    def _pull(self, partition: int, places: list[bytes], then: Callable[[], None]) -> None:
        """Fetch entries, as many frames as it takes; then make a call."""
        if not places:
            then()
            return
        asked = places[:FRAME_ROWS_MAX]

        def told(reply: Reply) -> None:
            assert isinstance(reply, Rows)
            rows = [(place, raw) for place, raw in reply.rows if self._takes(partition, place, raw)]
            if not rows:  # gone, or not fit to be taken
                self._pull(partition, places[len(asked) :], then)
                return
            last = max(place for place, _ in rows)
            left = [place for place in places if place > last]
            self.pulled_count += len(rows)
            self._replica.apply(rows, lambda error, _: self._pulled(error, partition, left, then))

        self._ask(AskRows(0, self._mark, asked), Rows, told)

    def _takes(self, partition: int, place: bytes, raw: bytes) -> bool:
        return not self._replica.fault_of(place, raw) and partition_at(place) == partition

    def _pulled(
        self, error: Error | None, partition: int, left: list[bytes], then: Callable[[], None]
    ) -> None:
        if self._over:
            return
        if error is not None:
            self._end(whole=False)
        else:
            self._pull(partition, left, then)

    def _push(self, places: list[bytes], then: Callable[[], None]) -> None:
        """Send entries, as many frames as it takes; then make a call."""
        rows = self._replica.rows(places)
        if not rows:
            then()
            return
        last = rows[-1][0]
        left = [place for place in places if place > last]
        self.pushed_count += len(rows)
        self._ask(Replicate(0, self._mark, rows), Applied, lambda _: self._push(left, then))

    # -- asking -------------------------------------------------------------------------------------

    def _ask(self, question: Request, wanted: type[Reply], told: Callable[[Reply], None]) -> None:
        def answered(reply: Reply | None) -> None:
            if self._over:
                return
            if reply is not None:
                self._listener.answered()
            if isinstance(reply, wanted):
                told(reply)
                return
            self.unanswered = reply is None
            if isinstance(reply, Refused):
                self._listener.heard(self.peer, reply.mark)
            self._end(whole=False)

        self._bus.ask(self.peer, question, answered, TIMEOUT_NS)

    def _merge_all(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._listener.merged(partition)

    def _end(self, *, whole: bool) -> None:
        if not self._over:
            self._over = True
            self._listener.ended(whole)
