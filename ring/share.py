"""Fair shares: how much of the ring each member should hold, by weight and zone.

A share is a number of copies a row: 0.3 means that three rows in ten name the member. Shares of all members
add up to the replicas of a row. Nobody can have more than 1, and zones bound the members in them: where there
are as many zones as replicas a zone has at most one copy of a row, where there are fewer it has at least
one. So a lone member of a small zone holds more than its weight says, and that is fair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from .config import LOAD_RATIO

__all__ = ["copy_shares", "load_cap", "primary_shares"]

_HALVINGS = 100
"""Of an interval, until it is as small as a float can tell."""


def primary_shares(weights: Sequence[int]) -> list[float]:
    """Return of which part of all rows each member should be the primary owner."""
    return [weight / sum(weights) for weight in weights]


def copy_shares(weights: Sequence[int], zones: Sequence[str], replicas: int) -> list[float]:
    """Return how many copies a row each member should hold, by weight, within the bounds above."""
    width = min(replicas, len(weights))
    names = sorted(set(zones))
    lowest = 1 if len(names) < width else 0
    highest = max(1, width - len(names) + 1)
    inside = [[weights[i] for i, zone in enumerate(zones) if zone == name] for name in names]

    def zone_share(members: Sequence[int], scale: float) -> float:
        return min(max(_filled(members, scale), lowest), highest)

    scale = _solve(lambda at: sum(zone_share(members, at) for members in inside), width)
    scales = {
        name: _solve(partial(_filled, members), zone_share(members, scale))
        for name, members in zip(names, inside, strict=True)
    }
    return [min(1.0, scales[zone] * weight) for weight, zone in zip(weights, zones, strict=True)]


def load_cap(share: float, partitions: int) -> int:
    """Return how many rows a member with this share may have: a tenth above the mean, rounded up."""
    return math.ceil(round(LOAD_RATIO * share * partitions, 6))


def _filled(weights: Sequence[int], scale: float) -> float:
    return sum(min(1.0, scale * weight) for weight in weights)


def _solve(growing: Callable[[float], float], wanted: float) -> float:
    """Return where a growing function reaches `wanted`, or nearly so where it ends there.

    At 1 every member, of weight 1 or more, is full, so no larger scale makes a difference.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if growing(middle) < wanted:
            low = middle
        else:
            high = middle
    return high
