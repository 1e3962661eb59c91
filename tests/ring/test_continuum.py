"""The continuum: uhashring's points, and what it must never depend on."""

from __future__ import annotations

import random

from ringdict.ring.config import VIRTUAL_NODES
from ringdict.ring.continuum import continuum, partition_point, point


def test_each_member_has_its_points_by_weight() -> None:
    ring = continuum({"a": 1, "b": 3})
    assert ring.points == sorted(ring.points)
    assert ring.names.count("a") == VIRTUAL_NODES
    assert ring.names.count("b") == 3 * VIRTUAL_NODES
    assert ring.names[ring.points.index(point(f"b-{3 * VIRTUAL_NODES - 1}"))] == "b"


def test_the_points_are_those_that_clusters_were_placed_by() -> None:
    """With others a new version would move most of the data of every cluster, if by legal steps."""
    assert point("00-0") == 0x36FD7B3DB21F9A22
    assert partition_point(7) == 0xB03B9D763DD2A9ED


def test_a_member_that_comes_leaves_the_points_of_others_alone() -> None:
    names = [f"{number:032x}" for number in range(20)]
    before = continuum(dict.fromkeys(names[:-1], 1))
    after = continuum(dict.fromkeys(names, 1))
    mine = [pair for pair in zip(after.points, after.names, strict=True) if pair[1] != names[-1]]
    assert mine == list(zip(before.points, before.names, strict=True))


def test_points_that_coincide_do_not_depend_on_the_order_of_members() -> None:
    """uhashring gives a point to whoever came last (its issue 6 was a crash). 14 bits make thousands."""

    def weak(text: str) -> int:
        return point(text) & 0x3FFF

    names = [f"{number:032x}" for number in range(30)]
    wanted = continuum(dict.fromkeys(names, 1), weak)
    assert len(wanted.points) < 30 * VIRTUAL_NODES * 0.9
    for seed in range(5):
        random.Random(seed).shuffle(names)
        assert continuum(dict.fromkeys(names, 1), weak) == wanted
