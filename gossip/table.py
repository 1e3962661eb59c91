"""The view: all members that a node knows of, a digest of those alive, and lists to draw from.

Rules of this file:
1. Nothing here takes time in proportion to the members, but what says so, and a shift of a list on a join or
   a death.
2. The digest is of who is alive or suspected, in which generation and incarnation. A suspicion is for a few
   to know and changes no digest, nor do the dead, whom everybody forgets at another time.
3. A node is in its own table, but never in the list of peers.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

import xxhash

from .agenda import Appointment
from .config import SYNC_BUCKETS
from .member import NodeId, Profile, Record, Status
from .message import Ring
from .suspicion import Suspicion

_HASHED = struct.Struct(">16sQQ")
_NOWHERE = -1


def bucket_of(node_id: NodeId) -> int:
    """Return which part of a sync carries this node. Ids are random, so any of their bytes will do."""
    return node_id[-1] % SYNC_BUCKETS


def hash_of(node_id: NodeId, generation: int, incarnation: int) -> int:
    """Return what one who is alive adds to a digest."""
    return xxhash.xxh3_64_intdigest(_HASHED.pack(node_id, generation, incarnation)) or 1


class Member:
    """What a node believes of another. Only `Table` changes what is in its digest or lists."""

    __slots__ = (
        "broadcast_number",
        "broadcast_window",
        "digest_heard",
        "generation",
        "hash",
        "incarnation",
        "node_id",
        "place",
        "profile",
        "ring",
        "rtt_s",
        "since",
        "status",
        "suspicion",
        "tombstone",
    )

    def __init__(self, record: Record, now: float) -> None:
        self.node_id = record.node_id
        self.generation = record.generation
        self.incarnation = record.incarnation
        self.status = record.status
        self.profile: Profile = record.profile
        self.since = now  # when it came to be in this status
        self.rtt_s: float | None = None  # a moving mean over direct answers
        self.ring: Ring | None = None  # what it last said of its ring
        self.digest_heard: tuple[int, float] | None = None  # what it last said of its view, and when
        self.suspicion: Suspicion | None = None  # while it is suspected
        self.tombstone: Appointment | None = None  # while it is dead, or has left: when it is forgotten
        self.broadcast_number = 0  # the highest heard of this generation, and which of those just below
        self.broadcast_window = 0
        self.hash = 0  # its part of the digest: 0 if it is not alive
        self.place = _NOWHERE  # in the list of peers

    @property
    def live(self) -> bool:
        """Alive, as far as is known: a suspect is, until its time is up."""
        return self.status <= Status.SUSPECT

    def record(self) -> Record:
        """Return what would be said of it to others."""
        return Record(self.node_id, self.generation, self.incarnation, self.status, self.profile)


class Table:
    """Members by id. `owner` is the node whose view it is."""

    def __init__(self, owner: NodeId) -> None:
        self.owner = owner
        self.digest = 0
        self.buckets = [0] * SYNC_BUCKETS
        self.peers: list[Member] = []  # alive or suspected, in no order
        self._circle: list[NodeId] = []  # the same, by id
        self.gone: dict[NodeId, Member] = {}  # dead or left, oldest first
        self.changed_at = float("-inf")  # when the digest last changed
        self._members: dict[NodeId, Member] = {}
        self._ids: list[dict[NodeId, None]] = [{} for _ in range(SYNC_BUCKETS)]

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    @property
    def live_count(self) -> int:
        """Members alive or suspected, the owner included."""
        return len(self.peers) + 1

    def get(self, node_id: NodeId) -> Member | None:
        """Return a member, dead ones too, or None."""
        return self._members.get(node_id)

    def live(self, node_id: NodeId) -> Member | None:
        """Return a member that is alive or suspected, or None."""
        member = self._members.get(node_id)
        return member if member is not None and member.live else None

    def successor(self) -> Member | None:
        """Return the live peer that follows the owner on the circle of ids, or None if there is no peer."""
        circle = self._circle
        if not circle:
            return None
        return self._members[circle[bisect_right(circle, self.owner) % len(circle)]]

    def put(self, record: Record, now: float) -> Member:
        """Make this the record of its node, whatever was known before; the caller has compared them."""
        member = self._members.get(record.node_id)
        if member is None:
            member = self._members[record.node_id] = Member(record, now)
            self._ids[bucket_of(record.node_id)][record.node_id] = None
        else:
            if member.status is not record.status or member.generation != record.generation:
                member.since = now
            if member.generation != record.generation:
                member.broadcast_number = member.broadcast_window = 0
                member.ring = member.digest_heard = None
            _, member.generation, member.incarnation, member.status, member.profile = record
        self._rehash(member, now)
        self._relist(member)
        return member

    def forget(self, node_id: NodeId) -> None:
        """Remove one who is dead or has left."""
        member = self._members.get(node_id)
        if member is not None and not member.live:
            del self._members[node_id]
            del self._ids[bucket_of(node_id)][node_id]
            self.gone.pop(node_id, None)

    def bucket(self, index: int) -> Iterator[Member]:
        """Return the members of one bucket, the dead included."""
        return (self._members[node_id] for node_id in self._ids[index])

    def _rehash(self, member: Member, now: float) -> None:
        new = 0
        if member.live:
            new = hash_of(member.node_id, member.generation, member.incarnation)
        if new != member.hash:
            change = new ^ member.hash
            self.digest ^= change
            self.buckets[bucket_of(member.node_id)] ^= change
            member.hash = new
            self.changed_at = now

    def _relist(self, member: Member) -> None:
        if member.node_id == self.owner:
            return
        if member.live:
            self.gone.pop(member.node_id, None)
            if member.place == _NOWHERE:
                member.place = len(self.peers)
                self.peers.append(member)
                insort(self._circle, member.node_id)
            return
        self.gone[member.node_id] = member
        if member.place != _NOWHERE:
            last = self.peers.pop()
            if last is not member:
                self.peers[member.place] = last
                last.place = member.place
            member.place = _NOWHERE
            del self._circle[bisect_left(self._circle, member.node_id)]

    def validate(self) -> None:
        """Assert what must always hold; takes time in proportion to the members. For tests."""
        digest = 0
        for member in self:
            digest ^= member.hash
            assert bool(member.hash) is member.live, member.record()
            assert (member.suspicion is not None) is (member.status is Status.SUSPECT), member.record()
            if member.node_id != self.owner:
                assert (member.place != _NOWHERE) is member.live, member.record()
                assert (member.node_id in self.gone) is not member.live, member.record()
        assert digest == self.digest
        assert self._circle == sorted(peer.node_id for peer in self.peers)
        assert all(self.peers[peer.place] is peer for peer in self.peers)
        assert sum(map(len, self._ids)) == len(self._members)
