"""One write transaction on the entries environment, with what is true throughout it.

Rules of this file:
1. All that a write decides on is read inside the transaction, under LMDB's writer lock.
2. The counters of a Dict change in the same transaction as its entries, so they are never wrong.
3. A stamp is above every stamp ever given in the store, those of entries long removed included.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

import lmdb

from ..clock import COUNTER_BITS, Clock, HybridClock
from ..config import COMMIT_PAGES, STAMP_RESERVE_MS, WRITE_PAGES
from . import layout
from .stampcell import StampCell

STATE = Struct(">QQQQQ")
"""cleared_at, last_stamp, entries, bytes, expiring."""
STAMP_RESERVE = STAMP_RESERVE_MS << COUNTER_BITS
PAGE_SHIFT = 12
"""LMDB's pages are of 4 KiB on nearly every machine."""
CLEARED_AT_BYTES = 8
"""`cleared_at` stands first: a reader compares it as bytes with an entry's version."""


class DictGoneError(Exception):
    """There is no Dict of that id (any more)."""


class DictState:
    """The counters of one Dict.

    Entries at or below `cleared_at` count as absent; `entries`, `bytes` and `expiring` count the others,
    those that have expired and are not yet swept included.
    """

    __slots__ = ("bytes", "cleared_at", "dirty", "entries", "expiring", "last_stamp")

    def __init__(self, cleared_at: int, last_stamp: int, entries: int, bytes_: int, expiring: int) -> None:
        self.cleared_at = cleared_at
        #: No stamp of the Dict is above this by more than `STAMP_RESERVE`.
        self.last_stamp = last_stamp
        self.entries = entries
        self.bytes = bytes_
        #: How many of `entries` have a time to live: none means that nobody needs the expiry index.
        self.expiring = expiring
        #: Whether a counter was changed: a put over a value of the same size writes no page for the state.
        self.dirty = False

    @classmethod
    def decode(cls, raw: bytes) -> DictState:
        return cls(*STATE.unpack(raw))

    def encode(self) -> bytes:
        # A damaged entry may have been counted otherwise than it is taken out: that must not stop writes.
        counters = max(self.entries, 0), max(self.bytes, 0), max(self.expiring, 0)
        return STATE.pack(self.cleared_at, self.last_stamp, *counters)


NONE_KNOWN: tuple[int, dict[bytes, DictState]] = (-1, {})
"""The number of a process's last transaction and the states that it left, where none is known."""


def states(transaction: lmdb.Transaction[bytes]) -> Iterator[tuple[bytes, DictState]]:
    """The counters of every Dict of the store."""
    cursor = transaction.cursor()
    if not cursor.set_range(layout.STATE):
        return
    for key, raw in cursor.iternext():
        if not key.startswith(layout.STATE):
            return
        yield key[len(layout.STATE) :], DictState.decode(raw)


class WriteTransaction:
    """LMDB's transaction together with the states of the Dicts it touches and the stamps it gives.

    `known` are states that are as they stand in the store: those of the transaction right before this one.
    """

    __slots__ = (
        "_cell",
        "_known",
        "adding",
        "host",
        "node",
        "now_ms",
        "pages",
        "plain",
        "raw",
        "stamp",
        "states",
        "sweepable",
        "writes",
    )

    def __init__(
        self,
        raw: lmdb.Transaction[bytes],
        cell: StampCell,
        clock: HybridClock,
        host: Clock,
        node: int,
        known: dict[bytes, DictState],
    ) -> None:
        self.raw = raw
        self.node = node
        #: The clocks of this host, for what must not depend on the wall clock.
        self.host = host
        stamp, floor = cell.look()
        #: The last stamp that was given, by this transaction or before it.
        self.stamp = stamp
        #: The hybrid clock, one instant for the whole transaction.
        self.now_ms = clock.now_ms(floor)
        #: How many writes there were: a transaction without any is not committed.
        self.writes = 0
        #: Whether it stores entries: a write that does not may use a full store's last room.
        self.adding = False
        #: How many pages it will have written, about.
        self.pages = COMMIT_PAGES
        #: Whether it leaves something to the sweeper, now or later.
        self.sweepable = False
        self._cell = cell
        #: The states of the Dicts that it touches.
        self.states: dict[bytes, DictState] = {}
        #: Whether the store's own records, `states` aside, are what they were before it.
        self.plain = True
        self._known = known

    def get(self, key: bytes) -> bytes | None:
        return self.raw.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.writes += 1
        self.pages += WRITE_PAGES + (len(value) >> PAGE_SHIFT)
        self.plain = self.plain and not key.startswith(layout.SYSTEM)
        self.raw.put(key, value)

    def delete(self, key: bytes) -> bool:
        self.writes += 1
        self.pages += WRITE_PAGES
        self.plain = self.plain and not key.startswith(layout.SYSTEM)
        return bool(self.raw.delete(key))

    def state(self, dict_id: bytes) -> DictState:
        """The counters of a Dict, to be changed in place.

        Raises:
            DictGoneError: it does not exist.
        """
        state = self.states.get(dict_id)
        if state is not None:
            return state
        state = self._known.get(dict_id)
        if state is None:
            raw = self.raw.get(layout.STATE + dict_id)
            if raw is None:
                raise DictGoneError
            state = DictState.decode(raw)
        self.states[dict_id] = state
        return state

    def add_state(self, dict_id: bytes, state: DictState) -> None:
        """Begin a Dict."""
        self.writes += 1
        state.dirty = True
        self.states[dict_id] = state

    def drop_state(self, dict_id: bytes) -> None:
        """End a Dict."""
        self.states.pop(dict_id, None)
        self._known.pop(dict_id, None)
        self.delete(layout.STATE + dict_id)

    def next_stamp(self) -> int:
        """A new stamp, above all that were ever given in this store."""
        self.writes += 1
        self.stamp = stamp = max(self.now_ms << COUNTER_BITS, self.stamp + 1)
        self._cell.write(stamp)
        return stamp

    def raise_stamp(self, stamp: int) -> None:
        """Give only higher stamps from now on than one that others gave."""
        if stamp > self.stamp:
            self.stamp = stamp
            self._cell.write(stamp)

    def flush(self) -> None:
        """Write the changed states, last thing before the commit."""
        for dict_id, state in self.states.items():
            if state.dirty or self.stamp > state.last_stamp + STAMP_RESERVE:
                state.last_stamp = self.stamp
                state.dirty = False
                self.raw.put(layout.STATE + dict_id, state.encode())
