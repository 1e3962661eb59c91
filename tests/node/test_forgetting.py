"""What an acceptor forgets, and what it takes up afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ringdict.node.leaders.acceptor import Acceptor, proposal
from ringdict.node.leaders.ballot import NO_BALLOT, Ballot, Order
from ringdict.node.leaders.record import Record
from ringdict.node.leaders.shelf import Chosen
from ringdict.node.leaders.verdict import Told, never, see
from ringdict.node.network.leadermessage import (
    Accept,
    Accepted,
    Act,
    Ask,
    Forgotten,
    Prepare,
    Promise,
    Purge,
    Verb,
)
from ringdict.node.network.message import Message
from ringdict.node.ringview import RingView
from ringdict.node.world import Address, NodeId, World
from ringdict.ring.decree import NO_PARENT, Decree
from ringdict.ring.member import Member, MemberState
from ringdict.ring.table import Table
from ringdict.sim.simulation import Simulation

LEADER = NodeId(b"leader".ljust(16))
OTHER = NodeId(b"other".ljust(16))
NAME = b"dict-no1key"
BALLOT = Ballot(1, 7, LEADER, 1)


class Alone:
    """An acceptor whose answers are kept."""

    def __init__(self, world: World) -> None:
        self.said: list[Message] = []
        self.shown: list[Chosen] = []
        self.acceptor = Acceptor(
            world,
            world.storage("consensus"),
            lambda _to, message: self.said.append(message),
            sticky=lambda *_: False,
            failed=lambda: None,
            apply=self._apply,
        )
        self.me = world.identity.node

    def _apply(self, chosen: list[Chosen], then: Callable[[], None]) -> None:
        self.shown += chosen
        then()

    def on_frame(self, _source: Address, _frame: bytes) -> None: ...

    def on_datagram(self, _source: Address, _datagram: bytes) -> None: ...


class Stage:
    """One acceptor in a made-up world."""

    def __init__(self) -> None:
        self.simulation = Simulation(seed=1)
        host = self.simulation.host("n0", Alone)
        self.simulation.run_for(0.1)
        assert isinstance(host.process, Alone)
        self.alone = host.process
        self.acceptor = self.alone.acceptor

    def go_by(self, row: list[NodeId], *, since: int = 1, former: tuple[list[NodeId], ...] = ()) -> None:
        """A ring of one partition with this row."""
        ids = sorted({self.alone.me, LEADER, OTHER})
        members = tuple(Member(one, MemberState.ACTIVE) for one in ids)
        numbers = [ids.index(one) for one in row]
        sets = tuple(bytes(ids.index(one) for one in each) for each in former)
        table = Table.of([numbers], 3)
        decree = Decree(bytes(16), since, NO_PARENT, members, table, None, (since,), (sets,))
        self.acceptor.forgetting.set_view(RingView(decree, self.alone.me))
        self.simulation.run_for(0.1)

    def hear(self, message: Message) -> list[Message]:
        """What is answered."""
        self.alone.said.clear()
        self.acceptor.on_message(message)
        self.simulation.run_for(0.1)
        return list(self.alone.said)

    def prepare(self, ballot: Ballot) -> list[Message]:
        ask: Ask = (0, ballot.since, ballot.round, None)
        return self.hear(Prepare(ballot.node, ballot.boot, [ask]))

    def accept(self, record: Record, ballot: Ballot = BALLOT, name: bytes = NAME) -> bool:
        said = self.hear(Accept(ballot.node, ballot.boot, [proposal(1, 0, ballot, [(name, record)])]))
        return any(isinstance(one, Accepted) for one in said)

    def purge(self, order: Order, *, decided: int, ballot: Ballot = BALLOT) -> bool:
        rows = [(NAME, order)]
        said = self.hear(Purge(ballot.node, ballot.boot, 5, 0, ballot.since, ballot.round, decided, rows))
        return any(isinstance(one, Forgotten) and one.number == 5 for one in said)


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.go_by([stage.alone.me, LEADER, OTHER])
    assert any(isinstance(one, Promise) for one in stage.prepare(BALLOT))
    return stage


def record(sequence: int, body: bytes | None, *, ballot: Ballot = BALLOT) -> Record:
    order = Order(ballot, sequence)
    return Record(order, order, bytes([sequence]) * 16, b"", sequence << 16, body)


def test_what_says_absent_is_forgotten_and_its_token_is_not(stage: Stage) -> None:
    assert stage.accept(record(1, b"held"))
    assert stage.accept(record(2, None))
    assert stage.acceptor.tallies(0)[1] != bytes(64 * 16)
    assert stage.purge(Order(BALLOT, 2), decided=2)
    assert stage.acceptor.record(0, NAME) is None
    assert stage.acceptor.tallies(0) == (2 << 16, bytes(64 * 16))
    assert [(name, shown.token) for _, name, shown in stage.alone.shown] == [(NAME, 2 << 16)]


def test_what_is_held_or_has_changed_is_not_forgotten(stage: Stage) -> None:
    assert stage.accept(record(1, b"held"))
    assert stage.purge(Order(BALLOT, 1), decided=1)
    assert stage.acceptor.record(0, NAME) == record(1, b"held")
    assert stage.accept(record(2, None))
    assert stage.accept(record(3, b"again"))
    assert stage.purge(Order(BALLOT, 2), decided=3)
    assert stage.acceptor.record(0, NAME) == record(3, b"again")


def test_a_straggler_from_before_the_removal_is_not_accepted(stage: Stage) -> None:
    assert stage.accept(record(2, None))
    assert stage.purge(Order(BALLOT, 2), decided=3)
    assert not stage.accept(record(1, b"held"))
    assert stage.acceptor.record(0, NAME) is None
    assert stage.accept(record(4, b"new"))
    assert stage.accept(record(2, None))  # old news of what is newer here
    assert stage.acceptor.record(0, NAME) == record(4, b"new")


def test_a_live_record_below_the_mark_is_accepted_where_there_is_an_older_one(stage: Stage) -> None:
    other = b"dict-no1another"
    assert stage.accept(record(1, b"first"), name=other)
    assert stage.accept(record(3, None))
    assert stage.purge(Order(BALLOT, 3), decided=3)
    assert stage.accept(record(2, b"second"), name=other)


def test_only_the_ballot_that_is_followed_may_have_anything_forgotten(stage: Stage) -> None:
    assert stage.accept(record(2, None))
    newer = Ballot(1, 8, OTHER, 1)
    stage.prepare(newer)
    assert not stage.purge(Order(BALLOT, 2), decided=2)
    assert stage.acceptor.record(0, NAME) is not None


def test_who_comes_into_a_row_anew_forgets_what_it_held_before(stage: Stage) -> None:
    me = stage.alone.me
    assert stage.accept(record(1, b"held"))
    stage.go_by([LEADER, OTHER, me], since=4, former=([LEADER, OTHER],))
    assert stage.acceptor.record(0, NAME) is None
    assert stage.acceptor.promised(0) == BALLOT
    assert stage.acceptor.tallies(0)[0] == 1 << 16


def test_who_was_a_replica_all_along_keeps_what_it_holds(stage: Stage) -> None:
    me = stage.alone.me
    assert stage.accept(record(1, b"held"))
    stage.go_by([me, OTHER], since=4, former=([me, LEADER, OTHER],))
    assert stage.acceptor.record(0, NAME) == record(1, b"held")
    newer = Ballot(4, 1, OTHER, 1)
    stage.prepare(newer)
    stage.go_by([me, OTHER], since=4)
    assert stage.acceptor.record(0, NAME) == record(1, b"held")


def test_who_slept_through_a_whole_change_has_nothing_that_a_majority_has_not(stage: Stage) -> None:
    me = stage.alone.me
    assert stage.accept(record(1, b"held"))
    stage.go_by([LEADER, OTHER, me], since=4)
    assert stage.acceptor.record(0, NAME) is None


def test_nothing_is_forgotten_while_a_former_replica_has_a_say_by_this_nodes_ring(stage: Stage) -> None:
    """The leader went by a newer ring. Elected by the older one, this node would have asked the former
    replica, and had nothing that outdoes a lock which that one held still."""
    me = stage.alone.me
    stage.go_by([me, LEADER], former=([me, LEADER, OTHER],))
    assert stage.accept(record(2, None))
    assert not stage.purge(Order(BALLOT, 2), decided=2)
    assert stage.acceptor.record(0, NAME) is not None
    stage.go_by([me, LEADER])
    assert stage.purge(Order(BALLOT, 2), decided=2)
    assert stage.acceptor.record(0, NAME) is None


def test_who_is_no_replica_for_a_while_that_it_slept_through_has_nothing(stage: Stage) -> None:
    """It is a former one by the newest ring, but came into that set anew."""
    me = stage.alone.me
    stage.go_by([LEADER, OTHER], since=3, former=([me, LEADER],))
    stage.prepare(Ballot(3, 1, LEADER, 1))
    assert stage.accept(record(1, b"held"), Ballot(3, 1, LEADER, 1))
    stage.go_by([me, LEADER, OTHER], since=9, former=([me, OTHER],))
    assert stage.acceptor.record(0, NAME) is None


def test_who_is_asked_as_a_former_replica_still_keeps_what_it_holds(stage: Stage) -> None:
    me = stage.alone.me
    stage.go_by([LEADER, OTHER], since=3, former=([me, LEADER],))
    stage.prepare(Ballot(3, 1, LEADER, 1))
    assert stage.accept(record(1, b"held"), Ballot(3, 1, LEADER, 1))
    stage.go_by([me, OTHER], since=9, former=([me, LEADER], [LEADER, OTHER]))
    assert stage.acceptor.record(0, NAME) is not None


def test_many_records_are_forgotten_in_bounded_steps(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringdict.node.leaders.forgetting.FORGET_ROWS_MAX", 3)
    for number in range(10):
        assert stage.accept(record(number + 1, b"held"), name=NAME + bytes([number]))
    stage.go_by([LEADER, OTHER])
    assert stage.acceptor.stretch(0, b"", 100) == ([], b"")
    assert not any(stage.acceptor.tallies(0)[1])


def test_a_leader_of_replicas_that_are_not_known_yet_is_answered_once_they_are(stage: Stage) -> None:
    me = stage.alone.me
    newer = Ballot(4, 1, OTHER, 1)
    assert stage.prepare(newer) == []
    assert not stage.accept(record(1, b"early", ballot=newer), newer)
    assert stage.acceptor.promised(0) == BALLOT
    stage.alone.said.clear()
    stage.go_by([OTHER, LEADER, me], since=4, former=([me, LEADER],))
    assert [type(one) for one in stage.alone.said] == [Promise]
    assert stage.acceptor.promised(0) == newer
    assert newer > BALLOT > NO_BALLOT


@pytest.mark.parametrize("verb", [Verb.INCREMENT, Verb.POP, Verb.REPLACE])
def test_of_a_key_whose_record_may_be_forgotten_nobody_claims_to_know(verb: Verb) -> None:
    cancel = Act(0, BALLOT, 0, bytes(16), 0, b"dict-no1", b"key", Verb.CANCEL, b"target".ljust(16))
    cancel = replace(cancel, version=verb)
    assert never(cancel, see(None, None, None)) == Told(False, 0)
    assert never(cancel, see(None, None, None, forgotten=5)) is None
    cancel = replace(
        cancel, version=Verb.PUT_IF_ABSENT
    )  # asks whether the key is held by it, which it is not
    assert never(cancel, see(None, None, None, forgotten=5)) == Told(False, 5)
