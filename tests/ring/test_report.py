"""What an operator reads."""

from __future__ import annotations

from dataclasses import replace

from ringdict.ring.change import adjust, flip, join, leave
from ringdict.ring.report import partition_lines, ring_lines

from .rings import cluster_of, everywhere, member

THREE = cluster_of(3)
JOINING = join(THREE, member(3, weight=2, zone="b"))


def test_a_ring_at_rest() -> None:
    lines = ring_lines(THREE)
    assert lines[0].startswith("cluster 6120636c75737465722773206964")
    assert lines[0].endswith("epoch 6  table f6fac53e399cb3b9")
    assert lines[1] == "16 partitions, 3 replicas; at rest"
    assert lines[2].split() == [
        "member",
        "state",
        "zone",
        "weight",
        "primaries",
        "copies",
        "fair",
        "to",
        "come",
        "address",
    ]
    cells = [line.split() for line in lines[3:]]
    assert [row[0] for row in cells] == [member(number).member_id.hex()[:12] for number in range(3)]
    assert {tuple(row[1:4]) for row in cells} == {("active", "-", "1")}
    assert [int(row[4]) for row in cells] == THREE.table.primaries(3)
    assert {tuple(row[5:8]) for row in cells} == {("16", "16", "0")}
    assert [row[8] for row in cells] == [f"10.0.0.{number}:7000" for number in range(3)]


def test_columns_stand_below_each_other() -> None:
    table = ring_lines(JOINING)[2:]
    starts = table[0].index("address")
    assert [line.index("10.0.0.") for line in table[1:]] == [starts] * 4


def test_a_join_under_way() -> None:
    pending = JOINING.pending
    assert pending is not None
    coming = pending.copies(4)[3]
    lines = ring_lines(JOINING)
    assert lines[1] == f"16 partitions, 3 replicas; {coming} copies under way"
    # Two zones, three replicas: the lone member of the second has a copy of each row.
    assert lines[6].split()[:8] == [
        member(3).member_id.hex()[:12],
        "joining",
        "b",
        "2",
        "0",
        "0",
        "16",
        str(coming),
    ]
    rest = [number for number in everywhere(JOINING) if 3 in pending.row(number)][1:]
    assert ring_lines(flip(JOINING, rest))[1].endswith("; 1 copy under way")


def test_who_does_not_take_data_has_no_fair_share() -> None:
    nameless = adjust(cluster_of(3), replace(member(0), address=""))
    assert ring_lines(nameless)[3].endswith("-")
    leaving = ring_lines(leave(nameless, member(1).member_id))
    assert [line.split()[6] for line in leaving[3:]] == ["16", "0", "16"]


def test_where_one_partition_is() -> None:
    pending = JOINING.pending
    assert pending is not None
    partition = next(number for number in everywhere(JOINING) if 3 in pending.row(number))
    owners = [member(number).member_id.hex()[:12] for number in JOINING.owners(partition)]
    addresses = [f"10.0.0.{number}:7000" for number in JOINING.owners(partition)]
    joiner = f"{member(3).member_id.hex()[:12]} b 10.0.0.3:7000"
    assert partition_lines(JOINING, partition) == [
        f"partition {partition}, since epoch 5",
        f"  primary  {owners[0]} {addresses[0]}",
        f"  replica  {owners[1]} {addresses[1]}",
        f"  replica  {owners[2]} {addresses[2]}",
        f"  pending  {joiner}",
    ]
    flipped = flip(JOINING, everywhere(JOINING))
    gone = next(iter(set(range(3)) - set(flipped.owners(partition))))
    assert f"  former   {member(gone).member_id.hex()[:12]} 10.0.0.{gone}:7000" in partition_lines(
        flipped, partition
    )
