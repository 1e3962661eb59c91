"""Who waits for which key of a partition that is led: one at a time, in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator

from .leaderconfig import QUEUE_REQUESTS_MAX
from .work import Work


class Queues:
    """Of one leadership. `start` is called with each operation whose turn has come."""

    def __init__(self, start: Callable[[Work], None]) -> None:
        self._start = start
        self._queues: dict[bytes, deque[Work]] = {}
        #: Keys whose queue is being gone along.
        self._going: set[bytes] = set()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __contains__(self, name: bytes) -> bool:
        return name in self._queues

    def __iter__(self) -> Iterator[Work]:
        return (work for queue in list(self._queues.values()) for work in list(queue))

    def of(self, name: bytes) -> Collection[Work]:
        """Who waits for a key, the first being carried out."""
        return self._queues.get(name, ())

    def has_room(self, name: bytes) -> bool:
        """Whether one more may wait for a key."""
        return len(self.of(name)) < QUEUE_REQUESTS_MAX

    def add(self, work: Work) -> None:
        """Wait for a key; start if nobody does."""
        queue = self._queues.setdefault(work.name, deque())
        queue.append(work)
        if len(queue) == 1:
            self.go_on(work.name)

    def drop(self, work: Work) -> None:
        """An operation is over: the next one's turn."""
        queue = self._queues[work.name]
        assert queue[0] is work
        queue.popleft()
        if not queue:
            del self._queues[work.name]
        work.finished()
        self.go_on(work.name)

    def go_on(self, name: bytes) -> None:
        """Start the first that waits for a key. Those that end at once are followed here, one after the
        other: each in the call of the one before, hundreds would not fit on the stack."""
        if name in self._going:
            return
        self._going.add(name)
        last = None
        while name in self._queues and self._queues[name][0] is not last:
            last = self._queues[name][0]
            self._start(last)
        self._going.discard(name)

    def validate(self) -> None:
        """Assert what must always hold."""
        assert all(self._queues.values())
        assert all(not work.begun for queue in self._queues.values() for work in list(queue)[1:])
