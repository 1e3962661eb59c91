"""Time and randomness, the two things that a store cannot work out for itself.

`Clock` and `Random` are what a store is given; `SystemClock` and `system_random` are the real ones.
`HybridClock` turns readings into stamps that never run back (Kulkarni et al., "Logical Physical
Clocks", 2014), embedded in 64 bits: 48 of milliseconds since 1970, 16 of a counter.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

COUNTER_BITS = 16

Random = Callable[[int], bytes]
"""`random(n)` gives n unpredictable bytes."""


class Clock(Protocol):
    """The clocks of one host."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970. May jump, in both directions."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds since the host booted, the same for all its processes; never jumps."""
        ...

    def boot_id(self) -> bytes:
        """16 bytes that differ from boot to boot: `monotonic_ms` of another boot means nothing."""
        ...


class SystemClock:
    """The host's own clocks."""

    def __init__(self) -> None:
        self._boot_id = _boot_id()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def boot_id(self) -> bytes:
        return self._boot_id


def _boot_id() -> bytes:
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)  # not Linux: the monotonic clock alone must tell boots apart


def system_random(count: int) -> bytes:
    """`count` bytes from the operating system."""
    return os.urandom(count)


def system_dice() -> random.Random:
    """A stream of random numbers of its own, begun with bytes from the operating system."""
    return random.Random(os.urandom(32))  # noqa: S311 - for jitter and choices; what must be secret asks for bytes


class NanosecondClock(Protocol):
    """The clocks that a world shows its process."""

    def now_ns(self) -> int:
        """Monotonic."""
        ...

    def wall_ns(self) -> int:
        """Since 1970; may jump."""
        ...


monotonic_ns = time.monotonic_ns
"""The clock of `SystemNanosecondClock.now_ns`, for who reads it once a microsecond."""


class SystemNanosecondClock:
    """The host's own."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()


class HybridClock:
    """Now, never running back, whatever happens to the wall clock.

    It runs at the monotonic clock's rate from the furthest instant it has seen: of the wall clock, and
    of stamps that other processes gave. So a wall clock that is set back neither revives what has expired
    nor makes time stand still until it has caught up.

    Safe to share between threads: a lost update of `_lead_ms` is made good at the next reading.
    """

    __slots__ = ("_lead_ms", "_monotonic_ms", "_seen", "_wall_ms")

    def __init__(self, clock: Clock) -> None:
        self._wall_ms = clock.wall_ms
        self._monotonic_ms = clock.monotonic_ms
        self._lead_ms = clock.wall_ms() - clock.monotonic_ms()
        self._seen = 0

    def now_ms(self, stamp: int) -> int:
        """Milliseconds since 1970: at or after every earlier answer, the given stamp and all given before."""
        monotonic_ms = self._monotonic_ms()
        lead_ms = self._wall_ms() - monotonic_ms
        if stamp > self._seen:
            self._seen = stamp
            lead_ms = max(lead_ms, (stamp >> COUNTER_BITS) - monotonic_ms)
        if lead_ms > self._lead_ms:
            self._lead_ms = lead_ms
        return monotonic_ms + self._lead_ms
