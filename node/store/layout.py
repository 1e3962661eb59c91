"""Where things stand in the entries environment: the shape of every LMDB key.

An entry stands under Dict id (8 bytes), partition (2 bytes), key. The Dict id 0 belongs to the store's
own records, the id 1 to the index of expiry instants; no Dict gets an id below 256.
"""

from __future__ import annotations

from struct import Struct

from ...ring.config import FOUND_PARTITIONS_MAX, PARTITIONS_DEFAULT
from ..config import KEY_HEAD_BYTES, KEY_INLINE_BYTES_MAX

DICT_ID_BYTES = 8
PARTITION_BYTES = 2
PREFIX_BYTES = DICT_ID_BYTES + PARTITION_BYTES
DICT_ID_FIRST = 256
FIRST_DICT = DICT_ID_FIRST.to_bytes(DICT_ID_BYTES, "big")
"""Where the entries of Dicts begin."""

SYSTEM = bytes(8)
META = SYSTEM + b"meta"
OWNER = SYSTEM + b"owner"
HANDED_BACK = b""
"""In place of an owner: there was one, and what it did not keep up has to be made anew."""
LAST_STAMP = SYSTEM + b"last"
BOUND = SYSTEM + b"bound"
NAME = SYSTEM + b"name\0"
DICT = SYSTEM + b"dict\0"
STATE = SYSTEM + b"state\0"
SWEEP = SYSTEM + b"sweep\0"
HEARTBEAT = SYSTEM + b"beat\0"
CLEARED = SYSTEM + b"clear\0"

CATALOGUE = (2).to_bytes(DICT_ID_BYTES, "big")
"""Where leaders decide who makes a Dict: never an entry, only records (docs/atomics.md)."""

EXPIRY = (1).to_bytes(DICT_ID_BYTES, "big")
EXPIRY_KEY = Struct(">8s8sQQ")
"""Index id, Dict id, expires_ms, hash of the key."""
EXPIRY_PREFIX_BYTES = 16

LOCK_SPACE = b"\x01"
"""First byte of a lock's key: below every tag of a key, so that a scan of entries can seek past it."""
KEY_SPACE = b"\x02"
"""The lowest first byte of a key."""

PARTITIONS = PARTITIONS_DEFAULT
"""Of every store that is not a node's. A node's has as many as its cluster was founded with."""
PARTITION_MASK = PARTITIONS - 1
PARTITION_NAMES = [number.to_bytes(PARTITION_BYTES, "big") for number in range(FOUND_PARTITIONS_MAX)]


def stored_key(key: bytes) -> bytes:
    """What stands in the store for `key`: itself, or its head and a hash when LMDB cannot hold it."""
    if len(key) <= KEY_INLINE_BYTES_MAX:
        return key
    from hashlib import blake2b  # loads OpenSSL, which few keys need

    return key[:KEY_HEAD_BYTES] + blake2b(key, digest_size=16).digest()


def is_long(key: bytes) -> bool:
    """Whether `key` stands in the store by its head and a hash only."""
    return len(key) > KEY_INLINE_BYTES_MAX


def name_key(environment: str, name: str) -> bytes:
    """Where the name of a Dict stands."""
    return b"%s%s\0%s" % (NAME, environment.encode(), name.encode())
