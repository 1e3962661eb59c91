"""A decree: all that an epoch of the cluster is, as one value. And the rules that any single one keeps.

Rules of this file:
1. A decree carries results. Nobody who reads one computes a table, so two versions of the placement can
   live in one cluster, and what a client, a node and a voter see is the same bytes.
2. A table changes through a pending table: pending owners take every write and count in no majority. A row
   that flips to them has an epoch of such writes behind it.
3. `since` and `former` are what atomic operations need to find every acceptor that may know something: the
   epoch in which a row's set of replicas last changed, and older sets whose state is not known to be
   transferred.
4. Whoever recovers a cluster by force begins a lineage (ring/recovery.py). Decrees name all recoveries that
   they come of, so that two histories are told apart, and none is taken for another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from .config import (
    ADDRESS_BYTES_MAX,
    CLUSTER_PARTITIONS_MAX,
    FORMER_SETS_MAX,
    MEMBERS_MAX,
    RECOVERIES_MAX,
    REPLICAS_MAX,
    WEIGHTS_MAX,
    ZONE_BYTES_MAX,
)
from .member import MEMBER_ID_BYTES, Member, MemberState, has_quorum
from .table import Table, moves

__all__ = [
    "CLUSTER_ID_BYTES",
    "DIGEST_BYTES",
    "EPOCH_MAX",
    "NO_PARENT",
    "TAG_BYTES",
    "Decree",
    "DecreeError",
    "Recovery",
    "check_decree",
]

CLUSTER_ID_BYTES: Final = 16
DIGEST_BYTES: Final = 8
NO_PARENT: Final = bytes(DIGEST_BYTES)
TAG_BYTES: Final = 8
FLOOR_MAX: Final = (1 << 63) - 1
EPOCH_MAX: Final = (1 << 63) - 1


class DecreeError(ValueError):
    """The decree is not one, or may not follow; the message says why. Nothing happened."""


class Recovery(NamedTuple):
    """That a cluster was recovered by force: members were given up that no vote could do without."""

    epoch: int
    """The first of the new lineage."""
    tag: bytes
    """Random, so that two recoveries that were made apart are never one."""
    floor: int
    """All stamps, and so all tokens of locks, are above this one since."""


@dataclass(frozen=True, slots=True)
class Decree:
    """One epoch.

    `parent` is the digest of the decree before, so that a decree made for another past is never taken.
    `members` stand in order of seniority; tables and sets name them by their place in it.
    `pending` is the next table on the way to where the members' data should be, None when it is there.
    """

    cluster_id: bytes
    epoch: int
    parent: bytes
    members: tuple[Member, ...]
    table: Table
    pending: Table | None
    since: tuple[int, ...]
    """Of each partition, the epoch in which its set of replicas last changed."""
    former: tuple[tuple[bytes, ...], ...]
    """Of each partition, older sets of replicas, oldest first, each in ascending order."""
    recoveries: tuple[Recovery, ...] = ()
    """Those that this decree comes of, oldest first."""

    @property
    def partitions(self) -> int:
        return self.table.partitions

    @property
    def replicas(self) -> int:
        """The most that a row has."""
        return self.table.replicas

    def number_of(self, member_id: bytes) -> int | None:
        """Return a member's number, None for a stranger."""
        return next((n for n, member in enumerate(self.members) if member.member_id == member_id), None)

    def voters(self) -> tuple[int, ...]:
        """Return who is asked for the next decree: `has_quorum` of them, dead ones counted, decides it."""
        return tuple(number for number, member in enumerate(self.members) if member.votes)

    def may_decide(self, answered: set[int]) -> bool:
        """Return whether the next epoch is decided if these members accepted it."""
        return has_quorum(self.voters(), answered)

    def owners(self, partition: int) -> bytes:
        """Return who serves a partition, the primary owner first. Majorities are of these."""
        return self.table.row(partition)

    def writers(self, partition: int) -> bytes:
        """Return who gets every write: the owners, then those who are to be."""
        owners = self.table.row(partition)
        if self.pending is None:
            return owners
        return owners + bytes(number for number in self.pending.row(partition) if number not in owners)

    def acceptor_sets(self, partition: int) -> tuple[bytes, ...]:
        """Return the sets of which each must give a quorum before somebody leads the partition."""
        return *self.former[partition], self.table.row(partition)


def check_decree(decree: Decree) -> None:
    """Raise DecreeError if the decree breaks a rule that can be seen from it alone."""
    for fault in _faults(decree):
        raise DecreeError(fault)


def _faults(decree: Decree) -> Iterator[str]:
    """What is wrong, each in words. Later rules take it that the earlier ones are kept."""
    yield from _faults_of_head(decree)
    yield from _faults_of_members(decree)
    yield from _faults_of_tables(decree)
    yield from _faults_of_history(decree)
    yield from _faults_of_recoveries(decree)
    yield from _faults_of_states(decree)


