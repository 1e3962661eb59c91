"""Broadcasts of the application: once each, and never in the way of rumours."""

from __future__ import annotations

import pytest

from ringdict.gossip.config import BROADCAST_BYTES_MAX, BROADCAST_WINDOW_MESSAGES
from ringdict.gossip.instruction import BroadcastHeard, Instruction, RingHeard
from ringdict.gossip.message import Broadcast, Ring
from ringdict.sim.gossipworld import Node, World

from .peer import Peer, among, node_id, suspect


def heard(peer: Peer) -> list[bytes]:
    return [instruction.payload for instruction in peer.said if isinstance(instruction, BroadcastHeard)]


def say(number: int, *, generation: int = 1) -> Broadcast:
    return Broadcast(node_id("a"), generation, number, b"%d" % number)


def test_a_broadcast_reaches_everybody_once() -> None:
    world = World(1, loss=0.05)
    nodes = world.form(20)
    got: list[tuple[str, bytes]] = []

    def watch(node: Node, instruction: Instruction) -> None:
        if isinstance(instruction, BroadcastHeard):
            assert instruction.origin == nodes[0].core.node_id
            got.append((node.name, instruction.payload))

    world.watch = watch
    world.run(1.0)
    world.do(nodes[0], nodes[0].core.broadcast(b"hello", world.now))
    world.run(10.0)
    assert sorted(got) == sorted((node.name, b"hello") for node in nodes[1:])


def test_a_broadcast_is_heard_once_however_often_it_comes() -> None:
    peer = Peer()
    peer.join("a", "b")
    order = [3, 1, 2, 3, 1, 70, 5, 6, 71, 70, 8, 8]
    for number in order:
        peer.hear("b", say(number))
    # 5 and 6 are older than the window that 70 opened; 8 is just within it.
    assert BROADCAST_WINDOW_MESSAGES <= 70 - 5
    assert heard(peer) == [b"3", b"1", b"2", b"70", b"71", b"8"]


def test_a_broadcast_of_another_life_or_of_nobody_is_not_heard() -> None:
    peer = Peer()
    peer.join("a")
    peer.hear(
        "a",
        say(1, generation=2),
        Broadcast(node_id("z"), 1, 1, b"z"),
        Broadcast(peer.own.node_id, 1, 1, b"me"),
    )
    assert heard(peer) == []


def test_a_broadcast_has_a_limit() -> None:
    peer = Peer()
    peer.said += peer.core.broadcast(bytes(BROADCAST_BYTES_MAX), peer.now)
    with pytest.raises(ValueError, match="at most"):
        peer.core.broadcast(bytes(BROADCAST_BYTES_MAX + 1), peer.now)


def test_rumours_go_before_broadcasts() -> None:
    peer = Peer()
    names = [f"n{number}" for number in range(30)]
    peer.join(*names)
    peer.wait(20.0, answering=names)
    for _ in range(300):
        peer.said += peer.core.broadcast(bytes(BROADCAST_BYTES_MAX), peer.now)
    assert peer.core.counters()["rumours_crowded_out"] == 44
    peer.hear("n0", suspect("n1", "n0"))
    peer.forget()
    peer.wait(0.25, answering=names)
    assert among(suspect("n1", "n0"), peer.messages())


def test_what_peers_say_of_their_ring_is_told_when_it_changes() -> None:
    world = World(1)
    nodes = world.form(3)
    got: list[tuple[str, Ring]] = []

    def watch(node: Node, instruction: Instruction) -> None:
        if isinstance(instruction, RingHeard) and instruction.node_id == nodes[0].core.node_id:
            got.append((node.name, instruction.ring))

    world.run(3.0)
    world.watch = watch
    nodes[0].core.set_ring(Ring(7, 1234), [])
    world.run(10.0)
    assert sorted(got) == [("n1", Ring(7, 1234)), ("n2", Ring(7, 1234))]
    view = nodes[1].core.member(nodes[0].core.node_id)
    assert view is not None
    assert view.ring == Ring(7, 1234)
