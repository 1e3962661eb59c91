"""The walk from one table to another: step by step, so that no row is ever far from what it was.

Rules of this file:
1. A step gives a row at most one new replica and takes at most one from it: all others have its data.
2. A row grows before it shrinks: it never has fewer replicas than before and after the whole walk.
3. A row arrives after at most as many steps as it has places, three with three replicas.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from .table import Table

__all__ = ["next_table"]


def next_table(table: Table, target: Table, unwanted: AbstractSet[int] = frozenset()) -> Table:
    """Return the table one step from `table` towards `target`; `target` itself when one step is enough.

    `unwanted` are members that a row gives up before others: the dead and those who leave.
    """
    if (table.partitions, table.replicas) != (target.partitions, target.replicas):
        raise ValueError("tables of different sizes")
    if table == target:
        return target
    rows = zip(table.rows(), target.rows(), strict=True)
    return Table.of((_next_row(row, wanted, unwanted) for row, wanted in rows), table.replicas)


def _next_row(row: bytes, target: bytes, unwanted: AbstractSet[int]) -> bytes:
    """Return the next row: those of the target first, in its order, then who has not been replaced yet."""
    missing = [number for number in target if number not in row]
    surplus = [number for number in row if number not in target]
    if len(missing) <= 1 and len(surplus) <= 1:
        return target
    if surplus and len(row) >= len(target):
        surplus.remove(max(surplus, key=lambda number: (number in unwanted, row.index(number))))
    have = set(row).union(missing[:1])
    return bytes([number for number in target if number in have] + surplus)
