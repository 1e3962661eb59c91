"""One node's talk with another about what both keep: find what differs, and make it equal.

It begins with one sum over everything, which costs two small messages and is nearly always equal. Where it is
not, one sum for each partition tells which; those are walked through side by side, a page of places at a
time, and only entries that one side lacks go over the line.

Rules of this file:
1. Merging decides, and nothing is removed but by rule 6.
2. A node pulls what it lacks; what the other lacks, that one finds by a talk of its own. So nothing goes over
   the line twice when both find a difference at once. Only who hands over what it keeps no more pushes.
3. Both sides go by the same ring throughout. A talk ends at the first answer that is missing or is none, and
   what was made equal until then stays so.
4. One question is open at a time, and each question and answer is bounded: so clients get in between.
5. A partition is *merged* when everything that the other side held at some moment since this talk began is
   here (when handing over: the other way round).
6. Who has pulled all that the other side has of a partition may raise its mark to that of the other side
   (marks.py). What is here, at or below the marks of both, and not there, was purged there, or has come too
   late: it is removed here. What was damaged there, or is here, is not taken for missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

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
from ..store.entry import FLAGS_AT
from ..store.table import VALUELESS
from ..world import NS_PER_S, NodeId, World
from .large import LargeEntry
from .listener import Listener
from .pacing import Pacing
from .rank import may_beat, version_of
from .replica import DAMAGED_FRONT, Replica
from .stretch import Row, partition_at

TIMEOUT_NS = int(COMPARISON_TIMEOUT_S * NS_PER_S)
SETTLE_NS = int(COMPARISON_SETTLE_S * NS_PER_S)


class Comparison:
    """One talk with `peer` about `partitions`, under the ring of `mark`.

    `pulls` is off where this node does not keep them any more, and hands over.
    """

    def __init__(  # noqa: PLR0913 - the parts of a node, and what the talk is about
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
        pacing: Pacing,
    ) -> None:
        self._world = world
        self._bus = bus
        self._replica = replica
        self._mark = mark
        self._pulls = pulls
        self._pacing = pacing
        self._listener = listener
        self._over = False
        #: Up to where the peer has purged each.
        self._marks: dict[int, int] = {}
        #: Partitions to walk through, the next one last.
        self._differing: list[int] = []
        #: Of the partition that is walked through: places that differ; whether all of it could be had;
        #: whether something may be removed once the mark is raised; the peer's mark when it was begun.
        self._differ_count = 0
        self.is_whole = True
        self._has_stale = False
        self._their_mark = 0
        #: Whether something could not be pushed: too large for a frame, or gone meanwhile.
        self._has_unpushed = False
        self.peer = peer
        self.partitions = list(partitions)
        #: Whether it ended for want of an answer.
        self.unanswered = False
        #: Entries pulled and pushed.
        self.pulled_count = 0
        self.pushed_count = 0
        #: Entries removed for being too old; those of them that were neither deleted nor expired.
        self.removed_count = 0
        self.lost_count = 0
        #: Partitions that were walked through.
        self.walked_count = 0

    def begin(self, *, whole: bool) -> None:
        """Talk. `whole`: these are all the partitions that both sides keep, so that one sum may do."""
        if not whole:
            self._ask_sums()
            return

        def told(reply: Reply) -> None:
            assert isinstance(reply, Root)
            self._listener.told_time(reply.now_ms)
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
            if not len(reply.sums) == len(reply.marks) == len(self.partitions):
                self._end(whole=False)
                return
            self._marks = dict(zip(self.partitions, reply.marks, strict=True))
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
                self._adopt(partition, self._marks[partition], partial(self._listener.merged, partition))
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
        self._walk_through(self._differing.pop())

    def _walk_through(self, partition: int) -> None:
        self._differ_count = 0
        self.is_whole = True
        self._has_stale = False
        self._their_mark = -1
        self.walked_count += 1
        self._walk(partition, b"")

    def _walk(self, partition: int, start: bytes) -> None:
        """Compare one page of places."""

        def told(reply: Reply) -> None:
            assert isinstance(reply, Places)
            if self._their_mark < 0:
                self._their_mark = reply.mark
                self._replica.marks.hear(partition, reply.mark)
            mine, my_next = self._replica.places(partition, start, PLACES_ROWS_MAX)
            ends = [end for end in (reply.next, my_next) if end]
            end = min(ends) if ends else b""
            if end and end <= start:
                self._end(whole=False)
                return
            there = {place: front for place, front in reply.rows if not end or place < end}
            here = {place: front for place, front in mine if not end or place < end}
            self._differ_count += len(there.items() ^ here.items())
            then = partial(self._walk, partition, end) if end else partial(self._walked, partition)
            if self._pulls:
                wanted = self._wanted(partition, here, there)
                stale = self._stale(partition, here, there, reply.mark)
                self._remove(stale, partial(self._pull, partition, wanted, then))
            else:
                self._push(self._offered(here, there, reply.mark), then)

        self._ask(AskPlaces(0, self._mark, partition, start), Places, told)

    def _wanted(self, partition: int, here: dict[bytes, bytes], there: dict[bytes, bytes]) -> list[bytes]:
        """Places of what this side lacks. What is too old for it is none of it."""
        mark = self._replica.marks.get(partition)
        wanted: list[bytes] = []
        for place, front in there.items():
            standing = here.get(place)
            if front == DAMAGED_FRONT:
                self.is_whole = self.is_whole and standing is not None and standing != DAMAGED_FRONT
            elif version_of(front) > mark if standing is None else may_beat(front, standing):
                wanted.append(place)
        return wanted

    def _offered(self, here: dict[bytes, bytes], there: dict[bytes, bytes], mark: int) -> list[bytes]:
        """Places of what the other side lacks, and would take."""
        offered: list[bytes] = []
        for place, front in here.items():
            standing = there.get(place)
            if version_of(front) > mark if standing is None else may_beat(front, standing):
                offered.append(place)
        return offered

    def _stale(
        self, partition: int, here: dict[bytes, bytes], there: dict[bytes, bytes], mark: int
    ) -> list[Row]:
        """What may be removed, by rule 6: places and fronts."""
        limit = min(mark, self._replica.marks.get(partition))
        stale: list[Row] = []
        for place, front in here.items():
            if place not in there and front != DAMAGED_FRONT and version_of(front) <= mark:
                if version_of(front) <= limit:
                    stale.append((place, front))
                else:
                    self._has_stale = True
        return stale

    def _remove(self, stale: list[Row], then: Callable[[], None]) -> None:
        if not stale:
            then()
            return
        lost = [place for place, front in stale if not front[FLAGS_AT] & VALUELESS]
        self.removed_count += len(stale)
        self.lost_count += len(lost)
        if lost:
            self._world.trace("too old", partition=partition_at(lost[0]), entries=len(lost))
        self._replica.remove(stale, lambda error, _: self._stored(error, then))

    def _walked(self, partition: int) -> None:
        if not self._differ_count:  # the sums differ, and nothing else does: one of them is wrong
            self._replica.measure_anew(partition)
        if not self._pulls or not self.is_whole:
            self._finish(partition)
            return
        again = self._has_stale
        self._adopt(
            partition,
            self._their_mark,
            partial(self._walk_through if again else self._finish, partition),
        )

    def _finish(self, partition: int) -> None:
        self._listener.merged(partition)
        self._next_partition()

    def _adopt(self, partition: int, mark: int, then: Callable[[], None]) -> None:
        """All that the other side has is here: so its mark holds here, too."""
        if mark <= self._replica.marks.get(partition) or not self._pulls:
            then()
            return
        self._replica.raise_mark(partition, mark, lambda error, _: self._stored(error, then))

    def _pull(self, partition: int, places: list[bytes], then: Callable[[], None]) -> None:
        """Fetch entries, as many frames as it takes; then make a call."""
        if not places:
            then()
            return
        asked = places[:FRAME_ROWS_MAX]

        def told(reply: Reply) -> None:
            assert isinstance(reply, Rows)
            rows = [(place, raw) for place, raw in reply.rows if self._takes(partition, place, raw)]
            got = {place for place, _ in rows}
            last = max(got, default=asked[-1])
            left = [place for place in places if place > last]
            skipped = [place for place in asked if place <= last and place not in got]
            go_on = partial(self._pull_large, partition, skipped, partial(self._pull, partition, left, then))
            self._take(rows, go_on)

        self._ask(AskRows(0, self._mark, asked), Rows, told)

    def _take(self, rows: list[Row], then: Callable[[], None]) -> None:
        """Store what came, and go on once it has had its time."""
        if not rows:
            then()
            return
        self.pulled_count += len(rows)
        go_on = partial(self._paced, rows, then)
        self._replica.pull(rows, lambda error, _: self._stored(error, go_on))

    def _pull_large(self, partition: int, places: list[bytes], then: Callable[[], None]) -> None:
        """Fetch what did not come in a frame: too large for one, or gone, or not fit to be taken."""
        if not places:
            then()
            return
        place = places[0]

        def told(raw: bytes) -> None:
            rows = [(place, raw)] if raw and self._takes(partition, place, raw) else []
            self.is_whole = self.is_whole and bool(rows)
            self._take(rows, partial(self._pull_large, partition, places[1:], then))

        LargeEntry(self._mark, place, self._ask, told).fetch()

    def _takes(self, partition: int, place: bytes, raw: bytes) -> bool:
        return not self._replica.fault_of(place, raw) and partition_at(place) == partition

    def _stored(self, error: Error | None, then: Callable[[], None]) -> None:
        if self._over:
            return
        if error is not None:
            self._end(whole=False)
        else:
            then()

    def _push(self, places: list[bytes], then: Callable[[], None]) -> None:
        """Send entries, as many frames as it takes; then make a call."""
        rows = self._replica.rows(places)
        if not rows:
            self._has_unpushed = self._has_unpushed or bool(places)
            then()
            return
        last = rows[-1][0]
        left = [place for place in places if place > last]
        self._has_unpushed = self._has_unpushed or len(rows) + len(left) < len(places)
        self.pushed_count += len(rows)
        go_on = partial(self._paced, rows, partial(self._push, left, then))
        self._ask(Replicate(0, self._mark, rows), Applied, lambda _: go_on())

    def _paced(self, rows: Sequence[tuple[bytes, bytes]], then: Callable[[], None]) -> None:
        """Go on once what was just moved has had its time."""

        def go_on() -> None:
            if not self._over:
                then()

        self._pacing.after(sum(len(place) + len(raw) for place, raw in rows), go_on)

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
            self._listener.ended(whole and not self._has_unpushed)
