"""A fixed piece of pure-Python work: how fast this machine is at this moment.

An absolute figure says little without it. *At par* is what the figure would be on a machine, and in a moment,
in which the loop takes 10 ms: ``figure * PAR_S / loop``. That makes the runs of one machine comparable, and
those of different machines roughly so.
"""

from __future__ import annotations

import time

__all__ = ["PAR_S", "calibrate"]

PAR_S = 0.010
TURNS = 35_000


def calibrate() -> float:
    """Seconds that the fixed work takes now."""
    start = time.perf_counter()
    table: dict[str, int] = {}
    total = 0
    for number in range(TURNS):
        text = f"key:{number}"
        table[text] = number
        total += len(text) + table[text] % 7
    return time.perf_counter() - start
