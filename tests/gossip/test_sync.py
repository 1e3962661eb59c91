"""Syncs: asked for when digests differ, of the parts that differ, and believed after a check."""

from __future__ import annotations

from ringdict.gossip.config import (
    MEMBERS_MAX,
    SYNC_ANSWERS_S_MAX,
    SYNC_BUCKETS,
    SYNC_PATIENCE_S,
    SYNC_SETTLE_S,
)
from ringdict.gossip.instruction import Change
from ringdict.gossip.member import Status
from ringdict.gossip.message import Entry, Ping, Ring, SyncAsk, SyncTell
from ringdict.gossip.table import bucket_of
from ringdict.sim.gossipworld import World

from .peer import ME, Peer, address, among, dead, left, node_id, record, suspect

NAMES = ("a", "b", "c", "d", "e")


def asks(peer: Peer) -> int:
    return sum(isinstance(message, SyncAsk) for message in peer.messages())


def differ(peer: Peer, name: str = "a") -> None:
    peer.hear(name, Ping(1, ME, peer.core.digest ^ 1, Ring()))


def calm() -> Peer:
    peer = Peer()
    peer.join(*NAMES)
    peer.wait(5.0, answering=NAMES)
    peer.forget()
    return peer


def test_a_digest_that_differs_is_followed_by_a_sync_at_once() -> None:
    peer = calm()
    differ(peer)
    assert asks(peer) == 1


def test_many_that_differ_are_followed_by_one() -> None:
    peer = calm()
    for name in NAMES:
        differ(peer, name)
    assert asks(peer) == 1


def test_while_rumours_are_on_their_way_a_difference_is_given_a_moment() -> None:
    peer = calm()
    peer.hear("a", dead("e", "a"))
    differ(peer)
    assert asks(peer) == 0
    peer.wait(SYNC_SETTLE_S + 0.01)
    differ(peer)
    assert asks(peer) == 1


def test_a_view_that_never_settles_is_synced_nevertheless() -> None:
    peer = calm()
    spent = 0.0
    incarnation = 0
    while not asks(peer):
        incarnation += 1
        peer.hear("a", *[])
        peer.core._membership.accept(record("e", incarnation))
        differ(peer)
        peer.wait(0.25)
        spent += 0.25
        assert spent < SYNC_PATIENCE_S + 1.0


def test_what_is_told_are_the_buckets_that_differ() -> None:
    peer = calm()
    buckets = list(peer.core._desk.table.buckets)
    index = bucket_of(node_id("c"))
    buckets[index] ^= 1
    peer.hear_frame("a", SyncAsk(tuple(buckets)))
    told = peer.messages(address("a"))
    assert [message for message in told if isinstance(message, SyncTell)] == [
        SyncTell(1 << index, answer=True)
    ]
    entries = {message.record.node_id for message in told if isinstance(message, Entry)}
    everybody = [node_id(name) for name in NAMES] + [ME]
    assert entries == {one for one in everybody if bucket_of(one) == index}


def test_equal_views_have_nothing_to_tell() -> None:
    peer = calm()
    peer.hear_frame("a", SyncAsk(tuple(peer.core._desk.table.buckets)))
    assert peer.messages() == []


def test_a_node_answers_so_many_syncs_a_second() -> None:
    peer = calm()
    ask = SyncAsk((1,) * SYNC_BUCKETS)
    for _ in range(3 * SYNC_ANSWERS_S_MAX):
        peer.hear_frame("a", ask)
    assert sum(isinstance(message, SyncTell) for message in peer.messages()) == SYNC_ANSWERS_S_MAX
    peer.forget()
    peer.hear_frame("a", SyncTell(1, answer=True))  # wants an answer, too
    assert peer.messages() == []
    peer.now += 0.5
    peer.hear_frame("a", ask)
    assert peer.core.counters()["syncs_refused"] == 2 * SYNC_ANSWERS_S_MAX + 1


def test_a_death_that_a_sync_tells_of_is_believed_when_nobody_answers() -> None:
    peer = calm()
    peer.hear_sync("a", record("e")._replace(status=Status.DEAD))
    assert peer.status("e") is Status.ALIVE
    assert dead("e", "me")._replace(reporter=node_id("nobody")).node_id == node_id("e")
    peer.wait(1.1, answering=NAMES[:4])
    assert peer.status("e") is Status.DEAD
    assert peer.changes("e") == [Change.FAILED]


def test_a_death_that_a_sync_tells_of_is_not_believed_of_who_answers() -> None:
    peer = calm()
    peer.hear_sync("a", record("e")._replace(status=Status.DEAD))
    peer.wait(5.0, answering=NAMES)
    assert peer.status("e") is Status.ALIVE
    assert peer.changes("e") == []


def test_who_missed_a_death_is_told_that_nobody_answers() -> None:
    """Found by a seed: a node with a higher incarnation of a dead one, alone with it, held it for alive for a
    minute."""
    peer = calm()
    peer.hear("a", dead("e", "a", 1))
    peer.hear_sync("b", record("e", 2))
    peer.forget()
    peer.wait(1.5, answering=NAMES[:4])
    assert among(suspect("e", "me", 2)._replace(reporter=ME), peer.messages(address("b")))
    peer.hear_sync("b", record("e", 1))
    peer.forget()
    peer.wait(1.5, answering=NAMES[:4])
    assert among(dead("e", "me", 1)._replace(reporter=ME), peer.messages(address("b")))
    assert peer.status("e") is Status.DEAD


def test_a_leave_that_a_sync_tells_of_is_believed() -> None:
    peer = calm()
    peer.hear_sync("a", record("e")._replace(status=Status.LEFT))
    assert peer.changes("e") == [Change.LEFT]


def test_the_dead_of_others_are_not_learnt() -> None:
    """Tombstones that travel would keep each other alive for ever."""
    peer = calm()
    peer.hear_sync("a", record("z")._replace(status=Status.DEAD), record("y")._replace(status=Status.LEFT))
    peer.wait(5.0, answering=NAMES)
    assert peer.status("z") is None
    assert peer.status("y") is None


def test_a_lost_rumour_is_found_by_the_digest() -> None:
    world = World(1)
    nodes = world.form(10)
    world.run(5.0)
    # One of them misses that another has left: nobody tells it any more.
    world.do(nodes[1], nodes[1].core.set_profile(nodes[1].core._desk.profile._replace(zone="z"), world.now))
    with world.partition(nodes[:1], nodes[1:]):
        world.run(0.9)
        for node in nodes:
            node.core._desk.rumours.__init__(6)  # type: ignore[misc]
    assert not world.agree()
    assert world.run(5.0, until=world.agree) is not None


def test_a_full_sync_brings_what_digests_do_not_cover() -> None:
    """Dead or left: the digest is of the living. A few minutes later it is known."""
    world = World(2)
    nodes = world.form(3)
    world.run(1.0)
    gone = nodes[2]
    world.crash(gone)
    world.run(15.0)
    nodes[0].core._membership.hear_left(left("x")._replace(node_id=gone.core.node_id))
    nodes[0].core._desk.rumours.__init__(6)  # type: ignore[misc]
    assert nodes[1].believes(gone) is Status.DEAD
    world.run(200.0)
    assert nodes[1].believes(gone) is Status.LEFT


def test_there_is_a_limit_to_members() -> None:
    from ringdict.gossip.config import Settings

    peer = Peer(settings=Settings(members_max=4))
    for name in NAMES:
        peer.hear_sync("a", record(name))
        peer.answer(name)
    assert peer.core.live_count == 4
    assert peer.core.counters()["members_refused"] == 2
    assert MEMBERS_MAX >= 1000
