"""How a record is made from the one before it."""

from __future__ import annotations

from typing import Final

from ..store import layout
from .ballot import Order
from .record import Record, Result
from .verdict import Change, Seen

ENDED: Final = b"\x01"
"""The body of the record of a `clear` that ended its Dict."""


def successor(
    seen: Seen, change: Change, order: Order, operation_id: bytes, token: int, key: bytes
) -> Record:
    """The record that an operation makes of what is seen."""
    before, held = seen.record, seen.held
    kept_id = b"" if held is None or change.body is None else held.taken_id
    results = () if before is None else before.results
    if change.result is not None:
        results = (*results, Result(operation_id, token, change.result))
    return Record(
        order=order,
        born=order,
        operation_id=operation_id,
        parent_id=b"" if before is None else before.operation_id,
        token=token,
        body=change.body,
        ttl_ms=change.ttl_ms,
        taken_id=operation_id if change.takes else kept_id,
        long_key=key if layout.is_long(key) else b"",
    ).remember(results, complete=not seen.forgotten if before is None else before.complete)


def ended(held: Record, order: Order, operation_id: bytes, token: int) -> Record:
    """The record of a grant whose time is over."""
    return Record(
        order=order,
        born=order,
        operation_id=operation_id,
        parent_id=held.operation_id,
        token=token,
        body=None,
        long_key=held.long_key,
    ).remember(held.results, complete=held.complete)


def is_ended(cleared: Record | None) -> bool:
    """Whether what a Dict's `clear` made says that the Dict is no more."""
    return cleared is not None and cleared.body is not None


def clearing(
    before: Record | None, order: Order, operation_id: bytes, token: int, *, ends: bool = False
) -> Record:
    """The record that covers all of a Dict in a partition; `ends`: for ever. Once ended it stays so."""
    return Record(
        order=order,
        born=order,
        operation_id=operation_id,
        parent_id=b"" if before is None else before.operation_id,
        token=token,
        body=ENDED if ends or is_ended(before) else None,
    )
