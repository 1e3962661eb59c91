"""What a folder brings along that an embedded store was kept in: its locks, and what was stored there by
atomic operations, become records that were chosen before any leader was elected.

Rules of this file:
1. It is done before a cluster is founded, by the node that founds it: nobody is elected meanwhile. If it is
   not done to the end, there is no cluster, and the next start does it anew from nothing.
2. The records stand under a ballot that nobody has, below all that anybody is elected with, and each
   partition has that ballot's promise.
3. A token stays what it was: who holds a lock releases it by the token that the embedded store gave.
4. A time to live begins anew.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ...exception import Error, StoreDamagedError
from ..config import INHERIT_ROWS_MAX
from ..replicas.stretch import END, FIRST_DICT, Row, partition_at, scan
from ..replicas.tally import key_hash_at
from ..store.entry import ATOMIC, DamagedEntryError, Stored, decode
from ..store.grant import Grant
from ..store.layout import DICT_ID_BYTES, LOCK_SPACE, PREFIX_BYTES
from ..store.table import VALUELESS
from ..world import Changes, Storage, World
from .ballot import Ballot, Order
from .record import Record, encode_record
from .shelf import Draft, Shelf, move_sum, place

FOUNDING_SINCE = 1
"""Since which epoch the first replicas of a cluster are what they are."""
BEFORE_ALL = Ballot(FOUNDING_SINCE, 0, b"", 0)
_SHELF_FIRST, _SHELF_END = b"L", b"M"


class Inheritance:
    """Of one node. `done` is called once all is on disk, or with why it cannot be."""

    def __init__(
        self,
        world: World,
        decisions: Storage,
        entries: Storage,
        now_ms: Callable[[], int],
        partitions: int,
        done: Callable[[Error | None], None],
    ) -> None:
        self._world = world
        self._decisions = decisions
        self._entries = entries
        self._now_ms = now_ms
        self._partitions = partitions
        self._done = done
        self._shelf = Shelf(decisions)
        self._sequence = 0
        self._next = FIRST_DICT

    def begin(self) -> None:
        """Do it; whatever an attempt before it left goes first."""
        left = self._decisions.scan(_SHELF_FIRST, _SHELF_END, INHERIT_ROWS_MAX)
        if left:
            self._commit(dict.fromkeys([key for key, _ in left]), self.begin)
        else:
            self._shelf.reread()
            self._world.call_after(0, self._go_on)

    def _go_on(self) -> None:
        try:
            rows = scan(self._entries, self._next, END, INHERIT_ROWS_MAX)
        except StoreDamagedError as error:
            self._world.halt(str(error))
            return
        draft = Draft(self._decisions)
        for row in rows:
            self._take(draft, row)
        if len(rows) < INHERIT_ROWS_MAX:
            if self._sequence:
                for partition in range(self._partitions):
                    self._shelf.follow(draft.changes, partition, BEFORE_ALL)
            self._commit(draft.changes, lambda: self._done(None))
            return
        self._next = rows[-1][0] + b"\0"
        if draft.changes:
            self._commit(draft.changes, self._go_on)
        else:
            self._world.call_after(0, self._go_on)

    def _take(self, draft: Draft, row: Row) -> None:
        where, raw = row
        is_lock = where[PREFIX_BYTES:][:1] == LOCK_SPACE
        try:
            entry = decode(raw, key_hash_at(where, raw))
            wanted = is_lock or (entry.flags & ATOMIC and not entry.flags & VALUELESS)
            record = self._record(entry, is_lock=is_lock) if wanted else None
        except (DamagedEntryError, struct.error):
            return  # a damaged entry is absent, here as anywhere
        if record is None:
            return
        partition, name = partition_at(where), where[:DICT_ID_BYTES] + where[PREFIX_BYTES:]
        draft.changes[place(partition, name)] = encode_record(record)
        move_sum(draft, partition, name, None, record.order, record.token)

    def _record(self, entry: Stored, *, is_lock: bool) -> Record | None:
        body, ttl_ms = entry.body, 0
        if is_lock:
            grant = Grant.decode(entry.body)
            ttl_ms = grant.ttl_ms
            body = Grant(0, ttl_ms, bytes(16), grant.holder).encode()
        elif entry.expires_ms:
            ttl_ms = entry.expires_ms - self._now_ms()
            if ttl_ms <= 0:
                return None
        self._sequence += 1
        order = Order(BEFORE_ALL, self._sequence)
        return Record(
            order=order,
            born=order,
            operation_id=entry.operation_id,
            parent_id=b"",
            token=entry.version,
            body=body,
            ttl_ms=ttl_ms,
            taken_id=entry.operation_id,
            long_key=entry.long_key,
        )

    def _commit(self, changes: Changes, then: Callable[[], None]) -> None:
        if not changes:
            self._world.call_after(0, then)
        else:
            self._decisions.commit(changes, lambda error: self._done(error) if error else then())
