"""Virtual time for Trio: a clock that owns the simulation's loop.

Trio asks a clock how long to sleep only when no task can run. At that moment the next thing to come happens,
if it is due before any task's deadline, or else time jumps to that deadline; and trio need not sleep at all.
"""

from __future__ import annotations

import math

import trio

from ..node.world import NS_PER_S
from .config import IDLE_ROUNDS_MAX
from .loop import Loop


class SimClock(trio.abc.Clock):
    """Shows the loop's time, and makes it pass."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._idle_rounds = 0
        #: Set by whatever woke a task: trio must run it before anything else happens.
        self.woken = False
        #: Nothing is to come any more: tasks only unwind.
        self.ended = False

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._loop.now_ns / NS_PER_S

    def deadline_to_sleep_time(self, deadline: float) -> float:
        loop = self._loop
        self.woken = False
        limit_ns = math.ceil(deadline * NS_PER_S) if math.isfinite(deadline) else None
        while True:
            next_ns = loop.next_ns
            if self.woken and next_ns != loop.now_ns:
                return 0.0  # all of one instant happens before a task runs
            if next_ns is not None and not self.ended and (limit_ns is None or next_ns <= limit_ns):
                self._idle_rounds = 0
                loop.step()
            elif limit_ns is not None:
                self._idle_rounds = 0
                while loop.now_ns < limit_ns or self.current_time() < deadline:
                    loop.now_ns = max(loop.now_ns + 1, limit_ns)
                return 0.0
            else:
                # At its end trio waits for a byte from itself, without a deadline.
                self._idle_rounds += 1
                assert self._idle_rounds < IDLE_ROUNDS_MAX, "every task waits, and nothing is to come"
                return 0.0
