"""One write transaction on the entries environment, with what is true throughout it.

Rules of this file:
1. All that a write decides on is read inside the transaction, under LMDB's writer lock.
2. The counters of a Dict change in the same transaction as its entries, so they are never wrong.
3. A stamp is above every stamp of the Dict, those of entries long removed included: `last_stamp` says so.
"""

from __future__ import annotations

from struct import Struct

import lmdb

from . import layout
from .clock import Clock, HybridClock

STATE = Struct(">QQQQQ")
"""cleared_at, last_stamp, entries, bytes, expiring."""
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
        self.last_stamp = last_stamp
        self.entries = entries
        self.bytes = bytes_
        #: How many of `entries` have a time to live: none means that nobody needs the expiry index.
        self.expiring = expiring
        self.dirty = False

    @classmethod
    def decode(cls, raw: bytes) -> DictState:
        return cls(*STATE.unpack(raw))

    def encode(self) -> bytes:
        # A damaged entry may have been counted otherwise than it is taken out: that must not stop writes.
        counters = (max(0, count) for count in (self.entries, self.bytes, self.expiring))
        return STATE.pack(self.cleared_at, self.last_stamp, *counters)


class WriteTransaction:
    """LMDB's transaction together with the states of the Dicts it touches and the stamps it gives."""

    __slots__ = ("_clock", "_states", "host", "node", "now_ms", "raw", "sweepable", "writes")

    def __init__(self, raw: lmdb.Transaction[bytes], clock: HybridClock, host: Clock, node: int) -> None:
        self.raw = raw
        self.node = node
        #: The clocks of this host, for what must not depend on the wall clock.
        self.host = host
        #: The hybrid clock, one instant for the whole transaction.
        self.now_ms = clock.now_ms()
        #: How many writes there were: a transaction without any is not committed.
        self.writes = 0
        #: Whether it leaves something to the sweeper, now or later.
        self.sweepable = False
        self._clock = clock
        self._states: dict[bytes, DictState] = {}

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self.raw.get(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        self.writes += 1
        self.raw.put(key, value)

    def delete(self, key: bytes) -> bool:
        self.writes += 1
        return bool(self.raw.delete(key))

    def state(self, dict_id: bytes) -> DictState:
        """The counters of a Dict, to be changed in place (with `dirty` set).

        Raises:
            DictGoneError: it does not exist.
        """
        state = self._states.get(dict_id)
        if state is None:
            raw = self.raw.get(layout.STATE + dict_id)
            if raw is None:
                raise DictGoneError
            state = self._states[dict_id] = DictState.decode(raw)
            if state.last_stamp > self._clock.last:
                self._clock.observe(state.last_stamp)
                self.now_ms = max(self.now_ms, self._clock.now_ms())
        return state

    def add_state(self, dict_id: bytes, state: DictState) -> None:
        """Begin a Dict."""
        state.dirty = True
        self.writes += 1
        self._states[dict_id] = state

    def drop_state(self, dict_id: bytes) -> None:
        """End a Dict."""
        self._states.pop(dict_id, None)
        self.delete(layout.STATE + dict_id)

    def stamp(self, state: DictState) -> int:
        """A new stamp for a write in the Dict of `state`, above all of its stamps."""
        state.last_stamp = stamp = self._clock.stamp(self.now_ms)
        state.dirty = True
        self.writes += 1
        return stamp

    def flush(self) -> None:
        """Write the changed states, last thing before the commit."""
        for dict_id, state in self._states.items():
            if state.dirty:
                self.raw.put(layout.STATE + dict_id, state.encode())
