"""Recovery by force: how a decree is made that no vote can decide, because too many are dead for good.

Rules of this file:
1. What a quorum of the survivors can still tell is kept: a former set that has one stays whole. Of a set
   without one every survivor is asked, each as a set of its own: what a majority accepted of which one
   survives is found there.
2. Each partition counts as changed: whoever led it, or would with the votes of the dead, stands below all who
   are elected from now on.
3. The epoch leaps over all that those who were given up can decide among themselves. When they come back they
   find themselves out of the ring, like anybody who was removed: they hand over what they have, and wipe it.
4. Recoveries are remembered for ever, so that two that were made apart never merge.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from .change import next_on_the_way, without_forgotten
from .codec import digest_of
from .config import FORMER_SETS_MAX, LINEAGE_EPOCHS
from .decree import Decree, DecreeError, Recovery, check_decree
from .member import Member, MemberState, has_quorum
from .table import Table

__all__ = ["Losses", "losses", "recover"]

_OUT = (MemberState.REMOVED, MemberState.FORMER)


class Losses(NamedTuple):
    """What becomes of the partitions, if some members are given up."""

    kept: tuple[int, ...]
    """All that was acknowledged is there: a quorum of each set of replicas survives."""
    doubtful: tuple[int, ...]
    """Of what was acknowledged the latest may be gone, and so may locks that are held."""
    empty: tuple[int, ...]
    """Nobody survives who had them: all that was in them is gone."""


def losses(decree: Decree, lost: Collection[bytes]) -> Losses:
    """Say what it would cost to give these members up. DecreeError if it may not be, or need not."""
    alive, answering = _survivors(decree, lost), _answering(decree, lost)
    kept: list[int] = []
    doubtful: list[int] = []
    empty: list[int] = []
    for partition in range(decree.partitions):
        sets = decree.acceptor_sets(partition)
        if not alive.intersection(decree.writers(partition)):
            empty.append(partition)
        elif all(has_quorum(one, answering) for one in sets):
            kept.append(partition)
        else:
            doubtful.append(partition)
    if decree.may_decide(set(alive)) and not doubtful and not empty:
        raise DecreeError("a majority survives, of the members and of each key's owners: remove them instead")
    return Losses(tuple(kept), tuple(doubtful), tuple(empty))


def recover(decree: Decree, lost: Collection[bytes], tag: bytes, floor: int) -> Decree:
    """Return the first epoch of a new lineage, without the members that are lost for good.

    DecreeError if that may not be, or need not: a majority that survives can remove them by a vote.
    """
    losses(decree, lost)
    alive = _survivors(decree, lost)
    members = tuple(
        replace(member, state=MemberState.ACTIVE if number in alive else MemberState.FORMER)
        for number, member in enumerate(decree.members)
    )
    table = Table.of(
        (_row(decree, alive, partition) for partition in range(decree.partitions)), decree.replicas
    )
    epoch = (decree.epoch // LINEAGE_EPOCHS + 1) * LINEAGE_EPOCHS
    new = Decree(
        cluster_id=decree.cluster_id,
        epoch=epoch,
        parent=digest_of(decree),
        members=members,
        table=table,
        pending=next_on_the_way(members, table),
        since=(epoch,) * decree.partitions,
        former=tuple(_former(decree, lost, partition) for partition in range(decree.partitions)),
        recoveries=(*decree.recoveries, Recovery(epoch, tag, floor)),
    )
    new = without_forgotten(new)
    check_decree(new)
    return new


def _survivors(decree: Decree, lost: Collection[bytes]) -> frozenset[int]:
    """The numbers of those who go on: members that are neither lost nor out of the ring already."""
    for member_id in lost:
        if decree.number_of(member_id) is None:
            raise DecreeError(f"{member_id.hex()} is no member")
    if not lost:
        raise DecreeError("nobody is lost")
    alive = frozenset(number for number, member in enumerate(decree.members) if _goes_on(member, lost))
    if not alive:
        raise DecreeError("nobody would be left")
    return alive


def _answering(decree: Decree, lost: Collection[bytes]) -> frozenset[int]:
    """Who can be asked: those that are out of the ring already, too, as long as they live."""
    numbers = enumerate(decree.members)
    return frozenset(number for number, member in numbers if member.member_id not in lost)


def _goes_on(member: Member, lost: Collection[bytes]) -> bool:
    return member.member_id not in lost and member.state not in _OUT


def _row(decree: Decree, alive: frozenset[int], partition: int) -> bytes:
    """Who has a partition: its owners that survive, else who was about to have it, else anybody."""
    for row in (decree.owners(partition), decree.writers(partition), *reversed(decree.former[partition])):
        if there := bytes(number for number in row if number in alive):
            return there
    ranks = sorted(alive)
    return bytes([ranks[partition % len(ranks)]])


def _former(decree: Decree, lost: Collection[bytes], partition: int) -> tuple[bytes, ...]:
    """Whom to ask for what was decided before; of those out of the ring already, who lives is asked, too."""
    answering = _answering(decree, lost)
    found: list[bytes] = []
    for one in decree.acceptor_sets(partition):
        if has_quorum(one, answering):
            found.append(bytes(sorted(one)))
        else:
            found.extend(bytes([number]) for number in sorted(answering.intersection(one)))
    return tuple(dict.fromkeys(found))[-FORMER_SETS_MAX:]
