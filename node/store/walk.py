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
from .catalogue import Record, records
from .entry import VERSION_AT, DamagedEntryError, verify, whole_key
from .transaction import CLEARED_AT_BYTES, DictState, states

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


class Dicts(NamedTuple):
    """What a store's own records say of its Dicts, by id."""

    records: dict[bytes, Record]
    states: dict[bytes, DictState]

    @classmethod
    def read(cls, transaction: lmdb.Transaction[bytes]) -> Dicts:
        """As they are in that transaction."""
        return cls(dict(records(transaction)), dict(states(transaction)))


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
    stands = dict_id + layout.PARTITION_NAMES[key_hash & layout.PARTITION_MASK] + layout.stored_key(key)
    try:
        verify(raw, key_hash)
    except DamagedEntryError:
        known = key if layout.stored_key(key) == stored else UNKNOWN
        return Judged(place, raw, dict_id, known, Verdict.DAMAGED)
    if stands != place:
        return Judged(place, raw, dict_id, UNKNOWN, Verdict.DAMAGED)
    version = int.from_bytes(raw[VERSION_AT : VERSION_AT + CLEARED_AT_BYTES], "big")
    return Judged(place, raw, dict_id, key, Verdict.WHOLE if version > state.cleared_at else Verdict.DEAD)
