"""The partition of a key: one of Q fixed slices of the key space.

The hash covers the Dict's id (as seed) and the key's canonical encoding, so that equal keys of one Dict
always meet, and the hot keys of two Dicts are spread independently of each other.
"""

from __future__ import annotations

from typing import Final

import xxhash

from .config import PARTITIONS_DEFAULT, PARTITIONS_MAX

__all__ = [
    "PARTITIONS_DEFAULT",
    "PARTITIONS_MAX",
    "check_partitions",
    "dict_seed",
    "key_hash",
    "partition_of",
]

DICT_ID_BYTES: Final = 8


def check_partitions(count: int) -> int:
    """Return `count` if a ring can have that many partitions: a power of two, 1 to `PARTITIONS_MAX`.

    Raises ValueError otherwise. A power of two, so that a ring with more partitions splits slices and
    moves no key to an unrelated one.
    """
    if not 1 <= count <= PARTITIONS_MAX or count & (count - 1):
        raise ValueError(f"{count} partitions: must be a power of two from 1 to {PARTITIONS_MAX}")
    return count


def dict_seed(dict_id: bytes) -> int:
    """Return the hash seed of a Dict, made from its 8-byte id. ValueError for any other length."""
    if len(dict_id) != DICT_ID_BYTES:
        raise ValueError(f"a Dict id has {DICT_ID_BYTES} bytes, not {len(dict_id)}")
    return int.from_bytes(dict_id, "big")


def key_hash(seed: int, key: bytes) -> int:
    """Return the 64-bit hash of a canonically encoded key within the Dict that `seed` stands for."""
    return xxhash.xxh3_64_intdigest(key, seed)


def partition_of(seed: int, key: bytes, partitions: int = PARTITIONS_DEFAULT) -> int:
    """Return which of `partitions` (a number that `check_partitions` accepts) holds the key."""
    return key_hash(seed, key) & (partitions - 1)
