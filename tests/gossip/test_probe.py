"""Probing: directly, through helpers, by a stream; for itself and for others."""

from __future__ import annotations

from collections import Counter

from ringdict.gossip.config import NACK_RATIO, PROBE_INTERVAL_S, PROBE_TIMEOUT_S, RELAYS_MAX
from ringdict.gossip.instruction import Change, SendFrame
from ringdict.gossip.member import Status
from ringdict.gossip.message import Ack, Nack, Ping, PingRequest, RelayedAck, Ring
from ringdict.sim.gossipfigures import detection
from ringdict.sim.gossipworld import World

from .peer import ME, Peer, address, among, asked_to_probe, node_id, suspect

NAMES = ("a", "b", "c", "d", "e")


def probed(peer: Peer, *, answering: tuple[str, ...]) -> str:
    """Let time pass until a node that does not answer is probed, and return its name."""
    for _ in range(5000):
        for name in NAMES:
            if name not in answering and peer.pings(name):
                return name
        peer.wait(0.01, answering=answering)
    raise AssertionError("nobody was probed")


def silent() -> Peer:
    """A peer that has just probed `e`, who does not answer."""
    peer = Peer()
    peer.join(*NAMES)
    peer.wait(5.0, answering=NAMES)
    peer.forget()
    assert probed(peer, answering=NAMES[:4]) == "e"
    return peer


def test_an_answer_in_time_is_the_end_of_it() -> None:
    peer = silent()
    peer.wait(PROBE_TIMEOUT_S - 0.1)
    peer.answer("e")
    peer.wait(PROBE_INTERVAL_S, answering=NAMES)
    assert not asked_to_probe(peer.messages())
    assert peer.status("e") is Status.ALIVE


def test_without_a_direct_answer_three_helpers_and_a_stream_are_tried() -> None:
    peer = silent()
    peer.wait(PROBE_TIMEOUT_S + 0.05, answering=NAMES[:4])
    requests = asked_to_probe(peer.messages())
    assert len(requests) == 3
    assert {request.target for request in requests} == {node_id("e")}
    frames = [instruction for instruction in peer.said if isinstance(instruction, SendFrame)]
    assert [frame.address for frame in frames] == [address("e")]


def test_an_answer_through_a_helper_counts() -> None:
    peer = silent()
    peer.wait(PROBE_TIMEOUT_S + 0.05, answering=NAMES[:4])
    nonce = asked_to_probe(peer.messages())[0].nonce
    peer.hear("a", RelayedAck(nonce, node_id("e"), 1))
    peer.wait(PROBE_INTERVAL_S, answering=NAMES[:4])
    assert peer.status("e") is Status.ALIVE


def test_an_answer_on_the_stream_counts() -> None:
    peer = silent()
    peer.wait(PROBE_TIMEOUT_S + 0.05, answering=NAMES[:4])
    ping = peer.pings("e")[-1]
    peer.hear_frame("e", Ack(ping.nonce, peer.core.digest, Ring()))
    peer.wait(PROBE_INTERVAL_S, answering=NAMES[:4])
    assert peer.status("e") is Status.ALIVE


def test_an_answer_from_somebody_else_does_not() -> None:
    peer = silent()
    for ping in peer.pings("e"):
        peer.hear("a", Ack(ping.nonce, peer.core.digest, Ring()))
    peer.wait(PROBE_INTERVAL_S, answering=NAMES[:4])
    assert peer.status("e") is Status.SUSPECT


def test_when_all_helpers_got_no_answer_the_verdict_is_early() -> None:
    peer = silent()
    peer.wait(PROBE_TIMEOUT_S + 0.05, answering=NAMES[:4])
    for request, name in zip(asked_to_probe(peer.messages()), helpers(peer), strict=True):
        assert peer.status("e") is Status.ALIVE
        peer.hear(name, Nack(request.nonce))
    assert peer.status("e") is Status.SUSPECT
    assert peer.core.health_points == 0  # nothing speaks against this node


def helpers(peer: Peer) -> list[str]:
    return [
        name for name in NAMES for message in peer.messages(address(name)) if isinstance(message, PingRequest)
    ]


