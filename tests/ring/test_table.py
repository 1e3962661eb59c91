"""Tables: rows of one byte a place, and what moves between two of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.ring.table import Move, Table, copies_moved, moves

ROWS = st.lists(st.integers(0, 20), min_size=1, max_size=3, unique=True)


def tables(partitions: int = 8) -> st.SearchStrategy[Table]:
    return st.lists(ROWS, min_size=partitions, max_size=partitions).map(lambda rows: Table.of(rows, 3))


def test_a_table_is_one_byte_a_place() -> None:
    table = Table.of([[2, 0, 1], [1], [0, 2], [2]], 3)
    assert table.places == bytes([2, 0, 1, 1, 255, 255, 0, 2, 255, 2, 255, 255])
    assert table.partitions == 4
    assert [list(row) for row in table.rows()] == [[2, 0, 1], [1], [0, 2], [2]]
    assert [table.primary(partition) for partition in range(4)] == [2, 1, 0, 2]
    assert table.copies(3) == [2, 2, 3]
    assert table.primaries(3) == [1, 1, 2]
    assert table.named() == {0, 1, 2}
    assert table.fault(3) is None


def test_a_row_has_no_more_replicas_than_places() -> None:
    with pytest.raises(ValueError, match="a row of 4 replicas, where 3 are the most"):
        Table.of([[1, 2, 3, 4]], 3)


@pytest.mark.parametrize(
    ("places", "fault"),
    [
        (b"\x00\x01", "2 places are no rows of 3"),
        (b"", "0 partitions: must be a power of two"),
        (b"\x00\x01\x02" * 3, "3 partitions: must be a power of two"),
        (b"\xff\xff\xff", "partition 0 has no replica"),
        (b"\xff\x00\xff", "partition 0 names member 255 of 3"),
        (b"\x00\x01\x02\x00\x03\xff", "partition 1 names member 3 of 3"),
        (b"\x00\x01\x00", "partition 0 names a member twice"),
    ],
)
def test_what_is_no_table_is_told_in_words(places: bytes, fault: str) -> None:
    assert fault in str(Table(places, 3).fault(3))


def test_no_replicas_at_all_are_no_table() -> None:
    assert Table(b"", 0).fault(3) == "0 places are no rows of 0"


def test_what_moves() -> None:
    old = Table.of([[0, 1, 2], [0, 1, 2], [0, 1, 2], [0]], 3)
    new = Table.of([[0, 3, 2], [2, 1, 0], [3, 4, 0], [0, 1]], 3)
    found = moves(old, new)
    assert found == [
        Move(0, added=b"\x03", sources=b"\x00\x01\x02", dropped=b"\x01"),
        Move(2, added=b"\x03\x04", sources=b"\x00\x01\x02", dropped=b"\x01\x02"),
        Move(3, added=b"\x01", sources=b"\x00", dropped=b""),
    ]
    assert copies_moved(found) == 4


@given(tables(), tables())
def test_moves_carried_out_make_the_new_table(old: Table, new: Table) -> None:
    sets = [set(row) for row in old.rows()]
    for move in moves(old, new):
        assert set(move.sources) == sets[move.partition]
        sets[move.partition] = sets[move.partition] - set(move.dropped) | set(move.added)
    assert sets == [set(row) for row in new.rows()]
    assert moves(old, old) == []


def test_tables_of_different_sizes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="tables of 1 and 2 partitions"):
        moves(Table.of([[0]], 3), Table.of([[0], [1]], 3))


def test_renumbering_keeps_the_rows() -> None:
    numbers = bytearray(range(256))
    numbers[0], numbers[1] = 1, 0
    assert Table.of([[0, 2], [1]], 3).renumbered(bytes(numbers)) == Table.of([[1, 2], [0]], 3)
