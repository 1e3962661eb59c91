"""Atomic operations on whole nodes in a made-up world."""

from __future__ import annotations

import pytest

from ringdict.node.network.leadermessage import Freed, Verb, Wait
from ringdict.node.network.message import Absent, Count, Counted, Present, Reason, Refused, Touch, Written
from ringdict.node.world import NS_PER_S, NodeId

from .leading import KEY, Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_key_is_given_once_and_every_owner_shows_it(cluster: Cluster) -> None:
    first = cluster.done(Verb.PUT_IF_ABSENT, b"mine")
    assert first.happened
    second = cluster.done(Verb.PUT_IF_ABSENT, b"yours")
    assert not second.happened
    assert second.version == first.version
    cluster.simulation.run_for(0.1)
    for number in range(3):
        seen = cluster.get(at=number)
        assert isinstance(seen, Present)
        assert (seen.body, seen.stamp[0]) == (b"mine", first.version)


def test_a_plain_value_is_popped_once_and_no_older_put_brings_it_back(cluster: Cluster) -> None:
    assert isinstance(cluster.put(b"plain"), Written)
    assert not cluster.done(Verb.PUT_IF_ABSENT, b"x").happened
    assert cluster.done(Verb.POP).body == b"plain"
    assert not cluster.done(Verb.POP).happened
    cluster.simulation.run_for(0.1)
    assert all(isinstance(cluster.get(at=number), Absent) for number in range(3))
    assert cluster.done(Verb.PUT_IF_ABSENT, b"y").happened
    assert isinstance(cluster.put(b"over it"), Written)
    seen = cluster.get()
    assert isinstance(seen, Present)
    assert seen.body == b"over it"
    assert cluster.done(Verb.GET, key=KEY).body == b"over it"


def test_another_owner_leads_within_two_seconds_of_its_death(cluster: Cluster) -> None:
    first = cluster.done(Verb.PUT_IF_ABSENT, b"mine")
    ballot = cluster.ballot()
    assert ballot is not None
    begun_ns = cluster.simulation.loop.now_ns
    cluster.hosts[cluster.number_of(ballot.node)].crash()
    cluster.wait_ballot(not_of=ballot.node)
    second = cluster.done(Verb.PUT_IF_ABSENT, b"yours")
    assert cluster.simulation.loop.now_ns - begun_ns < 2 * NS_PER_S
    assert not second.happened
    assert second.version == first.version


def test_a_node_that_is_stopped_hands_over_first(cluster: Cluster) -> None:
    ballot = cluster.ballot()
    assert ballot is not None
    host = cluster.hosts[cluster.number_of(ballot.node)]
    gone: list[int] = []
    cluster.node(cluster.number_of(ballot.node)).stop(lambda: gone.append(cluster.simulation.loop.now_ns))
    begun_ns = cluster.simulation.loop.now_ns
    cluster.simulation.run_for(0.05)
    assert not cluster.node(cluster.number_of(ballot.node)).leading.leaders.leaderships
    assert cluster.wait_ballot(not_of=ballot.node)
    assert cluster.done(Verb.PUT_IF_ABSENT, b"x").happened
    assert cluster.simulation.loop.now_ns - begun_ns < NS_PER_S // 2
    cluster.simulation.run_for(5)
    host.crash()
    assert gone


def test_who_sees_no_majority_says_so_at_once(cluster: Cluster) -> None:
    ballot = cluster.ballot()
    assert ballot is not None
    leader = cluster.number_of(ballot.node)
    for number in range(3):
        if number != leader:
            cluster.hosts[number].crash()
    cluster.simulation.run_for(1.5)
    greeted = cluster.greet(leader)
    assert not greeted.ballots
    assert len(greeted.lost) == cluster.decree(leader).partitions


def test_who_waits_for_a_key_is_told_when_it_is_free(cluster: Cluster) -> None:
    held = cluster.done(Verb.PUT_IF_ABSENT, b"mine")
    ballot = cluster.ballot()
    assert ballot is not None
    told: list[object] = []
    leader = NodeId(b"n%d" % cluster.number_of(ballot.node))
    for _ in range(2):
        wait = Wait(0, ballot, cluster.dict_id, KEY, held.version)
        cluster.client.bus.ask(leader, wait, told.append, 5 * NS_PER_S)
    cluster.simulation.run_for(1)
    assert not told
    assert cluster.done(Verb.RELEASE, version=held.version).happened
    cluster.simulation.run_for(0.01)
    assert told
    cluster.simulation.run_for(0.3)  # the first one seems to be gone
    assert [type(each) for each in told] == [Freed, Freed]


