"""A world's timers, on Trio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

import trio

from ..clock import NanosecondClock
from ..config import LATE_TIMERS_NS
from ..world import NS_PER_S


@dataclass(slots=True)
class TrioTimer:
    """A call that is yet to come."""

    callback: Callable[[], None] | None

    def cancel(self) -> None:
        self.callback = None


@dataclass(slots=True)
class Timers:
    """All timers of a world: one heap, served by one task."""

    clock: NanosecondClock
    heap: list[tuple[int, int, TrioTimer]] = field(default_factory=list)
    serial: int = 0
    changed: trio.Event = field(default_factory=trio.Event)

    def add(self, delay_ns: int, callback: Callable[[], None]) -> TrioTimer:
        timer = TrioTimer(callback)
        due_ns = self.clock.now_ns() + delay_ns
        if not self.heap or due_ns < self.heap[0][0]:
            self.changed.set()
        self.serial += 1
        heappush(self.heap, (due_ns, self.serial, timer))
        return timer

    def late_ns(self) -> int:
        """For how long a call has been due; below 0: none is, for so long."""
        heap = self.heap
        while heap and heap[0][2].callback is None:
            heappop(
                heap
            )  # it was cancelled, as most are: a question's time is over long after its answer came
        return self.clock.now_ns() - heap[0][0] if heap else -NS_PER_S

    def run_due(self) -> None:
        """Make each call that is due. One that is added meanwhile waits for the next time."""
        if not self.heap:
            return
        now_ns = self.clock.now_ns()
        serial = self.serial
        while self.heap and self.heap[0][0] <= now_ns and self.heap[0][1] <= serial:
            timer = heappop(self.heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    async def serve(self, run: Callable[[], None]) -> None:
        """Let what is due run, for ever."""
        while True:
            self.changed = trio.Event()
            if self.late_ns() > LATE_TIMERS_NS:
                # The loop was blocked. Whoever has something to read by now is in this turn of trio, or was.
                await trio.lowlevel.checkpoint()
            run()
            if self.heap:
                wait_s = max(1, self.heap[0][0] - self.clock.now_ns()) / NS_PER_S
                with trio.move_on_after(wait_s):
                    await self.changed.wait()
            else:
                await self.changed.wait()
