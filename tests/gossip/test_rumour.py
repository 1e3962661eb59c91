"""Rumours: each so often, the least told first, one word a node."""

from __future__ import annotations

import pytest

from ringdict.gossip.config import BROADCASTS_MAX, RUMOURS_MAX
from ringdict.gossip.rumour import Rumours, Tiers
from ringdict.sim.gossipworld import World

from .peer import node_id


@pytest.mark.parametrize(
    ("live", "sends"), [(1, 6), (9, 6), (10, 12), (99, 12), (100, 18), (998, 18), (999, 18), (1000, 24)]
)
def test_how_often_a_rumour_is_told(live: int, sends: int) -> None:
    rumours = Rumours(6)
    assert rumours.sends(live) == sends
    rumours.put_word(node_id("a"), b"w" * 50)
    assert [len(rumours.take(1400, live)) for _ in range(sends + 2)] == [1] * sends + [0, 0]
    assert len(rumours) == 0


def test_a_newer_word_about_a_node_replaces_the_older() -> None:
    rumours = Rumours(6)
    rumours.put_word(node_id("a"), b"1" * 50)
    rumours.take(1400, 5)
    rumours.put_word(node_id("a"), b"2" * 50)
    assert rumours.take(1400, 5) == [b"2" * 50]
    assert len(rumours) == 1


def test_the_least_told_goes_first() -> None:
    rumours = Rumours(6)
    rumours.put_word(node_id("a"), b"1" * 50)
    rumours.take(1400, 5)
    rumours.put_word(node_id("b"), b"2" * 50)
    assert rumours.take(60, 5) == [b"2" * 50]
    assert rumours.take(1400, 5) == [b"1" * 50, b"2" * 50]


def test_what_does_not_fit_waits_and_what_fits_goes() -> None:
    rumours = Rumours(6)
    rumours.put_own(b"own" * 30)
    rumours.put_word(node_id("a"), b"1" * 300)
    rumours.put_word(node_id("b"), b"2" * 40)
    rumours.put_broadcast(node_id("c"), 1, b"3" * 60)
    assert rumours.take(50, 5) == [b"2" * 40]
    assert rumours.take(200, 5) == [b"own" * 30, b"2" * 40, b"3" * 60]
    assert rumours.take(10, 5) == []
    assert rumours.take(1400, 5) == [b"own" * 30, b"1" * 300, b"2" * 40, b"3" * 60]


def test_the_own_word_is_told_so_often_too() -> None:
    rumours = Rumours(6)
    rumours.put_own(b"own")
    assert [len(rumours.take(1400, 5)) for _ in range(8)] == [1] * 6 + [0, 0]
    assert not rumours.own_waits


def test_the_most_told_makes_room() -> None:
    tiers = Tiers(2)
    assert tiers.put((node_id("a"), 0), b"1" * 40)
    tiers.take(100, 6)
    assert tiers.put((node_id("b"), 0), b"2" * 40)
    assert not tiers.put((node_id("c"), 0), b"3" * 40)
    assert sorted(tiers.take(1400, 6)) == [b"2" * 40, b"3" * 40]


def test_a_full_queue_is_counted() -> None:
    rumours = Rumours(6)
    for number in range(RUMOURS_MAX + 5):
        rumours.put_word(node_id(str(number)), b"w" * 40)
    for number in range(BROADCASTS_MAX + 7):
        rumours.put_broadcast(node_id("a"), number, b"b" * 40)
    assert rumours.crowded_out == 12
    assert len(rumours) == RUMOURS_MAX + BROADCASTS_MAX


def test_a_datagram_is_never_longer_than_allowed() -> None:
    """Also with hundreds of rumours: the made-up network asserts it of each."""
    world = World(1)
    first = world.add()
    for _ in range(60):
        world.add(seeds=[first.address])
    assert world.run(5.0, until=world.agree) is not None
