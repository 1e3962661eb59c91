"""What an operator sees of the ring: its balance, what is under way, where one partition is. Plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .codec import digest_of
from .decree import Decree
from .member import Member
from .share import copy_shares
from .table import moves

__all__ = ["partition_lines", "ring_lines"]

_HEADINGS = ("member", "state", "zone", "weight", "primaries", "copies", "fair", "to come", "address")


def ring_lines(decree: Decree) -> list[str]:
    """Return the ring's state: a line on the epoch, one on what is under way, then a table of the members.

    ``fair`` is how many copies a member should hold by its weight and zone, ``to come`` how many are on
    their way to it.
    """
    under_way = [] if decree.pending is None else moves(decree.table, decree.pending)
    fresh = [sum(number in move.added for move in under_way) for number in range(len(decree.members))]
    primaries = decree.table.primaries(len(decree.members))
    copies = decree.table.copies(len(decree.members))
    fair = _fair_copies(decree)
    rows = [
        (
            _short(member),
            member.state.name.lower(),
            member.zone or "-",
            str(member.weight),
            str(primaries[number]),
            str(copies[number]),
            f"{fair[number]:.0f}",
            str(fresh[number]),
            member.address or "-",
        )
        for number, member in enumerate(decree.members)
    ]
    return [
        f"cluster {decree.cluster_id.hex()}  epoch {decree.epoch}  table {digest_of(decree).hex()}",
        f"{decree.partitions} partitions, {decree.replicas} replicas; {_movement(decree, sum(fresh))}",
        *_aligned([_HEADINGS, *rows]),
    ]


def partition_lines(decree: Decree, partition: int) -> list[str]:
    """Return who has a partition, in order of preference, who is to have it, who may know of its past."""
    lines = [f"partition {partition}, since epoch {decree.since[partition]}"]
    owners = decree.owners(partition)
    lines += [
        f"  {'primary' if rank == 0 else 'replica'}  {_named(decree, number)}"
        for rank, number in enumerate(owners)
    ]
    lines += [f"  pending  {_named(decree, number)}" for number in decree.writers(partition)[len(owners) :]]
    for number in sorted(set(b"".join(decree.former[partition])) - set(owners)):
        lines.append(f"  former   {_named(decree, number)}")
    return lines


def _fair_copies(decree: Decree) -> Sequence[float]:
    """For each member its fair number of copies; 0 for who takes no data."""
    takers = [member for member in decree.members if member.takes_data]
    shares = iter(copy_shares([one.weight for one in takers], [one.zone for one in takers], decree.replicas))
    return [next(shares) * decree.partitions if one.takes_data else 0.0 for one in decree.members]


def _movement(decree: Decree, count: int) -> str:
    if decree.pending is None:
        return "at rest"
    return f"{count} {'copy' if count == 1 else 'copies'} under way"


def _short(member: Member) -> str:
    return member.member_id.hex()[:12]


def _named(decree: Decree, number: int) -> str:
    member = decree.members[number]
    return " ".join(filter(None, (_short(member), member.zone, member.address)))


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns, two spaces apart, as wide as their widest cell."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
