"""Messages as bytes: one format for datagrams and for frames of a stream (docs/gossip.md, "On the wire").

Rules of this file:
1. Decoding takes time and memory in proportion to the bytes, whatever they are, and raises `CodecError` or
   nothing.
2. What is decoded can be encoded: every field is within the limits that `config` sets.
3. Kinds that are not known are skipped, and so is what follows the known fields of a body: a newer release
   may say more. A kind's number is never used again for another.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import xxhash

from .config import (
    BROADCAST_BYTES_MAX,
    DATAGRAM_BYTES_MAX,
    METADATA_BYTES_MAX,
    SYNC_BUCKETS,
)
from .member import NodeId, Profile, Record, Status
from .message import (
    Ack,
    Broadcast,
    Dead,
    Duplicate,
    Entry,
    Left,
    Letter,
    Message,
    Nack,
    Ping,
    PingRequest,
    RelayedAck,
    Ring,
    Rumour,
    Suspect,
    SyncAsk,
    SyncTell,
)

FORMAT: Final = 1

_HEADER = struct.Struct(">BI16sQ")  # format, label, sender, generation
_FRAMING = struct.Struct(">BH")  # kind, bytes of the body
_PING = struct.Struct(">Q16sQQQ")
_ACK = struct.Struct(">QQQQ")
_PING_REQUEST = struct.Struct(">Q16s")
_RELAYED_ACK = struct.Struct(">Q16sQ")
_NACK = struct.Struct(">Q")
_RECORD = struct.Struct(">16sQQB")
_WORD = struct.Struct(">16sQQ16s")
_LEFT = struct.Struct(">16sQQ")
_SYNC_ASK = struct.Struct(f">{SYNC_BUCKETS}Q")
_SYNC_TELL = struct.Struct(">QB")
_DUPLICATE = struct.Struct(">16sQQ")
_BROADCAST = struct.Struct(">16sQQ")

HEADER_BYTES: Final = _HEADER.size


class CodecError(ValueError):
    """These bytes are no letter of this format and label."""


def label_of(name: str) -> int:
    """Return the 32 bits that stand for a cluster's label in every letter."""
    return xxhash.xxh32_intdigest(name.encode())


def encode_header(label: int, sender: NodeId, generation: int) -> bytes:
    """Return what every letter of `sender` begins with."""
    return _HEADER.pack(FORMAT, label, sender, generation)


# -- bodies --------------------------------------------------------------------------------------


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise CodecError("a text that is not UTF-8") from None


def _field(body: bytes, start: int) -> tuple[bytes, int]:
    end = start + 1
    if end > len(body):
        raise CodecError("a record that ends early")
    end += body[start]
    if end > len(body):
        raise CodecError("a record that ends early")
    return body[start + 1 : end], end


def _encode_record(record: Record) -> bytes:
    parts = [_RECORD.pack(record.node_id, record.generation, record.incarnation, record.status)]
    address, service, zone, version, metadata = record.profile
    for text in (address, service, zone, version):
        raw = text.encode()
        parts += (bytes((len(raw),)), raw)
    parts += (len(metadata).to_bytes(2, "big"), metadata)
    return b"".join(parts)


def _decode_record(body: bytes) -> Record:
    node_id, generation, incarnation, status = _RECORD.unpack_from(body)
    if status > Status.LEFT:
        raise CodecError("a status that nobody knows")
    address, at = _field(body, _RECORD.size)
    service, at = _field(body, at)
    zone, at = _field(body, at)
    version, at = _field(body, at)
    size = int.from_bytes(body[at : at + 2], "big")
    metadata = body[at + 2 : at + 2 + size]
    if len(metadata) != size or size > METADATA_BYTES_MAX or len(body) < at + 2:
        raise CodecError("a record that ends early, or is too long")
    profile = Profile(_text(address), _text(service), _text(zone), _text(version), metadata)
    try:
        profile.check()
    except ValueError as error:
        raise CodecError(str(error)) from None
    return Record(node_id, generation, incarnation, Status(status), profile)


def _decode_ping(body: bytes) -> Ping:
    nonce, target, digest, epoch, table = _PING.unpack_from(body)
    return Ping(nonce, target, digest, Ring(epoch, table))


def _decode_ack(body: bytes) -> Ack:
    nonce, digest, epoch, table = _ACK.unpack_from(body)
    return Ack(nonce, digest, Ring(epoch, table))


