"""The clears of one leadership: each makes all of a Dict absent in the partition, whatever its size.

Rules of this file:
1. A `clear` stops its Dict's keys from beginning anything until it is chosen. What had begun stands before
   it, whatever is chosen first: it was born before.
2. Those of one Dict go one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..network.leadermessage import Acted
from ..network.message import Reply, Unknown
from .successor import clearing

if TYPE_CHECKING:
    from .leadership import Leadership


class _Clear(NamedTuple):
    operation_id: bytes
    ends: bool
    answer: Callable[[Reply], None]


class Clears:
    """`resume` is called for each name that was stopped, once nothing stops it any more."""

    def __init__(self, leadership: Leadership, resume: Callable[[bytes], None]) -> None:
        self._leadership = leadership
        self._resume = resume
        #: Of each Dict that is being cleared: those that wait for their turn, the first being carried out.
        self._open: dict[bytes, deque[_Clear]] = {}
        self._stopped: dict[bytes, list[bytes]] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def __contains__(self, dict_id: bytes) -> bool:
        return dict_id in self._open

    def stop(self, dict_id: bytes, name: bytes) -> None:
        """A name waits until its Dict is cleared."""
        self._stopped.setdefault(dict_id, []).append(name)

    def add(
        self, dict_id: bytes, operation_id: bytes, answer: Callable[[Reply], None], *, ends: bool
    ) -> bool:
        """Have a Dict cleared; whether `go` is to be called once the partition is ready for it."""
        queue = self._open.setdefault(dict_id, deque())
        queue.append(_Clear(operation_id, ends, answer))
        return len(queue) == 1

    def go(self, dict_id: bytes) -> None:
        """Carry the first one out."""
        lead, (operation_id, ends, answer) = self._leadership, self._open[dict_id][0]
        before = lead.acceptor.record(lead.partition, dict_id)
        record = clearing(before, lead.next_order(), operation_id, lead.token(0), ends=ends)

        def chosen() -> None:
            answer(Acted(0, True, record.token))
            queue = self._open[dict_id]
            queue.popleft()
            if queue:
                self.go(dict_id)
                return
            del self._open[dict_id]
            for name in self._stopped.pop(dict_id, []):
                self._resume(name)

        lead.choose([(dict_id, record)], chosen)

    def end(self) -> None:
        """The ballot is gone."""
        for waiting in self._open.values():
            for each in waiting:
                each.answer(Unknown(0, "the leader was deposed while it was being decided"))
