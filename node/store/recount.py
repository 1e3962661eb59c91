"""What an embedded store makes anew once a node has handed it back: counters, and the index of expiry.

A node keeps neither, since it asks of neither; so its writes cost nothing for them. The first write of an
embedded process behind it reads the whole store once, and makes both.

Rules of this file:
1. All of it is one transaction: whoever dies in the middle of it leaves it to the next.
2. What a node keeps for the sake of other replicas goes: tombstones, and headers of what has expired.
3. What belongs to no Dict, or to one that is cleared, is left to the sweeper, which is told of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import lmdb
from xxhash import xxh3_64_intdigest

from ...ring.partition import dict_seed
from ..config import KEY_INLINE_BYTES_MAX
from . import layout
from .entry import EXPIRES_AT, FLAGS_AT, HEADER_BYTES, VERSION_AT, size_of, whole_key
from .table import VALUELESS
from .transaction import DictState, WriteTransaction, states

TOUCH_AT = VERSION_AT + 12
WORD_BYTES = 8


class HandedBackError(Exception):
    """A node has handed the store back, and nothing was made anew yet."""


def recount(transaction: WriteTransaction) -> None:
    """Make counters and expiry index anew, raise the stamps above all that stand, and take the store over."""
    raw = transaction.raw
    _drop_index(raw)
    found = dict(states(raw))
    for dict_id, state in found.items():
        state.entries = state.bytes = state.expiring = 0
        _count(raw, dict_id, state)
    highest = max((state.last_stamp for state in found.values()), default=0)
    last = raw.get(layout.LAST_STAMP)
    if last is not None:
        highest = max(highest, int.from_bytes(last, "big"))
    transaction.raise_stamp(highest)
    for dict_id, state in found.items():
        raw.put(layout.STATE + dict_id, state.encode())
    for dict_id in _strangers(raw, found):
        raw.put(layout.SWEEP + dict_id, b"")
    transaction.sweepable = True
    transaction.delete(layout.LAST_STAMP)
    transaction.delete(layout.OWNER)


def _drop_index(raw: lmdb.Transaction[bytes]) -> None:
    cursor = raw.cursor()
    more = cursor.set_range(layout.EXPIRY)
    while more and cursor.key().startswith(layout.EXPIRY):
        more = cursor.delete() and bool(cursor.key())


def _count(raw: lmdb.Transaction[bytes], dict_id: bytes, state: DictState) -> None:
    """Count what one Dict holds, index what of it expires, and remove what a node alone has need of."""
    gone: list[bytes] = []
    index: list[tuple[bytes, bytes]] = []
    highest = max(state.last_stamp, state.cleared_at)
    for place, entry in _entries(raw, dict_id):
        version = int.from_bytes(entry[VERSION_AT : VERSION_AT + WORD_BYTES], "big")
        touch = int.from_bytes(entry[TOUCH_AT : TOUCH_AT + WORD_BYTES], "big")
        if version <= state.cleared_at:
            continue
        highest = max(highest, version, touch)
        if place[layout.PREFIX_BYTES :] < layout.KEY_SPACE:
            continue  # locks are not counted
        if len(entry) >= HEADER_BYTES and entry[FLAGS_AT] & VALUELESS:
            gone.append(place)
            continue
        state.entries += 1
        state.bytes += size_of(entry, len(place) - layout.PREFIX_BYTES)
        expires_ms = int.from_bytes(entry[EXPIRES_AT : EXPIRES_AT + WORD_BYTES], "big")
        if expires_ms:
            index.append(_index_row(dict_id, place, entry, version, expires_ms))
    state.last_stamp = highest
    state.expiring = len(index)
    for place in gone:
        raw.delete(place)
    raw.cursor().putmulti(sorted(index))


def _index_row(
    dict_id: bytes, place: bytes, entry: bytes, version: int, expires_ms: int
) -> tuple[bytes, bytes]:
    key = place[layout.PREFIX_BYTES :]
    if len(key) > KEY_INLINE_BYTES_MAX:
        key = whole_key(entry)
    key_hash = xxh3_64_intdigest(key, dict_seed(dict_id))
    index_key = layout.EXPIRY_KEY.pack(layout.EXPIRY, dict_id, expires_ms, key_hash)
    return index_key, version.to_bytes(WORD_BYTES, "big") + place[layout.DICT_ID_BYTES :]


def _entries(raw: lmdb.Transaction[bytes], dict_id: bytes) -> Iterator[tuple[bytes, bytes]]:
    cursor = raw.cursor()
    if cursor.set_range(dict_id):
        for place, entry in cursor.iternext():
            if not place.startswith(dict_id):
                return
            yield place, entry


def _strangers(raw: lmdb.Transaction[bytes], known: dict[bytes, DictState]) -> Iterator[bytes]:
    """Ids of which there are entries and no Dict. It leaps from Dict to Dict."""
    cursor = raw.cursor()
    more = cursor.set_range(layout.FIRST_DICT)
    while more:
        dict_id = cursor.key()[: layout.DICT_ID_BYTES]
        if dict_id not in known:
            yield dict_id
        more = cursor.set_range(dict_id + b"\xff" * 3)
