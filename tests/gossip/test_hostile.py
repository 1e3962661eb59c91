"""Hostile and bad input: nothing is raised, nothing is changed by what is not valid, and every cost has an
end."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringdict.gossip.codec import encode, encode_header, label_of
from ringdict.gossip.config import (
    CHECKS_MAX,
    CONTACTS_MAX,
    FRAME_BYTES_MAX,
    OPEN_CHECKS_MAX,
    RUMOURS_MAX,
    TOMBSTONES_MAX,
)
from ringdict.gossip.instruction import SendDatagram, SendFrame
from ringdict.gossip.member import NodeId, Profile, Record, Status
from ringdict.gossip.message import (
    Ack,
    Broadcast,
    Dead,
    Duplicate,
    Entry,
    Left,
    Message,
    Nack,
    Ping,
    PingRequest,
    RelayedAck,
    Ring,
    Rumour,
    Suspect,
    SyncAsk,
    SyncTell,
)
from ringdict.sim.gossipworld import World

from .peer import ME, Peer, address, dead, node_id, record

NAMES = ("a", "b", "c")

ids = st.sampled_from([ME, *map(node_id, ("a", "b", "c", "x", "y"))])
small = st.one_of(st.integers(0, 4), st.sampled_from([2**32, 2**33, 2**52, 2**60, 2**63, 2**64 - 1]))
texts = st.text(max_size=8)  # at most 32 bytes, as a version is; a letter cannot carry more than 255
records = st.builds(
    Record,
    ids,
    small,
    small,
    st.sampled_from(Status),
    st.builds(
        Profile, st.sampled_from(["a:7000", "me:7000", "x:1"]), texts, texts, texts, st.binary(max_size=2)
    ),
)
forgeries: st.SearchStrategy[Message] = st.one_of(
    st.builds(Ping, small, ids, small, st.builds(Ring, small, small)),
    st.builds(Ack, small, small, st.builds(Ring, small, small)),
    st.builds(PingRequest, small, ids),
    st.builds(RelayedAck, small, ids, small),
    st.builds(Nack, small),
    st.builds(Rumour, records),
    st.builds(Entry, records),
    st.builds(Suspect, ids, small, small, ids),
    st.builds(Dead, ids, small, small, ids),
    st.builds(Left, ids, small, small),
    st.builds(SyncAsk, st.tuples(*[small] * 64)),
    st.builds(SyncTell, small, st.booleans()),
    st.builds(Duplicate, ids, small, small),
    st.builds(Broadcast, ids, small, small, st.binary(max_size=2)),
)
letters = st.tuples(
    ids, small, st.lists(forgeries, max_size=4), st.booleans(), st.sampled_from([0.0, 0.3, 2.0])
)


def snapshot(peer: Peer) -> list[tuple[NodeId, int, int, Status, Profile]]:
    return [view[:5] for view in peer.core.members()]


@given(st.lists(letters, max_size=12))
def test_any_valid_messages_leave_the_core_in_order(
    sequence: list[tuple[NodeId, int, list[Message], bool, float]],
) -> None:
    """From somebody who has the key: he may lie, but not break it, and no numbers of a member go back."""
    peer = Peer()
    peer.join(*NAMES)
    label = label_of("ringdict")
    for sender, generation, said, stream, seconds in sequence:
        before = {view.node_id: view for view in peer.core.members()}
        data = encode_header(label, sender, generation) + b"".join(map(encode, said))
        handle = peer.core.handle_frame if stream else peer.core.handle_datagram
        peer.said += handle(data, "x:1", peer.now)
        peer.core.validate()
        peer.wait(seconds, answering=NAMES)
        for view in peer.core.members():
            old = before.get(view.node_id)
            if old is not None:
                assert view.generation >= old.generation
                if view.generation == old.generation and Status.LEFT not in (old.status, view.status):
                    assert view.incarnation >= old.incarnation


@given(st.binary(max_size=1500), st.booleans(), st.booleans())
def test_bytes_that_are_no_letter_change_nothing(noise: bytes, stream: bool, with_header: bool) -> None:
    peer = Peer()
    peer.join(*NAMES)
    before = snapshot(peer)
    data = encode_header(label_of("another"), node_id("a"), 1) + noise if with_header else noise
    handle = peer.core.handle_frame if stream else peer.core.handle_datagram
    assert handle(data, "x:1", peer.now) == []
    assert snapshot(peer) == before
    assert peer.core.counters()["letters_rejected"] == 1


def flood(peer: Peer, count: int, stranger: int = 0) -> None:
    """Let a sync name so many members that do not exist."""
    strangers = [
        Entry(Record(NodeId((stranger + number).to_bytes(16, "big")), 1, 0, Status.ALIVE, Profile("x:1")))
        for number in range(count)
    ]
    peer.said += peer.core.handle_frame(
        peer.letter("a", SyncTell(1, answer=False), *strangers), address("a"), peer.now
    )


def test_invented_members_are_asked_slowly_and_never_believed() -> None:
    """kinship KI-04: a frame with 20,000 of them."""
    peer = Peer()
    peer.join(*NAMES)
    flood(peer, 20_000)
    sent = [instruction for instruction in peer.said if isinstance(instruction, SendDatagram | SendFrame)]
    assert len(sent) == OPEN_CHECKS_MAX
    assert peer.core.counters()["checks_refused"] == 20_000 - OPEN_CHECKS_MAX - CHECKS_MAX
    peer.wait(3.0, answering=NAMES)
    assert peer.core.live_count == 4
    peer.forget()
    peer.hear("a", Rumour(record("real")))  # behind them, but not refused
    assert peer.core.counters()["checks_refused"] == 20_000 - OPEN_CHECKS_MAX - CHECKS_MAX


def test_every_store_of_a_core_has_an_end() -> None:
    peer = Peer()
    peer.join(*NAMES)
    desk = peer.core._desk
    for number in range(5000):
        identity = NodeId(number.to_bytes(16, "big"))
        peer.core._contacts.remember(identity, "x:1")
        desk.rumours.put_word(identity, b"word")
        desk.table.put(Record(identity, 1, 0, Status.ALIVE, Profile("x:1")), peer.now)
    assert len(desk.rumours) == RUMOURS_MAX
    for number in range(5000):
        peer.core._membership.hear_dead(Dead(NodeId(number.to_bytes(16, "big")), 1, 0, ME))
    assert len(desk.table.gone) == TOMBSTONES_MAX
    assert len(peer.core._contacts._former) == CONTACTS_MAX
    desk.table.validate()


def test_nonces_do_not_pile_up() -> None:
    peer = Peer()
    peer.join(*NAMES)
    for _ in range(20):
        flood(peer, 100)
        peer.hear("a", *[PingRequest(number, node_id("b")) for number in range(20)])
        peer.wait(5.0, answering=("a",))
        peer.forget()
    peer.wait(20.0, answering=NAMES)
    assert len(peer.core._desk.awaited) < 10


def test_a_frame_of_eight_mebibytes_is_the_most() -> None:
    peer = Peer()
    assert peer.core.handle_frame(bytes(FRAME_BYTES_MAX + 1), "x:1", peer.now) == []
    assert peer.core.counters()["letters_rejected"] == 1


def recorded(seed: int) -> tuple[World, list[tuple[str, bytes]]]:
    """A cluster with a past, all calm now, and every letter that was ever sent in it."""
    world = World(seed, loss=0.02)
    letters: list[tuple[str, bytes]] = []
    world.on_send = lambda sender, _to, data: letters.append((sender.address, data))
    nodes = world.form(6)
    world.run(3.0)
    world.block(nodes[5], 12.0)  # declared dead, and back
    world.do(nodes[0], nodes[0].core.set_profile(Profile(nodes[0].address, zone="z"), world.now))
    world.run(20.0)
    world.crash(nodes[1])
    world.do(nodes[2], nodes[2].core.leave(world.now))
    world.run(15.0)
    world.restart(nodes[3], address="moved:7000")
    world.crash(nodes[3])
    world.run(15.0)
    newcomer = world.add(seeds=[nodes[0].address])
    world.run(5.0)
    world.do(newcomer, newcomer.core.leave(world.now))
    world.run(10.0)
    world.on_send = None
    assert world.agree()
    return world, letters


@pytest.mark.parametrize("forgotten", [False, True])
def test_old_letters_sent_again_revive_kill_and_move_nobody(forgotten: bool) -> None:
    """Whoever recorded them cannot make new ones, but send the old ones, from any address, at any time."""
    for seed in range(3):
        world, letters = recorded(seed)
        if forgotten:
            world.run(700.0)  # longer than tombstones are kept
        dice = random.Random(seed)
        believed = [sorted(view[:5] for view in node.core.members()) for node in world.live]
        world.events.clear()
        for _ in range(1500):
            sender, data = dice.choice(letters)
            receiver = dice.choice(world.live)
            world.deliver(receiver, data, sender, stream=len(data) > 1400 or dice.random() < 0.3)
            world.run(0.02)
        world.run(30.0)
        assert world.events == []
        assert [sorted(view[:5] for view in node.core.members()) for node in world.live] == believed


def test_who_answers_is_not_revived_by_an_old_word() -> None:
    """He is up and answers, but has been declared dead since he said so: only a refutation counts."""
    peer = Peer()
    peer.join("a", "z")
    peer.hear("a", dead("z", "a", 3))
    peer.hear("a", Rumour(record("z", 2)))
    peer.answer("z")
    assert peer.status("z") is Status.DEAD
    peer.hear_sync("a", record("z", 3))
    peer.answer("z")
    assert peer.status("z") is Status.DEAD
    assert peer.incarnation("z") == 3


def test_a_word_about_one_who_is_unknown_makes_nobody_known() -> None:
    peer = Peer()
    peer.join("a")
    peer.hear("a", dead("z", "a"), Left(node_id("z"), 1, 0), Suspect(node_id("z"), 1, 0, node_id("a")))
    assert peer.status("z") is None
    assert peer.messages(address("z")) == []


@settings(max_examples=20)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_damaged_letters_of_a_real_cluster_break_nothing(dice: random.Random, seed: int) -> None:
    world = World(seed)
    letters: list[tuple[str, bytes]] = []
    world.on_send = lambda sender, _to, data: letters.append((sender.address, data))
    first = world.add()
    for _ in range(3):
        world.add(seeds=[first.address])
    world.run(3.0)
    world.on_send = None
    world.validate = True
    for _ in range(100):
        sender, data = dice.choice(letters)
        damaged = bytearray(data)
        for _ in range(dice.randrange(1, 4)):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        world.deliver(dice.choice(world.live), bytes(damaged), sender, stream=dice.random() < 0.5)
        world.run(0.05)
    world.validate = False
    assert sum(node.core.counters().get("letters_rejected", 0) for node in world.live) > 0


@pytest.mark.deep
def test_bytes_that_are_led_by_what_they_reach_break_nothing() -> None:
    pytest.importorskip("atheris", reason="atheris is not installed, and not to be had for every Python")
    fuzzed = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz.py")), "20"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert fuzzed.returncode == 0, fuzzed.stderr[-3000:]
