"""What may follow what: each rule that a voter holds against a proposal."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest

from ringdict.ring.change import cancel, flip, found, join, leave, remove
from ringdict.ring.codec import digest_of
from ringdict.ring.decree import Decree, DecreeError
from ringdict.ring.member import MemberState
from ringdict.ring.succession import check_successor, is_newer
from ringdict.ring.table import Table

from .rings import CLUSTER_ID, PARTITIONS, at_rest, cluster_of, everywhere, member

T = TypeVar("T")
FOUR = cluster_of(4)
JOINING = join(FOUR, member(4))
FLIPPED = flip(JOINING, everywhere(JOINING))
CHANGED = next(number for number in range(PARTITIONS) if 4 in FLIPPED.owners(number))
SAME = next(number for number in range(PARTITIONS) if 4 not in FLIPPED.owners(number))
REMOVING = remove(FOUR, member(3).member_id)


def with_row(table: Table, partition: int, row: bytes) -> Table:
    rows = list(table.rows())
    rows[partition] = row
    return Table.of(rows, table.replicas)


def with_place(values: tuple[T, ...], partition: int, value: T) -> tuple[T, ...]:
    return (*values[:partition], value, *values[partition + 1 :])


def with_state(decree: Decree, number: int, state: MemberState) -> Decree:
    members = list(decree.members)
    members[number] = replace(members[number], state=state)
    return replace(decree, members=tuple(members))


def test_what_the_functions_of_change_make_may_follow() -> None:
    for old, new in [(FOUR, JOINING), (JOINING, FLIPPED), (FOUR, REMOVING)]:
        check_successor(old, new)


def test_a_row_may_stay_though_its_next_one_is_pending() -> None:
    check_successor(JOINING, flip(JOINING, ()))
    check_successor(JOINING, flip(JOINING, [CHANGED]))


WRONG: dict[str, tuple[Decree, Decree]] = {
    "cannot follow cluster": (FOUR, replace(JOINING, cluster_id=bytes(16))),
    "cannot follow epoch": (FOUR, FLIPPED),
    "made for another epoch": (FOUR, replace(JOINING, parent=b"12345678")),
    "fixed for the life of a cluster": (
        FOUR,
        replace(found(CLUSTER_ID, member(0), 32, 3), epoch=FOUR.epoch + 1, parent=digest_of(FOUR)),
    ),
    "nothing was pending": (JOINING, replace(FLIPPED, table=with_row(FLIPPED.table, SAME, b"\0\1\4"))),
    "has its replicas since epoch": (
        JOINING,
        replace(FLIPPED, since=with_place(FLIPPED.since, CHANGED, 1)),
    ),
    f"partition {SAME} has its replicas since epoch": (
        JOINING,
        replace(FLIPPED, since=with_place(FLIPPED.since, SAME, FLIPPED.epoch)),
    ),
    "forgets a former set": (
        JOINING,
        replace(FLIPPED, former=with_place(FLIPPED.former, CHANGED, ())),
    ),
    "or makes one up": (
        JOINING,
        replace(FLIPPED, former=with_place(FLIPPED.former, SAME, (b"\1",))),
    ),
    "the order of seniority": (FOUR, replace(JOINING, members=(*JOINING.members[3::-1], JOINING.members[4]))),
    "a new member is JOINING, not ACTIVE": (FOUR, with_state(JOINING, 4, MemberState.ACTIVE)),
    "2 members change at once": (FOUR, with_state(JOINING, 0, MemberState.LEAVING)),
    "a member that is REMOVED does not become ACTIVE": (
        REMOVING,
        replace(
            with_state(REMOVING, 3, MemberState.ACTIVE), epoch=REMOVING.epoch + 1, parent=digest_of(REMOVING)
        ),
    ),
    "a member that is ACTIVE does not become JOINING": (FOUR, with_state(JOINING, 0, MemberState.JOINING)),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_may_not_follow_is_refused_in_words(fault: str) -> None:
    old, new = WRONG[fault]
    with pytest.raises(DecreeError) as caught:
        check_successor(old, new)
    assert fault in str(caught.value)


def test_a_proposal_must_be_a_decree_itself() -> None:
    with pytest.raises(DecreeError, match="no epoch"):
        check_successor(FOUR, replace(JOINING, epoch=0))


def test_two_newcomers_at_once_are_one_too_many() -> None:
    both = replace(JOINING, members=(*JOINING.members, member(5, state=MemberState.JOINING)))
    with pytest.raises(DecreeError, match="2 members change at once"):
        check_successor(FOUR, both)


def test_a_newcomer_and_another_weight_are_two_changes() -> None:
    members = (replace(JOINING.members[0], weight=2), *JOINING.members[1:])
    with pytest.raises(DecreeError, match="2 members change at once"):
        check_successor(FOUR, replace(JOINING, members=members))


def test_a_row_does_not_lose_a_member_by_the_member_being_forgotten() -> None:
    """A number that stands for nobody must not pass for an empty place."""
    two = replace(cluster_of(2), table=Table.of([[0, 1]] * PARTITIONS, 3))
    forgot = Decree(
        two.cluster_id,
        two.epoch + 1,
        digest_of(two),
        two.members[:1],
        Table.of([[0]] * PARTITIONS, 3),
        None,
        two.since,
        two.former,
    )
    with pytest.raises(DecreeError, match="went to where nothing was pending"):
        check_successor(two, forgot)


def test_members_are_compared_by_who_they_are_when_numbers_shift() -> None:
    """Forgetting a former member gives every later one another number: no row changes by that."""
    gone = at_rest(leave(cluster_of(5), member(1).member_id))
    assert [one.state.name for one in gone.members][1] == "FORMER"
    forgotten = flip(gone, (), everywhere(gone))
    assert len(forgotten.members) == 4
    assert forgotten.since == gone.since
    check_successor(gone, forgotten)
    swapped = replace(forgotten, table=forgotten.table.renumbered(bytes([1, 0, 2, 3, *range(4, 256)])))
    with pytest.raises(DecreeError, match="went to where nothing was pending"):
        check_successor(gone, swapped)


def test_a_joiner_that_is_given_up_may_be_forgotten_at_once() -> None:
    cancelled = cancel(JOINING, member(4).member_id)
    assert len(cancelled.members) == 4
    check_successor(JOINING, cancelled)


# -- learning ------------------------------------------------------------------------------------


def test_the_higher_epoch_of_one_cluster_is_newer() -> None:
    assert is_newer(FOUR, JOINING)
    assert not is_newer(JOINING, FOUR)
    assert not is_newer(FOUR, FOUR)


def test_clusters_that_were_founded_apart_do_not_merge() -> None:
    stranger = found(bytes(16), member(9), PARTITIONS, 3)
    for mine, theirs in [(FOUR, stranger), (stranger, FOUR)]:
        with pytest.raises(DecreeError, match="founded apart do not merge"):
            is_newer(mine, theirs)


def test_two_contents_of_one_epoch_are_told() -> None:
    with pytest.raises(DecreeError, match="two contents of epoch"):
        is_newer(JOINING, remove(FOUR, member(3).member_id))
