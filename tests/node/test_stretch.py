"""Walks over entries read a bounded number of bytes at once, however large the values are."""

from __future__ import annotations

from ringdict.node.config import MIB, PAGE_BYTES_MAX, SCAN_ROWS_MAX
from ringdict.node.replicas.stretch import FIRST_DICT, is_last, partition_rows, scan
from ringdict.node.store.layout import KEY_SPACE, PARTITION_NAMES
from ringdict.node.world import Storage
from ringdict.sim.simulation import Simulation

PREFIX = FIRST_DICT + PARTITION_NAMES[3] + KEY_SPACE


def storage_of(sizes: list[int]) -> Storage:
    """A storage with values of these sizes, in order of their keys."""
    found: list[Storage] = []

    class Idle:
        def __init__(self, world: object) -> None:
            found.append(world.storage("entries"))  # type: ignore[attr-defined]

        def on_frame(self, _source: object, _frame: bytes) -> None: ...

        def on_datagram(self, _source: object, _datagram: bytes) -> None: ...

    simulation = Simulation(1)
    simulation.host("n", Idle)
    simulation.run_for(0.1)
    changes = {PREFIX + b"%06d" % number: bytes(size) for number, size in enumerate(sizes)}
    found[0].commit(dict(changes), lambda _: None)
    simulation.run_for(1.0)
    return found[0]


def test_no_more_is_read_at_once_than_one_row_behind_a_page() -> None:
    storage = storage_of([10] * 600 + [MIB] * 200)
    walked, start, largest_bytes = 0, b"", 0
    while True:
        rows, start = partition_rows(storage, 3, start, 10_000)
        walked += len(rows)
        largest_bytes = max(largest_bytes, sum(len(raw) for _, raw in rows))
        if not start:
            break
    assert walked == 800
    assert largest_bytes <= 2 * PAGE_BYTES_MAX + MIB


def test_a_scan_that_was_cut_is_not_taken_for_the_last() -> None:
    storage = storage_of([3 * MIB] * 3)
    rows = scan(storage, PREFIX, PREFIX + b"\xff", SCAN_ROWS_MAX)
    assert len(rows) == 2
    assert not is_last(rows, SCAN_ROWS_MAX)
    assert is_last(scan(storage, rows[-1][0] + b"\0", PREFIX + b"\xff", SCAN_ROWS_MAX), SCAN_ROWS_MAX)
