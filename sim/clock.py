"""The clocks of one made-up host: they start anywhere, run too fast or too slow, and the wall clock jumps."""

from __future__ import annotations

from .config import WALL_START_NS
from .loop import Loop

_MILLION = 1_000_000


class HostClock:
    """Monotonic and wall clock of one host, made from the loop's virtual time."""

    __slots__ = ("_at_ns", "_local_ns", "_loop", "rate_ppm", "skew_ns")

    def __init__(self, loop: Loop, start_ns: int) -> None:
        self._loop = loop
        self._at_ns = loop.now_ns
        self._local_ns = start_ns
        #: Parts per million that it runs too fast, or, below zero, too slow.
        self.rate_ppm = 0
        #: How far the wall clock is ahead of virtual time, what the rate did to it left out.
        self.skew_ns = 0

    def set_rate(self, rate_ppm: int) -> None:
        """Run at another rate from now on."""
        assert rate_ppm > -_MILLION
        local_ns, at_ns = self.now_ns(), self._loop.now_ns
        self.skew_ns += local_ns - self._local_ns - (at_ns - self._at_ns)
        self._local_ns, self._at_ns, self.rate_ppm = local_ns, at_ns, rate_ppm

    def now_ns(self) -> int:
        """The monotonic clock."""
        passed_ns = self._loop.now_ns - self._at_ns
        if self.rate_ppm:
            passed_ns += passed_ns * self.rate_ppm // _MILLION
        return self._local_ns + passed_ns

    def wall_ns(self) -> int:
        """The wall clock."""
        passed_ns = self._loop.now_ns - self._at_ns
        drift_ns = passed_ns * self.rate_ppm // _MILLION if self.rate_ppm else 0
        return WALL_START_NS + self._loop.now_ns + drift_ns + self.skew_ns

    def true_ns(self, delay_ns: int) -> int:
        """How much virtual time passes while this clock runs for `delay_ns`; rounded up."""
        if not self.rate_ppm:
            return delay_ns
        return -(-delay_ns * _MILLION // (_MILLION + self.rate_ppm))
