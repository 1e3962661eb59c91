"""What is chosen becomes what readers see: an entry in the replica, merged like any other.

Rules of this file:
1. The entry follows from the record alone, so all replicas have the same bytes. Its version is the record's
   token; no node ever gives a stamp under the number `NOBODY`.
2. A record without a value is a tombstone. It is above all that the operation saw, so a late put or an old
   hint loses against it.
3. A time to live ends for readers at the token's instant plus itself. What decides who may take the key next
   is the leader's own clock alone.
4. What a `clear` made is an entry of a key that no user has (node/replicas/clearances.py).
5. Locks and the catalogue are no entries. The entry of a lock that an embedded store left is removed when it
   is released.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace
from xxhash import xxh3_64_intdigest

from ...exception import Error
from ...ring.partition import dict_seed
from ..clock import COUNTER_BITS
from ..replicas.clearances import ClearKeys
from ..replicas.replica import Replica
from ..replicas.stamper import Stamper
from ..store.entry import ATOMIC, TOMBSTONE, Stored, encode
from ..store.layout import CATALOGUE, DICT_ID_BYTES, LOCK_SPACE
from ..world import World
from .plane import is_shown, place_of
from .record import Record
from .shelf import Chosen

NOBODY: Final = 0


class Showing:
    """One node's."""

    def __init__(self, world: World, replica: Replica, stamper: Stamper) -> None:
        self._world = world
        self._replica = replica
        self._stamper = stamper
        self._keys = ClearKeys()

    def show(self, chosen: Sequence[Chosen], then: Callable[[], None]) -> None:
        """Show records, and go on once they are on disk; if there is no room for them, never."""
        rows: list[tuple[bytes, bytes]] = []
        for partition, name, record in chosen:
            self._stamper.see(record.token)
            if len(name) == DICT_ID_BYTES and name != CATALOGUE:
                clear = name + self._keys.key(name, partition, self._replica.partitions)
                rows.append((place_of(partition, clear), entry_of(clear, replace(record, body=None))))
            elif name[DICT_ID_BYTES:][:1] == LOCK_SPACE:
                self._let_go(place_of(partition, name), record)
            elif is_shown(name) and record.token:
                rows.append((place_of(partition, name), entry_of(name, record)))
        if not rows:
            then()
            return

        def shown(error: Error | None, _newer: int) -> None:
            """A full disk shows nothing new. What is decided stands all the same, and comes when replicas
            compare."""
            if error is None:
                then()
            else:
                self._world.trace("not shown", why=str(error))

        self._replica.apply(rows, shown)

    def _let_go(self, place: bytes, record: Record) -> None:
        """An embedded store may have left a lock there: whoever has the folder after this node must not take
        it for held, once it was released."""
        storage = self._replica.storage
        if record.body is None and storage.get(place) is not None:
            storage.commit({place: None}, _ignore)


def _ignore(_error: Error | None) -> None:
    """A full disk keeps it: then it is held too long, which harms nobody."""


def entry_of(name: bytes, record: Record) -> bytes:
    """The entry of a record."""
    key = record.long_key or name[DICT_ID_BYTES:]
    flags = ATOMIC if record.body is not None else ATOMIC | TOMBSTONE
    expires_ms = 0
    if record.ttl_ms and record.body is not None:
        expires_ms = (record.token >> COUNTER_BITS) + record.ttl_ms
    entry = Stored(
        flags, record.token, NOBODY, record.token, expires_ms, record.operation_id, record.long_key,
        record.body or b"",
    )  # fmt: skip
    return encode(entry, xxh3_64_intdigest(key, dict_seed(name[:DICT_ID_BYTES])))
