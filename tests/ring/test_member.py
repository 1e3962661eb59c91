"""Majorities: of all, dead ones counted, and any two of them meet."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.ring.member import MemberState, has_quorum, quorum_members

from .rings import member


@pytest.mark.parametrize(
    ("count", "needed"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (100, 51)]
)
def test_a_majority_is_more_than_half_but_of_two_the_senior_is_one(count: int, needed: int) -> None:
    assert quorum_members(count) == needed
    assert has_quorum(range(count), range(needed))
    assert not has_quorum(range(count), range(needed - 1))


@given(st.sets(st.integers(0, 253), min_size=1, max_size=7))
def test_any_two_quorums_of_a_set_meet(whole: set[int]) -> None:
    """What every promise of the consensus rests on, the rule for two included."""
    parts = [set(part) for size in range(len(whole) + 1) for part in combinations(whole, size)]
    quorums = [part for part in parts if has_quorum(whole, part)]
    assert whole in quorums
    assert all(one & other for one, other in combinations(quorums, 2))
    assert min(map(len, quorums)) == quorum_members(len(whole))


def test_of_two_only_the_senior_decides_alone() -> None:
    assert has_quorum({4, 9}, {4})
    assert not has_quorum({4, 9}, {9})
    assert has_quorum({4, 9}, {9, 4})


def test_answers_of_others_do_not_count() -> None:
    assert not has_quorum({1, 2, 3}, {3, 4, 5, 6})
    assert not has_quorum({1, 2}, {0})


def test_nobody_decides_for_an_empty_set() -> None:
    assert not has_quorum(set(), {1})
    with pytest.raises(ValueError, match="nobody"):
        quorum_members(0)


def test_who_votes_and_who_takes_data() -> None:
    voting = {state for state in MemberState if member(1, state=state).votes}
    taking = {state for state in MemberState if member(1, state=state).takes_data}
    assert voting == {MemberState.ACTIVE, MemberState.LEAVING}
    assert taking == {MemberState.ACTIVE, MemberState.JOINING}


def test_the_numbers_of_states_are_those_of_decrees_on_disk() -> None:
    assert [(state.name, int(state)) for state in MemberState] == [
        ("JOINING", 1),
        ("ACTIVE", 2),
        ("LEAVING", 3),
        ("REMOVED", 4),
        ("FORMER", 5),
    ]
