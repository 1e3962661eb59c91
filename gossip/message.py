"""The messages that nodes send each other, as values. `codec` turns them into bytes and back."""

from __future__ import annotations

from typing import NamedTuple

from .member import NodeId, Record


class Ring(NamedTuple):
    """What a node says of its ring: the epoch, and a digest of its table."""

    epoch: int = 0
    digest: int = 0


class Ping(NamedTuple):
    """Are you there? Answered by an `Ack` with the same nonce, which nobody can know in advance."""

    nonce: int
    target: NodeId
    digest: int
    ring: Ring


class Ack(NamedTuple):
    """I am here."""

    nonce: int
    digest: int
    ring: Ring


class PingRequest(NamedTuple):
    """Please probe `target` for me. Answered by a `RelayedAck` or a `Nack`, with the same nonce."""

    nonce: int
    target: NodeId


class RelayedAck(NamedTuple):
    """The one whom you asked me to probe has answered, in this generation."""

    nonce: int
    target: NodeId
    generation: int


class Nack(NamedTuple):
    """I got your request; the one whom you asked me to probe has not answered yet."""

    nonce: int


class Rumour(NamedTuple):
    """A node says of itself that it is alive: the record as it made it."""

    record: Record


class Entry(NamedTuple):
    """One record of somebody's view, in a sync."""

    record: Record


class Suspect(NamedTuple):
    """`reporter` got no answer. `NOBODY` reports what was learnt by a sync."""

    node_id: NodeId
    generation: int
    incarnation: int
    reporter: NodeId


class Dead(NamedTuple):
    """A suspicion was not refuted in time, says `reporter`."""

    node_id: NodeId
    generation: int
    incarnation: int
    reporter: NodeId


class Left(NamedTuple):
    """A node's own last word."""

    node_id: NodeId
    generation: int
    incarnation: int


class SyncAsk(NamedTuple):
    """The digests of my buckets: tell me what is in those that differ."""

    buckets: tuple[int, ...]


class SyncTell(NamedTuple):
    """What follows are my entries of the buckets whose bits are set; tell me yours if `answer` is set."""

    mask: int
    answer: bool


class Duplicate(NamedTuple):
    """`node_id` is alive in generation `elder` elsewhere: the one started as `younger` has to stop."""

    node_id: NodeId
    elder: int
    younger: int


class Broadcast(NamedTuple):
    """Bytes of the application, numbered by who sent them first."""

    origin: NodeId
    generation: int
    number: int
    payload: bytes


Message = (
    Ping
    | Ack
    | PingRequest
    | RelayedAck
    | Nack
    | Rumour
    | Entry
    | Suspect
    | Dead
    | Left
    | SyncAsk
    | SyncTell
    | Duplicate
    | Broadcast
)


class Letter(NamedTuple):
    """All that one datagram or frame said, and who says that it sent it."""

    sender: NodeId
    generation: int
    messages: list[Message]
