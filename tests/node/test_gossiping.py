"""Gossip on the seam: what its shell owes the core, over made-up hosts."""

from __future__ import annotations

import json

import pytest

from ringdict.exception import InvalidError, NotFoundError
from ringdict.gossip.instruction import Change, Halted, MemberChanged
from ringdict.gossip.keyring import Keyring
from ringdict.gossip.member import Profile
from ringdict.node.members.gossiping import Gossiping
from ringdict.node.members.gossipkeys import (
    check_secure,
    install_secret,
    is_loopback,
    keyring_of,
    remove_key,
    use_key,
)
from ringdict.node.world import Address, NodeId, Process, World
from ringdict.sim.gossipnode import GossipNode
from ringdict.sim.host import Host
from ringdict.sim.network import Noise
from ringdict.sim.simulation import Simulation

SECRET, OTHER = b"a secret of a test", b"another one, newer"


class Hosts:
    """Made-up hosts with nodes that gossip; the first is everybody's seed."""

    def __init__(self, size: int, *, secrets: list[bytes] | None = None, noise: Noise | None = None) -> None:
        self.simulation = Simulation(3, noise)
        self.secrets = secrets or []
        self.seeds = ["n0"]
        self.hosts = [self.add(f"n{number}") for number in range(size)]

    def add(self, name: str, *, start: bool = True) -> Host:
        host = self.simulation.host(name, self.make, start=start)
        host.validates = True
        return host

    def make(self, world: World) -> Process:
        keyring = keyring_of(self.secrets, "ringdict")
        return GossipNode(world, self.seeds, keyring=keyring, insecure=True)

    def gossiping(self, number: int) -> Gossiping:
        process = self.hosts[number].process
        assert isinstance(process, GossipNode)
        return process.gossiping

    def node(self, number: int) -> NodeId:
        return self.gossiping(number).id

    def run(self, seconds: float) -> None:
        self.simulation.run_for(seconds)

    def agree(self) -> bool:
        up = [number for number, host in enumerate(self.hosts) if host.up]
        return len({self.gossiping(number).digest for number in up}) == 1 and all(
            self.gossiping(number).is_alive(self.node(other)) for number in up for other in up
        )


def test_nodes_find_each_other_and_agree() -> None:
    hosts = Hosts(5)
    hosts.run(5.0)
    assert hosts.agree()
    for number in range(5):
        assert hosts.gossiping(0).address_of(hosts.node(number)) == f"n{number}"


def test_nobody_is_known_before_anybody_was_heard() -> None:
    hosts = Hosts(1)
    hosts.run(1.0)
    stranger = NodeId(bytes(16))
    assert hosts.gossiping(0).address_of(stranger) is None
    assert not hosts.gossiping(0).is_alive(stranger)
    assert hosts.gossiping(0).is_alive(hosts.node(0))


def test_a_crash_is_found_and_a_restart_is_another_generation() -> None:
    hosts = Hosts(5)
    hosts.run(5.0)
    node = hosts.node(4)
    before = hosts.gossiping(4).generation
    hosts.simulation.crash(hosts.hosts[4])
    hosts.run(15.0)
    assert not hosts.gossiping(0).is_alive(node)
    assert hosts.gossiping(0).address_of(node) == "n4"
    hosts.simulation.restart(hosts.hosts[4])
    hosts.run(10.0)
    assert hosts.agree()
    assert hosts.node(4) == node
    assert hosts.gossiping(4).generation > before


def test_a_generation_is_on_disk_before_a_word_is_said_in_it() -> None:
    hosts = Hosts(2)
    hosts.run(5.0)
    seen = hosts.gossiping(1).generation
    for _ in range(20):
        hosts.simulation.crash(hosts.hosts[1], power=True)
        hosts.simulation.restart(hosts.hosts[1])
        hosts.run(0.5)
        assert hosts.gossiping(1).generation > seen
        seen = hosts.gossiping(1).generation


def test_a_node_that_the_cluster_knows_in_a_later_generation_goes_on_above_it_once_that_is_on_disk() -> None:
    """Its folder was restored from a backup, and its clock stands far back."""
    hosts = Hosts(3)
    hosts.run(5.0)
    told = hosts.gossiping(2).generation
    world = hosts.hosts[2].world
    assert world is not None
    hosts.hosts[2].clock.skew_ns -= 10**18
    storage = world.storages["gossip"]
    storage.commit({b"generation": (5).to_bytes(8, "big")}, lambda _: None)
    hosts.run(0.1)
    hosts.simulation.crash(hosts.hosts[2])
    hosts.simulation.restart(hosts.hosts[2])
    hosts.run(20.0)
    assert hosts.agree()
    assert hosts.gossiping(2).generation > told
    again = hosts.hosts[2].world
    assert again is not None
    kept = again.storages["gossip"].get(b"generation")
    assert kept == hosts.gossiping(2).generation.to_bytes(8, "big")


def test_after_a_full_outage_they_find_each_other_without_seeds() -> None:
    hosts = Hosts(4)
    hosts.run(10.0)
    for host in hosts.hosts:
        hosts.simulation.crash(host, power=True)
    hosts.seeds = []
    for host in hosts.hosts:
        hosts.simulation.restart(host)
    hosts.run(15.0)
    assert hosts.agree()
    assert hosts.gossiping(0).is_alive(hosts.node(3))


def test_a_full_disk_keeps_no_members_and_harms_nothing_else() -> None:
    hosts = Hosts(3)
    hosts.run(0.1)
    hosts.hosts[0].disk.full = True
    hosts.run(10.0)
    assert hosts.hosts[0].starts_count == 1
    assert hosts.agree()


