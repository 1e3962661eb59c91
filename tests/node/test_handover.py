"""When a leader gives way, and that it does so to the end."""

from __future__ import annotations

from typing import Any

from ringdict.node.leaders.ballot import Ballot
from ringdict.node.leaders.handover import Handover
from ringdict.node.leaders.leaderconfig import HANDBACK_S, YIELD_S
from ringdict.node.network.leadermessage import Transfer
from ringdict.node.world import NS_PER_S, NodeId

A, B, C = (NodeId(bytes([number]) * 16) for number in (1, 2, 3))
HANDBACK_NS = int(HANDBACK_S * NS_PER_S)


class Lead:
    """A partition that B leads, in a row of A, B, C."""

    def __init__(self) -> None:
        self.partition, self.ballot = 0, Ballot(1, 1, B, 1)
        self.yielding = self.ended = False
        self.is_idle = True
        self.lost: set[NodeId] = set()
        self.electorate: Any = self
        self.row = (A, B, C)

    def chosen(self, nodes: list[NodeId]) -> bool:
        return len(nodes) >= 2


class Node:
    """Stands in for all that node B has."""

    def __init__(self) -> None:
        self.me = B
        self.world: Any = self
        self.heartbeats: Any = self
        self.at_ns = 0
        self.lead: Any = Lead()
        self.leaderships: dict[int, Any] = {0: self.lead}
        self.healthy: dict[NodeId, int] = {A: 0, C: HANDBACK_NS}
        self.said: list[tuple[NodeId, object]] = []
        self.tried: list[int] = []
        self.left_alone: list[int] = []
        self.timers: list[Any] = []
        as_any: Any = self
        self.handover = Handover(as_any)

    def now_ns(self) -> int:
        return self.at_ns

    def healthy_ns(self, node: NodeId) -> int:
        return self.healthy[node]

    def hears(self, node: NodeId) -> bool:
        return node in self.healthy

    def resign(self, leadership: Any, why: str) -> None:
        del self.leaderships[leadership.partition]
        leadership.ended = True
        self.handover.given_up(leadership.partition, why)

    def say(self, to: NodeId, message: object) -> None:
        self.said.append((to, message))

    def leave_alone(self, partition: int, _span_ns: int) -> None:
        self.left_alone.append(partition)

    def try_again(self, partition: int) -> None:
        self.tried.append(partition)

    def later(self, _delay_ns: int, call: Any) -> None:
        self.timers.append(call)


def test_a_primary_owner_in_health_for_long_is_given_way_to() -> None:
    node = Node()
    node.healthy[A] = HANDBACK_NS - 1
    node.handover.look()
    assert not node.lead.yielding
    node.healthy[A] = HANDBACK_NS
    node.handover.look()
    assert node.lead.ended
    assert node.said == [(A, Transfer(B, 0, Ballot(1, 1, B, 1)))]
    assert node.left_alone == [0]


def test_what_is_under_way_is_waited_for_and_not_for_ever() -> None:
    node = Node()
    node.healthy[A], node.lead.is_idle = HANDBACK_NS, False
    node.handover.look()
    assert node.lead.yielding
    assert not node.lead.ended
    node.at_ns = int(YIELD_S * NS_PER_S) + 1
    node.handover.look()
    assert node.lead.ended
    assert len(node.said) == 1


def test_who_gives_way_to_one_that_is_gone_again_is_elected_anew() -> None:
    """It led on, and did nothing: each client was told that this ballot would not do it."""
    node = Node()
    node.healthy[A], node.lead.is_idle = HANDBACK_NS, False
    node.handover.look()
    assert node.lead.yielding
    node.healthy[A], node.lead.is_idle = 0, True
    node.handover.look()
    assert node.lead.ended
    assert node.said == []
    assert (node.tried, node.left_alone) == ([0], [])


def test_a_node_that_ends_names_the_next_in_the_row_that_it_hears() -> None:
    node = Node()
    del node.healthy[A]
    node.handover.leaving = True
    node.handover.look()
    assert node.said == [(C, Transfer(B, 0, Ballot(1, 1, B, 1)))]


def test_an_acceptor_that_is_lost_is_made_up_for_and_a_quorum_is_not() -> None:
    node = Node()
    node.lead.is_idle = False
    node.handover.refused(node.lead, A)
    assert node.lead.yielding
    assert not node.lead.ended
    node.timers.pop()()
    assert not node.lead.ended
    node.lead.is_idle = True
    node.timers.pop()()
    assert node.lead.ended
    assert node.tried == [0]
    other = Node()
    other.lead.is_idle = False
    other.handover.refused(other.lead, A)
    other.handover.refused(other.lead, C)
    assert other.lead.ended
