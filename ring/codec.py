"""A decree as bytes: how it travels, how it lies on disk, and what its digest covers.

Rules of this file:
1. One decree has one body, byte for byte. The digest is of the body: equal digests mean equal decrees.
2. A body travels compressed: tables of many partitions repeat themselves.
3. Bytes come from anybody. Nothing is allocated on their word but what the limits allow, and whatever is
   decoded keeps the rules of `check_decree`.

The form, all numbers big-endian: version u8, body length u32, digest 8 bytes; then, through zlib, the body::

    cluster id 16, epoch u64, parent 8, log2 of partitions u8, replicas u8, members u8, pending u8 (0 or 1)
    each member: id 16, state u8, weight u8, zone (u8 length, UTF-8), address (u8 length, UTF-8)
    the table's places; the pending table's, if there is one
    since: u64 a partition
    former: u8 a partition (how many sets), then the sets, each filled up to `replicas` with 0xFF

In version 2, which only a cluster has that was recovered by force: how many recoveries u8, then each: epoch
u64, tag 8, floor u64.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct, pack, unpack
from typing import Final

from .config import (
    CLUSTER_PARTITIONS_MAX,
    DECREE_BODY_BYTES_MAX,
    DECREE_BYTES_MAX,
    FORMER_SETS_MAX,
    REPLICAS_MAX,
)
from .decree import DIGEST_BYTES, TAG_BYTES, Decree, DecreeError, Recovery, check_decree
from .member import Member, MemberState
from .table import EMPTY_PLACE, Table

__all__ = ["decode_decree", "digest_of", "encode_decree"]

_VERSION: Final = 1
_RECOVERED: Final = 2
"""The version of a decree with recoveries. All others stay what every program reads."""
_ENVELOPE: Final = Struct(f">BI{DIGEST_BYTES}s")
_HEAD: Final = Struct(f">16sQ{DIGEST_BYTES}sBBBB")
_MEMBER: Final = Struct(">16sBB")
_RECOVERY: Final = Struct(f">Q{TAG_BYTES}sQ")
_COMPRESSION: Final = 6
_EMPTY: Final = bytes([EMPTY_PLACE])


def digest_of(decree: Decree) -> bytes:
    """Return the 8 bytes that stand for a decree in messages and in the next decree."""
    return _digest(_body(decree))


def encode_decree(decree: Decree) -> bytes:
    """Return a decree as bytes. DecreeError if it is none, which is a bug of whoever made it."""
    check_decree(decree)
    body = _body(decree)
    assert len(body) <= DECREE_BODY_BYTES_MAX, "the limits of a decree's parts say so"
    version = _RECOVERED if decree.recoveries else _VERSION
    return _ENVELOPE.pack(version, len(body), _digest(body)) + zlib.compress(body, _COMPRESSION)


def decode_decree(data: bytes) -> Decree:
    """Return the decree that `data` is the encoding of. DecreeError for anything else, at a bounded cost.

    The cost is never above that of the largest decree: some 0.12 s of CPU, and 2 MiB unpacked.
    """
    if not _ENVELOPE.size < len(data) <= DECREE_BYTES_MAX:
        raise DecreeError(f"{len(data)} bytes are no decree")
    version, length, digest = _ENVELOPE.unpack_from(data)
    if version not in (_VERSION, _RECOVERED):
        raise DecreeError(f"a decree of version {version}, where this program knows {_RECOVERED}")
    if length > DECREE_BODY_BYTES_MAX:
        raise DecreeError(f"a decree of {length} bytes")
    body = _unpacked(data[_ENVELOPE.size :], length)
    if _digest(body) != digest:
        raise DecreeError("the digest of a decree is not that of its bytes")
    decree = _parsed(_Reader(body), has_recoveries=version == _RECOVERED)
    check_decree(decree)
    return decree


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=DIGEST_BYTES, person=b"ringdict decree").digest()


def _unpacked(data: bytes, length: int) -> bytes:
    """Decompress to exactly that many bytes, of a stream that ends exactly where the data does."""
    stream = zlib.decompressobj()
    try:
        body = stream.decompress(data, length + 1)
    except zlib.error as error:
        raise DecreeError("a decree that cannot be unpacked") from error
    if len(body) != length or not stream.eof or stream.unused_data:
        raise DecreeError("a decree of another length than it says")
    return body


# -- body ----------------------------------------------------------------------------------------


def _body(decree: Decree) -> bytes:
    return b"".join(_parts(decree))


def _parts(decree: Decree) -> Iterator[bytes]:
    yield _HEAD.pack(
        decree.cluster_id,
        decree.epoch,
        decree.parent,
        decree.partitions.bit_length() - 1,
        decree.replicas,
        len(decree.members),
        decree.pending is not None,
    )
    for member in decree.members:
        yield _MEMBER.pack(member.member_id, member.state, member.weight)
        yield _text(member.zone)
        yield _text(member.address)
    yield decree.table.places
    if decree.pending is not None:
        yield decree.pending.places
    yield pack(f">{decree.partitions}Q", *decree.since)
    yield bytes(map(len, decree.former))
    for sets in decree.former:
        for one in sets:
            yield one.ljust(decree.replicas, _EMPTY)
    if decree.recoveries:
        yield bytes([len(decree.recoveries)])
        for recovery in decree.recoveries:
            yield _RECOVERY.pack(*recovery)


def _text(text: str) -> bytes:
    data = text.encode()
    return bytes([len(data)]) + data


class _Reader:
    """Takes a body apart from its front; DecreeError where it ends too early."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def take(self, size: int) -> bytes:
        data = self.body[self.at : self.at + size]
        if len(data) < size:
            raise DecreeError("a decree that ends in the middle")
        self.at += size
        return data

    def text(self) -> str:
        try:
            return self.take(self.take(1)[0]).decode()
        except UnicodeDecodeError as error:
            raise DecreeError("a text of a decree is not UTF-8") from error


