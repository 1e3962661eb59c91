"""How fast a node takes entries over and hands them on, so that its clients have most of it."""

from __future__ import annotations

from collections.abc import Callable

from ..world import NS_PER_S, World


class Pacing:
    """One node's, for all that it moves. `rate_bytes_s` 0: as fast as it goes."""

    def __init__(self, world: World, rate_bytes_s: int) -> None:
        self._world = world
        self._rate_bytes_s = rate_bytes_s
        self._due_ns = world.now_ns()
        self.moved_bytes = 0

    def after(self, size_bytes: int, then: Callable[[], None]) -> None:
        """So many bytes were moved: go on once they have had their time."""
        self.moved_bytes += size_bytes
        now_ns = self._world.now_ns()
        if self._rate_bytes_s:
            self._due_ns = max(self._due_ns, now_ns) + size_bytes * NS_PER_S // self._rate_bytes_s
        if self._due_ns <= now_ns or not self._rate_bytes_s:
            then()
        else:
            self._world.call_after(self._due_ns - now_ns, then)
