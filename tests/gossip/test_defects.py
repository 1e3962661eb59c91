"""The known defects of other implementations, each with the test that it is not one of ours.

Every test here has a mutant in `test_mutants.py` that takes the fix out, and that it catches.
"""

from __future__ import annotations

import pytest

from ringdict.gossip.config import (
    ACCUSATIONS_MAX,
    INCARNATION_STEPS_MAX,
    SUSPICION_RATIO_MAX,
    SUSPICION_ROUNDS,
    SUSPICION_SCALE_RATIO_MIN,
)
from ringdict.gossip.instruction import Change, SendDatagram
from ringdict.gossip.member import Status
from ringdict.gossip.message import Ack, Message, Ping, Ring, Rumour
from ringdict.sim.gossipworld import World

from .peer import ME, Peer, address, among, dead, left, node_id, record, suspect

LEAST_S = SUSPICION_ROUNDS * SUSPICION_SCALE_RATIO_MIN
MOST_S = LEAST_S * SUSPICION_RATIO_MAX
OTHERS = ("a", "b", "c", "d", "e")


def test_a_stale_suspicion_is_refuted_again() -> None:
    """kinship KP-04: who ignores what it has refuted already is declared dead by whoever missed the
    refutation."""
    peer = Peer()
    peer.join(*OTHERS)
    peer.hear("a", suspect("me", "b"))
    peer.wait(30.0, answering=OTHERS)  # by now the refutation has been told often enough
    assert peer.own.incarnation == 1
    peer.forget()
    peer.hear("c", suspect("me", "c"))
    peer.wait(1.0, answering=OTHERS)
    assert {word.incarnation for word in peer.said_of_itself()} == {1}


def test_a_suspicion_is_told_to_the_suspects_face_and_refuted_in_the_answer() -> None:
    peer = Peer()
    peer.join(*OTHERS)
    peer.hear("a", suspect("b", "a"))
    peer.forget()
    peer.wait(4.0, answering=("a", "c", "d", "e"))
    probes = [datagram for datagram in peer.letters(address("b")) if any(map(is_ping, datagram))]
    assert probes
    for probe in probes:
        assert among(suspect("b", "me")._replace(reporter=ME), probe[:1])


def is_ping(message: Message) -> bool:
    return isinstance(message, Ping)


def test_a_sync_does_not_confirm_a_suspicion() -> None:
    """kinship KP-05, memberlist mergeState: one opinion, carried around by anti-entropy, is not many."""
    peer = Peer()
    peer.join(*OTHERS)
    peer.hear("a", suspect("e", "a"))
    for name in ("a", "b", "c", "d"):
        peer.hear_sync(name, record("e")._replace(status=Status.SUSPECT))
        peer.wait(1.5, answering=("a", "b", "c", "d"))
    suspicion = peer.core._desk.table.live(node_id("e")).suspicion  # type: ignore[union-attr]
    assert suspicion is not None
    assert suspicion.reporters <= {node_id("a"), ME}


def test_a_suspicion_that_a_sync_brought_has_all_the_time_and_no_reporter() -> None:
    peer = Peer()
    peer.join("a", "e")
    peer.hear_sync("a", record("e")._replace(status=Status.SUSPECT))
    assert peer.status("e") is Status.ALIVE  # it is asked first
    while peer.status("e") is Status.ALIVE:
        peer.wait(0.01, answering=("a",))
    suspicion = peer.core._desk.table.live(node_id("e")).suspicion  # type: ignore[union-attr]
    assert suspicion is not None
    assert not suspicion.reporters
    assert suspicion.timeout_s == pytest.approx(MOST_S)


@pytest.mark.parametrize("by_sync", [True, False])
def test_nobody_is_alive_by_hearsay(by_sync: bool) -> None:
    """memberlist #312: members long gone were revived for hours by tables that still had them."""
    peer = Peer()
    peer.join("a")
    if by_sync:
        peer.hear_sync("a", record("z"))
    else:
        peer.hear("a", Rumour(record("z")))
    peer.wait(60.0, answering=("a",))
    assert peer.pings("z")
    assert peer.status("z") is None
    assert peer.changes("z") == []


