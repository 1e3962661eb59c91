"""What a client believes about who leads what, and which of its numbers it still waits for."""

from __future__ import annotations

import random

from ringdict.client.config import REFUSED_HOLDERS_MAX
from ringdict.client.leads import Leads
from ringdict.node.leaders.ballot import Ballot
from ringdict.node.network.leadermessage import Greeted

A, B = b"a" * 16, b"b" * 16


def leads() -> Leads:
    return Leads(random.Random(1))


def greeted(node: bytes, boot: int, ticket: int, *ballots: tuple[int, Ballot]) -> Greeted:
    return Greeted(0, node, boot, ticket, list(ballots))


def test_the_lowest_number_that_is_waited_for_is_told_whatever_ends_first() -> None:
    known = leads()
    assert known.low() == 1
    first, second, third = (known.begin() for _ in range(3))
    known.end(second)
    assert known.low() == first
    known.end(first)
    assert known.low() == third
    known.end(third)
    known.end(third)
    assert known.low() == third + 1
    assert known.begin() == third + 1


def test_a_ticket_is_of_one_start_of_a_node() -> None:
    known = leads()
    ballot = Ballot(1, 1, A, 2)
    known.hear(greeted(A, 2, 7, (0, ballot)))
    assert known.ticket(ballot) == 7
    assert known.ticket(Ballot(1, 1, A, 1)) is None
    known.forget_ticket(A)
    assert known.ticket(ballot) is None


def test_what_a_node_said_before_it_was_started_again_is_not_believed() -> None:
    known = leads()
    newer = Ballot(1, 3, A, 3)
    known.hear(greeted(A, 3, 9, (0, newer)))
    known.hear(greeted(A, 2, 7, (0, Ballot(1, 9, A, 2)), (1, Ballot(1, 1, A, 2))))
    assert known.leader(0) == newer
    assert known.leader(1) is None
    assert known.ticket(newer) == 9


def test_what_is_over_is_never_gone_by_again_and_what_is_doubted_is() -> None:
    known = leads()
    low, high = Ballot(1, 1, A, 1), Ballot(1, 2, B, 1)
    known.hear(greeted(A, 1, 7, (0, high)))
    known.hear(greeted(A, 1, 7, (0, low)))
    assert known.leader(0) == high
    known.doubt(0, high)
    assert known.leader(0) is None
    known.hear(greeted(B, 1, 7, (0, high)))
    assert known.leader(0) == high
    known.retire(0, high)
    known.hear(greeted(B, 1, 7, (0, high)))
    known.hear(greeted(A, 1, 7, (0, low)))
    assert known.leader(0) is None


def test_what_a_node_does_not_name_it_does_not_lead() -> None:
    known = leads()
    ballot = Ballot(1, 1, A, 1)
    known.hear(greeted(A, 1, 7, (0, ballot), (1, ballot)))
    known.hear(greeted(B, 1, 7))
    assert known.leader(0) == ballot
    known.hear(greeted(A, 1, 7, (1, ballot)))
    assert known.leader(0) is None
    assert known.leader(1) == ballot


def test_those_who_were_refused_a_lock_and_went_away_are_forgotten() -> None:
    """Each try that did not wait left its holder behind for good."""
    known = leads()
    holders = [number.to_bytes(16, "big") for number in range(REFUSED_HOLDERS_MAX + 10)]
    for holder in holders:
        known.refuse(holder, 5)
    told = [known.refused(holder) for holder in holders]
    assert told == [0] * 10 + [5] * REFUSED_HOLDERS_MAX
    assert known.refused(holders[-1]) == 0
