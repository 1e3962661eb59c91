"""Atomic operations where something goes wrong that is rare: each of these once went wrong for good."""

from __future__ import annotations

import pytest

from ringdict.node.leaders.ballot import NO_BALLOT, Ballot, Order
from ringdict.node.leaders.grantclock import GrantClock
from ringdict.node.leaders.leaderconfig import GRANTS_MAX, QUEUE_REQUESTS_MAX
from ringdict.node.leaders.plane import place_of
from ringdict.node.leaders.record import Record, name_of
from ringdict.node.leaders.successor import successor
from ringdict.node.leaders.verdict import Change, find, never, see
from ringdict.node.network.leadermessage import Act, Clear, Verb
from ringdict.node.network.message import Reason, Refused, Reply, Written
from ringdict.node.world import NS_PER_S

from .leading import KEY, Cluster

ORDER = Order(Ballot(1, 1, b"n", 1), 1)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def waiting(cluster: Cluster, count: int, *, ends: bool = False) -> list[Reply | None]:
    """So many ask for one key at one time, `ends`: while its Dict is ended; where their answers come."""
    answers: list[Reply | None] = []
    ballot = cluster.wait_ballot()
    leader = cluster.number_of(ballot.node)
    ticket = cluster.greet(leader).ticket
    if ends:
        rows = [(cluster.partition(), ballot)]
        clear = Clear(0, rows, ticket, cluster.next_id(), 0, cluster.dict_id, ends)
        cluster.client.bus.ask(cluster.node_id(leader), clear, lambda _reply: None, NS_PER_S)
        leadership = cluster.node(leader).leading.leaders.leaderships[cluster.partition()]
        while leadership.is_idle:
            cluster.simulation.run_for(0.000_1)
    for _ in range(count):
        act = Act(
            0, ballot, ticket, cluster.next_id(), 0, cluster.dict_id, KEY, Verb.PUT_IF_ABSENT, b"x", b"", 0, 0
        )
        cluster.client.bus.ask(cluster.node_id(leader), act, answers.append, 2 * NS_PER_S)
    return answers


def test_a_full_queue_that_its_client_gives_up_ends_with_the_first_one(cluster: Cluster) -> None:
    """It ended one in the call of the other, until the stack was full."""
    waiting(cluster, QUEUE_REQUESTS_MAX)
    ballot = cluster.wait_ballot()
    leader = cluster.number_of(ballot.node)
    ticket, mine = cluster.greet(leader).ticket, cluster.next_id()
    low = int.from_bytes(mine[10:], "big")
    act = Act(0, ballot, ticket, mine, low, cluster.dict_id, b"\x04other", Verb.GET, b"", b"", 0, 0)
    cluster.ask_anyhow(leader, act)
    cluster.simulation.run_for(1.0)
    assert cluster.hosts[leader].up
    assert not cluster.done(Verb.PUT_IF_ABSENT, b"y").happened


def test_all_that_wait_for_a_key_of_a_dict_that_ends_are_told(cluster: Cluster) -> None:
    answers = waiting(cluster, QUEUE_REQUESTS_MAX, ends=True)
    cluster.simulation.run_for(1.0)
    assert [one.reason for one in answers if isinstance(one, Refused)] == [Reason.NO_DICT] * len(answers)
    assert len(answers) == QUEUE_REQUESTS_MAX


def held(token: int, ttl_ms: int) -> Record:
    return Record(ORDER, ORDER, b"o" * 16, b"", token, b"holder", ttl_ms)


def test_a_grant_whose_instant_is_forgotten_has_its_whole_time() -> None:
    """It was counted from when its leader was elected, hours ago, and was over at once."""
    clock = GrantClock(0, lambda _name: None)
    now_ns = 3600 * NS_PER_S
    clock.note(b"first", held(1, 60_000), now_ns)
    for number in range(GRANTS_MAX):
        clock.note(b"%d" % number, held(2 + number, 1_000), now_ns + NS_PER_S)
    assert not clock.is_over(b"first", held(1, 60_000), now_ns + 2 * NS_PER_S)
    assert not clock.is_over(b"first", held(1, 60_000), now_ns + 60 * NS_PER_S)
    assert clock.is_over(b"first", held(1, 60_000), now_ns + 70 * NS_PER_S)


def test_a_second_cancel_of_what_may_have_been_forgotten_says_what_the_first_one_said() -> None:
    """The first one leaves a record of its own. By that one the client asked anew, and stored again what was
    stored, popped and forgotten."""
    cancel = Act(0, NO_BALLOT, 0, bytes(16), 0, bytes(8), KEY, Verb.CANCEL, b"t" * 16, b"",
                 Verb.PUT_IF_ABSENT, 0)  # fmt: skip
    first = see(None, None, None, forgotten=77)
    told = never(cancel, first)
    assert told is not None
    assert told.version == 77
    barrier = successor(first, Change(None, 0, takes=False), ORDER, b"c" * 16, 0, KEY)
    second = see(barrier, None, None, forgotten=77)
    assert find(cancel, second) is None
    again = never(cancel, second)
    assert again is not None
    assert again.version == 77


def test_of_a_damaged_entry_its_own_node_does_not_know_that_nothing_is_there(cluster: Cluster) -> None:
    """With one other owner that had missed the put, "nothing" was what a majority had."""
    assert isinstance(cluster.put(b"plain"), Written)
    leader = cluster.number_of(cluster.wait_ballot().node)
    place = place_of(cluster.partition(), name_of(cluster.dict_id, KEY))
    whole = cluster.node(leader).keeping.replica.storage.get(place)
    assert whole is not None
    lagging = (leader + 1) % 3
    damaged = whole[:-1] + bytes([whole[-1] ^ 1])
    for host in cluster.hosts:
        host.validates = False  # sums are not those of what is there any more
    for number, raw in ((leader, damaged), (lagging, None)):
        cluster.node(number).keeping.replica.storage.commit({place: raw}, lambda _error: None)
    good = next(number for number in range(3) if number not in (leader, lagging))
    apart = {cluster.hosts[leader].address}, {cluster.hosts[good].address}
    with cluster.simulation.network.partition(*apart):
        reply = cluster.act(Verb.POP, via=leader)
    assert isinstance(reply, Refused)
    assert reply.reason == Reason.NO_QUORUM
