"""Who a node is: the same at any address and after any restart, and only once."""

from __future__ import annotations

import random

import pytest

from ringdict.gossip.core import Gossip
from ringdict.gossip.instruction import Change, Halted, KeepGeneration
from ringdict.gossip.member import NodeId, Profile, Status, next_generation
from ringdict.gossip.message import Duplicate, Ping, Ring, Rumour
from ringdict.sim.gossipworld import World

from .peer import ME, Peer, address, among, left, node_id, record, suspect


def test_a_generation_is_above_the_last_one_and_above_the_clock() -> None:
    dice = random.Random(1)
    assert next_generation(5, 0, dice) >= 6
    first = next_generation(0, 1_700_000_000_000, dice)
    assert first >= 1_700_000_000_000 << 10
    assert next_generation(first, 1_600_000_000_000, dice) == first + 1  # the clock was set back
    assert next_generation(first, 1_700_000_000_001, dice) > first


@pytest.mark.parametrize(
    ("identity", "generation", "profile"),
    [
        (b"short", 1, Profile("a:1")),
        (b"m" * 16, 0, Profile("a:1")),
        (b"m" * 16, 1, Profile("")),
        (b"m" * 16, 1, Profile("a:1", metadata=bytes(513))),
    ],
)
def test_what_cannot_be_told_to_others_is_refused(identity: bytes, generation: int, profile: Profile) -> None:
    with pytest.raises(ValueError, match=r"byte|address"):
        Gossip(NodeId(identity), generation, profile, random.Random(1))


def test_a_copy_of_a_data_folder_is_turned_away() -> None:
    for seed in range(10):
        world = World(seed, loss=0.05)
        nodes = world.form(6)
        world.run(2.0)
        original = nodes[0]
        copy = world.add(
            node_id=original.core.node_id,
            generation=2,
            address="copy:7000",
            seeds=[node.address for node in nodes[1:3]],
            index=99,
        )
        world.run(5.0)
        assert copy.halted is Halted.DUPLICATE, f"seed {seed}"
        assert original.halted is None
        assert world.run(10.0, until=world.agree) is not None
        assert [event for event in world.events if event[3] == "n0"] == [], "somebody believed the copy"


def test_a_copy_that_knows_the_original_is_turned_away_by_it() -> None:
    peer = Peer()
    peer.join("a")
    ping = Ping(1, ME, 0, Ring())
    peer.said += peer.core.handle_datagram(peer.letter(ME, ping, generation=9), "copy:7000", peer.now)
    assert among(Duplicate(ME, 1, 9), peer.messages("copy:7000"))


def test_a_node_that_moved_is_let_in_when_the_old_address_is_silent() -> None:
    world = World(1, loss=0.05)
    nodes = world.form(6)
    world.run(2.0)
    moved = world.restart(nodes[0], address="elsewhere:7000")
    assert world.run(10.0, until=world.agree) is not None
    assert moved.halted is None
    for node in nodes[1:]:
        view = node.core.member(moved.core.node_id)
        assert view is not None
        assert view.profile.address == "elsewhere:7000"


def test_a_frozen_node_that_was_replaced_stops_when_it_wakes() -> None:
    """The cluster goes by the one that was started later, since it had let it in."""
    world = World(2)
    nodes = world.form(6)
    world.run(2.0)
    frozen = nodes[0]
    frozen.blocked = True
    heir = world.add(
        node_id=frozen.core.node_id, generation=2, address="heir:7000", seeds=[nodes[1].address], index=0
    )
    world.run(10.0)
    assert all(node.believes(heir) is Status.ALIVE for node in nodes[1:])
    world.block(frozen, 0.001)
    world.run(15.0)
    assert frozen.halted is Halted.SUPERSEDED
    assert heir.halted is None
    assert world.agree()


def test_a_generation_that_the_folder_forgot_is_outbid_and_kept() -> None:
    """A folder restored from a backup, on a host whose clock is behind: others know a later life of it."""
    peer = Peer(generation=5)
    peer.join("a")
    peer.hear("a", Rumour(record("x")._replace(node_id=ME, generation=8, profile=Profile("me:7000"))))
    assert peer.own.generation == 9
    assert KeepGeneration(9) in peer.said
    assert peer.core.halted is None


