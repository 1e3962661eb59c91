"""The circle that partitions and members are points on: uhashring's continuum, with a 64-bit hash.

uhashring makes the points and settles weights. What it is not asked for is a row of replicas: its `range`
copies half the continuum a call, and knows neither zones nor load (docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import xxhash
from uhashring import HashRing

from .config import VIRTUAL_NODES

__all__ = ["Continuum", "continuum", "partition_point", "point"]


class Continuum(NamedTuple):
    """Points in ascending order, and beside each the name of the member whose point it is."""

    points: list[int]
    names: list[str]


def point(text: str) -> int:
    """Return where a text lies on the circle: 64 bits of xxh3."""
    return xxhash.xxh3_64_intdigest(text.encode())


def partition_point(partition: int) -> int:
    """Return where a partition lies on the circle, whoever the members are."""
    return point(f"partition:{partition}")


def continuum(weights: Mapping[str, int], hash_text: Callable[[str], int] = point) -> Continuum:
    """Return the continuum of members of these names and weights.

    The order of the mapping does not matter. Where two members' points coincide (once in 10**11 rings of
    100 members), the later name takes it: uhashring lets the last one win, so names are given to it sorted.
    """
    conf = {name: {"weight": weights[name], "vnodes": VIRTUAL_NODES} for name in sorted(weights)}
    pairs = cast("list[tuple[int, str]]", HashRing(conf, hash_fn=hash_text).get_points())
    return Continuum([place for place, _ in pairs], [name for _, name in pairs])
