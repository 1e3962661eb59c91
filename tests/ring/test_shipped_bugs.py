"""Bugs that others shipped in their rings, each as a test of ours. Where they are told is beside each."""

from __future__ import annotations

import pytest

from ringdict.ring.change import cancel, flip, found, join, leave, remove
from ringdict.ring.codec import digest_of
from ringdict.ring.decree import DecreeError
from ringdict.ring.member import has_quorum
from ringdict.ring.placement import target_table
from ringdict.ring.succession import check_successor

from .rings import CLUSTER_ID, PARTITIONS, at_rest, cluster_of, everywhere, member, members_of


def test_no_row_names_a_member_twice_where_the_ring_ends() -> None:
    """riak_core 913, "tail violation": of 16 partitions on 5 nodes a preference list had one node twice."""
    for seed in range(12):
        for count in (4, 5, 6, 7):
            table = target_table(members_of(count, seed), 16, 3)
            assert all(len(set(row)) == 3 for row in table.rows())


def test_no_member_gets_a_third_more_than_the_others() -> None:
    """riak_core, claim-fixes: of 32 partitions five nodes claimed 6, 6, 6, 8 and 6."""
    for seed in range(15):
        primaries = target_table(members_of(5, seed), 32, 3).primaries(5)
        assert max(primaries) <= 8  # ceil(1.10 * 6.4)
        wide = target_table(members_of(5, seed), 1024, 3).primaries(5)
        assert max(wide) <= 226  # ceil(1.10 * 204.8)


def test_a_join_that_another_change_overtook_is_refused_and_not_lost() -> None:
    """riak_core 405, riak_test 1156: planned joins were lost when another operation overwrote the ring."""
    three = cluster_of(3)
    one, other = join(three, member(3)), join(three, member(4))
    check_successor(three, other)
    with pytest.raises(DecreeError, match="cannot follow epoch"):
        check_successor(one, other)
    again = join(one, member(4))  # made again on top of the winner, it has both
    check_successor(one, again)
    assert {member(3).member_id, member(4).member_id} <= {known.member_id for known in again.members}


def test_who_began_a_change_may_die_and_others_finish_it() -> None:
    """riak_core 71, 206, 218: a ring was stuck when the claimant left, or crashed while others left."""
    four = cluster_of(4)
    leaving = leave(four, member(0).member_id)  # the eldest; whoever proposed it plays no part
    died = remove(leaving, member(1).member_id)
    assert died.may_decide({2, 3})
    rest = at_rest(died)
    assert [one.member_id for one in rest.members if one.takes_data] == [
        member(2).member_id,
        member(3).member_id,
    ]


def test_a_partition_has_one_primary_an_epoch() -> None:
    """riak_kv 1046: old and new owner both coordinated a put during a hand-over."""
    three = cluster_of(3)
    joining = join(three, member(3))
    for partition in everywhere(joining):
        assert joining.owners(partition)[0] == three.owners(partition)[0]
        assert 3 not in joining.owners(partition)


def test_one_value_says_who_owns_what() -> None:
    """CASSANDRA-18758: gossip and the cache of services differed, and replicas served what was not theirs.

    Whatever differs between two views is in the digest, and a view cannot be changed behind one's back.
    """
    three = cluster_of(3)
    joining = join(three, member(3))
    assert digest_of(joining) != digest_of(three)
    assert joining.pending is not None
    with pytest.raises(TypeError):
        joining.table.places[0] = 3  # type: ignore[index] # pyright: ignore[reportIndexIssue]


def test_a_joiner_gets_writes_from_the_epoch_that_lets_it_in() -> None:
    """scylladb 2308: writes were lost when peers learnt of a joining node late."""
    joining = join(cluster_of(3), member(3))
    flipped = flip(joining, everywhere(joining))
    for partition in everywhere(joining):
        assert set(flipped.owners(partition)) <= set(joining.writers(partition))


def test_pending_owners_do_not_raise_the_number_of_answers_a_write_needs() -> None:
    """CASSANDRA-21200: a pending replica counted, and writes timed out while a node was bootstrapped."""
    joining = join(cluster_of(3), member(3))
    for partition in everywhere(joining):
        owners = joining.owners(partition)
        pending = set(joining.writers(partition)) - set(owners)
        assert has_quorum(owners, owners[:2])
        assert not has_quorum(owners, {owners[0]} | pending)


def test_a_change_of_members_cannot_change_the_number_of_partitions() -> None:
    """Riak's ring resizing changed every preference list at once. Here no key ever changes its partition."""
    one = found(CLUSTER_ID, member(0), PARTITIONS, 3)
    other = join(found(CLUSTER_ID, member(0), 2 * PARTITIONS, 3), member(1))
    with pytest.raises(DecreeError):
        check_successor(one, other)


def test_with_enough_partitions_nobody_is_left_without_any() -> None:
    """256 partitions on a plain ring left some of 100 nodes without any; at 10 a member nobody is."""
    for seed in range(5):
        assert min(target_table(members_of(100, seed), 1024, 3).copies(100)) > 0


def test_two_majorities_cannot_change_the_ring_apart() -> None:
    """ringpop, Olric: two sides of a partition took each other for dead, and each had a ring of its own."""
    five = cluster_of(5)
    for size in range(6):
        one, other = set(range(size)), set(range(size, 5))
        assert five.may_decide(one) != five.may_decide(other)


def test_a_death_moves_nothing() -> None:
    """ringpop, kinship: the ring was the list of the living. Here nothing but a decree has an effect, and a
    joiner that never answers holds nothing up: it is taken back, and the cluster is as it was."""
    three = cluster_of(3)
    back = cancel(join(three, member(3)), member(3).member_id)
    assert (back.table, back.pending, back.members) == (three.table, None, three.members)
    assert back.since == three.since
    assert back.former == three.former