def test_a_dead_node_is_not_revived_by_hearsay() -> None:
    peer = Peer()
    peer.join("a", "z")
    peer.hear("a", dead("z", "a"))
    peer.hear_sync("a", record("z", 5))
    peer.hear("a", Rumour(record("z", 5)))
    peer.wait(60.0, answering=("a",))
    assert peer.status("z") is Status.DEAD
    assert peer.changes("z") == [Change.FAILED]
    peer.hear_sync("a", record("z", 5))
    peer.answer("z")
    assert peer.status("z") is Status.ALIVE


def test_a_suspicion_of_a_higher_incarnation_has_a_fresh_timer() -> None:
    """Found by kinship's simulator: the old, almost spent timer killed who had refuted it."""
    peer = Peer()
    peer.join(*OTHERS)
    for reporter in ("a", "b", "c", "d"):
        peer.hear(reporter, suspect("e", reporter))
    began = peer.now
    peer.wait(LEAST_S - 0.5, answering=("a", "b", "c", "d"))
    peer.hear("a", suspect("e", "a", 1))
    peer.wait(1.0, answering=("a", "b", "c", "d"))
    assert peer.status("e") is Status.SUSPECT
    suspicion = peer.core._desk.table.live(node_id("e")).suspicion  # type: ignore[union-attr]
    assert suspicion is not None
    assert suspicion.began == pytest.approx(began + LEAST_S - 0.5)


@pytest.mark.parametrize("incarnation", [INCARNATION_STEPS_MAX + 1, 2**62, 2**64 - 1])
def test_an_incarnation_cannot_be_poisoned(incarnation: int) -> None:
    """kinship KI-02: one word with the highest number, and its subject has none left to refute with."""
    peer = Peer()
    peer.join("a", "b")
    for word in (
        suspect("b", "a", incarnation),
        dead("b", "a", incarnation),
        Rumour(record("b", incarnation)),
    ):
        peer.hear("a", word)
    assert peer.incarnation("b") == 0
    assert peer.status("b") is Status.ALIVE
    for mine in (suspect("me", "a", incarnation), dead("me", "a", incarnation)):
        peer.hear("a", mine)
    assert peer.own.incarnation == 0
    peer.hear("a", suspect("me", "a", INCARNATION_STEPS_MAX))  # the highest that is believed
    assert peer.own.incarnation == INCARNATION_STEPS_MAX + 1
    assert peer.core.counters()["implausible_words"] == 5


@pytest.mark.parametrize("highest", [2**60, 2**64 - 1])
def test_a_generation_cannot_be_poisoned(highest: int) -> None:
    peer = Peer()
    peer.join("a", "b")
    for word in (dead("b", "a", generation=highest), left("b", generation=highest)):
        peer.hear("a", word)
    peer.hear("a", Rumour(record("b", generation=highest)))
    peer.hear("a", left("me", generation=highest))
    assert peer.status("b") is Status.ALIVE
    assert peer.own.generation == 1


def test_a_leave_ends_with_its_generation() -> None:
    """serf #662, consul #13379: after a simultaneous restart members stayed "leaving" for good."""
    peer = Peer()
    peer.join("a", "b")
    peer.hear("b", left("b", 3))
    assert peer.status("b") is Status.LEFT
    peer.hear("a", Rumour(record("b", 9)))  # whatever its incarnation
    peer.answer("b")
    assert peer.status("b") is Status.LEFT
    peer.hear("a", Rumour(record("b", generation=2)))
    peer.answer("b", generation=2)
    assert peer.status("b") is Status.ALIVE
    peer.hear("a", left("b", 3))
    assert peer.status("b") is Status.ALIVE


def test_all_are_back_after_a_simultaneous_restart() -> None:
    """memberlist #311, serf #662: numbers and leaves of the life before must not count in this one."""
    world = World(3)
    nodes = world.form(8)
    for number in range(3):
        world.run(1.0)
        for node in nodes:
            profile = node.core._desk.profile._replace(metadata=b"%d" % number)
            world.do(node, node.core.set_profile(profile, world.now))
    for node in nodes[:4]:
        world.do(node, node.core.leave(world.now))
    for node in nodes[4:7]:  # one stays, and remembers
        world.crash(node)
    world.run(0.2)
    for node in nodes[:7]:
        world.restart(node)
    assert world.run(10.0, until=lambda: world.agree() and len(world.live) == 8) is not None
    world.run(60.0)
    assert world.agree()
    assert all(one.believes(other) is Status.ALIVE for one in world.live for other in world.live)


