"""A node that was not there to hear answers judges nobody by what it missed."""

from __future__ import annotations

import pytest

from ringdict.gossip.config import LATENESS_RATIO, PROBE_TIMEOUT_S
from ringdict.gossip.instruction import Change
from ringdict.gossip.member import Status
from ringdict.sim.gossipfigures import blocked
from ringdict.sim.gossipworld import World

from .peer import Peer, suspect

NAMES = ("a", "b", "c", "d", "e", "f")


def late(peer: Peer, seconds: float) -> None:
    """Let time pass without a look at it, then one."""
    peer.now += seconds
    peer.said += peer.core.tick(peer.now)


def test_lateness_counts_as_bad_health() -> None:
    peer = Peer()
    peer.join(*NAMES)
    peer.wait(3.0, answering=NAMES)
    assert peer.core.health_points == 0
    late(peer, 2.0)
    assert peer.core.health_points >= 1
    assert peer.core.counters()["late"] == 1


def test_a_little_lateness_is_none() -> None:
    peer = Peer()
    peer.join(*NAMES)
    peer.wait(3.0, answering=NAMES)
    due = peer.core.next_deadline()
    assert due is not None
    late(peer, due - peer.now + LATENESS_RATIO * PROBE_TIMEOUT_S * 0.9)
    assert "late" not in peer.core.counters()


def test_a_round_with_lateness_in_it_is_void() -> None:
    peer = Peer()
    peer.join(*NAMES)
    peer.wait(3.0, answering=NAMES)
    peer.forget()
    while not any(peer.pings(name) for name in NAMES):
        peer.wait(0.01)
    late(peer, 5.0)
    peer.wait(0.3)
    assert not any(Change.SUSPECTED in peer.changes(name) for name in NAMES)
    assert "accusations" not in peer.core.counters()


def test_suspects_get_the_time_back_that_was_missed() -> None:
    peer = Peer()
    peer.join(*NAMES)
    for reporter in NAMES[:4]:
        peer.hear(reporter, suspect("f", reporter))
    peer.wait(4.0, answering=NAMES[:5])
    late(peer, 10.0)
    assert peer.status("f") is Status.SUSPECT
    peer.wait(3.0, answering=NAMES[:5])
    assert peer.status("f") is Status.DEAD


def test_lateness_is_noticed_by_what_arrives_first() -> None:
    """The shell hands over what waited in the socket before it looks at the timers."""
    peer = Peer()
    peer.join(*NAMES)
    peer.wait(3.0, answering=NAMES)
    peer.now += 5.0
    peer.hear("a")
    assert peer.core.counters()["late"] == 1
    peer.said += peer.core.tick(peer.now)
    assert peer.core.counters()["late"] == 1


def test_whose_ping_was_lost_right_before_its_loop_was_blocked_lives() -> None:
    """The helpers are asked at the beginning of the five seconds: nobody is accused sooner."""
    assert blocked(5, [133]) == (0, 0)


def test_a_loop_blocked_for_five_seconds_kills_nobody_and_accuses_nobody() -> None:
    assert blocked(10, range(15)) == (0, 0)


@pytest.mark.deep
@pytest.mark.parametrize("size", [5, 10, 12, 20, pytest.param(50, marks=pytest.mark.campaign)])
def test_a_loop_blocked_for_five_seconds_in_many_ways(size: int) -> None:
    assert blocked(size, range(200)) == (0, 0)


def test_a_stopped_node_that_goes_on_is_back() -> None:
    """SIGSTOP, and SIGCONT after it was declared dead."""
    world = World(5)
    nodes = world.form(10)
    world.run(3.0)
    world.block(nodes[0], 60.0)
    world.run(59.0)
    assert all(node.believes(nodes[0]) is Status.DEAD for node in nodes[1:])
    world.run(1.0)
    assert world.run(10.0, until=world.agree) is not None
    assert {name for _, _, change, name in world.events if change is Change.FAILED} == {"n0"}
