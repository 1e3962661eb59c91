"""Finding each other: at the start, after an outage, after any cut."""

from __future__ import annotations

import pytest

from ringdict.gossip.config import JOIN_PAUSE_S_MAX, RECONNECT_INTERVAL_S_MAX, TOMBSTONE_RING_S, TOMBSTONE_S
from ringdict.gossip.instruction import Change
from ringdict.gossip.member import Status
from ringdict.gossip.message import Ping, Ring, SyncAsk
from ringdict.sim.gossipfigures import heal
from ringdict.sim.gossipworld import World

from .peer import Peer, address, dead, left, node_id


def test_a_node_that_is_alone_never_gives_up() -> None:
    world = World(1)
    lonely = world.add(seeds=["10.0.0.1:7000"])
    world.run(3600.0)
    world.add(index=1)
    assert world.run(2 * JOIN_PAUSE_S_MAX, until=world.agree) is not None
    assert lonely.core.live_count == 2


def test_a_seed_may_be_this_node_itself_or_many_addresses() -> None:
    """What a headless service resolves to: all replicas, oneself among them, some of them not there yet."""
    world = World(2, loss=0.05)
    addresses = [f"10.0.0.{index}:7000" for index in range(5)]
    for _ in addresses:
        world.add(seeds=addresses)
        world.run(0.3)
    assert world.run(10.0, until=world.agree) is not None


def test_new_seeds_are_tried_at_once() -> None:
    peer = Peer()
    peer.wait(100.0)
    peer.forget()
    peer.said += peer.core.set_seeds(["a:7000"], peer.now)
    assert any(isinstance(message, SyncAsk) for message in peer.messages("a:7000"))


def test_a_seed_is_tried_for_ever_by_nodes_that_have_peers() -> None:
    """Two clusters that grew apart from the start become one when a seed of one is reached by the other."""
    world = World(3)
    one = [world.add() for _ in range(1)]
    one += [world.add(seeds=[one[0].address]) for _ in range(2)]
    other = [world.add(seeds=[one[0].address]) for _ in range(1)]
    with world.partition(one, other):
        other += [world.add(seeds=[other[0].address, one[0].address]) for _ in range(2)]
        sides = {id(node): node in other for node in world.nodes}
        world.cut = lambda sender, receiver: sides[id(sender)] != sides[id(receiver)]
        world.run(300.0)
        assert all(node.core.live_count == 3 for node in world.nodes)
        world.cut = lambda sender, receiver: False
        assert world.run(40.0, until=world.agree) is not None


def test_a_cut_heals() -> None:
    assert max(heal(10, range(5))) < 10.0


@pytest.mark.campaign
def test_a_cut_heals_at_a_hundred() -> None:
    assert max(heal(100, range(10))) < 10.0


def test_a_cut_longer_than_any_tombstone_heals() -> None:
    world = World(4)
    nodes = world.form(6)
    with world.partition(nodes[:3], nodes[3:]):
        world.run(TOMBSTONE_S + 100.0)
        assert all(len(node.core.members()) == 3 for node in nodes)
    took = world.run(30.0, until=world.agree)
    assert took is not None
    assert took < 10.0


def test_two_nodes_that_were_cut_off_find_each_other() -> None:
    world = World(5)
    nodes = world.form(2)
    with world.partition(nodes[:1], nodes[1:]):
        world.run(2000.0)
    assert world.run(2 * JOIN_PAUSE_S_MAX, until=world.agree) is not None


def test_who_has_left_is_not_tried() -> None:
    peer = Peer()
    peer.join("a", "b")
    peer.hear("b", left("b"))
    peer.forget()
    peer.wait(TOMBSTONE_S + 200.0, answering=("a",))
    assert peer.status("b") is None
    assert peer.messages(address("b")) == []
    assert node_id("b") not in peer.core.known_members()


def test_the_dead_are_tried_and_told_what_they_are_held_for() -> None:
    peer = Peer()
    peer.join("a", "b")
    peer.hear("a", dead("b", "a"))
    peer.wait(40.0, answering=("a",))
    peer.forget()
    peer.wait(2 * RECONNECT_INTERVAL_S_MAX, answering=("a",))
    tries = [letter for letter in peer.letters(address("b")) if any(isinstance(one, Ping) for one in letter)]
    assert len(tries) in range(5, 25)
    assert all(len(letter) == 3 for letter in tries)  # who asks, what the other is held for, a ping


def test_tombstones_of_ring_members_are_kept_for_longer() -> None:
    peer = Peer()
    peer.join("a", "b", "c")
    peer.core.set_ring(Ring(1, 2), [node_id("b")])
    peer.hear("a", dead("b", "a"), dead("c", "a"))
    peer.wait(TOMBSTONE_S + 1.0, answering=("a",))
    assert peer.status("b") is Status.DEAD
    assert peer.status("c") is None
    assert {node_id("b"), node_id("c")} <= set(peer.core.known_members())
    assert TOMBSTONE_RING_S > TOMBSTONE_S


def test_a_reconnection_is_an_event_of_each() -> None:
    world = World(6)
    nodes = world.form(4)
    with world.partition(nodes[:2], nodes[2:]):
        world.run(60.0)
    world.run(20.0)
    assert world.agree()
    assert world.counts[Change.FAILED] == 8
    assert world.counts[Change.JOINED] == 8
