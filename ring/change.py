"""How a decree is made from the one before: found, join, leave, remove, flip. What a proposer proposes.

Each function is pure and needs no role: any member can make the next decree, also of a change that another
one began and did not live to finish.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

from .codec import digest_of
from .config import MEMBERS_MAX, PARTITIONS_DEFAULT, REPLICAS_DEFAULT
from .decree import NO_PARENT, Decree, DecreeError, check_decree
from .member import Member, MemberState
from .placement import target_table
from .succession import check_successor, sorted_set
from .table import EMPTY_PLACE, Table
from .walk import next_table

__all__ = ["adjust", "cancel", "flip", "found", "join", "leave", "remove"]

_ENDS_WITH_THE_WALK: Final = {
    MemberState.JOINING: MemberState.ACTIVE,
    MemberState.ACTIVE: MemberState.ACTIVE,
    MemberState.LEAVING: MemberState.FORMER,
    MemberState.REMOVED: MemberState.FORMER,
    MemberState.FORMER: MemberState.FORMER,
}


def found(
    cluster_id: bytes,
    founder: Member,
    partitions: int = PARTITIONS_DEFAULT,
    replicas: int = REPLICAS_DEFAULT,
) -> Decree:
    """Return the first epoch of a new cluster, owned by its founder. DecreeError if a part is wrong.

    `cluster_id` is random: clusters that were founded apart can never take each other for their own.
    """
    founder = replace(founder, state=MemberState.ACTIVE)
    table = Table.of([[0]] * partitions, replicas)
    decree = Decree(cluster_id, 1, NO_PARENT, (founder,), table, None, (1,) * partitions, ((),) * partitions)
    check_decree(decree)
    return decree


def join(decree: Decree, newcomer: Member) -> Decree:
    """Return the epoch in which a newcomer begins to take data over. DecreeError if its id is known."""
    if decree.number_of(newcomer.member_id) is not None:
        raise DecreeError(
            f"member {newcomer.member_id.hex()} is known already: a node that was removed joins anew"
        )
    if len(decree.members) >= MEMBERS_MAX:
        raise DecreeError(f"the cluster knows {MEMBERS_MAX} members, former ones counted, and takes no more")
    newcomer = replace(newcomer, state=MemberState.JOINING)
    return _next(decree, (*decree.members, newcomer))


def leave(decree: Decree, member_id: bytes) -> Decree:
    """Return the epoch in which a member that lives begins to hand its data over."""
    return _next(decree, _with(decree, member_id, MemberState.LEAVING))


def remove(decree: Decree, member_id: bytes) -> Decree:
    """Return the epoch in which a dead member's rows begin to go to others, without waiting for it."""
    return _next(decree, _with(decree, member_id, MemberState.REMOVED))


def cancel(decree: Decree, member_id: bytes) -> Decree:
    """Return the epoch in which a join or a leave that is under way is taken back.

    What the joiner owns already goes back to others; one that owns nothing yet is forgotten at once.
    """
    number = decree.number_of(member_id)
    state = None if number is None else decree.members[number].state
    if state is MemberState.JOINING:
        return remove(decree, member_id)
    if state is MemberState.LEAVING:
        return _next(decree, _with(decree, member_id, MemberState.ACTIVE))
    raise DecreeError(f"member {member_id.hex()} is neither joining nor leaving")


def adjust(decree: Decree, member: Member) -> Decree:
    """Return the epoch in which a member has this weight, zone and address; its state stays."""
    number = decree.number_of(member.member_id)
    if number is None:
        raise DecreeError(f"{member.member_id.hex()} is no member")
    state = decree.members[number].state
    return _next(decree, _replaced(decree, number, replace(member, state=state)))


def flip(decree: Decree, ready: Iterable[int], settled: Collection[int] = ()) -> Decree:
    """Return the epoch in which the partitions `ready` belong to their pending owners.

    `settled` are partitions whose present owners hold all that former sets may know: those sets are
    forgotten. Whether a partition is ready or settled is for the caller to know. Where nothing is pending,
    `ready` is of no effect.
    """
    rows = list(decree.table.rows())
    if decree.pending is not None:
        for partition in ready:
            rows[partition] = decree.pending.row(partition)
    return _next(decree, decree.members, Table.of(rows, decree.replicas), settled)


# -- the parts of the next decree ----------------------------------------------------------------


def _with(decree: Decree, member_id: bytes, state: MemberState) -> tuple[Member, ...]:
    number = decree.number_of(member_id)
    if number is None or decree.members[number].state is MemberState.FORMER:
        raise DecreeError(f"{member_id.hex()} is no member")
    if not any(member.takes_data for other, member in enumerate(decree.members) if other != number):
        raise DecreeError("the last member cannot go: nobody would have the data")
    return _replaced(decree, number, replace(decree.members[number], state=state))


def _replaced(decree: Decree, number: int, member: Member) -> tuple[Member, ...]:
    return (*decree.members[:number], member, *decree.members[number + 1 :])


def _next(
    old: Decree, members: tuple[Member, ...], table: Table | None = None, settled: Collection[int] = ()
) -> Decree:
    """Put the next decree together: where each row is, where it goes next, what is remembered of it."""
    table = old.table if table is None else table
    pending = next_on_the_way(members, table)
    if pending is None:
        members = tuple(replace(member, state=_ENDS_WITH_THE_WALK[member.state]) for member in members)
    since, former = _history(old, table, frozenset(settled))
    new = Decree(
        old.cluster_id, old.epoch + 1, digest_of(old), members, table, pending, tuple(since), tuple(former),
        old.recoveries,
    )  # fmt: skip
    new = without_forgotten(new)
    check_successor(old, new)
    return new


def next_on_the_way(members: tuple[Member, ...], table: Table) -> Table | None:
    """Return the table that is pending: the next one on the way to where the data should be, None if it is
    there."""
    target = target_table(members, table.partitions, table.replicas)
    unwanted = {number for number, member in enumerate(members) if not member.takes_data}
    return None if table == target else next_table(table, target, unwanted)


def _history(old: Decree, table: Table, settled: frozenset[int]) -> tuple[list[int], list[tuple[bytes, ...]]]:
    since = list(old.since)
    former = [() if number in settled else sets for number, sets in enumerate(old.former)]
    for partition in range(old.partitions):
        before = sorted_set(old.table.row(partition))
        if before != sorted_set(table.row(partition)):
            since[partition] = old.epoch + 1
            former[partition] = (*former[partition], before)
    return since, former


def without_forgotten(decree: Decree) -> Decree:
    """Return it without the former members that no former set names, the others numbered anew."""
    named = set(b"".join(one for sets in decree.former for one in sets))
    kept = [
        number
        for number, member in enumerate(decree.members)
        if member.state is not MemberState.FORMER or number in named
    ]
    if len(kept) == len(decree.members):
        return decree
    numbers = bytearray(256)
    numbers[EMPTY_PLACE] = EMPTY_PLACE
    for new, old in enumerate(kept):
        numbers[old] = new
    renumbering = bytes(numbers)
    return replace(
        decree,
        members=tuple(decree.members[number] for number in kept),
        table=decree.table.renumbered(renumbering),
        pending=None if decree.pending is None else decree.pending.renumbered(renumbering),
        former=tuple(tuple(one.translate(renumbering) for one in sets) for sets in decree.former),
    )
