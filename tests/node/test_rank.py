"""The merge rule: whatever is heard in whatever order, replicas come to the same."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ringdict.node.replicas.rank import FRONT_BYTES, beats, may_beat, stamp_of
from ringdict.node.replicas.stretch import Row, partition_at
from ringdict.node.store.entry import EXPIRED, TOMBSTONE

from .replicas import One, row

rows = st.builds(
    row,
    st.sampled_from([b"a", b"b", b"long" * 200]),
    st.integers(0, 3),
    st.sampled_from([b"", b"x", b"y"]),
    node=st.integers(0, 1),
    touch=st.integers(0, 2),
    expires_ms=st.sampled_from([0, 5]),
    flags=st.sampled_from([0, EXPIRED, TOMBSTONE]),
)
entries = rows.map(lambda one: one[1])


@given(entries, entries, entries)
def test_of_two_unequal_entries_one_beats_the_other_and_there_is_no_circle(
    a: bytes, b: bytes, c: bytes
) -> None:
    assert beats(a, b) + beats(b, a) == (a != b)
    if beats(a, b) and beats(b, c):
        assert beats(a, c)


@given(entries, entries)
def test_a_front_tells_all_that_may_beat(a: bytes, b: bytes) -> None:
    if beats(a, b):
        assert may_beat(a[:FRONT_BYTES], b)
    if stamp_of(a) < stamp_of(b):
        assert not may_beat(a[:FRONT_BYTES], b)


def test_a_touch_never_brings_a_stale_value_over_a_newer_one() -> None:
    touched, newer = row(b"k", 1, b"old", touch=9, expires_ms=99)[1], row(b"k", 2, b"new")[1]
    assert beats(newer, touched)
    assert beats(touched, row(b"k", 1, b"old")[1])


def test_of_equal_stamps_the_one_without_its_value_stands() -> None:
    for body in (b"a", b"b", b"c"):
        assert beats(row(b"k", 1, b"", flags=EXPIRED)[1], row(b"k", 1, body)[1])


@given(st.lists(rows, max_size=12), st.randoms(use_true_random=False))
def test_replicas_that_heard_the_same_in_any_order_and_number_hold_the_same(
    some: list[Row], dice: random.Random
) -> None:
    one, other = One(), One()
    one.apply(*some)
    for place, _ in some:
        one.replica.measure(partition_at(place))  # what comes again later must not be added again
    again = some + dice.sample(some, dice.randrange(len(some) + 1))
    dice.shuffle(again)
    while again:
        count = dice.randrange(1, len(again) + 1)
        other.apply(*again[:count])
        del again[:count]
    assert one.contents() == other.contents()
    for partition in {partition_at(place) for place in one.contents()}:
        while not (one.replica.measure(partition) & other.replica.measure(partition)):
            pass
        assert one.replica.sums([partition]) == other.replica.sums([partition])
        assert one.replica.highest(partition) == other.replica.highest(partition)
