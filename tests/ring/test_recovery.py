"""Recovery by force: what is kept, what it costs, and that two histories never become one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ringdict.ring.change import flip, join, leave, remove
from ringdict.ring.codec import decode_decree, digest_of, encode_decree
from ringdict.ring.config import LINEAGE_EPOCHS, RECOVERIES_MAX
from ringdict.ring.decree import Decree, DecreeError, Recovery, check_decree
from ringdict.ring.member import MemberState, has_quorum
from ringdict.ring.recovery import losses, recover
from ringdict.ring.succession import check_descendant, check_successor, is_newer

from .rings import at_rest, cluster_of, everywhere, member

TAG, FLOOR = b"the tag.", 77


def ids(decree: Decree, *numbers: int) -> list[bytes]:
    return [decree.members[number].member_id for number in numbers]


def owners(decree: Decree, partition: int) -> set[bytes]:
    return {decree.members[number].member_id for number in decree.owners(partition)}


def recovered(decree: Decree, *lost: int, tag: bytes = TAG) -> Decree:
    return recover(decree, ids(decree, *lost), tag, FLOOR)


def test_one_of_three_goes_on_and_names_nobody_else() -> None:
    old = cluster_of(3)
    new = recovered(old, 0, 2)
    assert [one.member_id for one in new.members] == ids(old, 1)
    assert all(new.owners(partition) == b"\0" for partition in everywhere(new))
    assert new.pending is None
    assert new.may_decide({0})
    assert new.epoch == LINEAGE_EPOCHS
    assert new.parent == digest_of(old)
    assert new.recoveries == (Recovery(LINEAGE_EPOCHS, TAG, FLOOR),)


def test_a_survivor_is_asked_for_what_it_knows_before_anybody_leads() -> None:
    """Without a former set that names it a replica would forget what it holds."""
    new = recovered(cluster_of(3), 0, 2)
    assert all(b"\0" in new.former[partition] for partition in everywhere(new))


def test_of_each_set_without_a_quorum_every_survivor_is_asked() -> None:
    old = cluster_of(7)
    lost = {0, 1, 2, 3}
    new = recovered(old, *lost)
    told = losses(old, ids(old, *lost))
    assert told.kept
    assert told.doubtful
    assert told.empty
    for partition in everywhere(old):
        sets = [{new.members[number].member_id for number in one} for one in new.former[partition]]
        before = owners(old, partition)
        there = before - set(ids(old, *lost))
        if partition in told.kept:
            assert sets == [before]
        else:
            assert sets == [{one} for one in ids(old, *range(7)) if one in there]
        assert owners(new, partition) == (there or owners(new, partition))
        assert len(new.owners(partition)) >= 1


def test_what_a_majority_that_survives_accepted_is_found_by_whoever_leads_next() -> None:
    """If no doubt is told of a partition, any quorum that may have accepted meets any that elects."""
    dice = random.Random(4)
    for _ in range(100):
        old = cluster_of(dice.randrange(2, 9))
        lost = dice.sample(range(len(old.members)), dice.randrange(1, len(old.members)))
        try:
            told, new = losses(old, ids(old, *lost)), recovered(old, *lost)
        except DecreeError:
            continue
        alive = set(range(len(old.members))) - set(lost)
        for partition in told.kept:
            row = old.owners(partition)
            assert has_quorum(row, alive)
            assert bytes(sorted(row)) in [
                bytes(sorted(map(old.number_of, [new.members[number].member_id for number in one])))  # type: ignore[arg-type,type-var]
                for one in new.former[partition]
            ]


def test_all_keys_get_their_replicas_again_among_the_survivors() -> None:
    old = cluster_of(5)
    new = recovered(old, 0, 1, 2)
    assert new.pending is not None
    new = at_rest(new)
    assert all(len(new.owners(partition)) == 2 for partition in everywhere(new))
    two_more = at_rest(join(at_rest(join(new, member(90))), member(91)))
    assert all(len(two_more.owners(partition)) == 3 for partition in everywhere(two_more))
    assert two_more.recoveries == new.recoveries


def test_whoever_need_not_be_given_up_by_force_is_not() -> None:
    with pytest.raises(DecreeError, match="remove them instead"):
        recovered(cluster_of(3), 1)
    with pytest.raises(DecreeError, match="nobody would be left"):
        recovered(cluster_of(3), 0, 1, 2)
    with pytest.raises(DecreeError, match="nobody is lost"):
        recovered(cluster_of(3))
    with pytest.raises(DecreeError, match="no member"):
        recover(cluster_of(3), [bytes(16)], TAG, FLOOR)


def test_two_of_three_owners_are_lost_though_the_members_have_a_majority() -> None:
    """Nothing else helps such a partition: removing the two is voted, and changes no quorum of the past."""
    old = cluster_of(7)
    told = losses(old, ids(old, 0, 1))
    assert told.doubtful
    assert not told.empty
    removed = remove(remove(old, ids(old, 0)[0]), ids(old, 1)[0])
    new = recovered(removed, 0, 1)
    assert all(one.state is MemberState.ACTIVE for one in new.members if one.member_id not in ids(old, 0, 1))


def test_a_change_that_was_under_way_ends() -> None:
    old = join(leave(cluster_of(5), ids(cluster_of(5), 4)[0]), member(90))
    assert old.pending is not None
    new = recovered(old, 0, 1, 2)
    assert {one.member_id for one in new.members if one.state is MemberState.ACTIVE} == set(ids(old, 3, 4, 5))


def test_those_given_up_take_it_up_when_they_come_back() -> None:
    """Whatever they decided meanwhile."""
    old = cluster_of(3)
    new = recovered(old, 0, 2)
    theirs = old
    for number in range(5):
        assert is_newer(theirs, new)
        check_descendant(theirs, new)
        theirs = at_rest(join(theirs, member(200 + number)))


def test_the_survivors_never_go_back() -> None:
    old = cluster_of(3)
    new = recovered(old, 0, 2)
    theirs = at_rest(join(old, member(90)))
    assert not is_newer(new, theirs)
    with pytest.raises(DecreeError):
        check_descendant(new, theirs)


def test_two_recoveries_made_apart_do_not_merge() -> None:
    old = cluster_of(3)
    here, there = recovered(old, 0, 2), recovered(old, 1, 2, tag=b"another.")
    with pytest.raises(DecreeError, match="two contents"):
        is_newer(here, there)
    later = at_rest(join(there, member(90)))
    assert is_newer(here, later)
    with pytest.raises(DecreeError, match="recovered by force twice"):
        check_descendant(here, later)
    again = recovered(later, 0)
    with pytest.raises(DecreeError, match="recovered by force twice"):
        check_descendant(here, again)


def test_a_vote_neither_makes_nor_forgets_a_recovery() -> None:
    new = recovered(cluster_of(3), 0, 2)
    after = join(new, member(90))
    check_successor(new, after)
    with pytest.raises(DecreeError, match="nobody votes"):
        check_successor(new, replace(after, recoveries=()))


def test_it_can_be_told_as_bytes_and_others_are_what_they_were() -> None:
    new = recovered(at_rest(recovered(cluster_of(5), 0, 1, 2)), 0)
    assert len(new.recoveries) == 2
    assert decode_decree(encode_decree(new)) == new
    assert encode_decree(new)[0] == 2
    assert encode_decree(cluster_of(5))[0] == 1


@pytest.mark.parametrize(
    "recoveries",
    [
        (Recovery(LINEAGE_EPOCHS, b"short", 0),),
        (Recovery(LINEAGE_EPOCHS, TAG, 1 << 63),),
        (Recovery(LINEAGE_EPOCHS + 1, TAG, 0),),
        (Recovery(LINEAGE_EPOCHS, TAG, 0),) * 2,
        tuple(Recovery(number, TAG, 0) for number in range(2, RECOVERIES_MAX + 3)),
    ],
)
def test_what_is_no_recovery_is_refused(recoveries: tuple[Recovery, ...]) -> None:
    with pytest.raises(DecreeError):
        check_decree(replace(recovered(cluster_of(3), 0, 2), recoveries=recoveries))


def test_it_is_at_rest_once_what_survived_is_settled() -> None:
    new = recovered(cluster_of(3), 0, 2)
    assert not any(flip(new, (), everywhere(new)).former)
