"""Entries that are to be written, before they have their stamp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from xxhash import xxh3_64_digest, xxh3_64_intdigest

from ...ring.partition import dict_seed
from ..config import KEY_INLINE_BYTES_MAX
from ..network.peermessage import Row
from ..store.entry import BEHIND, CHECKSUM_FROM, NO_OPERATION, Stored, encode
from ..store.layout import PARTITION_NAMES
from .place import place_of


class Located(NamedTuple):
    """A key and its value's bytes, and where they belong."""

    place: bytes
    partition: int
    key_hash: int
    key: bytes
    body: bytes


class Drafts:
    """The entries of one write, of different places; at least one.

    `sealed` makes the entries' bytes, with a stamp, in the order of the places. `touched` is the version
    that the one entry gives another time to live; then it is none of its own, and changes nothing where a
    newer one stands.
    """

    __slots__ = ("_sealed", "by_row", "partitions", "places", "touched")

    def __init__(
        self,
        places: Sequence[bytes],
        partitions: Sequence[int],
        sealed: Callable[[int], Sequence[bytes]],
        touched: int = 0,
    ) -> None:
        self.places = places
        #: The partition of each place.
        self.by_row = partitions
        #: Each of them once, in order.
        self.partitions = partitions if len(partitions) == 1 else sorted(set(partitions))
        self._sealed = sealed
        self.touched = touched

    def rows(self, version: int) -> list[Row]:
        """The entries with that stamp, and their places."""
        return list(zip(self.places, self._sealed(version), strict=True))


def one_draft(place: bytes, partition: int, sealed: Callable[[int], bytes], touched: int = 0) -> Drafts:
    """A single entry."""
    return Drafts([place], [partition], lambda version: [sealed(version)], touched)


def located(dict_id: bytes, items: Sequence[tuple[bytes, bytes]], partitions: int) -> list[Located]:
    """Where keys belong, in order of their places: so what stands side by side is found and stored so."""
    seed, mask, names, hash_of = dict_seed(dict_id), partitions - 1, PARTITION_NAMES, xxh3_64_intdigest
    rows = [
        Located(
            dict_id + names[partition] + key
            if len(key) <= KEY_INLINE_BYTES_MAX
            else place_of(dict_id, key, key_hash, mask),
            partition,
            key_hash,
            key,
            body,
        )
        for key, body in items
        for key_hash in (hash_of(key, seed),)
        for partition in (key_hash & mask,)
    ]
    if len(rows) > 1:
        rows.sort()
    return rows


def drafts_of(rows: Sequence[Located], expiries_ms: Sequence[int], number: int) -> Drafts:
    """Entries for these keys, each with its expiry, of the node of that number."""

    def sealed(version: int) -> list[bytes]:
        digest, pack = xxh3_64_digest, BEHIND.pack
        entries: list[bytes] = []
        for (_, _, key_hash, key, body), expires_ms in zip(rows, expiries_ms, strict=True):
            if len(key) <= KEY_INLINE_BYTES_MAX:
                behind = pack(0, version, number, version, expires_ms) + body
                entries.append(digest(behind, key_hash)[CHECKSUM_FROM:] + behind)
            else:
                entry = Stored(0, version, number, version, expires_ms, NO_OPERATION, key, body)
                entries.append(encode(entry, key_hash))
        return entries

    return Drafts([row[0] for row in rows], [row[1] for row in rows], sealed)