def test_a_leftover_of_a_later_life_elsewhere_is_outbid_after_a_check() -> None:
    peer = Peer(generation=5)
    peer.join("a")
    peer.hear("a", Rumour(record("x")._replace(node_id=ME, generation=8, profile=Profile("old:7000"))))
    assert peer.own.generation == 5
    assert any(isinstance(message, Ping) for message in peer.messages("old:7000"))
    peer.wait(1.2, answering=("a",))
    assert peer.own.generation == 9


def test_a_false_leave_is_outbid_by_a_generation() -> None:
    peer = Peer()
    peer.join("a")
    peer.hear("a", left("me", 7))
    assert (peer.own.generation, peer.own.incarnation) == (2, 0)
    assert KeepGeneration(2) in peer.said


def test_an_old_duplicate_word_stops_nobody() -> None:
    """Replayed from an earlier life, or about another node, or from a younger one."""
    peer = Peer(generation=5)
    peer.join("a")
    for word in (
        Duplicate(ME, 1, 4),
        Duplicate(node_id("a"), 1, 5),
        Duplicate(ME, 6, 5),
        Duplicate(ME, 5, 5),
    ):
        peer.hear("a", word)
        assert peer.core.halted is None
    peer.hear("a", Duplicate(ME, 4, 5))
    assert peer.core.halted is Halted.DUPLICATE


def test_a_halted_core_says_and_does_nothing_more() -> None:
    peer = Peer(generation=5)
    peer.join("a")
    peer.hear("a", Duplicate(ME, 4, 5))
    assert [halt.reason for halt in peer.halts()] == [Halted.DUPLICATE]
    peer.forget()
    peer.hear("a", suspect("me", "a", generation=5))
    peer.said += peer.core.tick(peer.now + 100.0)
    peer.said += peer.core.leave(peer.now + 100.0)
    assert peer.said == []
    assert peer.core.next_deadline() is None


def test_the_incarnation_of_a_refutation_never_goes_back() -> None:
    peer = Peer()
    peer.join("a")
    seen = [peer.own.incarnation]
    for incarnation in (0, 0, 3, 1, 0, 4):
        peer.hear("a", suspect("me", "a", incarnation))
        seen.append(peer.own.incarnation)
    assert seen == sorted(seen)
    assert seen[-1] == 5


def test_leaving_is_said_and_then_the_core_halts() -> None:
    world = World(3, loss=0.05)
    nodes = world.form(10)
    world.run(2.0)
    world.do(nodes[0], nodes[0].core.leave(world.now))
    world.run(8.0)
    assert nodes[0].halted is Halted.LEFT
    assert all(node.believes(nodes[0]) is Status.LEFT for node in nodes[1:])
    assert world.counts == {Change.LEFT: 9}


def test_a_leaver_does_not_refute() -> None:
    peer = Peer()
    peer.join("a", "b")
    peer.said += peer.core.leave(peer.now)
    peer.hear("a", suspect("me", "a"))
    assert peer.own.incarnation == 0
    peer.wait(0.3)
    assert among(left("me"), peer.messages(address("a")) + peer.messages(address("b")))


def test_the_last_one_leaves_at_once() -> None:
    peer = Peer()
    peer.said += peer.core.leave(peer.now)
    assert peer.core.halted is Halted.LEFT


def test_a_changed_profile_is_told_to_all() -> None:
    world = World(3)
    nodes = world.form(5)
    world.run(1.0)
    changed = Profile(nodes[0].address, zone="zone-b", metadata=b"role=cache")
    world.do(nodes[0], nodes[0].core.set_profile(changed, world.now))
    world.run(2.0)
    assert world.counts == {Change.UPDATED: 4}
    views = [node.core.member(nodes[0].core.node_id) for node in nodes]
    assert all(view is not None and view.profile == changed for view in views)
    with pytest.raises(ValueError, match="metadata"):
        nodes[0].core.set_profile(Profile(nodes[0].address, metadata=bytes(513)), world.now)
