"""What a core tells its shell to do, and what it tells the application of others.

A core never waits for the outcome of an instruction: a datagram that cannot be sent is a datagram that was
lost.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from .member import NodeId, Profile, Status
from .message import Ring


class SendDatagram(NamedTuple):
    """Send it, once."""

    address: str
    data: bytes


class SendFrame(NamedTuple):
    """Send it on the stream that is open to this address, or open one. An answer comes back on the same
    stream."""

    address: str
    data: bytes


class KeepGeneration(NamedTuple):
    """Make it durable BEFORE anything that follows in the same list is sent: the node goes on in this
    generation."""

    generation: int


class Halted(enum.Enum):
    """Why a core does nothing any more."""

    LEFT = "it has left, as it was told to"
    DUPLICATE = "its id is in use by a node that was started earlier and is alive: the data folder was copied"
    SUPERSEDED = "its id is in use by a node that was started later, and that the cluster goes by"


class Halt(NamedTuple):
    """The node is no member any more, for this reason. Nothing follows."""

    reason: Halted


class Change(enum.Enum):
    """What happened to a member, as this node sees it."""

    JOINED = "joined"
    """It is here, proven by an answer of its own; or it is here again, in a later generation."""
    SUSPECTED = "suspected"
    FAILED = "failed"
    LEFT = "left"
    UPDATED = "updated"
    """It refuted a suspicion, or its profile changed."""


class MemberView(NamedTuple):
    """What is believed of a member, frozen."""

    node_id: NodeId
    generation: int
    incarnation: int
    status: Status
    profile: Profile
    since: float
    rtt_s: float | None
    ring: Ring | None


class MemberChanged(NamedTuple):
    """An event for the node and for users' own code."""

    change: Change
    member: MemberView


class RingHeard(NamedTuple):
    """A member said something new of its ring."""

    node_id: NodeId
    ring: Ring


class BroadcastHeard(NamedTuple):
    """Bytes of the application, from `origin`: at most once each, in any order, perhaps never."""

    origin: NodeId
    payload: bytes


Instruction = SendDatagram | SendFrame | KeepGeneration | Halt | MemberChanged | RingHeard | BroadcastHeard
