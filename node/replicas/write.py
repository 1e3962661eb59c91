"""One write that this node coordinates: stamped here, applied here, sent to all who keep it, acknowledged.

Rules of this file:
1. The stamp is above what the client has seen, above the key's own version and above what the tenure of its
   partition began with (tenure.py).
2. Nobody is answered before enough owners have it, durably as their settings say; this node is one like the
   others. All writers get it, whatever the answer waits for: who does not is left a hint.
3. A replica that has a newer version says so, and all get the write again under a stamp above that: only then
   is it acknowledged. It is not newer if this node wrote it meanwhile: then the two were written at the same
   time, and it is the later one.
4. A refusal says that nothing happened. Once a row may have been applied anywhere, the answer is that it is
   written, or that nobody knows.
5. No stamp is given after the time that the write has: its client has asked elsewhere since, and may have
   written something newer, over which a late stamp would be put.
6. All of this is within one epoch. With the next one the write is begun anew (coordinator.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...exception import Error
from ..config import FRAME_ROWS_MAX, REPLICATE_TIMEOUT_S, RETRY_DELAY_S, ROWS_BYTES_MAX, STAMPS_MAX
from ..network.message import Ack, Reason, Refused, Reply, Unknown, Written
from ..network.peermessage import Applied, Replicate, Row
from ..ringview import RingView
from ..world import NS_PER_S, NodeId
from .draft import Drafts
from .rank import NO_STAMP, stamp_of
from .stamper import VERSION_MAX
from .writers import Writers

TIMEOUT_NS = int(REPLICATE_TIMEOUT_S * NS_PER_S)
RETRY_NS = int(RETRY_DELAY_S * NS_PER_S)

Ended = Callable[[Reply], None]
"""Told the answer; its number is for whoever asked to fill in."""


class Write:
    """One of them.

    Args:
        parts: what the node has to write with.
        drafts: what is to be written.
        above: the stamp must become higher than this version.
        tainted: an earlier attempt may have applied it.
        until_ns: it gets no stamp from then on.
        ended: called once, unless the write was dropped.
        overtaken: for a write that goes by what stands there: called in place of stamping it anew, when a
            replica has something newer. Whoever is called drops the write.
    """

    __slots__ = (
        "_above", "_ack", "_attempt", "_drafts", "_ended", "_failed", "_has", "_open", "_overtaken",
        "_owners", "_parts", "_refused", "_stamp_written", "_stamps_count", "_tainted", "_until_ns",
        "answered", "tainted", "view",
    )  # fmt: skip

    def __init__(
        self,
        parts: Writers,
        drafts: Drafts,
        above: int,
        ack: int,
        *,
        tainted: bool,
        until_ns: int,
        ended: Ended,
        overtaken: Callable[[], None] | None = None,
    ) -> None:
        self._parts = parts
        self._drafts = drafts
        parts.ours.began(drafts.places)
        self._above = above
        self._ack = ack
        self._ended = ended
        self._overtaken = overtaken
        #: Whether it may be applied somewhere: before this write, by now.
        self._tainted = tainted
        self._until_ns = until_ns
        self.tainted = tainted
        self.answered = False
        self.view: RingView = parts.view
        #: The rows of owners that its partitions have, each once.
        self._owners = sorted({self.view.owners(partition) for partition in drafts.partitions})
        self._stamp_written = NO_STAMP
        self._stamps_count = 0
        #: Of the present stamp: which frames each node has still to answer, who has all, who has not.
        self._attempt = 0
        self._open: dict[NodeId, int] = {}
        self._has: list[NodeId] = []
        self._failed: list[NodeId] = []
        self._refused: Refused | None = None

    # -- stamping -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Do it."""
        partitions = self._drafts.partitions
        if fault := self._too_few(partitions):
            self._answer(self._refusal(Reason.UNAVAILABLE, fault))
            return
        self._parts.tenures.hold(partitions, lambda: self._stamp(partitions))

    def _too_few(self, partitions: Sequence[int]) -> str:
        """Why an answer that needs a majority could never come; empty: it may."""
        if self._ack != Ack.MAJORITY:
            return ""
        for partition in partitions:
            owners = self.view.owners(partition)
            there = sum(self._parts.reaches(node) for node in owners)
            if 2 * there <= len(owners):
                return f"{there} of the {len(owners)} owners can be reached"
        return ""

    def _stamp(self, partitions: Sequence[int]) -> None:
        if not self.is_current:
            return
        if self._parts.world.now_ns() >= self._until_ns:
            late = "it could not be written in time"
            self._answer(Unknown(0, late) if self.tainted else self._refusal(Reason.UNAVAILABLE, late))
            return
        floor = self._parts.tenures.floor
        above = max(self._above, *[floor(partition) for partition in partitions])
        if above >= VERSION_MAX:
            self._answer(self._refusal(Reason.INVALID, "a version from beyond all time"))
            return
        self._parts.stamper.stamp(above, self._stamped)

    def _stamped(self, version: int | Error) -> None:
        if not self.is_current:
            return
        if isinstance(version, Error):
            self._answer(self._refusal(Reason.STORE_FULL, str(version)))
            return
        parts = self._parts
        self._stamps_count += 1
        self._attempt += 1
        self._open, self._has, self._failed = {}, [], []
        parts.ours.stamped(self._drafts.places, version)
        rows = self._drafts.rows(version)
        self._stamp_written = stamp_of(rows[-1][1])
        by_node = self._by_writer(rows)
        self.tainted = True
        mine = by_node.pop(parts.me, None)
        shared = _frames(rows)
        frames = {node: shared if theirs is rows else _frames(theirs) for node, theirs in by_node.items()}
        self._open = {node: len(pieces) for node, pieces in frames.items()}
        for node, pieces in frames.items():
            for piece in pieces:
                self._send(node, piece)
        if mine is not None:
            self._open[parts.me] = 1
            attempt = self._attempt
            parts.replica.apply(mine, lambda error, newer: self._applied(attempt, mine, error, newer))

    def _by_writer(self, rows: list[Row]) -> dict[NodeId, list[Row]]:
        """What each writer is to have."""
        writers, partitions = self.view.writers, self._drafts.partitions
        rows_of_writers = {frozenset(writers(partition)) for partition in partitions}
        if len(rows_of_writers) == 1:  # as in a cluster of three
            return dict.fromkeys(writers(partitions[0]), rows)
        by_node: dict[NodeId, list[Row]] = {}
        for row, partition in zip(rows, self._drafts.by_row, strict=True):
            for node in writers(partition):
                by_node.setdefault(node, []).append(row)
        return by_node

    # -- sending --------------------------------------------------------------------------------------

    def _send(self, node: NodeId, rows: list[Row]) -> None:
        if self._parts.reaches(node):
            until_ns = self._parts.world.now_ns() + TIMEOUT_NS
            self._ask(node, rows, self._attempt, until_ns)
        else:
            self._leave_hint(node, rows)

    def _ask(self, node: NodeId, rows: list[Row], attempt: int, until_ns: int) -> None:
        parts = self._parts

        def answered(reply: Reply | None) -> None:
            if isinstance(reply, Refused) and reply.reason in (Reason.BEHIND, Reason.WRONG_EPOCH):
                parts.heard(node, reply.mark)
                in_time = parts.world.now_ns() + RETRY_NS < until_ns
                if in_time and attempt == self._attempt and self.view is parts.view:
                    parts.world.call_after(RETRY_NS, lambda: self._ask(node, rows, attempt, until_ns))
                    return
            self._told(node, rows, attempt, reply)

        left_ns = max(RETRY_NS, until_ns - parts.world.now_ns())
        parts.bus.ask(node, Replicate(0, self.view.mark, rows), answered, left_ns)

    def _told(self, node: NodeId, rows: list[Row], attempt: int, reply: Reply | None) -> None:
        if attempt != self._attempt:
            return  # it was stamped anew, and sent again
        if isinstance(reply, Applied):
            if reply.newer and not self.answered and self.is_current and self._is_news(rows, reply.newer):
                self._stamp_anew(reply.newer)
            else:
                self._settle(node)
            return
        if isinstance(reply, Refused):
            self._refused = reply
        self._leave_hint(node, rows)

    def _applied(self, attempt: int, rows: list[Row], error: Error | None, newer: int) -> None:
        """This node has it, or cannot take it."""
        if attempt != self._attempt:
            return
        me = self._parts.me
        if error is not None:
            self._refused = self._refusal(Reason.STORE_FULL, str(error))
            self._leave_hint(me, [])
        elif newer and not self.answered and self.is_current and self._is_news(rows, newer):
            self._stamp_anew(newer)
        else:
            self._settle(me)

    def _is_news(self, rows: list[Row], newer: int) -> bool:
        """Whether others wrote what stands there, before this write or beside it."""
        if newer == self._drafts.touched or (self._drafts.touched and self._overtaken is None):
            return False
        return len(rows) > 1 or not self._parts.ours.is_ours(rows[0][0], newer)

    def _stamp_anew(self, newer: int) -> None:
        if self._overtaken is not None:
            self._overtaken()
            return
        self._attempt += 1
        self._parts.world.trace("stamped anew", partition=self._drafts.partitions[0])
        if self._stamps_count >= STAMPS_MAX or newer >= VERSION_MAX:
            self._answer(Unknown(0, "others write these keys faster than this node can"))
            return
        self._parts.restamps_count += 1
        self._above = max(self._above, newer)
        self._stamp(self._drafts.partitions)

    # -- counting -------------------------------------------------------------------------------------

    def _settle(self, node: NodeId) -> None:
        """One frame more is applied there."""
        left = self._open.get(node, 0)
        if left > 1:
            self._open[node] = left - 1
        elif left:
            del self._open[node]
            self._has.append(node)
        self._judge()

    def _leave_hint(self, node: NodeId, rows: list[Row]) -> None:
        """A node did not take these; it will, later."""
        if rows:
            self._parts.hints.add(node, rows, _ignore)
        if self._open.pop(node, 0):
            self._failed.append(node)
        self._parts.world.call_after(0, self._judge)

    def _judge(self) -> None:
        """Answer, if there is enough to go by."""
        if self.answered or not self.is_current:
            return
        waited_for = self._open.keys()
        if self._ack == Ack.ALL and not all(map(waited_for.isdisjoint, self._owners)):
            return
        enough = True
        copies = wanted = 0
        for owners in self._owners:
            have = sum([node in self._has for node in owners])
            copies = min(copies, have) if wanted else have
            wanted = max(wanted, len(owners))
            enough = enough and have > (len(owners) // 2 if self._ack == Ack.MAJORITY else 0)
        if enough:
            self._answer(Written(0, self._stamp_written, copies, wanted))
        elif not self._open:
            self._give_up()

    def _give_up(self) -> None:
        """All are heard, and it is not enough."""
        if self._refused is not None and not self._has and len(self._failed) == 1:
            self.tainted = self._tainted  # the only one there is refused it
            self._answer(self._refused)
            return
        self._answer(Unknown(0, f"{len(self._has)} owners have it, which is not enough"))

    # -- the end ----------------------------------------------------------------------------------------

    @property
    def is_current(self) -> bool:
        """Whether it goes by the ring that this node goes by, and nobody has dropped it."""
        return not self.answered and self.view is self._parts.view

    def drop(self) -> None:
        """It is begun anew elsewhere: answer nobody."""
        self.answered = True
        self._attempt += 1
        self._forget()

    def _answer(self, reply: Reply) -> None:
        self.answered = True
        self._forget()
        if isinstance(reply, Refused) and self.tainted:
            reply = Unknown(0, f"it may have been written before this: {reply.text}")
        self._ended(reply)

    def _forget(self) -> None:
        self._parts.ours.ended(self._drafts.places)

    def _refusal(self, reason: Reason, text: str) -> Refused:
        return Refused(0, reason, text, self.view.mark)


def _ignore(_error: Error | None) -> None:
    """A hint that could not be kept: comparing replicas makes good for it (convergence.py)."""


def _frames(rows: list[Row]) -> list[list[Row]]:
    """Rows in frames that are not too large."""
    if len(rows) == 1:
        return [rows]
    frames: list[list[Row]] = [[]]
    size_bytes = 0
    for row in rows:
        row_bytes = len(row[0]) + len(row[1])
        if frames[-1] and (size_bytes + row_bytes > ROWS_BYTES_MAX or len(frames[-1]) >= FRAME_ROWS_MAX):
            frames.append([])
            size_bytes = 0
        frames[-1].append(row)
        size_bytes += row_bytes
    return frames
