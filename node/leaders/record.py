"""A record: what one key of a partition is, by the operations that were decided about it.

Rules of this file:
1. A record is made by one operation, from the record before it (`parent_id`): the chosen records of a key are
   one chain.
2. `order` says under which ballot it was accepted last, and is made new whenever a leader has it accepted
   again; `born` says when it was made, and never changes. Two acceptors with the same order have the same
   record.
3. What a Dict's `clear` made stands in the partition as a record without a key. It covers every record of
   that Dict in the partition that was born before it, whenever that comes to light.
4. `token` is the version that users see, and the fencing token: along a partition it only grows.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from ..store import layout
from .ballot import Order
from .leaderconfig import RECORD_RESULTS

BUCKETS: Final = 64
"""Of a partition, each with a sum of its own."""
SUM_BYTES: Final = 16
FORGETS: Final = b"forgets"
"""The name of the record that says that a partition has forgotten some (node/leaders/purge.py). It is no name
of a key, being too short for one."""
CLEAR_BUCKET: Final = 0
"""Where the records without a key are."""

_SUM_LIMIT: Final = 1 << 8 * SUM_BYTES


class Result(NamedTuple):
    """What an operation was answered that cannot be seen from the record once others have followed."""

    operation_id: bytes
    token: int
    answer: bytes


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One state of one key."""

    order: Order
    born: Order
    operation_id: bytes
    parent_id: bytes
    token: int
    body: bytes | None
    """The value's bytes; None: absent."""
    ttl_ms: int = 0
    """For how long it is held at least; 0: for ever."""
    taken_id: bytes = b""
    """Which operation made the key present, in the unbroken stretch in which it is so."""
    results: tuple[Result, ...] = ()
    """Of the last operations whose answers are asked for later, the oldest first."""
    complete: bool = True
    """Whether `results` has all there ever were."""
    long_key: bytes = b""
    """The whole key where its name has but a hash of it."""

    def remember(self, results: tuple[Result, ...], *, complete: bool) -> Record:
        """The same with these results, as many of the last as are kept."""
        kept = results[-RECORD_RESULTS:]
        return msgspec.structs.replace(self, results=kept, complete=complete and len(kept) == len(results))


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Record).decode


def encode_record(record: Record) -> bytes:
    """The bytes of a record, on disk and in messages."""
    return _encode(record)


def decode_record(raw: bytes) -> Record:
    """The record of these bytes, which are what `encode_record` gave: storages and lines check that."""
    return _decode(raw)


def size_of(record: Record) -> int:
    """About how many bytes a record has."""
    return 160 + len(record.body or b"") + sum(len(one.answer) for one in record.results)


def name_of(dict_id: bytes, key: bytes) -> bytes:
    """What a key's record is filed under, within its partition."""
    return dict_id + layout.stored_key(key)


def dict_of(name: bytes) -> bytes:
    """The Dict of a name; it is also the name of what its `clear` made."""
    return name[: layout.DICT_ID_BYTES]


def bucket_of(name: bytes) -> int:
    """The bucket of a name."""
    if len(name) == layout.DICT_ID_BYTES:
        return CLEAR_BUCKET
    return 1 + xxh3_64_intdigest(name) % (BUCKETS - 1)


FORGETS_BUCKET: Final = bucket_of(FORGETS)


def sum_of(name: bytes, order: Order) -> int:
    """What one record adds to its bucket's sum."""
    return int.from_bytes(blake2b(name + _encode(order), digest_size=SUM_BYTES).digest(), "big")


def moved_sum(total: int, name: bytes, old: Order | None, new: Order | None) -> int:
    """A bucket's sum once a record has another order; None: it was not there, or is no more."""
    if old is not None:
        total -= sum_of(name, old)
    if new is not None:
        total += sum_of(name, new)
    return total % _SUM_LIMIT