def test_after_a_full_outage_they_find_each_other_again() -> None:
    """serf #333: a snapshot of the living is empty once all have died one by one."""
    world = World(4)
    nodes = world.form(4)
    for node in nodes:
        world.run(20.0)
        world.crash(node)
    last = nodes[-1].core
    assert {node.core.node_id for node in nodes[:-1]} == set(last.known_members())
    for node in nodes:
        world.restart(node)
    assert world.run(20.0, until=lambda: world.agree() and len(world.live) == 4) is not None


def test_an_accuser_has_to_be_proven_right_or_to_slow_down() -> None:
    """consul #5567, #1212, #916: one bad node accused hundreds."""
    peer = Peer()
    names = [f"n{number}" for number in range(40)]
    peer.join(*names)
    for name in names:
        peer.core._membership.accuse(node_id(name))
    accused = [name for name in names if peer.status(name) is Status.SUSPECT]
    assert len(accused) == ACCUSATIONS_MAX
    assert peer.core.counters()["accusations_withheld"] == 40 - ACCUSATIONS_MAX


def test_the_own_word_goes_before_all_others() -> None:
    """A storm of rumours must not delay the one that keeps this node alive."""
    peer = Peer()
    names = [f"n{number}" for number in range(60)]
    peer.join(*names)
    for name in names:
        peer.hear("n0", suspect(name, "n1"))
    peer.hear("n0", suspect("me", "n1"))
    peer.forget()
    peer.wait(0.3, answering=names)
    datagrams = [instruction for instruction in peer.said if isinstance(instruction, SendDatagram)]
    assert datagrams
    assert peer.said_of_itself()[0].incarnation == 1
    for datagram in datagrams:
        peer.said = [datagram]
        assert peer.said_of_itself(), "a datagram without the own word"


def test_who_has_left_gets_no_rumours() -> None:
    """kinship KP-02: leavers that got rumours answered them, and looked dead instead of gone."""
    peer = Peer()
    peer.join("a", "b", "c")
    peer.hear("b", left("b"))
    peer.forget()
    for number in range(5):
        peer.hear("a", Rumour(record("c", number + 1)))
        peer.wait(5.0, answering=("a", "c"))
    assert peer.messages(address("a"))
    assert not peer.messages(address("b"))


def test_a_node_at_another_address_is_the_same_node() -> None:
    """memberlist #157, consul #4879: "conflicting address", for good."""
    peer = Peer()
    peer.join("a", "b")
    peer.hear("a", Rumour(record("b", generation=2, at="elsewhere:7000")))
    there = [message for message in peer.messages("elsewhere:7000") if isinstance(message, Ping)]
    assert there
    peer.hear("b", Ack(there[0].nonce, 0, Ring()), generation=2, at="elsewhere:7000")
    peer.wait(1.2, answering=("a",))  # silence at the old address
    view = peer.core.member(node_id("b"))
    assert view is not None
    assert (view.generation, view.status, view.profile.address) == (2, Status.ALIVE, "elsewhere:7000")


def test_the_dead_get_rumours_for_a_while() -> None:
    """Else nobody tells one who was declared dead by mistake, and it does not refute."""
    peer = Peer()
    peer.join("a", "b", "c")
    peer.hear("a", dead("b", "a"))
    peer.forget()
    peer.wait(2.0, answering=("a", "c"))
    rumours = [datagram for datagram in peer.letters(address("b")) if not any(map(is_ping, datagram))]
    assert any(among(dead("b", "me")._replace(reporter=ME), datagram) for datagram in rumours)


def test_one_late_answer_of_many_is_no_death() -> None:
    """The sum of the fixes, on the worst network that still carries something: nobody up is dead for good."""
    world = World(11, loss=0.3)
    world.form(10)
    world.run(60.0)
    world.loss = 0.0
    assert world.run(30.0, until=world.agree) is not None
    assert world.counts[Change.LEFT] == 0