def _parsed(reader: _Reader, *, has_recoveries: bool) -> Decree:
    cluster_id, epoch, parent, exponent, replicas, count, has_pending = _HEAD.unpack(reader.take(_HEAD.size))
    partitions = 1 << exponent
    if partitions > CLUSTER_PARTITIONS_MAX or not 1 <= replicas <= REPLICAS_MAX or has_pending > 1:
        raise DecreeError(
            f"2**{exponent} partitions, {replicas} replicas and flag {has_pending} are no decree's"
        )
    members = tuple(_member(reader) for _ in range(count))
    table = Table(reader.take(partitions * replicas), replicas)
    pending = Table(reader.take(partitions * replicas), replicas) if has_pending else None
    since = unpack(f">{partitions}Q", reader.take(8 * partitions))
    counts = reader.take(partitions)
    if max(counts) > FORMER_SETS_MAX:  # before a million of them are made
        raise DecreeError(f"a partition with {max(counts)} former sets, where {FORMER_SETS_MAX} are the most")
    former = tuple(tuple(_former_set(reader, replicas) for _ in range(count)) for count in counts)
    recoveries = _recoveries(reader) if has_recoveries else ()
    if reader.at != len(reader.body):
        raise DecreeError("a decree with something behind it")
    return Decree(cluster_id, epoch, parent, members, table, pending, since, former, recoveries)


def _recoveries(reader: _Reader) -> tuple[Recovery, ...]:
    count = reader.take(1)[0]
    if not count:
        raise DecreeError("a decree without recoveries is of the other version")
    return tuple(Recovery(*_RECOVERY.unpack(reader.take(_RECOVERY.size))) for _ in range(count))


def _member(reader: _Reader) -> Member:
    member_id, state, weight = _MEMBER.unpack(reader.take(_MEMBER.size))
    try:
        known = MemberState(state)
    except ValueError as error:
        raise DecreeError(f"a member in state {state}, which this program does not know") from error
    return Member(member_id, known, weight, zone=reader.text(), address=reader.text())


def _former_set(reader: _Reader, replicas: int) -> bytes:
    return reader.take(replicas).rstrip(_EMPTY)
