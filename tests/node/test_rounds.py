"""What leaders have accepted: whose answers count, and what is said again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringdict.node.leaders.ballot import Ballot
from ringdict.node.leaders.electorate import Electorate
from ringdict.node.leaders.leaderconfig import RESEND_S
from ringdict.node.leaders.round import Rounds
from ringdict.node.network.leadermessage import Accepted
from ringdict.node.ringview import RingView
from ringdict.node.world import NS_PER_S, NodeId
from ringdict.ring.decree import NO_PARENT, Decree
from ringdict.ring.member import Member, MemberState
from ringdict.ring.table import Table

A, B, C, STRANGER = (NodeId(bytes([number]) * 16) for number in (1, 2, 3, 9))
BALLOT = Ballot(1, 1, A, 5)


class Node:
    """Stands in for world and post of node A."""

    def __init__(self) -> None:
        self.identity = self
        self.boot = 5
        self.at_ns = 0
        self.proposed: list[NodeId] = []
        self.timers: list[Callable[[], None]] = []
        as_any: Any = self
        self.rounds = Rounds(as_any, as_any, lambda _delay_ns, call: self.timers.append(call))
        members = tuple(Member(node, MemberState.ACTIVE, address=f"n{node[0]}") for node in (A, B, C))
        decree = Decree(bytes(16), 1, NO_PARENT, members, Table.of([[0, 1, 2]], 3), None, (1,), ((),))
        self.electorate = Electorate(RingView(decree, A), 0)
        self.ended: list[int] = []

    def now_ns(self) -> int:
        return self.at_ns

    def propose(self, node: NodeId, _said: object) -> None:
        self.proposed.append(node)

    def begin(self, *, by_all: bool = False) -> int:
        return self.rounds.begin(0, BALLOT, self.electorate, [], self._done, by_all=by_all)

    def _done(self) -> None:
        self.ended.append(self.at_ns)

    def hear(self, node: NodeId, number: int, boot: int = 5) -> None:
        self.rounds.on_accepted(Accepted(node, boot, [number]))

    def later(self) -> None:
        self.at_ns += int(RESEND_S * NS_PER_S)
        self.timers.pop()()


def test_two_of_three_are_enough_and_are_counted_once() -> None:
    node = Node()
    number = node.begin()
    node.hear(B, number)
    node.hear(B, number)
    assert node.ended == []
    node.hear(A, number)
    node.hear(C, number)
    assert len(node.ended) == 1


def test_what_all_are_to_accept_nobody_else_accepts_for_them() -> None:
    """A fresh host at the address of a replica counted for it, and what that one had was forgotten."""
    node = Node()
    number = node.begin(by_all=True)
    for one in (A, B, STRANGER):
        node.hear(one, number)
    assert node.ended == []
    node.hear(C, number)
    assert len(node.ended) == 1


def test_answers_to_an_earlier_start_do_not_count() -> None:
    node = Node()
    number = node.begin()
    node.hear(A, number, boot=4)
    node.hear(B, number, boot=4)
    assert node.ended == []


def test_who_has_not_answered_is_asked_again_until_the_ballot_is_gone() -> None:
    node = Node()
    number = node.begin(by_all=True)
    assert node.proposed == [A, B, C]
    node.hear(B, number)
    node.later()
    assert node.proposed[3:] == [A, C]
    node.rounds.drop(BALLOT, 1)
    node.later()
    assert node.proposed[5:] == [A, C]
    node.rounds.drop(BALLOT, 0)
    node.later()
    assert node.proposed[7:] == []
    assert not node.timers
    node.hear(A, number)
    node.hear(C, number)
    assert node.ended == []
