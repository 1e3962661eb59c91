"""What can be timed: which statement of the contestants, over which rows, and what a right answer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .loop import Row
from .peer import Peer
from .stock import BATCH_ENTRIES, ENTRIES, Stock

__all__ = ["OPERATIONS", "Operation"]

Check = Callable[[Peer, Row, object], bool]
"""Whether what a contestant answered to a row is right: a peer that answers wrongly has no speed."""


def _any(_peer: Peer, _row: Row, _result: object) -> bool:
    return True


def _value(peer: Peer, row: Row, result: object) -> bool:
    return result == peer.read(row[1])


def _truth(_peer: Peer, _row: Row, result: object) -> bool:
    return bool(result)


def _all_entries(_peer: Peer, _row: Row, result: object) -> bool:
    return isinstance(result, int) and result >= ENTRIES


def _all_answered(_peer: Peer, _row: Row, result: object) -> bool:
    return result == BATCH_ENTRIES


@dataclass(frozen=True)
class Operation:
    """`in_flight` is 0 for a blocking statement, else the number of tasks of an event loop that share the
    rows. `threads` is the same for blocking statements, 0 for the one thread that there is."""

    statement: str
    rows: Callable[[Stock, int], list[Row]]
    row: str = "key, value"
    right: Check = _any
    in_flight: int = 0
    threads: int = 0


OPERATIONS = {
    "get": Operation("get", Stock.entries, right=_value),
    "get.10kb": Operation("get", partial(Stock.large, size_bytes=10_000), right=_value),
    "get.100kb": Operation("get", partial(Stock.large, size_bytes=100_000), right=_value),
    "get.aio": Operation("get.aio", Stock.entries, right=_value, in_flight=1),
    "get.aio.50": Operation("get.aio", Stock.entries, right=_value, in_flight=50),
    "put": Operation("put", Stock.entries),
    "put.aio": Operation("put.aio", Stock.entries, in_flight=50),
    "contains": Operation("contains", Stock.entries, right=_truth),
    "pop": Operation("pop", Stock.fresh, right=_value),
    "cycle": Operation("cycle", Stock.absent, right=_truth),
    "incr": Operation("incr", Stock.counter, right=_truth),
    "update": Operation("update", Stock.batches, row="batch, _"),
    "absent": Operation("absent", Stock.absent, right=_truth),
    "absent.16": Operation("absent", Stock.absent, right=_truth, threads=16),
    "load.16": Operation("load.16", Stock.batches, row="batch, _", right=_all_answered),
    "load.64": Operation("load.64", Stock.batches, row="batch, _", right=_all_answered),
    "items": Operation("items", Stock.whole, row="_, _", right=_all_entries),
    "len": Operation("len", Stock.whole, row="_, _", right=_truth),
}
