"""Showing anew what was decided before this process began: whoever decided it may have told nobody.

Each partition is walked over once a process, by its leader, in bounded steps. What was shown already is
merged, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..world import NS_PER_S, NodeId
from .acceptor import Acceptor
from .leaderconfig import PURGE_LOOK_S, PURGE_PAGE_ROWS, PURGE_SCAN_BYTES, PURGE_STEP_BYTES
from .leadership import Leadership
from .record import FORGETS, size_of
from .shelf import Chosen

_LOOK_NS = int(PURGE_LOOK_S * NS_PER_S)


class Shows(Protocol):
    """What that needs of its node."""

    acceptor: Acceptor
    leaderships: dict[int, Leadership]
    me: NodeId

    def show(self, chosen: list[Chosen], row: tuple[NodeId, ...], /) -> None: ...

    def at_beat(self, interval_ns: int, call: Callable[[], None], /) -> None: ...


class Reshowing:
    """One node's part in it."""

    def __init__(self, desk: Shows) -> None:
        self._desk = desk
        self._shown: set[int] = set()
        #: Partitions to walk over, the present one first, and behind which place it goes on.
        self._queue: list[int] = []
        self._after = b""
        desk.at_beat(_LOOK_NS, self._look)

    def lead(self, partition: int) -> None:
        """A partition is led here from now on."""
        if partition not in self._shown and partition not in self._queue:
            self._queue.append(partition)

    def _look(self) -> None:
        self._desk.at_beat(_LOOK_NS, self._look)
        bytes_left = PURGE_SCAN_BYTES
        for _ in range(len(self._queue)):
            partition = self._queue[0]
            leadership = self._desk.leaderships.get(partition)
            if leadership is None or leadership.open:  # whoever leads it next; later
                self._after = b""
                self._queue.pop(0)
                if leadership is not None:
                    self._queue.append(partition)
                continue
            while bytes_left > 0:
                bytes_left -= self._page(leadership) + PURGE_STEP_BYTES
                if not self._after:
                    self._shown.add(self._queue.pop(0))
                    break
            if bytes_left <= 0:
                return

    def _page(self, leadership: Leadership) -> int:
        """Show a stretch; how many bytes it has. What is under way is shown when it is chosen."""
        page, self._after = self._desk.acceptor.stretch(leadership.partition, self._after, PURGE_PAGE_ROWS)
        chosen = [
            (leadership.partition, name, record)
            for name, record in page
            if name != FORGETS and leadership.has_decided(record)
        ]
        if chosen:
            self._desk.show(chosen, (self._desk.me,))
        return sum(size_of(record) for _, record in page)