def _decode_sync_tell(body: bytes) -> SyncTell:
    mask, answer = _SYNC_TELL.unpack_from(body)
    return SyncTell(mask, bool(answer))


def _decode_broadcast(body: bytes) -> Broadcast:
    payload = body[_BROADCAST.size :]
    if len(payload) > BROADCAST_BYTES_MAX:
        raise CodecError("a broadcast that is too long")
    origin, generation, number = _BROADCAST.unpack_from(body)
    return Broadcast(origin, generation, number, payload)


_DECODERS: Final[dict[int, Callable[[bytes], Message]]] = {
    1: _decode_ping,
    2: _decode_ack,
    3: lambda body: PingRequest(*_PING_REQUEST.unpack_from(body)),
    4: lambda body: RelayedAck(*_RELAYED_ACK.unpack_from(body)),
    5: lambda body: Nack(*_NACK.unpack_from(body)),
    6: lambda body: Rumour(_decode_record(body)),
    7: lambda body: Entry(_decode_record(body)),
    8: lambda body: Suspect(*_WORD.unpack_from(body)),
    9: lambda body: Dead(*_WORD.unpack_from(body)),
    10: lambda body: Left(*_LEFT.unpack_from(body)),
    11: lambda body: SyncAsk(_SYNC_ASK.unpack_from(body)),
    12: _decode_sync_tell,
    13: lambda body: Duplicate(*_DUPLICATE.unpack_from(body)),
    14: _decode_broadcast,
}

_ENCODERS: Final[dict[type, tuple[int, Callable[..., bytes]]]] = {
    Ping: (1, lambda ping: _PING.pack(ping.nonce, ping.target, ping.digest, *ping.ring)),
    Ack: (2, lambda ack: _ACK.pack(ack.nonce, ack.digest, *ack.ring)),
    PingRequest: (3, lambda request: _PING_REQUEST.pack(*request)),
    RelayedAck: (4, lambda ack: _RELAYED_ACK.pack(*ack)),
    Nack: (5, lambda nack: _NACK.pack(*nack)),
    Rumour: (6, lambda rumour: _encode_record(rumour.record)),
    Entry: (7, lambda entry: _encode_record(entry.record)),
    Suspect: (8, lambda word: _WORD.pack(*word)),
    Dead: (9, lambda word: _WORD.pack(*word)),
    Left: (10, lambda word: _LEFT.pack(*word)),
    SyncAsk: (11, lambda ask: _SYNC_ASK.pack(*ask.buckets)),
    SyncTell: (12, lambda tell: _SYNC_TELL.pack(*tell)),
    Duplicate: (13, lambda word: _DUPLICATE.pack(*word)),
    Broadcast: (14, lambda word: _BROADCAST.pack(*word[:3]) + word.payload),
}


# -- letters -------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """Return one message, framed, to be put behind a header."""
    kind, pack = _ENCODERS[type(message)]
    body = pack(message)
    return _FRAMING.pack(kind, len(body)) + body


def decode(letter: bytes, label: int, *, bytes_max: int = DATAGRAM_BYTES_MAX) -> Letter:
    """Return what a datagram or frame says; `bytes_max` is `FRAME_BYTES_MAX` for a frame.

    Raises `CodecError` for what is too long, of another format or label, or broken anywhere: a letter is
    taken whole or not at all.
    """
    if len(letter) > bytes_max:
        raise CodecError(f"{len(letter)} bytes: at most {bytes_max}")
    try:
        version, theirs, sender, generation = _HEADER.unpack_from(letter)
    except struct.error:
        raise CodecError("too short for a header") from None
    if version != FORMAT or theirs != label:
        raise CodecError("another format, or another cluster")
    messages: list[Message] = []
    at, end = HEADER_BYTES, len(letter)
    while at < end:
        if at + _FRAMING.size > end:
            raise CodecError("a message that ends early")
        kind, size = _FRAMING.unpack_from(letter, at)
        at += _FRAMING.size + size
        if at > end:
            raise CodecError("a message that ends early")
        decoder = _DECODERS.get(kind)
        if decoder is None:
            continue
        try:
            messages.append(decoder(letter[at - size : at]))
        except struct.error:
            raise CodecError("a message that is too short") from None
    return Letter(sender, generation, messages)