def test_who_leaves_is_told_when_that_has_been_said_and_is_gone_for_all() -> None:
    hosts = Hosts(4)
    hosts.run(5.0)
    node, done = hosts.node(3), []
    hosts.gossiping(3).leave(lambda: done.append(True))
    hosts.run(4.0)
    assert done == [True]
    assert hosts.gossiping(3).halted is Halted.LEFT
    states = {member.node_id: member.status.name for member in hosts.gossiping(0).members()}
    assert states[node] == "LEFT"  # type: ignore[index]
    hosts.gossiping(3).leave(lambda: done.append(True))
    hosts.run(0.1)
    assert done == [True, True]


def test_a_listener_hears_each_change_until_it_has_enough() -> None:
    hosts = Hosts(1)
    hosts.run(1.0)
    heard: list[MemberChanged] = []
    end = hosts.gossiping(0).listen(heard.append)
    hosts.hosts.append(hosts.add("n1"))
    hosts.run(5.0)
    assert [event.change for event in heard] == [Change.JOINED]
    end()
    hosts.simulation.crash(hosts.hosts[1])
    hosts.run(20.0)
    assert len(heard) == 1


def test_a_listener_may_call_back_in() -> None:
    hosts = Hosts(1)
    hosts.run(1.0)
    first = hosts.gossiping(0)
    first.listen(lambda _: first.set_profile(Profile("n0", metadata=b"heard")))
    hosts.hosts.append(hosts.add("n1"))
    hosts.run(5.0)
    seen = {member.profile.metadata for member in hosts.gossiping(1).members()}
    assert b"heard" in seen
    assert hosts.agree()


# -- secrets -------------------------------------------------------------------------------------


def test_sealed_nodes_agree_and_what_is_not_sealed_is_not_heard() -> None:
    hosts = Hosts(3, secrets=[SECRET])
    hosts.run(5.0)
    assert hosts.agree()
    hosts.secrets = []
    hosts.hosts.append(hosts.add("n3"))
    hosts.run(5.0)
    assert not hosts.gossiping(0).is_alive(hosts.node(3))
    counters = hosts.gossiping(0).status()["counters"]
    assert isinstance(counters, dict)
    assert counters["letters_not_sealed"] > 0


def test_a_secret_is_changed_without_a_pause() -> None:
    hosts = Hosts(3, secrets=[SECRET])
    hosts.run(5.0)
    rings = [keyring for number in range(3) if (keyring := hosts.gossiping(number).keyring) is not None]
    old = rings[0].names[0].hex()
    names = {install_secret(ring, OTHER) for ring in rings}
    (new,) = names
    hosts.run(2.0)
    for ring in rings:
        use_key(ring, new)
        hosts.run(1.0)
    for ring in rings:
        remove_key(ring, old)
    hosts.run(20.0)
    assert hosts.agree()
    assert all(member.status.name == "ALIVE" for member in hosts.gossiping(0).members())
    assert hosts.gossiping(0).status()["keys"] == [new]


def test_what_is_wrong_with_a_key_is_said_in_words() -> None:
    keyring = keyring_of([SECRET], "ringdict")
    assert isinstance(keyring, Keyring)
    with pytest.raises(InvalidError, match="at least 16"):
        keyring_of([b"short"], "ringdict")
    with pytest.raises(InvalidError, match="at least 16"):
        install_secret(keyring, b"short")
    with pytest.raises(NotFoundError):
        use_key(keyring, "00000000")
    with pytest.raises(NotFoundError):
        remove_key(keyring, "no name")
    with pytest.raises(InvalidError, match="use another first"):
        remove_key(keyring, keyring.names[0].hex())


def test_without_a_secret_a_node_stays_on_its_host_unless_told_otherwise() -> None:
    with pytest.raises(InvalidError, match="no cluster secret"):
        check_secure("10.1.2.3:7000", None, insecure=False)
    check_secure("10.1.2.3:7000", None, insecure=True)
    check_secure("10.1.2.3:7000", keyring_of([SECRET], "ringdict"), insecure=False)
    for address in ("127.0.0.1:7000", "[::1]:7000"):
        assert is_loopback(address)
        check_secure(address, None, insecure=False)


# -- status --------------------------------------------------------------------------------------


def test_the_status_says_what_is_believed_of_whom_and_whether_all_agree() -> None:
    hosts = Hosts(4)
    hosts.run(20.0)
    hosts.simulation.crash(hosts.hosts[3])
    hosts.run(30.0)
    status = hosts.gossiping(0).status()
    assert json.loads(json.dumps(status)) == status
    members = status["members"]
    assert isinstance(members, list)
    assert sorted(member["state"] for member in members) == ["alive", "alive", "alive", "dead"]
    assert status["all_agree"] is True
    assert status["agreement"] == {"same": 2, "other": 0, "unheard": 0}
    others = [member for member in members if member["state"] == "alive" and member["address"] != "n0"]
    assert all(member["rtt_us"] > 0 for member in others)


def test_the_status_says_that_views_differ() -> None:
    """One node does not hear of a newcomer: everybody but the newcomer's seed is cut off from it."""
    hosts = Hosts(3)
    hosts.run(10.0)
    assert hosts.gossiping(0).status()["all_agree"]
    with hosts.simulation.network.partition({Address("n0"), Address("n1")}, {Address("n2")}):
        hosts.run(4.0)
        agreement = hosts.gossiping(0).status()["agreement"]
        assert agreement == {"same": 2, "other": 0, "unheard": 0}  # nothing has changed yet
        hosts.run(12.0)
        assert hosts.gossiping(0).status()["live_count"] == 2
    hosts.run(30.0)
    assert hosts.gossiping(0).status()["all_agree"]
