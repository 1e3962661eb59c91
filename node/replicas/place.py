"""Where an entry stands in the store, and whether what somebody sent may stand there."""

from __future__ import annotations

from collections.abc import Sequence

from xxhash import xxh3_64_digest, xxh3_64_intdigest

from ..config import KEY_INLINE_BYTES_MAX
from ..store import layout
from ..store.entry import (
    CHECKSUM_BYTES,
    CHECKSUM_FROM,
    CHECKSUM_MASK,
    FLAGS_AT,
    HEADER_BYTES,
    LONG_KEY,
    whole_key,
)
from ..store.layout import DICT_ID_BYTES, PARTITION_NAMES, PREFIX_BYTES
from .stretch import FIRST_DICT, Row


def place_of(dict_id: bytes, key: bytes, key_hash: int, partition_mask: int = layout.PARTITION_MASK) -> bytes:
    """Where a key of that hash stands."""
    stored = key if len(key) <= KEY_INLINE_BYTES_MAX else layout.stored_key(key)
    return dict_id + PARTITION_NAMES[key_hash & partition_mask] + stored


def check(rows: Sequence[Row], partition_mask: int = layout.PARTITION_MASK) -> tuple[str, set[bytes]]:
    """What is wrong with the first entry of which something is, as `fault_of` says; the names of the
    partitions in which they stand. Written out for entries as most are."""
    hash_of, digest, names = xxh3_64_intdigest, xxh3_64_digest, PARTITION_NAMES
    dict_id, seed = b"", 0
    partitions: set[bytes] = set()
    for place, raw in rows:
        if place[:DICT_ID_BYTES] != dict_id:
            dict_id = place[:DICT_ID_BYTES]
            seed = int.from_bytes(dict_id, "big")
        key = place[PREFIX_BYTES:]
        key_hash = hash_of(key, seed)
        name = names[key_hash & partition_mask]
        if (
            len(raw) < HEADER_BYTES
            or raw[FLAGS_AT] & LONG_KEY
            or len(key) > KEY_INLINE_BYTES_MAX
            or key < layout.KEY_SPACE
            or place < FIRST_DICT
            or place[DICT_ID_BYTES:PREFIX_BYTES] != name
            or digest(raw[CHECKSUM_BYTES:], key_hash)[CHECKSUM_FROM:] != raw[:CHECKSUM_BYTES]
        ):
            if fault := fault_of(place, raw, partition_mask):
                return fault, partitions
            name = place[DICT_ID_BYTES:PREFIX_BYTES]
        partitions.add(name)
    return "", partitions


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
