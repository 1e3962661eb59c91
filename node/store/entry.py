"""The stored form of one entry: a fixed header, then the value's bytes.

One format, embedded and cluster, from the first day. Rules of this file:
1. The header is fixed-width, so that a reader judges an entry without parsing it.
2. The checksum covers everything behind it and is seeded with the key's hash, so that neither a flipped
   bit nor an entry filed under another key passes for a value.
3. What few entries have stands behind the header, and flags say so: the id of the operation that wrote it,
   then an over-long key. A header of 33 bytes puts a seventh more entries on a page than one with all of it.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from xxhash import xxh3_64_digest, xxh3_64_intdigest

ATOMIC = 1
"""Flag: written by an atomic operation; its version is a fencing token."""
TOMBSTONE = 2
"""Flag: the key was deleted (clusters; an embedded store deletes for good, it has no replicas)."""
EXPIRED = 4
"""Flag: the value was dropped when it expired, the header stays (clusters)."""
LONG_KEY = 8
"""Flag: the whole key, with its length in front, stands before the value."""
OPERATION = 16
"""Flag: the id of the operation that wrote it stands behind the header."""
EXTRAS = LONG_KEY | OPERATION
"""Flags of what stands between header and value."""
LENGTH_BYTES = 2
OPERATION_ID_BYTES = 16

CHECKSUM = Struct(">I")
BEHIND = Struct(">BQIQQ")
"""Everything behind the checksum: flags, version, node, touch, expires_ms."""
GLANCE = Struct(">IBQ12xQ")
"""What a read needs at once: checksum, flags, version, expires_ms."""

CHECKSUM_BYTES = CHECKSUM.size
CHECKSUM_FROM = -CHECKSUM_BYTES
"""Of a digest: its last bytes, as a number its low ones."""
HEADER_BYTES = CHECKSUM.size + BEHIND.size
FLAGS_AT = 4
VERSION_AT = 5
EXPIRES_AT = 25
"""Offsets; the version's big-endian bytes compare like the number."""
CHECKSUM_MASK = 0xFFFF_FFFF
NO_OPERATION = b""
"""Of what nobody asks about later: plain writes of an embedded store."""


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
    if long_key:
        flags, body = flags | LONG_KEY, with_key(long_key, body)
    if operation_id:
        flags, body = flags | OPERATION, operation_id + body
    return sealed(BEHIND.pack(flags, version, node, touch, expires_ms) + body, key_hash)


def with_key(key: bytes, body: bytes) -> bytes:
    """The value's bytes behind an over-long key."""
    return len(key).to_bytes(LENGTH_BYTES, "big") + key + body


def sealed(behind: bytes, key_hash: int) -> bytes:
    """An entry: its checksum in front of all the rest."""
    return xxh3_64_digest(behind, key_hash)[CHECKSUM_FROM:] + behind


def decode(raw: bytes, key_hash: int) -> Stored:
    """The entry in `raw`.

    Raises:
        DamagedEntryError: the bytes are not what was stored under that key.
    """
    verify(raw, key_hash)
    flags, version, node, touch, expires_ms = BEHIND.unpack_from(raw, CHECKSUM_BYTES)
    if not flags & EXTRAS:  # as most entries are
        return Stored(flags, version, node, touch, expires_ms, NO_OPERATION, b"", raw[HEADER_BYTES:])
    operation_id = (
        raw[HEADER_BYTES : HEADER_BYTES + OPERATION_ID_BYTES] if flags & OPERATION else NO_OPERATION
    )
    return Stored(
        flags & ~EXTRAS, version, node, touch, expires_ms, operation_id, whole_key(raw), body_of(raw)
    )


def whole_key(raw: bytes) -> bytes:
    """The over-long key that stands in front of an entry's value; empty if there is none."""
    if len(raw) < HEADER_BYTES or not raw[FLAGS_AT] & LONG_KEY:
        return b""
    length_at = HEADER_BYTES + _operation_bytes(raw)
    key_at = length_at + LENGTH_BYTES
    return raw[key_at : key_at + int.from_bytes(raw[length_at:key_at], "big")]


def body_of(raw: bytes) -> bytes:
    """The value's bytes, of an entry that is whole."""
    at = HEADER_BYTES + _operation_bytes(raw)
    if raw[FLAGS_AT] & LONG_KEY:
        at += LENGTH_BYTES + int.from_bytes(raw[at : at + LENGTH_BYTES], "big")
    return raw[at:]


def size_of(raw: bytes, stored_key_bytes: int) -> int:
    """How many bytes key and value have, of an entry under a stored key of that length."""
    behind_bytes = max(0, len(raw) - HEADER_BYTES - _operation_bytes(raw))
    if len(raw) > FLAGS_AT and raw[FLAGS_AT] & LONG_KEY:
        return behind_bytes - LENGTH_BYTES
    return behind_bytes + stored_key_bytes


def _operation_bytes(raw: bytes) -> int:
    return OPERATION_ID_BYTES if len(raw) > FLAGS_AT and raw[FLAGS_AT] & OPERATION else 0


def verify(raw: bytes, key_hash: int) -> None:
    """Raise `DamagedEntryError` unless `raw` is what was stored under a key of that hash."""
    if len(raw) < HEADER_BYTES or xxh3_64_intdigest(
        raw[CHECKSUM_BYTES:], key_hash
    ) & CHECKSUM_MASK != int.from_bytes(raw[:CHECKSUM_BYTES], "big"):
        raise DamagedEntryError
