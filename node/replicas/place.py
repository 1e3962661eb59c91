"""Where an entry stands in the store, and whether what somebody sent may stand there."""

from __future__ import annotations

from xxhash import xxh3_64_intdigest

from ..config import KEY_INLINE_BYTES_MAX
from ..store import layout
from ..store.entry import CHECKSUM_BYTES, CHECKSUM_MASK, FLAGS_AT, HEADER_BYTES, LONG_KEY, whole_key
from ..store.layout import DICT_ID_BYTES, PARTITION_NAMES, PREFIX_BYTES
from .stretch import FIRST_DICT


def place_of(dict_id: bytes, key: bytes, key_hash: int, partition_mask: int = layout.PARTITION_MASK) -> bytes:
    """Where a key of that hash stands."""
    stored = key if len(key) <= KEY_INLINE_BYTES_MAX else layout.stored_key(key)
    return dict_id + PARTITION_NAMES[key_hash & partition_mask] + stored


def fault_of(place: bytes, raw: bytes, partition_mask: int = layout.PARTITION_MASK) -> str:
    """What is wrong with an entry that somebody sent; empty: nothing."""
    stored = key = place[PREFIX_BYTES:]
    if len(raw) < HEADER_BYTES:
        return "an entry is damaged"
    misplaced = len(stored) > KEY_INLINE_BYTES_MAX
    if raw[FLAGS_AT] & LONG_KEY:
        key = whole_key(raw)
        misplaced = not layout.is_long(key) or layout.stored_key(key) != stored
    if misplaced or stored < layout.KEY_SPACE or place < FIRST_DICT:
        return "an entry is not where its key belongs"
    key_hash = xxh3_64_intdigest(key, int.from_bytes(place[:DICT_ID_BYTES], "big"))
    if place[DICT_ID_BYTES:PREFIX_BYTES] != PARTITION_NAMES[key_hash & partition_mask]:
        return "an entry is not in the partition of its key"
    checksum = xxh3_64_intdigest(raw[CHECKSUM_BYTES:], key_hash) & CHECKSUM_MASK
    return "" if checksum == int.from_bytes(raw[:CHECKSUM_BYTES], "big") else "an entry is damaged"
