"""The stored form of one entry: a fixed header, then the value's bytes.

One format, embedded and cluster, from the first day. Rules of this file:
1. The header is fixed-width, so that a reader judges an entry without parsing it.
2. The checksum covers everything behind it and is seeded with the key's hash, so that neither a flipped
   bit nor an entry filed under another key passes for a value.
3. An over-long key stands whole in front of the value; `key_bytes` is its length, 0 otherwise.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

ATOMIC = 1
"""Flag: written by an atomic operation; its version is a fencing token."""
TOMBSTONE = 2
"""Flag: the key was deleted (clusters; an embedded store deletes for good, it has no replicas)."""
EXPIRED = 4
"""Flag: the value was dropped when it expired, the header stays (clusters)."""

CHECKSUM = Struct(">I")
BEHIND = Struct(">BxHQQQQ16s")
"""Everything behind the checksum: flags, key_bytes, version, node, touch, expires_ms, operation_id."""
GLANCE = Struct(">IBxHQ16xQ")
"""What a read needs at once: checksum, flags, key_bytes, version, expires_ms."""

CHECKSUM_BYTES = CHECKSUM.size
HEADER_BYTES = CHECKSUM.size + BEHIND.size
KEY_BYTES_AT = 6
VERSION_AT = 8
EXPIRES_AT = 32
"""Offsets; the version's big-endian bytes compare like the number."""
CHECKSUM_MASK = 0xFFFF_FFFF
NO_OPERATION = bytes(16)


class DamagedEntryError(Exception):
    """The bytes of an entry do not match their checksum."""


class Stored(NamedTuple):
    """One entry as it stands in the store.

    `version` and `touch` are hybrid-clock stamps (48 bits of ms, 16 of a counter); `node` breaks ties
    between equal versions; `expires_ms` is an instant in ms since 1970, 0 for never; `long_key` is the
    whole key where it did not fit into the store's key, else empty.
    """

    flags: int
    version: int
    node: int
    touch: int
    expires_ms: int
    operation_id: bytes
    long_key: bytes
    body: bytes


def encode(entry: Stored, key_hash: int) -> bytes:
    """The bytes to store for `entry` under a key of hash `key_hash`."""
    flags, version, node, touch, expires_ms, operation_id, long_key, body = entry
    behind = (
        BEHIND.pack(flags, len(long_key), version, node, touch, expires_ms, operation_id) + long_key + body
    )
    return (xxh3_64_intdigest(behind, key_hash) & CHECKSUM_MASK).to_bytes(4, "big") + behind


def decode(raw: bytes, key_hash: int) -> Stored:
    """The entry in `raw`.

    Raises:
        DamagedEntryError: the bytes are not what was stored under that key.
    """
    verify(raw, key_hash)
    flags, key_bytes, version, node, touch, expires_ms, operation_id = BEHIND.unpack_from(raw, CHECKSUM_BYTES)
    body_at = HEADER_BYTES + key_bytes
    return Stored(
        flags, version, node, touch, expires_ms, operation_id, raw[HEADER_BYTES:body_at], raw[body_at:]
    )


def verify(raw: bytes, key_hash: int) -> None:
    """Raise `DamagedEntryError` unless `raw` is what was stored under a key of that hash."""
    if len(raw) < HEADER_BYTES or xxh3_64_intdigest(
        raw[CHECKSUM_BYTES:], key_hash
    ) & CHECKSUM_MASK != int.from_bytes(raw[:CHECKSUM_BYTES], "big"):
        raise DamagedEntryError
