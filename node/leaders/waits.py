"""Who waits until a key is free: told so by its leader, as a hint. Who takes it is decided as always.

Rules of this file:
1. One is woken when the key becomes free, the one who has waited longest; one more at each look, as long as
   it stays free: the first may be gone.
2. Nobody waits for longer than `WAIT_S`, and everybody is told when the ballot is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ..store.layout import DICT_ID_BYTES
from ..world import NS_PER_S
from .leaderconfig import WAIT_S

_WAIT_NS = int(WAIT_S * NS_PER_S)


class _Waiter(NamedTuple):
    version: int
    until_ns: int
    wake: Callable[[], None]


class Waits:
    """Of one leadership. `holder` gives the token by which a name is held, 0 if it is free."""

    def __init__(self, now_ns: Callable[[], int], holder: Callable[[bytes], int]) -> None:
        self._now_ns = now_ns
        self._holder = holder
        self._waiting: dict[bytes, deque[_Waiter]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, name: bytes, version: int, wake: Callable[[], None]) -> None:
        """Wait; whoever is late is woken at once."""
        if self._holder(name) != version:
            wake()
        else:
            waiters = self._waiting.setdefault(name, deque())
            waiters.append(_Waiter(version, self._now_ns() + _WAIT_NS, wake))

    def changed(self, name: bytes) -> None:
        """Something was chosen for a name, or, for a Dict's, for all of the Dict."""
        if name in self._waiting:
            self._look(name)
        elif len(name) == DICT_ID_BYTES:
            for other in [each for each in self._waiting if each.startswith(name)]:
                self._look(other)

    def tick(self) -> None:
        """Time has passed."""
        for name in list(self._waiting):
            self._look(name)

    def _look(self, name: bytes) -> None:
        waiters, holder, now_ns = self._waiting[name], self._holder(name), self._now_ns()
        due = [each for each in waiters if each.until_ns <= now_ns]
        for each in due:
            waiters.remove(each)
        if waiters and not holder:
            due.append(waiters.popleft())
        if not waiters:
            del self._waiting[name]
        for each in due:
            each.wake()

    def end(self) -> None:
        """The ballot is gone."""
        waiting, self._waiting = self._waiting, {}
        for waiters in waiting.values():
            for each in waiters:
                each.wake()
