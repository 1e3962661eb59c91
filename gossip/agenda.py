"""What is to be done when: timers of a core, which runs them itself when it is told the time."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Appointment:
    """Something to be done once, at `due` or later, unless it is called off before."""

    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Call it off; more than once does no harm."""
        self.action = None


class Agenda:
    """A heap of appointments. Equal times keep the order in which they were made."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Appointment]] = []
        self._count = 0

    def at(self, due: float, action: Callable[[], None]) -> Appointment:
        """Make an appointment. The action must not raise."""
        appointment = Appointment(due, action)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, appointment))
        return appointment

    def next_due(self) -> float | None:
        """Return when something is to be done, or None if nothing is."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def run(self, now: float) -> None:
        """Do all that is due, what the actions make due by `now` included, in order."""
        while (due := self.next_due()) is not None and due <= now:
            appointment = heapq.heappop(self._heap)[2]
            action, appointment.action = appointment.action, None
            if action is not None:
                action()