def test_nacks_that_are_missing_are_bad_health() -> None:
    peer = silent()
    peer.wait(PROBE_TIMEOUT_S + 0.05, answering=NAMES[:4])
    nonce = asked_to_probe(peer.messages())[0].nonce
    one = helpers(peer)[0]
    for _ in range(3):
        peer.hear(one, Nack(nonce))  # one helper, however often it says so
    peer.wait(PROBE_INTERVAL_S - PROBE_TIMEOUT_S, answering=())
    assert peer.status("e") is Status.SUSPECT
    assert peer.core.health_points == 2


def test_a_node_in_bad_health_gives_others_more_time() -> None:
    peer = Peer()
    peer.join(*NAMES)
    for incarnation in range(3):
        peer.hear("a", suspect("me", "a", incarnation))
    assert peer.core.health_points == 3
    peer.forget()
    name = probed(peer, answering=())
    peer.wait(PROBE_INTERVAL_S * 3.5)
    assert peer.status(name) is Status.ALIVE
    peer.wait(PROBE_INTERVAL_S)
    assert peer.status(name) is Status.SUSPECT


def test_a_helper_forwards_the_answer() -> None:
    peer = Peer()
    peer.join(*NAMES)
    peer.hear("a", PingRequest(77, node_id("b")))
    peer.wait(0.1, answering=("b",))
    assert among(RelayedAck(77, node_id("b"), 1), peer.messages(address("a")))
    peer.wait(5.0, answering=NAMES)
    assert not among(Nack(77), peer.messages())


def test_a_helper_says_in_time_that_it_got_no_answer() -> None:
    peer = Peer()
    peer.join(*NAMES)
    peer.hear("a", PingRequest(77, node_id("b")))
    peer.wait(NACK_RATIO * (PROBE_INTERVAL_S - PROBE_TIMEOUT_S) + 0.01)
    assert among(Nack(77), peer.messages(address("a")))
    peer.forget()
    peer.answer("b")
    peer.hear("a", PingRequest(78, node_id("stranger")))
    assert among(Nack(78), peer.messages(address("a")))


def test_a_helper_does_not_let_itself_be_overrun() -> None:
    peer = Peer()
    peer.join(*NAMES)
    for nonce in range(2 * RELAYS_MAX):
        peer.hear("a", PingRequest(nonce, node_id("b")))
    assert peer.core.counters()["relays_refused"] == RELAYS_MAX
    peer.wait(2.0, answering=NAMES)
    peer.hear("a", PingRequest(9999, node_id("b")))
    assert peer.core.counters()["relays_refused"] == RELAYS_MAX


def test_a_ping_for_another_is_not_answered() -> None:
    peer = Peer()
    peer.join("a")
    peer.hear("a", Ping(5, node_id("b"), 0, Ring()))
    assert peer.messages() == []
    peer.hear("a", Ping(6, ME, peer.core.digest, Ring()))
    assert [message.nonce for message in peer.messages() if isinstance(message, Ack)] == [6]


def test_every_second_round_probes_the_successor_and_the_others_go_round() -> None:
    peer = Peer()
    peer.join(*NAMES)
    peer.wait(100.0, answering=NAMES)
    counts = Counter(ping.target for ping in (ping for name in NAMES for ping in peer.pings(name)))
    # "m" is the greatest id: the circle goes on with the least.
    assert counts[node_id("a")] in range(58, 63)
    assert all(counts[node_id(name)] in range(9, 12) for name in NAMES[1:])


def test_a_crash_is_seen_in_time() -> None:
    for size in (5, 20):
        times = detection(size, range(10))
        assert min(times) > 5.0
        assert max(times) < 8.5


def test_the_round_trip_time_is_measured() -> None:
    world = World(1)
    nodes = world.form(3)
    world.run(10.0)
    view = nodes[0].core.member(nodes[1].core.node_id)
    assert view is not None
    assert view.rtt_s is not None
    assert 0.001 <= view.rtt_s <= 0.003


def test_one_node_that_hears_nobody_kills_nobody() -> None:
    """All that is sent to it is lost; what it sends arrives."""
    world = World(6)
    nodes = world.form(20)
    world.run(2.0)
    deaf = nodes[0]
    world.cut = lambda sender, receiver: receiver is deaf
    world.run(120.0)
    wronged = {name for _, who, change, name in world.events if change is Change.FAILED and who != "n0"}
    assert wronged <= {"n0"}
    assert deaf.core.counters()["accusations"] <= 20
