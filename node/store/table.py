"""The entries of one Dict, as a reader sees them. No call here waits for a writer.

An entry is *counted* when its version is above the Dict's `cleared_at`, and *visible* when it is counted,
not expired and not a tombstone. What is not visible is absent to every caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import lmdb
from xxhash import xxh3_64_intdigest

from ...ring.partition import dict_seed
from ...ring.partition import key_hash as hash_key
from ..config import KEY_HEAD_BYTES, KEY_INLINE_BYTES_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, PAGE_JUMPS_MAX
from ..disk import complaint
from . import layout
from .entry import (
    CHECKSUM_BYTES,
    CHECKSUM_MASK,
    EXPIRED,
    EXTRAS,
    GLANCE,
    HEADER_BYTES,
    TOMBSTONE,
    VERSION_AT,
    DamagedEntryError,
    Stored,
    body_of,
    decode,
    whole_key,
    with_key,
)
from .transaction import CLEARED_AT_BYTES, DictGoneError, DictState

if TYPE_CHECKING:
    from .store import Store

VALUELESS = TOMBSTONE | EXPIRED
VERSION_END = VERSION_AT + CLEARED_AT_BYTES
PARTITION_NAMES = layout.PARTITION_NAMES
PARTITION_MASK = layout.PARTITION_MASK
unpack_glance = GLANCE.unpack_from

Row = tuple[bytes, bytes]
"""A place in the store and the bytes that stand there."""

UNKNOWN = b""
"""In place of a key that cannot be told; no key is empty."""


class Located(NamedTuple):
    """A key with its hash and its place in the store. Sorts by place."""

    place: bytes
    key_hash: int
    key: bytes


class Page(NamedTuple):
    """A stretch of a scan: (key, value's bytes) of what it found, and where the next stretch begins
    (None: this was the last)."""

    entries: list[tuple[bytes, bytes | None]]
    next: bytes | None


class Table:
    """Reads of one Dict in one store. Safe to share between threads.

    Every call raises `DictGoneError` once the Dict was deleted.
    """

    __slots__ = ("_environment", "_seed", "_state_key", "dict_id", "known_cleared_at", "store")

    def __init__(self, store: Store, dict_id: bytes) -> None:
        self.store = store
        self.dict_id = dict_id
        self._seed = dict_seed(dict_id)
        self._state_key = layout.STATE + dict_id
        self._environment = store.environment
        #: A snapshot's number, and what `cleared_at` answered in it.
        self.known_cleared_at = (-1, 0)

    # -- one key ---------------------------------------------------------------------------------

    def locate(self, key: bytes) -> Located:
        """Where `key` stands."""
        key_hash = hash_key(self._seed, key)
        stored = key if len(key) <= KEY_INLINE_BYTES_MAX else layout.stored_key(key)
        place = self.dict_id + layout.PARTITION_NAMES[key_hash & layout.PARTITION_MASK] + stored
        return Located(place, key_hash, key)

    def batch_rows(self, items: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, int, bytes]]:
        """For each key and value's bytes: its place, the key's hash, what follows an entry's header.

        Sorted by place.
        """
        seed, dict_id, names, mask = self._seed, self.dict_id, layout.PARTITION_NAMES, layout.PARTITION_MASK
        hash_of = xxh3_64_intdigest
        rows = [
            (dict_id + names[(key_hash := hash_of(key, seed)) & mask] + key, key_hash, body)
            if len(key) <= KEY_INLINE_BYTES_MAX
            else (*self.locate(key)[:2], with_key(key, body))
            for key, body in items
        ]
        rows.sort()
        return rows

    def read(self, key: bytes) -> bytes | None:
        """The value's bytes, None when the key is absent. The hot path: one transaction, one look-up, and
        `locate` written out.

        Raises:
            DamagedEntryError: the stored bytes are not what was written.
        """
        key_hash = xxh3_64_intdigest(key, self._seed)
        stored = key if len(key) <= KEY_INLINE_BYTES_MAX else layout.stored_key(key)
        place = self.dict_id + PARTITION_NAMES[key_hash & PARTITION_MASK] + stored
        cleared_at, raw = self._environment.read_entry(self, place)
        return None if raw is None else self._body(raw, key_hash, cleared_at)

    def cleared_at(self, transaction: lmdb.Transaction[bytes]) -> int:
        """Up to which version entries count as absent, in that transaction.

        Within one snapshot it is always the same, and `known_cleared_at` says it: as long as nobody writes
        to the store, it need not be looked up.
        """
        state = transaction.get(self._state_key)
        if state is None:
            raise DictGoneError
        cleared_at = int.from_bytes(state[:CLEARED_AT_BYTES], "big")
        self.known_cleared_at = transaction.id(), cleared_at
        return cleared_at

    def find(self, key: bytes) -> Stored | None:
        """The visible entry of `key`, header and all. Raises as `read` does."""
        located = self.locate(key)
        cleared_at, raw = self._environment.read_entry(self, located.place)
        if raw is None or self._body(raw, located.key_hash, cleared_at) is None:
            return None
        return decode(raw, located.key_hash)

    def read_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values' bytes of `keys`, in their order, from one snapshot.

        Raises:
            DamagedEntryError: with the damaged key as its argument.
        """
        located = [self.locate(key) for key in keys]
        with self.store.reading() as transaction:
            cleared_at = self.cleared_at(transaction)
            found: list[bytes | None] = [transaction.get(each.place) for each in located]
        return [
            None if raw is None else self._named_body(raw, each.key, each.key_hash, cleared_at)
            for each, raw in zip(located, found, strict=True)
        ]

    # -- all keys --------------------------------------------------------------------------------

    def state(self) -> DictState:
        """The Dict's counters as they are now.

        Raises:
            UnavailableError: a node serves the store, and keeps none.
        """
        while True:
            with self.store.reading() as transaction:
                owner = transaction.get(layout.OWNER)
                if owner is None:
                    return DictState.decode(self._state(transaction))
            self._count_anew(owner)

    def _count_anew(self, owner: bytes) -> None:
        """Have the counters made that a node did not keep."""
        if owner:
            raise complaint.not_counted(owner, self.store.folder)
        self.store.run(lambda _: None)

    def count(self) -> int:
        """How many entries are visible: the counter, less what has expired and is not yet swept.

        Raises:
            UnavailableError: a node serves the store, and keeps no counters.
        """
        with self.store.reading() as transaction:
            raw = self._state(transaction)
            state = DictState.decode(raw)
            owner = transaction.get(layout.OWNER)
            if owner is None and not state.expiring:
                return state.entries
            due = overdue(transaction, self.dict_id, self.store.now_ms(), state.cleared_at)
            overdue_entries = sum(1 for _ in due) if owner is None else 0
        if owner is not None:
            self._count_anew(owner)
            return self.count()
        if overdue_entries:
            self.store.wake_sweeper()
        return state.entries - overdue_entries

    def page(self, start: bytes | None, prefix: bytes = b"") -> Page:
        """The stretch of entries from the place `start` on, with keys that start with `prefix`.

        They come in order of partition, then key. The stretch is bounded in entries and bytes, and no
        transaction stays open behind it. It may be empty without being the last. A damaged entry stands
        there with None: it must not hide those beside it. An over-long key that is damaged is `UNKNOWN`.
        """
        with self.store.reading() as transaction:
            cleared_at = self.cleared_at(transaction)
            rows, next_start = self._rows(transaction, start, prefix[:KEY_HEAD_BYTES])
        entries: list[tuple[bytes, bytes | None]] = []
        seed = self._seed
        long_prefix = len(prefix) > KEY_HEAD_BYTES
        for place, raw in rows:
            key = place[layout.PREFIX_BYTES :]
            if len(key) > KEY_INLINE_BYTES_MAX:
                key = whole_key(raw)
            if long_prefix and not key.startswith(prefix):
                continue  # only its head matches
            try:
                body = self._body(raw, xxh3_64_intdigest(key, seed), cleared_at)
            except DamagedEntryError:
                entries.append(
                    (key if layout.stored_key(key) == place[layout.PREFIX_BYTES :] else UNKNOWN, None)
                )
            else:
                if body is not None:
                    entries.append((key, body))
        return Page(entries, next_start)

    # -- inside ----------------------------------------------------------------------------------

    def _rows(
        self, transaction: lmdb.Transaction[bytes], start: bytes | None, head: bytes
    ) -> tuple[list[Row], bytes | None]:
        """Rows from `start` on whose keys start with `head`, and where to go on (None: nowhere).

        Within a partition keys are in order, so what does not match is leapt over, not read through.
        """
        rows: list[Row] = []
        size_bytes = 0
        lowest = head or layout.KEY_SPACE
        cursor = transaction.cursor()
        target = start or self.dict_id + layout.PARTITION_NAMES[0] + lowest
        for _ in range(PAGE_JUMPS_MAX):
            if not cursor.set_range(target):
                return rows, None
            for place, raw in cursor.iternext():
                if not place.startswith(self.dict_id):
                    return rows, None
                if (
                    not place.startswith(head, layout.PREFIX_BYTES)
                    if head
                    else place[layout.PREFIX_BYTES] < 2
                ):
                    break
                rows.append((place, raw))
                size_bytes += len(raw)
                if len(rows) >= PAGE_ENTRIES_MAX or size_bytes >= PAGE_BYTES_MAX:
                    return rows, place + b"\0"
            else:
                return rows, None
            leap = self._leap(place, lowest)
            if leap is None:
                return rows, None
            target = leap
        return rows, target

    def _leap(self, place: bytes, lowest: bytes) -> bytes | None:
        """The next place behind an unwanted one at which a wanted key can stand."""
        partition = int.from_bytes(place[layout.DICT_ID_BYTES : layout.PREFIX_BYTES], "big")
        if place[layout.PREFIX_BYTES :] > lowest:
            partition += 1
            if partition >= layout.PARTITIONS:
                return None
        return self.dict_id + layout.PARTITION_NAMES[partition] + lowest

    def _state(self, transaction: lmdb.Transaction[bytes]) -> bytes:
        state: bytes | None = transaction.get(self._state_key)
        if state is None:
            raise DictGoneError
        return state

    def _body(self, raw: bytes, key_hash: int, cleared_at: int) -> bytes | None:
        """The value's bytes if the entry is visible.

        An over-long key needs no comparison: the checksum is seeded with the hash of the whole key.
        """
        if len(raw) < HEADER_BYTES:
            version = raw[VERSION_AT:VERSION_END]
            if len(version) == CLEARED_AT_BYTES and int.from_bytes(version, "big") <= cleared_at:
                return None
            raise DamagedEntryError
        checksum, flags, version, expires_ms = unpack_glance(raw)
        if version <= cleared_at:
            return None
        if xxh3_64_intdigest(raw[CHECKSUM_BYTES:], key_hash) & CHECKSUM_MASK != checksum:
            raise DamagedEntryError
        if flags & VALUELESS or (expires_ms and self.store.expired(expires_ms)):
            return None
        return body_of(raw) if flags & EXTRAS else raw[HEADER_BYTES:]

    def _named_body(self, raw: bytes, key: bytes, key_hash: int, cleared_at: int) -> bytes | None:
        try:
            return self._body(raw, key_hash, cleared_at)
        except DamagedEntryError:
            raise DamagedEntryError(key) from None


def overdue(
    transaction: lmdb.Transaction[bytes], dict_id: bytes, now_ms: int, cleared_at: int
) -> Iterator[Row]:
    """The expiry index of a Dict up to now, counted entries only: (index key, place of the entry)."""
    prefix = layout.EXPIRY + dict_id
    cursor = transaction.cursor()
    if not cursor.set_range(prefix):
        return
    for key, value in cursor.iternext():
        if not key.startswith(prefix) or layout.EXPIRY_KEY.unpack(key)[2] > now_ms:
            return
        if int.from_bytes(value[:8], "big") > cleared_at:
            yield key, dict_id + value[8:]
