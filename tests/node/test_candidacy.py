"""How a node comes to lead a partition: whose promises it asks for when, and which count."""

from __future__ import annotations

from typing import Any

from ringdict.node.leaders.ballot import Ballot
from ringdict.node.leaders.candidacy import Candidacies
from ringdict.node.leaders.electorate import Electorate
from ringdict.node.network.leadermessage import Promise, Refuse
from ringdict.node.ringview import RingView
from ringdict.node.world import NodeId
from ringdict.ring.decree import NO_PARENT, Decree
from ringdict.ring.member import Member, MemberState
from ringdict.ring.table import Table

A, B, C, STRANGER = (NodeId(bytes([number]) * 16) for number in (1, 2, 3, 9))
BALLOT = Ballot(1, 1, A, 5)


class Told:
    """Stands in for world, post and heartbeats of node A, and keeps what it was told."""

    def __init__(self) -> None:
        self.identity = self
        self.node, self.boot = A, 5
        self.asked: list[NodeId] = []
        self.won: list[list[NodeId]] = []
        self.lost: list[int] = []

    def now_ns(self) -> int:
        return 0

    def note(self, _node: NodeId, _at_ns: int) -> None:
        pass

    def ask(self, to: NodeId, _ask: object) -> None:
        self.asked.append(to)


def trying() -> tuple[Told, Candidacies]:
    """Node A tries to lead partition 0, whose owners are A, B and C."""
    members = tuple(Member(node, MemberState.ACTIVE, address=f"n{node[0]}") for node in (A, B, C))
    decree = Decree(bytes(16), 1, NO_PARENT, members, Table.of([[0, 1, 2]], 3), None, (1,), ((),))
    told: Any = Told()
    candidacies = Candidacies(
        told, told, told, lambda _partition, one: told.won.append(list(one.pledges)), told.lost.append
    )
    candidacies.begin(0, Electorate(RingView(decree, A), 0), Ballot(0, 0, b"", 0))
    return told, candidacies


def promise(node: NodeId) -> Promise:
    return Promise(node, A, 5, [(0, 1, 1, 0, b"")])


def test_ones_own_acceptor_is_asked_last() -> None:
    """Else a try that others withstand has deposed, by that promise, the leader whom they follow."""
    told, candidacies = trying()
    assert told.asked == [B, C]
    candidacies.tick()
    assert told.asked == [B, C, B, C]
    candidacies.on_promise(promise(C))
    assert told.asked[4:] == [A]
    assert told.won == []
    candidacies.on_promise(promise(A))
    assert told.won == [[C, A]]


def test_a_strangers_promise_is_none() -> None:
    told, candidacies = trying()
    candidacies.on_promise(promise(STRANGER))
    assert told.asked == [B, C]
    candidacies.on_promise(promise(B))
    candidacies.on_promise(promise(A))
    assert told.won == [[B, A]]


def test_a_leader_that_withstands_ends_a_try_and_one_that_only_hears_it_does_not() -> None:
    told, candidacies = trying()
    held = Ballot(1, 0, B, 1)
    candidacies.on_refuse(Refuse(C, [(0, BALLOT, held, True)]))
    assert 0 in candidacies
    candidacies.on_refuse(Refuse(B, [(0, BALLOT, held, True)]))
    assert 0 not in candidacies
    assert told.lost == [0]
