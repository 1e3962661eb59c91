"""At most so many calls in any span of time, over all processes of all hosts.

A counter for each span, which `incr` makes and raises atomically and which expires by itself. Two counters
are looked at, the present one and a share of the one before: so nobody gets twice the number of calls
around the turn of a span.

    python examples/rate_limiter.py user-7            # run it ten times within a minute
"""

from __future__ import annotations

import sys
import time
from typing import NamedTuple

from ringdict import Dict

CountKey = tuple[str, str, int]


class Verdict(NamedTuple):
    """Whether a call may be made, and if not, in how many seconds to ask again."""

    allowed: bool
    retry_s: float


class RateLimiter:
    """`limit` calls in `span_s` seconds, for each of any number of callers."""

    def __init__(self, counts: Dict[CountKey, int], name: str, *, limit: int, span_s: float) -> None:
        self._counts = counts
        self._name = name
        self._limit = limit
        self._span_s = span_s

    def ask(self, caller: str, now_s: float | None = None) -> Verdict:
        """Count one call, if it may be made. `now_s`: seconds since 1970, as all hosts agree on about."""
        now_s = time.time() if now_s is None else now_s
        span, passed_s = divmod(now_s, self._span_s)
        here: CountKey = (self._name, caller, int(span))
        before: CountKey = (self._name, caller, int(span) - 1)
        share = 1.0 - passed_s / self._span_s
        weight = self._counts.get(before, 0) * share
        count = self._counts.incr(here, ttl=2 * self._span_s)
        if weight + count <= self._limit:
            return Verdict(allowed=True, retry_s=0.0)
        self._counts.incr(here, -1)  # it was not made: others need not wait for it
        return Verdict(allowed=False, retry_s=self._span_s - passed_s)


def main() -> None:
    counts: Dict[CountKey, int] = Dict.from_name("rates", create_if_missing=True)
    verdict = RateLimiter(counts, "api", limit=5, span_s=60.0).ask(sys.argv[1])
    print("go on" if verdict.allowed else f"too many calls; again in {verdict.retry_s:.0f} s")


if __name__ == "__main__":
    main()
