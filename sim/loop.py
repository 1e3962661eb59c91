"""Virtual time: a heap of things to come, taken one by one in the order of (instant, serial number)."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, TypeAlias

Call: TypeAlias = Callable[..., None]


class Loop:
    """The one clock and queue of a simulation. Time stands still while something is called."""

    __slots__ = ("_heap", "_serial", "now_ns", "steps_count", "stopped")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Call, tuple[Any, ...]]] = []
        self._serial = 0
        #: Nanoseconds since the beginning of the simulation.
        self.now_ns = 0
        #: How many calls were made.
        self.steps_count = 0
        #: True once there is nothing more to be learned: `run_until` returns at once.
        self.stopped = False

    def call_at(self, at_ns: int, call: Call, *arguments: Any) -> None:  # noqa: ANN401 - handed on
        """Call at that instant, after all that was put there before; at once if the instant has passed."""
        self._serial += 1
        heappush(self._heap, (at_ns, self._serial, call, arguments))

    def call_after(self, delay_ns: int, call: Call, *arguments: Any) -> None:  # noqa: ANN401 - handed on
        """Call after that much virtual time."""
        self._serial += 1
        heappush(self._heap, (self.now_ns + delay_ns, self._serial, call, arguments))

    def run_until(self, end_ns: int) -> None:
        """Make every call up to and including that instant, then let it be that instant."""
        heap = self._heap
        count = 0
        try:
            while heap and heap[0][0] <= end_ns and not self.stopped:
                at_ns, _, call, arguments = heappop(heap)
                if at_ns > self.now_ns:
                    self.now_ns = at_ns
                count += 1
                call(*arguments)
        finally:
            self.steps_count += count
        if not self.stopped:
            self.now_ns = max(self.now_ns, end_ns)

    # -- one step at a time, for whoever drives it from outside (sim/trioclock.py) -----------------

    @property
    def next_ns(self) -> int | None:
        """When the next call is due; None: nothing is to come."""
        return self._heap[0][0] if self._heap else None

    def step(self) -> None:
        """Make the next call."""
        at_ns, _, call, arguments = heappop(self._heap)
        if at_ns > self.now_ns:
            self.now_ns = at_ns
        self.steps_count += 1
        call(*arguments)
