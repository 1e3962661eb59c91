"""Gossip on the seam: nodes find each other, notice a death, seal what they say, and need a key."""

from __future__ import annotations

import pytest

from ringdict.exception import InvalidError
from ringdict.gossip.instruction import Change, MemberChanged
from ringdict.gossip.keyring import Keyring
from ringdict.gossip.member import Profile
from ringdict.node.gossiping import Gossiping
from ringdict.node.world import Address, World
from ringdict.sim.simulation import Simulation

SEED = "127.0.0.1:7000"


class Node:
    """A process that only gossips."""

    secret: bytes | None = None

    def __init__(self, world: World) -> None:
        self.events: list[MemberChanged] = []
        address = world.identity.address
        self.gossiping = Gossiping(
            world,
            world.storage("gossip"),
            Profile(str(address)),
            [SEED],
            keyring=None if self.secret is None else Keyring(self.secret, "label"),
            changed=self.events.append,
        )
        self.gossiping.start()

    def on_frame(self, source: Address, frame: bytes) -> None:
        self.gossiping.on_letter(source, frame)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.gossiping.on_datagram(source, datagram)

    def validate(self) -> None:
        self.gossiping.validate()


def some(simulation: Simulation, count: int, kind: type[Node] = Node) -> list[Node]:
    hosts = [simulation.host(f"127.0.0.1:{7000 + number}", kind) for number in range(count)]
    simulation.run_for(5.0)
    return [host.process for host in hosts if isinstance(host.process, Node)]


def test_five_find_each_other_and_notice_a_death() -> None:
    simulation = Simulation(seed=1)
    nodes = some(simulation, 5)
    assert len({node.gossiping.digest for node in nodes}) == 1
    assert [len(node.gossiping.members()) for node in nodes] == [5] * 5
    dead = simulation.hosts[Address("127.0.0.1:7004")]
    simulation.crash(dead)
    simulation.run_for(15.0)
    for node in nodes[:4]:
        assert Change.FAILED in [event.change for event in node.events]
    simulation.restart(dead)
    simulation.run_for(15.0)
    assert isinstance(dead.process, Node)
    assert len({node.gossiping.digest for node in [*nodes[:4], dead.process]}) == 1


def test_a_node_that_leaves_is_not_dead() -> None:
    simulation = Simulation(seed=2)
    nodes = some(simulation, 3)
    said: list[bool] = []
    nodes[2].gossiping.leave(lambda: said.append(True))
    simulation.run_for(10.0)
    assert said == [True]
    assert Change.LEFT in [event.change for event in nodes[0].events]
    assert Change.FAILED not in [event.change for event in nodes[0].events]


def test_members_are_known_again_after_a_full_outage() -> None:
    simulation = Simulation(seed=3)
    some(simulation, 4)
    simulation.run_for(30.0)
    for host in simulation.hosts.values():
        simulation.crash(host)
    survivors = [
        simulation.hosts[Address(f"127.0.0.1:{7000 + number}")] for number in (1, 2, 3)
    ]  # not the seed
    for host in survivors:
        simulation.restart(host)
    simulation.run_for(30.0)
    digests = [host.process.gossiping.digest for host in survivors if isinstance(host.process, Node)]
    assert len(digests) == 3
    assert len(set(digests)) == 1


class Sealed(Node):
    secret = b"one secret of 32 bytes and more!"


class OtherwiseSealed(Node):
    secret = b"another secret of 32 bytes, more"


def test_who_has_another_secret_is_not_heard() -> None:
    simulation = Simulation(seed=4)
    nodes = some(simulation, 3, Sealed)
    assert len({node.gossiping.digest for node in nodes}) == 1
    stranger = simulation.host("127.0.0.1:7009", OtherwiseSealed)
    simulation.run_for(5.0)
    assert [len(node.gossiping.members()) for node in nodes] == [3] * 3
    assert isinstance(stranger.process, Node)
    assert len(stranger.process.gossiping.members()) == 1
    assert nodes[0].gossiping.status()


def test_without_a_secret_it_stays_on_its_host() -> None:
    simulation = Simulation(seed=5)
    with pytest.raises(InvalidError, match="secret"):
        simulation.host("10.0.0.1:7000", Node)
        simulation.run_for(1.0)