def _faults_of_head(decree: Decree) -> Iterator[str]:
    if len(decree.cluster_id) != CLUSTER_ID_BYTES:
        yield f"a cluster id has {CLUSTER_ID_BYTES} bytes, not {len(decree.cluster_id)}"
    if not 1 <= decree.epoch <= EPOCH_MAX:
        yield f"{decree.epoch} is no epoch"
    if len(decree.parent) != DIGEST_BYTES:
        yield f"a digest has {DIGEST_BYTES} bytes, not {len(decree.parent)}"
    if (decree.parent == NO_PARENT) != (decree.epoch == 1):
        yield "the first epoch has no parent, every other has one"


def _faults_of_members(decree: Decree) -> Iterator[str]:
    if len(decree.members) > MEMBERS_MAX:
        yield f"{len(decree.members)} members, former ones counted, are more than {MEMBERS_MAX}"
    if len({member.member_id for member in decree.members}) < len(decree.members):
        yield "a member stands there twice"
    for member in decree.members:
        yield from _faults_of_member(member)
    if not any(member.votes for member in decree.members):
        yield "nobody would be left to vote"
    if not any(member.takes_data for member in decree.members):
        yield "nobody would be left to take the data"


def _faults_of_member(member: Member) -> Iterator[str]:
    if len(member.member_id) != MEMBER_ID_BYTES:
        yield f"a member id has {MEMBER_ID_BYTES} bytes, not {len(member.member_id)}"
    if not 1 <= member.weight <= WEIGHTS_MAX:
        yield f"a weight is 1 to {WEIGHTS_MAX}, not {member.weight}"
    for name, text, limit in (
        ("zone", member.zone, ZONE_BYTES_MAX),
        ("address", member.address, ADDRESS_BYTES_MAX),
    ):
        if not text.isprintable():  # it goes into terminals; lone surrogates cannot be encoded, either
            yield f"characters of the {name} cannot be printed: {text!r}"
        elif len(text.encode()) > limit:
            yield f"the {name} is longer than {limit} bytes"


def _faults_of_tables(decree: Decree) -> Iterator[str]:
    if not 1 <= decree.replicas <= REPLICAS_MAX:
        yield f"a row has 1 to {REPLICAS_MAX} replicas, not {decree.replicas}"
    if decree.partitions > CLUSTER_PARTITIONS_MAX:
        yield f"{decree.partitions} partitions are more than {CLUSTER_PARTITIONS_MAX}"
    if (fault := decree.table.fault(len(decree.members))) is not None:
        yield f"the table: {fault}"
    if decree.pending is None:
        return
    if (decree.pending.partitions, decree.pending.replicas) != (decree.partitions, decree.replicas):
        yield "the pending table has another size"
    if (fault := decree.pending.fault(len(decree.members))) is not None:
        yield f"the pending table: {fault}"
    for move in moves(decree.table, decree.pending):
        if len(move.added) > 1:
            yield f"partition {move.partition} would get {len(move.added)} new replicas at once"
        if len(move.dropped) > 1:
            yield f"partition {move.partition} would lose {len(move.dropped)} replicas at once"
        if not all(decree.members[number].takes_data for number in move.added):
            yield f"partition {move.partition} would go to a member that takes no data"


def _faults_of_history(decree: Decree) -> Iterator[str]:
    if len(decree.since) != decree.partitions or len(decree.former) != decree.partitions:
        yield "each partition has one place in `since` and one in `former`"
    if min(decree.since) < 1 or max(decree.since) > decree.epoch:
        yield "a set of replicas changed in an epoch that is not there yet"
    seen: set[bytes] = set()
    for partition, sets in enumerate(decree.former):
        if len(sets) > FORMER_SETS_MAX:
            yield f"partition {partition} has over {FORMER_SETS_MAX} former sets: wait until it has settled"
        seen.update(sets)
    for one in sorted(seen):
        if not 1 <= len(one) <= decree.replicas or bytes(sorted(set(one))) != one:
            yield "a former set has members in ascending order, no more than a row has"
        elif one[-1] >= len(decree.members):
            yield f"a former set names member {one[-1]} of {len(decree.members)}"


def _faults_of_recoveries(decree: Decree) -> Iterator[str]:
    if len(decree.recoveries) > RECOVERIES_MAX:
        yield f"a cluster is recovered by force {RECOVERIES_MAX} times at most"
    epoch = 1
    for recovery in decree.recoveries:
        if not epoch < recovery.epoch <= decree.epoch:
            yield f"a recovery in epoch {recovery.epoch} that is not behind the one before, or not there yet"
        if len(recovery.tag) != TAG_BYTES or not 0 <= recovery.floor <= FLOOR_MAX:
            yield f"a recovery has a tag of {TAG_BYTES} bytes and a stamp"
        epoch = recovery.epoch


def _faults_of_states(decree: Decree) -> Iterator[str]:
    """What members are and what tables say of them must agree."""
    owning = decree.table.named() | (set() if decree.pending is None else decree.pending.named())
    remembered = set(b"".join(one for sets in decree.former for one in sets))
    for number, member in enumerate(decree.members):
        if member.state is MemberState.FORMER:
            if number in owning:
                yield "a former member owns nothing"
            if number not in remembered:
                yield "a former member is forgotten when no former set names it"
        elif member.state is not MemberState.ACTIVE and decree.pending is None:
            yield f"a member is {member.state.name}, and nothing is pending"
