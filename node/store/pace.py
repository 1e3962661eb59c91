"""How fast work in the background goes: so many bytes a second, and no more for having waited."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..clock import monotonic_ns

NS_PER_S = 1_000_000_000


class Pace:
    """Holds whoever asks to a rate. `rate_bytes_s` 0: to none."""

    def __init__(
        self,
        rate_bytes_s: int,
        *,
        now_ns: Callable[[], int] = monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate_bytes_s = rate_bytes_s
        self._now_ns = now_ns
        self._sleep = sleep
        self._due_ns = now_ns()

    def spend(self, size_bytes: int) -> None:
        """So many bytes were read or written: wait until they have had their time."""
        if not self._rate_bytes_s or not size_bytes:
            return
        now_ns = self._now_ns()
        self._due_ns = max(self._due_ns, now_ns) + size_bytes * NS_PER_S // self._rate_bytes_s
        if self._due_ns > now_ns:
            self._sleep((self._due_ns - now_ns) / NS_PER_S)
