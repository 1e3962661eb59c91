"""Reading all that a replica holds again and again, slowly: a flipped bit is found before it is needed.

A sum (tally.py) is kept up to date by writes and does not notice what the disk does to an entry behind its
back. So everything is read through, and what is not whole is told to readrepair.py, which gets it from
another owner; and its sum is found anew, so that comparisons find it too.

Rules of this file:
1. Bounded steps, of rows and of bytes, one a second.
2. Nothing is removed: a damaged entry stands until a whole one takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..config import SCRUB_PARTITIONS_MAX, SCRUB_ROWS_MAX, SCRUB_TICK_S
from ..ringview import RingView
from ..world import NS_PER_S, World
from .replica import DAMAGED_FRONT, Replica

TICK_NS = int(SCRUB_TICK_S * NS_PER_S)


class ScrubStatus(NamedTuple):
    """For people."""

    passes_count: int
    """How often all was read through."""
    damaged_count: int
    """Damaged entries found."""


class Scrubber:
    """One node's. `damaged` is told of each place where something is not whole. Does nothing before
    `set_view`."""

    def __init__(self, world: World, replica: Replica, damaged: Callable[[bytes], None]) -> None:
        self._world = world
        self._replica = replica
        self._damaged = damaged
        self._kept: Sequence[int] = ()
        #: Which of them is read, and from where on.
        self._turn = 0
        self._start = b""
        self._passes_count = 0
        self._damaged_count = 0
        world.call_after(TICK_NS, self._tick)

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self._kept = [partition for partition in range(view.decree.partitions) if view.keeps(partition)]
        self._start = b""

    def status(self) -> ScrubStatus:
        """What was read, and found."""
        return ScrubStatus(self._passes_count, self._damaged_count)

    def _tick(self) -> None:
        self._world.call_after(TICK_NS, self._tick)
        rows_left = SCRUB_ROWS_MAX
        for _ in range(min(SCRUB_PARTITIONS_MAX, len(self._kept))):
            if self._turn >= len(self._kept):
                self._turn = 0
                self._passes_count += 1
            rows_left -= self._read(self._kept[self._turn], rows_left)
            if rows_left <= 0:
                return

    def _read(self, partition: int, rows_max: int) -> int:
        """Read on in a partition; how many rows that were. A page of large values counts as all of them."""
        rows, next_ = self._replica.places(partition, self._start, rows_max)
        damaged = [place for place, front in rows if front == DAMAGED_FRONT]
        self._damaged_count += len(damaged)
        tally = self._replica.tally(partition)
        if tally is not None and not tally.damaged.issuperset(damaged):
            self._replica.measure_anew(partition)
            self._world.trace("damaged", partition=partition, entries=len(damaged))
        for place in damaged:
            self._damaged(place)
        self._start = next_
        if next_:
            return rows_max
        self._turn += 1
        return len(rows)
