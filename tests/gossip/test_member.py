"""The merge rule, and what numbers are believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.gossip import member
from ringdict.gossip.config import GENERATION_STEPS_MAX, INCARNATION_STEPS_MAX
from ringdict.gossip.member import NUMBER_MAX, NodeId, Profile, Record, Status, merge

from .peer import record

profiles = st.builds(Profile, address=st.sampled_from(["a:1", "b:1"]), metadata=st.binary(max_size=1))
words = st.builds(
    Record,
    node_id=st.just(NodeId(b"x" * 16)),
    generation=st.integers(1, 3),
    incarnation=st.integers(0, 3),
    status=st.sampled_from(Status),
    profile=profiles,
)


@given(words, words)
def test_merging_is_commutative(one: Record, other: Record) -> None:
    assert merge(one, other) == merge(other, one)


@given(words, words, words)
def test_merging_is_associative(one: Record, two: Record, three: Record) -> None:
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@given(words)
def test_merging_is_idempotent(one: Record) -> None:
    assert merge(one, one) == one


@given(words, words)
def test_numbers_never_go_back(one: Record, other: Record) -> None:
    both = merge(one, other)
    assert both.generation >= max(one.generation, other.generation)
    same = [word for word in (one, other) if word.generation == both.generation]
    if Status.LEFT not in {word.status for word in same}:
        assert both.incarnation == max(word.incarnation for word in same)


@given(words, words)
def test_who_left_in_a_generation_stays_so_in_it(one: Record, other: Record) -> None:
    both = merge(one, other)
    left_in = {word.generation for word in (one, other) if word.status is Status.LEFT}
    assert (both.status is Status.LEFT) is (both.generation in left_in)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ((1, 0, Status.ALIVE), (1, 0, Status.SUSPECT)),
        ((1, 0, Status.SUSPECT), (1, 1, Status.ALIVE)),
        ((1, 0, Status.SUSPECT), (1, 0, Status.DEAD)),
        ((1, 0, Status.DEAD), (1, 1, Status.ALIVE)),
        ((1, 9, Status.DEAD), (1, 0, Status.LEFT)),
        ((1, 9, Status.LEFT), (2, 0, Status.ALIVE)),
        ((1, 9, Status.ALIVE), (2, 0, Status.ALIVE)),
    ],
)
def test_the_order_of_words(earlier: tuple[int, int, Status], later: tuple[int, int, Status]) -> None:
    one, other = (
        record("x")._replace(generation=generation, incarnation=incarnation, status=status)
        for generation, incarnation, status in (earlier, later)
    )
    assert merge(one, other) is other


def test_words_about_two_nodes_are_not_merged() -> None:
    with pytest.raises(ValueError, match="two nodes"):
        merge(record("x"), record("y"))


def test_numbers_end_before_a_message_does() -> None:
    """However patiently they are driven up: one more can always be said."""
    last = NUMBER_MAX - 1
    assert member.plausible((1, last - 5), (1, last))
    assert not member.plausible((1, last), (1, last + 1))
    assert not member.plausible((last, 0), (last + 1, 0))
    assert NUMBER_MAX + 1 < 2**64


def test_a_jump_is_measured_from_what_is_known() -> None:
    assert member.plausible((3, 5), (3, 5 + INCARNATION_STEPS_MAX))
    assert not member.plausible((3, 5), (3, 6 + INCARNATION_STEPS_MAX))
    assert member.plausible((3, 2**40), (4, INCARNATION_STEPS_MAX))
    assert not member.plausible((3, 2**40), (4, INCARNATION_STEPS_MAX + 1))
    assert member.plausible((3, 0), (3 + GENERATION_STEPS_MAX, 0))
    assert not member.plausible((3, 0), (4 + GENERATION_STEPS_MAX, 0))
