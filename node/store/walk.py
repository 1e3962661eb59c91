"""Every entry of a store, judged by its own checksum: what a backup takes, and what `verify` reports.

Rules of this file:
1. An entry is whole if its bytes are what was stored under its key, and it stands where that key stands.
2. An entry whose Dict is gone, or was cleared above it, is nobody's any more: neither whole nor damaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

import lmdb

from ...ring.partition import dict_seed
from ...ring.partition import key_hash as hash_key
from . import layout
from .catalogue import Record
from .entry import VERSION_AT, DamagedEntryError, verify, whole_key
from .meta import partitions_of
from .transaction import CLEARED_AT_BYTES, DictState

CLEAR_KEY = b"\x02\x00"
"""What the key of a cluster's clear begins with (node/replicas/clearances.py)."""

UNKNOWN = b""
"""In place of a key that cannot be told; no key is empty."""


class Verdict(Enum):
    """What became of an entry."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    DEAD = "dead"


class Judged(NamedTuple):
    """An entry, or a lock, as it stands in the store."""

    place: bytes
    raw: bytes
    dict_id: bytes
    #: The whole key; `UNKNOWN` if it is over-long and damaged.
    key: bytes
    verdict: Verdict


class Dicts:
    """What a store's own records say of its Dicts."""

    def __init__(self, partitions: int = layout.PARTITIONS) -> None:
        self.partitions = partitions
        self.records: dict[bytes, Record] = {}
        self.states: dict[bytes, DictState] = {}
        #: By the beginning of a place, Dict and partition: up to which version a cluster cleared it.
        self.marks: dict[bytes, int] = {}
        self._marked: set[bytes] = set()

    @classmethod
    def read(cls, transaction: lmdb.Transaction[bytes]) -> Dicts:
        """As they are in that transaction."""
        meta = transaction.get(layout.META)
        found = cls(layout.PARTITIONS if meta is None else partitions_of(meta))
        for prefix in (layout.DICT, layout.STATE, layout.CLEARED):
            for key, value in under(transaction, prefix):
                found.take(key, value)
        return found

    def take(self, key: bytes, value: bytes) -> None:
        """One of the store's own records; those of no Dict are passed over."""
        if key.startswith(layout.DICT):
            self.records[key[len(layout.DICT) :]] = Record.decode(value)
        elif key.startswith(layout.STATE):
            self.states[key[len(layout.STATE) :]] = DictState.decode(value)
        elif key.startswith(layout.CLEARED):
            prefix = key[len(layout.CLEARED) :]
            self.marks[prefix] = max(self.marks.get(prefix, 0), int.from_bytes(value, "big"))
            self._marked.add(prefix[: layout.DICT_ID_BYTES])

    def is_marked(self, dict_id: bytes) -> bool:
        """Whether a cluster has cleared the Dict."""
        return dict_id in self._marked

    def is_cleared(self, place: bytes, version: int) -> bool:
        """Whether an entry is absent since its Dict was cleared. Where a cluster cleared it, the Dict's state
        says only that something may be."""
        dict_id = place[: layout.DICT_ID_BYTES]
        if self.is_marked(dict_id):
            return version <= self.marks.get(place[: layout.PREFIX_BYTES], 0)
        return version <= self.states[dict_id].cleared_at


def under(transaction: lmdb.Transaction[bytes], prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All rows whose keys begin so."""
    cursor = transaction.cursor()
    if cursor.set_range(prefix):
        for key, value in cursor.iternext():
            if not key.startswith(prefix):
                return
            yield key, value


def is_clear(stored: bytes) -> bool:
    """Whether a key as it stands in the store is that of a cluster's clear, which no user can have."""
    return len(stored) > 1 and stored.startswith(CLEAR_KEY)


def judged(transaction: lmdb.Transaction[bytes], dicts: Dicts, first: bytes = b"") -> Iterator[Judged]:
    """All entries and locks from a place on, in the order in which they stand."""
    cursor = transaction.cursor()
    if not cursor.set_range(max(first, layout.FIRST_DICT)):
        return
    for place, raw in cursor.iternext():
        yield judge(place, raw, dicts)


def judge(place: bytes, raw: bytes, dicts: Dicts) -> Judged:
    """What one entry is."""
    dict_id, stored = place[: layout.DICT_ID_BYTES], place[layout.PREFIX_BYTES :]
    state = dicts.states.get(dict_id)
    key = whole_key(raw) if layout.is_long(stored) else stored
    if state is None or dict_id not in dicts.records:
        return Judged(place, raw, dict_id, key, Verdict.DEAD)
    key_hash = hash_key(dict_seed(dict_id), key)
    partition = key_hash & (dicts.partitions - 1)
    stands = dict_id + partition.to_bytes(layout.PARTITION_BYTES, "big") + layout.stored_key(key)
    try:
        verify(raw, key_hash)
    except DamagedEntryError:
        known = key if layout.stored_key(key) == stored else UNKNOWN
        return Judged(place, raw, dict_id, known, Verdict.DAMAGED)
    if stands != place:
        return Judged(place, raw, dict_id, UNKNOWN, Verdict.DAMAGED)
    version = int.from_bytes(raw[VERSION_AT : VERSION_AT + CLEARED_AT_BYTES], "big")
    is_dead = not is_clear(stored) and dicts.is_cleared(place, version)
    return Judged(place, raw, dict_id, key, Verdict.DEAD if is_dead else Verdict.WHOLE)
