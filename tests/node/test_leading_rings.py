"""Atomic operations while a partition changes hands: what the next owners have to know of the forgotten."""

from __future__ import annotations

from ringdict.node.leaders.record import FORGETS
from ringdict.node.leaders.shelf import Draft, move_sum, place
from ringdict.node.network.leadermessage import Act, Greet, Greeted, Verb
from ringdict.node.network.message import Unknown
from ringdict.node.world import NS_PER_S

from .lockstage import DICT_ID, KEY, SESSION, LockStage

HOUR_NS = 3600 * NS_PER_S


def test_tokens_grow_though_all_was_forgotten_and_others_own_it_whose_clocks_are_behind() -> None:
    """The highest token was known to the leader alone whom the former owners had told it."""
    stage = LockStage(6)
    for host in stage.hosts[3:]:
        host.clock.skew_ns -= HOUR_NS
    stage.go_by([0, 1, 2])
    first = stage.act(Verb.PUT_IF_ABSENT, b"held")
    assert stage.act(Verb.RELEASE, version=first.version).happened
    stage.simulation.run_for(2.0)
    first = stage.act(Verb.PUT_IF_ABSENT, b"held")  # by now the partition has said that it forgets
    assert stage.act(Verb.RELEASE, version=first.version).happened
    stage.simulation.run_for(2.0)
    for number in range(3):
        acceptor = stage.node(number).leaders.acceptor
        assert acceptor.record(0, DICT_ID + KEY) is None
        assert acceptor.record(0, FORGETS) is not None
    stage.go_by([3, 4, 5], former=[[0, 1, 2]])
    leader = stage.wait_leader()
    stage.go_by([3, 4, 5])
    stage.simulation.run_for(1.0)
    stage.simulation.crash(stage.hosts[leader])
    stage.simulation.run_for(2.0)
    again = stage.act(Verb.PUT_IF_ABSENT, b"mine")
    assert again.happened
    assert again.version > first.version
    assert stage.faults == []


def test_a_leader_that_missed_that_the_partition_forgets_learns_it_before_it_claims_to_know() -> None:
    """It said of an increment that it never happened, which had, and was popped and forgotten."""
    stage = LockStage(3)
    stage.go_by([0, 2, 1])
    first = stage.act(Verb.PUT_IF_ABSENT, b"held")
    assert stage.act(Verb.RELEASE, version=first.version).happened
    stage.simulation.run_for(2.0)
    shelf = stage.node(2).leaders.acceptor
    announced = shelf.record(0, FORGETS)
    assert announced is not None
    draft = Draft(shelf.storage)  # as if the frame had been lost: two of three were enough
    draft.changes[place(0, FORGETS)] = None
    move_sum(draft, 0, FORGETS, announced.order, None, 0)
    shelf.storage.commit(draft.changes, lambda _error: None)
    stage.simulation.run_for(0.1)
    stage.simulation.crash(stage.hosts[0])
    while stage.lead_of(2) is None:
        stage.simulation.run_for(0.001)
    lead = stage.lead_of(2)
    greeted = stage.ask(2, Greet(1, SESSION, b""))
    assert lead is not None
    assert isinstance(greeted, Greeted)
    assert lead.open
    target = stage.next_id()
    cancel = Act(
        1, lead.ballot, greeted.ticket, stage.next_id(), 0, DICT_ID, KEY, Verb.CANCEL, target, b"",
        Verb.INCREMENT, 0,
    )  # fmt: skip
    assert isinstance(stage.ask(2, cancel), Unknown)
    assert stage.faults == []