def test_what_is_no_key_of_a_known_dict_is_refused(cluster: Cluster) -> None:
    reply = cluster.act(Verb.PUT_IF_ABSENT, b"x", b"\0bad")
    assert isinstance(reply, Refused)
    assert reply.reason == Reason.INVALID
    cluster.dict_id = b"\xff" * 8
    reply = cluster.act(Verb.PUT_IF_ABSENT, b"x")
    assert isinstance(reply, Refused)
    assert reply.reason == Reason.NO_DICT


def test_a_clear_hides_all_that_was_there_and_nothing_that_comes_after(cluster: Cluster) -> None:
    keys = [b"\x04key%d" % number for number in range(40)]
    for key in keys[:20]:
        assert isinstance(cluster.put(b"plain", key), Written)
    for key in keys[20:]:
        assert cluster.done(Verb.PUT_IF_ABSENT, b"atomic", key).happened
    cluster.clear()
    cluster.simulation.run_for(0.1)  # until the others have heard of it
    for key in keys:
        assert all(isinstance(cluster.get(key, at=number), Absent) for number in range(3))
    for number in range(3):
        counted = cluster.ask(number, Count(0, cluster.decree().epoch, cluster.dict_id, b"\xff" * 8, b""))
        assert isinstance(counted, Counted)
        assert counted.entries == 0
    assert isinstance(cluster.put(b"new", keys[0]), Written)
    assert cluster.done(Verb.PUT_IF_ABSENT, b"new", keys[30]).happened
    cluster.simulation.run_for(10)  # until all is removed, and replicas were compared
    for key in (keys[0], keys[30]):
        for number in range(3):
            seen = cluster.get(key, at=number)
            assert isinstance(seen, Present)
            assert seen.body == b"new"
    for number in range(3):
        replica = cluster.node(number).keeping.replica
        assert not replica.clearances.is_sweeping
        assert replica.cleared_at(cluster.dict_id) == 0
        replica.validate()


def test_a_node_that_was_away_learns_of_a_clear(cluster: Cluster) -> None:
    assert isinstance(cluster.put(b"old"), Written)
    ballot = cluster.ballot()
    assert ballot is not None
    away = next(number for number in (0, 1, 2) if number != cluster.number_of(ballot.node))
    cluster.hosts[away].crash()
    cluster.simulation.run_for(3)
    cluster.clear()
    cluster.hosts[away].start()
    cluster.settle(3)
    cluster.simulation.run_for(30)
    assert isinstance(cluster.get(at=away), Absent)
    assert cluster.node(away).keeping.replica.clearances.marks


@pytest.mark.parametrize("restarted", [False, True])
def test_what_a_leader_decided_and_told_nobody_is_shown_by_the_next_one(
    cluster: Cluster, *, restarted: bool
) -> None:
    for number in range(3):  # all that was there before has been shown anew: nothing but this can show it
        cluster.node(number).leading.leaders.purger._reshowing._shown.update(range(64))
    ballot = cluster.wait_ballot()
    leader = cluster.number_of(ballot.node)
    assert cluster.done(Verb.PUT_IF_ABSENT, b"mine").happened
    cluster.hosts[leader].crash()  # before the moment that it gathers what it tells
    others = [number for number in range(3) if number != leader]
    if restarted:
        for number in others:
            cluster.hosts[number].crash()
        for number in others:
            cluster.hosts[number].start()
    cluster.simulation.run_for(4)
    assert cluster.wait_ballot(not_of=ballot.node)
    cluster.simulation.run_for(2)
    for number in others:
        seen = cluster.get(at=number)
        assert isinstance(seen, Present), (number, seen)
        assert seen.body == b"mine"


def test_a_time_to_live_ends_for_all_and_a_touch_lengthens_it(cluster: Cluster) -> None:
    assert cluster.done(Verb.PUT_IF_ABSENT, b"mine", ttl_ms=1_000).happened
    assert not cluster.done(Verb.PUT_IF_ABSENT, b"yours").happened
    cluster.simulation.run_for(1.3)
    assert isinstance(cluster.get(), Absent)
    assert cluster.done(Verb.PUT_IF_ABSENT, b"yours", ttl_ms=1_000).happened
    ballot = cluster.ballot()
    assert ballot is not None
    leader = cluster.number_of(ballot.node)
    touch = Touch(0, cluster.decree().epoch, cluster.dict_id, KEY, 5_000, 0, 0, cluster.next_id())
    assert isinstance(cluster.ask(leader, touch), Written)
    cluster.simulation.run_for(2)
    assert isinstance(cluster.get(), Present)
    assert not cluster.done(Verb.PUT_IF_ABSENT, b"theirs").happened
