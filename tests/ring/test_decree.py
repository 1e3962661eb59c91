"""A decree by itself: what it answers, and every rule that makes it one."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from ringdict.ring.change import found, join, leave
from ringdict.ring.config import FORMER_SETS_MAX, MEMBERS_MAX
from ringdict.ring.decree import NO_PARENT, Decree, DecreeError, check_decree
from ringdict.ring.member import MemberState
from ringdict.ring.table import Table

from .rings import CLUSTER_ID, PARTITIONS, cluster_of, member

THREE = cluster_of(3)
FOUNDED = found(CLUSTER_ID, member(0), PARTITIONS, 3)
JOINING = join(THREE, member(3))
LEAVING = leave(cluster_of(4), member(3).member_id)
WITHOUT_3 = next(number for number, row in enumerate(LEAVING.table.rows()) if 3 not in row)
UNSETTLED = cluster_of(3, settled=False)


def with_row(table: Table, partition: int, row: list[int]) -> Table:
    rows = [list(one) for one in table.rows()]
    rows[partition] = row
    return Table.of(rows, table.replicas)


def with_member(decree: Decree, number: int, **changes: Any) -> Decree:
    members = list(decree.members)
    members[number] = replace(members[number], **changes)
    return replace(decree, members=tuple(members))


def test_what_the_functions_of_change_make_is_valid() -> None:
    for decree in (FOUNDED, THREE, JOINING, LEAVING, UNSETTLED):
        check_decree(decree)


def test_whom_a_partition_belongs_to() -> None:
    pending = JOINING.pending
    assert pending is not None
    for partition in range(PARTITIONS):
        owners = JOINING.owners(partition)
        assert len(owners) == 3
        assert owners[0] == JOINING.table.primary(partition)
        extra = set(pending.row(partition)) - set(owners)
        assert set(JOINING.writers(partition)) == set(owners) | extra
        assert JOINING.writers(partition)[:3] == owners
        assert THREE.writers(partition) == THREE.owners(partition)
        assert THREE.acceptor_sets(partition) == (THREE.owners(partition),)
        assert UNSETTLED.acceptor_sets(partition) == (b"\0", b"\0\1", UNSETTLED.owners(partition))


def test_who_decides_the_next_epoch() -> None:
    assert JOINING.voters() == (0, 1, 2)  # not who has only begun to join
    assert LEAVING.voters() == (0, 1, 2, 3)
    assert JOINING.may_decide({0, 2})
    assert not JOINING.may_decide({1, 3})
    assert not LEAVING.may_decide({0, 1})


def test_a_member_has_a_number() -> None:
    assert THREE.number_of(member(2).member_id) == 2
    assert THREE.number_of(member(9).member_id) is None


def test_a_decree_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        THREE.epoch = 9  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


BROKEN = {
    "a cluster id has 16 bytes": replace(THREE, cluster_id=b"short"),
    "0 is no epoch": replace(THREE, epoch=0),
    "9223372036854775808 is no epoch": replace(THREE, epoch=1 << 63),
    "a digest has 8 bytes": replace(THREE, parent=b"short"),
    "the first epoch has no parent, every other": replace(THREE, parent=NO_PARENT),
    "the first epoch has no parent": replace(FOUNDED, parent=b"12345678"),
    "members, former ones counted, are more": replace(
        THREE, members=tuple(member(number) for number in range(MEMBERS_MAX + 1))
    ),
    "stands there twice": with_member(THREE, 1, member_id=member(0).member_id),
    "nobody would be left to vote": replace(
        with_member(FOUNDED, 0, state=MemberState.JOINING), pending=FOUNDED.table
    ),
    "nobody would be left to take the data": replace(
        with_member(FOUNDED, 0, state=MemberState.LEAVING), pending=FOUNDED.table
    ),
    "a member id has 16 bytes": with_member(THREE, 1, member_id=b"short"),
    "a weight is 1 to 8, not 0": with_member(THREE, 1, weight=0),
    "a weight is 1 to 8, not 9": with_member(THREE, 1, weight=9),
    "characters of the zone": with_member(THREE, 1, zone="\x1b[2J"),
    "characters of the address": with_member(THREE, 1, address="\udc80"),
    "the zone is longer than 64 bytes": with_member(THREE, 1, zone="é" * 33),
    "the address is longer than 255 bytes": with_member(THREE, 1, address="x" * 256),
    "a row has 1 to 7 replicas, not 8": replace(THREE, table=Table.of([[0]] * PARTITIONS, 8)),
    "a row has 1 to 7 replicas, not 0": replace(THREE, table=Table(b"", 0)),
    "32768 partitions are more": replace(THREE, table=Table.of([[0]] * (1 << 15), 1)),
    "the table: partition 0 names member 3 of 3": replace(THREE, table=with_row(THREE.table, 0, [3])),
    "the pending table has another size": replace(THREE, pending=Table.of([[0]] * 8, 3)),
    "the pending table: partition 0 has no replica": replace(JOINING, pending=with_row(THREE.table, 0, [])),
    "would get 2 new replicas at once": replace(
        join(FOUNDED, member(1)),
        members=(member(0), member(1), member(2)),
        pending=with_row(FOUNDED.table, 0, [0, 1, 2]),
    ),
    "would lose 2 replicas at once": replace(JOINING, pending=with_row(THREE.table, 0, [0])),
    "would go to a member that takes no data": replace(
        LEAVING, pending=with_row(LEAVING.table, WITHOUT_3, [0, 1, 3])
    ),
    "one place in `since`": replace(THREE, since=THREE.since[1:]),
    "and one in `former`": replace(THREE, former=((),)),
    "in an epoch that is not there yet": replace(THREE, since=(*THREE.since[1:], THREE.epoch + 1)),
    "changed in an epoch": replace(THREE, since=(0, *THREE.since[1:])),
    "over 8 former sets": replace(THREE, former=((b"\0",) * (FORMER_SETS_MAX + 1), *THREE.former[1:])),
    "in ascending order": replace(THREE, former=((b"\1\0",), *THREE.former[1:])),
    "no more than a row has": replace(THREE, former=((b"",), *THREE.former[1:])),
    "a former set has members in": replace(THREE, former=((b"\0\0",), *THREE.former[1:])),
    "a former set names member 3 of 3": replace(THREE, former=((b"\0\3",), *THREE.former[1:])),
    "a former member owns nothing": with_member(THREE, 1, state=MemberState.FORMER),
    "is forgotten when no former set names it": replace(
        THREE, members=(*THREE.members, member(3, state=MemberState.FORMER))
    ),
    "is JOINING, and nothing is pending": replace(JOINING, pending=None),
    "is LEAVING, and nothing is pending": replace(LEAVING, pending=None),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_decree_that_breaks_a_rule_is_refused_in_words(fault: str) -> None:
    with pytest.raises(DecreeError) as caught:
        check_decree(BROKEN[fault])
    assert fault in str(caught.value)
