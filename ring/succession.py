"""What may follow what: the rules that a voter holds against a proposed decree before it accepts one.

Rules of this file:
1. A decree follows one decree, named by its digest: of two changes made at the same time one is refused
   and made again on top of the other, and neither is ever lost silently.
2. One member changes an epoch. Who arrived, left or was forgotten as a consequence is not counted.
3. A row stays as it was, or becomes what the pending table said. So nobody owns what it was not sent.
4. Former sets of a row are dropped all or none: to drop them says that the present set knows everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .codec import digest_of
from .decree import Decree, DecreeError, check_decree
from .member import Member, MemberState
from .table import EMPTY_PLACE, LOST_MEMBER

__all__ = ["check_descendant", "check_successor", "is_newer", "sorted_set"]

_CHANGES: Final = {
    MemberState.JOINING: frozenset({MemberState.JOINING, MemberState.ACTIVE}),
    MemberState.ACTIVE: frozenset({MemberState.ACTIVE}),
    MemberState.LEAVING: frozenset({MemberState.LEAVING, MemberState.FORMER, None}),
    MemberState.REMOVED: frozenset({MemberState.REMOVED, MemberState.FORMER, None}),
    MemberState.FORMER: frozenset({MemberState.FORMER, None}),
}
"""What becomes of a member by itself; None is forgotten."""

_CHOICES: Final = {
    MemberState.JOINING: frozenset({MemberState.LEAVING, MemberState.REMOVED, MemberState.FORMER, None}),
    MemberState.ACTIVE: frozenset({MemberState.LEAVING, MemberState.REMOVED, MemberState.FORMER, None}),
    MemberState.LEAVING: frozenset({MemberState.ACTIVE, MemberState.REMOVED}),
    MemberState.REMOVED: frozenset[MemberState | None](),
    MemberState.FORMER: frozenset[MemberState | None](),
}
"""What becomes of it because somebody said so: one such change an epoch."""


def is_newer(mine: Decree, theirs: Decree) -> bool:
    """Return whether a decree that somebody sent supersedes one's own.

    Raises DecreeError if it is of another cluster, or of the same epoch and another content: two clusters
    that were founded apart never merge, and no rule could tell which of two contents is right.
    """
    if mine.cluster_id != theirs.cluster_id:
        raise DecreeError(
            f"this is cluster {mine.cluster_id.hex()}, the other is {theirs.cluster_id.hex()}: "
            "clusters that were founded apart do not merge. Start a node with an empty data folder to join"
        )
    if mine.epoch == theirs.epoch and digest_of(mine) != digest_of(theirs):
        raise DecreeError(f"two contents of epoch {mine.epoch}: one of the two was not voted on")
    return theirs.epoch > mine.epoch


def check_successor(old: Decree, new: Decree) -> None:
    """Raise DecreeError if `new` may not be the next epoch after `old`, or breaks a rule of `check_decree`.

    The voters of `old` decide. Whoever was away for several epochs cannot ask this of the last one, and
    need not: that one was voted on by those who could.
    """
    check_decree(new)
    for fault in _faults(old, new):
        raise DecreeError(fault)


def check_descendant(old: Decree, new: Decree) -> None:
    """Raise DecreeError if `new`, of a later epoch of one cluster, cannot have come of `old`.

    What lies between is not known, so this is what every chain of allowed steps keeps: sizes, and of each
    partition either the set of replicas, or that it changed after `old`. It tells two histories of one
    cluster apart (one of them out of a backup), not a voted decree from one that somebody made up.
    """
    check_decree(new)
    if new.cluster_id != old.cluster_id:
        raise DecreeError(f"cluster {new.cluster_id.hex()} does not come of cluster {old.cluster_id.hex()}")
    if new.epoch <= old.epoch:
        raise DecreeError(f"epoch {new.epoch} does not come after epoch {old.epoch}")
    if new.recoveries[: len(old.recoveries)] != old.recoveries:
        raise DecreeError(
            "the cluster was recovered by force twice, by nodes that did not know of each other: the two do "
            "not merge. Decide for one; the nodes of the other start anew, with empty data folders"
        )
    if (new.partitions, new.replicas) != (old.partitions, old.replicas):
        raise DecreeError("the number of partitions and of replicas is fixed for the life of a cluster")
    for partition in range(old.partitions):
        if new.since[partition] > old.epoch:
            continue
        if new.since[partition] != old.since[partition] or _ids(old, partition) != _ids(new, partition):
            raise DecreeError(
                f"epoch {new.epoch} is of another history than this epoch {old.epoch}: "
                f"they differ in who had partition {partition} since epoch {new.since[partition]}"
            )


def _ids(decree: Decree, partition: int) -> set[bytes]:
    return {decree.members[number].member_id for number in decree.owners(partition)}


def sorted_set(row: bytes) -> bytes:
    """Return a row as a set: who is in it, without order."""
    return bytes(sorted(row))


def _faults(old: Decree, new: Decree) -> Iterator[str]:
    if new.cluster_id != old.cluster_id:
        yield f"cluster {new.cluster_id.hex()} cannot follow cluster {old.cluster_id.hex()}"
    if new.epoch != old.epoch + 1:
        yield f"epoch {new.epoch} cannot follow epoch {old.epoch}"
    if new.parent != digest_of(old):
        yield f"made for another epoch {old.epoch} than the one there was: make it again"
    if (new.partitions, new.replicas) != (old.partitions, old.replicas):
        yield "the number of partitions and of replicas is fixed for the life of a cluster"
    if new.recoveries != old.recoveries:
        yield "nobody votes on a recovery by force, nor forgets one"
    yield from _faults_of_members(old, new)
    yield from _faults_of_rows(old, new)


def _faults_of_members(old: Decree, new: Decree) -> Iterator[str]:
    there = {member.member_id: member for member in new.members}
    before = [member.member_id for member in old.members]
    kept = [member_id for member_id in before if member_id in there]
    if [member.member_id for member in new.members][: len(kept)] != kept:
        yield "the order of seniority changed"
    chosen = 0
    for member in old.members:
        successor = there.get(member.member_id)
        state = None if successor is None else successor.state
        if state not in _CHANGES[member.state]:
            if state not in _CHOICES[member.state]:
                name = "forgotten" if state is None else state.name
                yield f"a member that is {member.state.name} does not become {name}"
            chosen += 1
        elif successor is not None and _traits(member) != _traits(successor):
            chosen += 1
    for member in new.members[len(kept) :]:
        # One that is to get no row, of a table with few, has nothing to take over.
        idle = member.state is MemberState.ACTIVE and new.pending is None
        if member.state is not MemberState.JOINING and not idle:
            yield f"a new member is JOINING, not {member.state.name}"
        chosen += 1
    if chosen > 1:
        yield f"{chosen} members change at once: one an epoch"


def _traits(member: Member) -> tuple[int, str, str]:
    return member.weight, member.zone, member.address


def _faults_of_rows(old: Decree, new: Decree) -> Iterator[str]:
    numbers = _renumbering(old, new)
    table = old.table.renumbered(numbers)
    pending = table if old.pending is None else old.pending.renumbered(numbers)
    for partition in range(old.partitions):
        row, before = new.table.row(partition), table.row(partition)
        if row not in (before, pending.row(partition)):
            yield f"partition {partition} went to where nothing was pending"
        sets = tuple(sorted_set(one.translate(numbers)) for one in old.former[partition])
        if sorted_set(row) == sorted_set(before):
            since = old.since[partition]
            allowed = {sets, ()}
        else:
            since = new.epoch
            allowed = {(*sets, sorted_set(before)), (sorted_set(before),)}
        if new.since[partition] != since:
            yield f"partition {partition} has its replicas since epoch {since}, not {new.since[partition]}"
        if new.former[partition] not in allowed:
            yield f"partition {partition} forgets a former set of replicas, or makes one up"


def _renumbering(old: Decree, new: Decree) -> bytes:
    """For each number in the old decree, that in the new one."""
    numbers = bytearray([LOST_MEMBER] * 256)
    numbers[EMPTY_PLACE] = EMPTY_PLACE
    for number, member in enumerate(old.members):
        found = new.number_of(member.member_id)
        if found is not None:
            numbers[number] = found
    return bytes(numbers)
