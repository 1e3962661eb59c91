"""Questions between nodes: each is answered once, and who cannot be reached costs little."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringdict.node.config import BREAKER_MISSES
from ringdict.node.network.bus import Bus
from ringdict.node.network.message import AskStatus, Reply, TellStatus
from ringdict.node.network.wire import decode, encode
from ringdict.node.world import NS_PER_MS, Address, NodeId, World
from ringdict.sim.simulation import Simulation

PEER = NodeId(b"p" * 16)
STRANGER = NodeId(b"s" * 16)


class Asker:
    def __init__(self, world: World) -> None:
        self.bus = Bus(world, self)
        self.answers: list[Reply | None] = []

    def address_of(self, node: NodeId) -> Address | None:
        return Address("peer") if node == PEER else None

    def ask(self, node: NodeId = PEER) -> None:
        self.bus.ask(node, AskStatus(0), self.answers.append, 50 * NS_PER_MS)

    def on_frame(self, source: Address, frame: bytes) -> None:
        message = decode(frame)
        assert isinstance(message, Reply)
        self.bus.hear(source, message)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        raise AssertionError


class Peer:
    twice = False

    def __init__(self, world: World) -> None:
        self.world = world

    def on_frame(self, source: Address, frame: bytes) -> None:
        message = decode(frame)
        assert isinstance(message, AskStatus)
        for _ in range(1 + self.twice):
            self.world.send(source, encode(TellStatus(message.number, b"{}")))

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        raise AssertionError


@pytest.fixture
def simulation() -> Simulation:
    return Simulation(seed=1)


@pytest.fixture
def asker(simulation: Simulation) -> Iterator[Asker]:
    host = simulation.host("asker", Asker)
    simulation.host("peer", Peer)
    simulation.run_for(0.1)
    assert isinstance(host.process, Asker)
    yield host.process
    host.process.bus.validate()


def test_a_question_is_answered(simulation: Simulation, asker: Asker) -> None:
    asker.ask()
    assert asker.answers == []
    simulation.run_for(0.2)
    assert [type(answer) for answer in asker.answers] == [TellStatus]


def test_an_answer_that_comes_twice_counts_once(simulation: Simulation, asker: Asker) -> None:
    peer = simulation.hosts[Address("peer")].process
    assert isinstance(peer, Peer)
    peer.twice = True
    asker.ask()
    simulation.run_for(0.2)
    assert len(asker.answers) == 1


def test_a_stranger_is_not_reached(simulation: Simulation, asker: Asker) -> None:
    asker.ask(STRANGER)
    assert asker.answers == []
    simulation.run_for(0.001)
    assert asker.answers == [None]
    assert not asker.bus.routable(STRANGER)


def test_a_dead_peer_is_noticed_and_costs_nothing_then(simulation: Simulation, asker: Asker) -> None:
    simulation.crash(simulation.hosts[Address("peer")])
    for _ in range(BREAKER_MISSES):
        asker.ask()
    assert asker.bus.routable(PEER)
    simulation.run_for(0.06)
    assert asker.answers == [None] * BREAKER_MISSES
    assert not asker.bus.routable(PEER)
    asker.ask()
    simulation.run_for(0.001)
    assert len(asker.answers) == BREAKER_MISSES + 1


def test_a_peer_that_is_back_is_found_by_the_next_try(simulation: Simulation, asker: Asker) -> None:
    peer = simulation.hosts[Address("peer")]
    simulation.crash(peer)
    for _ in range(BREAKER_MISSES):
        asker.ask()
    simulation.run_for(0.06)
    simulation.restart(peer)
    simulation.run_for(0.3)
    asker.ask()
    asker.ask()  # only one goes through as a try
    simulation.run_for(0.02)
    assert [type(answer) for answer in asker.answers[BREAKER_MISSES:]] == [type(None), TellStatus]
    assert asker.bus.routable(PEER)
