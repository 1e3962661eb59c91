"""Sync: two nodes whose views differ tell each other the parts that differ.

Rules of this file:
1. A digest in every ping and ack shows a difference; a node asks for a sync at most every `SYNC_PAUSE_S`.
2. While the own view is changing, a difference is rumours on their way, and is given a moment
   (`SYNC_SETTLE_S`); but not for longer than `SYNC_PATIENCE_S`.
3. What a sync says is somebody's table, not news: `Membership.hear_entry` looks into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .codec import HEADER_BYTES
from .config import (
    FULL_SYNC_BYTES,
    FULL_SYNC_INTERVAL_S,
    SYNC_ANSWERS_S_MAX,
    SYNC_BUCKETS,
    SYNC_PATIENCE_S,
    SYNC_PAUSE_S,
    SYNC_SETTLE_S,
)
from .message import Entry, SyncAsk, SyncTell

if TYPE_CHECKING:
    from .check import Checker
    from .desk import Desk
    from .probe import Prober

ENTRY_BYTES = 80  # of a typical one, to reckon how often everything may be told
ALL_BUCKETS = (1 << SYNC_BUCKETS) - 1


class Syncer:
    """Asks for syncs and answers them."""

    checker: Checker
    prober: Prober

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ask_from = float("-inf")  # when the next sync may be asked for
        self._differs_since: float | None = None
        self._answers = float(SYNC_ANSWERS_S_MAX)
        self._answered_at = 0.0

    def start(self) -> None:
        """Begin with the safety net."""
        desk = self._desk
        desk.agenda.at(desk.now + FULL_SYNC_INTERVAL_S * desk.dice.random(), self._tell_all)

    def compare(self, digest: int, address: str) -> None:
        """A peer has shown the digest of its view."""
        desk = self._desk
        if digest == desk.table.digest:
            self._differs_since = None
            return
        if self._differs_since is None:
            self._differs_since = desk.now
        if desk.now < self._ask_from or desk.leaving:
            return
        settled = desk.now - desk.table.changed_at >= SYNC_SETTLE_S and not self.checker.busy
        if settled or desk.now - self._differs_since >= SYNC_PATIENCE_S:
            self._ask_from = desk.now + SYNC_PAUSE_S
            self.ask(address)

    def ask(self, address: str) -> None:
        """Ask for what differs, whether or not the time for it has come."""
        desk = self._desk
        desk.counters["syncs_asked"] += 1
        desk.send_frame(address, SyncAsk(tuple(desk.table.buckets)), desk.own_word())

    def asked(self, ask: SyncAsk, address: str) -> None:
        """Tell what differs, unless too many have asked within the last second."""
        desk = self._desk
        if not self._may_answer():
            return
        mask = 0
        for index, (theirs, ours) in enumerate(zip(ask.buckets, desk.table.buckets, strict=True)):
            mask |= (theirs != ours) << index
        if mask:
            self.tell(address, mask, answer=True)

    def told(self, tell: SyncTell, address: str) -> None:
        """Tell the own entries of what was told, if that is wanted and not too many have within the last
        second."""
        if tell.answer and self._may_answer():
            self.tell(address, tell.mask, answer=False)

    def _may_answer(self) -> bool:
        """Whether one more answer is within the limit; count it."""
        desk = self._desk
        refill = (desk.now - self._answered_at) * SYNC_ANSWERS_S_MAX
        self._answers = min(float(SYNC_ANSWERS_S_MAX), self._answers + refill)
        self._answered_at = desk.now
        if self._answers < 1:
            desk.counters["syncs_refused"] += 1
            return False
        self._answers -= 1
        return True

    def tell(self, address: str, mask: int, *, answer: bool) -> None:
        """Tell the entries of some buckets; with `answer`, the other is to tell its own."""
        desk = self._desk
        entries = [
            Entry(member.record())
            for index in range(SYNC_BUCKETS)
            if mask >> index & 1
            for member in desk.table.bucket(index)
        ]
        desk.counters["syncs_told"] += 1
        desk.send_frame(address, SyncTell(mask, answer), *entries)

    def _tell_all(self) -> None:
        desk = self._desk
        frame_bytes = HEADER_BYTES + ENTRY_BYTES * len(desk.table)
        may_bytes = FULL_SYNC_BYTES * FULL_SYNC_INTERVAL_S
        if desk.dice.random() * 2 * frame_bytes < may_bytes:  # twice: the other tells as much
            for peer in self.prober.pick(1):
                self.tell(peer.profile.address, ALL_BUCKETS, answer=True)
        wait_s = FULL_SYNC_INTERVAL_S * (0.75 + 0.5 * desk.dice.random())
        desk.agenda.at(desk.now + wait_s, self._tell_all)
