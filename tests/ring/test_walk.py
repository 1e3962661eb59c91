"""The walk from table to table: one new replica a row and epoch, three epochs at most."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.ring.placement import target_table
from ringdict.ring.table import Table, moves
from ringdict.ring.walk import next_table

from .rings import members_of

ROWS = st.lists(st.integers(0, 8), min_size=1, max_size=3, unique=True)
PAIRS = st.lists(st.tuples(ROWS, ROWS), min_size=8, max_size=8)


def walked(table: Table, target: Table, unwanted: frozenset[int] = frozenset()) -> list[Table]:
    steps = [table]
    while steps[-1] != target:
        steps.append(next_table(steps[-1], target, unwanted))
        assert len(steps) <= 100
    return steps


@given(PAIRS, st.frozensets(st.integers(0, 8)))
def test_a_walk_adds_and_drops_one_replica_a_row_and_step_and_takes_three(
    pairs: list[tuple[list[int], list[int]]], unwanted: frozenset[int]
) -> None:
    table = Table.of([row for row, _ in pairs], 3)
    target = Table.of([row for _, row in pairs], 3)
    steps = walked(table, target, unwanted)
    assert len(steps) - 1 <= 3
    for before, after in pairwise(steps):
        assert after.fault(9) is None
        for move in moves(before, after):
            assert len(move.added) <= 1
            assert len(move.dropped) <= 1
    for step in steps:
        for partition, row in enumerate(step.rows()):
            assert len(row) >= min(len(table.row(partition)), len(target.row(partition)))
            assert set(row) <= set(table.row(partition)) | set(target.row(partition))


@given(st.integers(3, 12), st.integers(3, 12), st.integers(0, 1000))
def test_any_change_of_members_is_walked_in_three_steps(old: int, new: int, seed: int) -> None:
    members = members_of(24, seed)
    table = target_table(members[:old], 64, 3)
    shifted = Table.of(
        ([number + 12 for number in row] for row in target_table(members[12 : 12 + new], 64, 3).rows()), 3
    )
    assert len(walked(table, shifted)) - 1 == 3  # nobody stays: one new replica a row and step
    assert len(walked(table, target_table(members[:new], 64, 3))) - 1 <= 3


def test_whoever_is_at_the_target_stays() -> None:
    table = Table.of([[0, 1, 2], [2, 1, 0]], 3)
    assert next_table(table, table) is table


def test_an_order_changes_in_one_step_with_what_moves() -> None:
    table, target = Table.of([[0, 1, 2]], 3), Table.of([[3, 1, 0]], 3)
    assert next_table(table, target) == target


def test_the_dead_are_replaced_before_the_living() -> None:
    """A row with a dead member is one loss from losing its majority."""
    table, target = Table.of([[0, 1, 2]], 3), Table.of([[0, 3, 4]], 3)
    assert [list(row) for row in next_table(table, target, {1}).rows()] == [[0, 3, 2]]
    assert [list(row) for row in next_table(table, target, {2}).rows()] == [[0, 3, 1]]


def test_a_row_that_grows_gives_nobody_up_before_it_has_grown() -> None:
    table, target = Table.of([[0]], 3), Table.of([[1, 2, 3]], 3)
    assert [list(step.row(0)) for step in walked(table, target)] == [
        [0],
        [1, 0],
        [1, 2, 0],
        [1, 2, 3],
    ]


def test_tables_of_different_sizes_have_no_way_between_them() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        next_table(Table.of([[0]], 3), Table.of([[0]], 2))
