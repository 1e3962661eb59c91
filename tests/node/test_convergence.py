"""Replicas become equal again, and know it."""

from __future__ import annotations

from collections import Counter

from ringdict.node.replicas.stretch import partition_at

from .replicas import PARTITIONS, Cluster, row


def rows(count: int, version: int, start: int = 0) -> list[tuple[bytes, bytes]]:
    return [row(b"%d" % number, version, b"%d at %d" % (number, version)) for number in range(start, count)]


def test_equal_replicas_find_it_out_with_two_small_messages_a_pair() -> None:
    cluster = Cluster(3)
    cluster.run_for(20)
    assert all(member.convergence.equal(0) for member in cluster)
    for member in cluster:
        assert set(member.asked) == {"AskRoot", "ShareNames"}
        assert 2 * 4 <= member.asked["AskRoot"] <= 2 * 10
        assert not member.convergence.status().pulled_count


def test_what_was_missed_without_a_hint_is_found() -> None:
    cluster = Cluster(3)
    cluster.run_for(2)
    with cluster.split(0):
        cluster[0].write(*rows(300, 1), hint=False)
        cluster[1].write(*rows(300, 2, start=200), hint=False)
        cluster.run_for(5)
        assert cluster[0].contents() != cluster[1].contents()
    cluster.run_for(10)
    cluster.assert_equal()
    assert len(cluster[2].contents()) == 300
    assert dict(rows(300, 2, start=200)).items() <= cluster[0].contents().items()


def test_a_node_with_an_empty_disk_is_filled() -> None:
    cluster = Cluster(3)
    cluster[0].write(*rows(500, 1))
    cluster.run_for(1)
    host = cluster.hosts[2]
    cluster.simulation.crash(host)
    volume = host.disk.volumes.pop("entries")
    assert volume.keys
    cluster.simulation.restart(host)
    cluster.run_for(5)
    cluster.assert_equal()
    assert len(cluster[2].contents()) == 500


def test_a_node_that_lost_its_tail_serves_once_it_has_merged_with_all_that_can_be_reached() -> None:
    class Lost(Cluster):
        tail_lost = True

    cluster = Lost(3)
    cluster.run_for(0.05)
    assert not cluster[0].convergence.serving(0)
    cluster.run_for(2)
    assert all(member.convergence.serving(partition) for member in cluster for partition in range(PARTITIONS))


def test_a_node_that_lost_its_tail_serves_alone_after_some_seconds() -> None:
    class Lost(Cluster):
        tail_lost = True

    cluster = Lost(3)
    with cluster.split(0):
        for host in cluster.hosts:
            cluster.simulation.crash(host)
            cluster.simulation.restart(host)
        cluster.run_for(8)
        assert not cluster[0].convergence.serving(0)
        assert not cluster[1].convergence.serving(0)
        cluster.run_for(4)
        assert cluster[0].convergence.serving(0)
        assert cluster[1].convergence.serving(0)


def test_a_pending_owner_says_that_it_is_equal_once_it_has_all_and_not_before() -> None:
    cluster = Cluster(4)
    cluster.set_ring(owning=[0, 1, 2])
    cluster[0].write(*rows(400, 1))
    cluster.run_for(3)
    cluster.set_ring(owning=[0, 1, 2], pending=[3, 1, 2])
    newcomer = cluster[3]
    moved = [partition for partition in range(PARTITIONS) if newcomer.view.keeps(partition)]
    assert not any(newcomer.convergence.equal(partition) for partition in moved)
    cluster.run_for(3)
    assert all(newcomer.convergence.equal(partition) for partition in moved)
    cluster.assert_equal()
    assert newcomer.contents()


def test_nothing_is_equal_while_an_old_owner_goes_by_the_older_ring() -> None:
    cluster = Cluster(3)
    old = cluster.decree
    assert old is not None
    cluster.run_for(2)
    cluster.set_ring()
    cluster[2].set_decree(old)
    cluster.run_for(30)
    assert not cluster[0].convergence.equal(0)
    assert cluster[2].heard


def test_what_a_node_keeps_no_more_is_handed_over() -> None:
    cluster = Cluster(4)
    cluster.set_ring(owning=[3])
    cluster[3].write(*rows(50, 1))
    cluster.run_for(1)
    cluster.set_ring(owning=[0, 1, 2])
    cluster.run_for(120)
    cluster.assert_equal()
    assert len(cluster[0].contents()) == 50
    status = cluster[3].convergence.status()
    assert status.wiped_partitions
    assert not status.leftover_partitions
    assert not cluster[3].storage.scan((256).to_bytes(8, "big"), b"\xff" * 20, 1_000)


def test_a_node_that_was_removed_and_lives_hands_over_what_it_alone_has() -> None:
    cluster = Cluster(4)
    cluster.set_ring(owning=[0, 1, 3])
    with cluster.split(3):
        cluster[3].write(*rows(50, 1))
        cluster[3].write(row(b"only a hint", 2), hint=True)
        cluster.run_for(2)
        cluster.set_ring(owning=[0, 1, 2], removed=[3])
        cluster.run_for(2)
        assert not cluster[0].contents()
    cluster.run_for(90)
    assert len(cluster[0].contents()) == 51
    cluster.assert_equal()


def test_a_node_without_room_for_a_write_is_not_read_until_it_has_compared() -> None:
    cluster = Cluster(3)
    cluster[0].write(*rows(20, 1))
    cluster.run_for(5)
    newer = row(b"no room", 2)
    partition = partition_at(newer[0])
    cluster.hosts[2].disk.full = True
    cluster[0].write(newer)
    cluster.run_for(0.5)
    assert [member.convergence.serving(partition) for member in cluster] == [True, True, False]
    assert cluster[2].convergence.serving(partition ^ 1), "nothing is wrong with another partition"
    cluster.run_for(12)
    assert not cluster[2].convergence.serving(partition), "it cannot take what it lacks"
    cluster.hosts[2].disk.full = False
    cluster.run_for(12)
    assert cluster[2].convergence.serving(partition)
    cluster.assert_equal()


def test_reads_go_on_where_no_node_has_room() -> None:
    cluster = Cluster(3)
    cluster[0].write(*rows(20, 1))
    cluster.run_for(5)
    place, raw = row(b"no room", 2)
    for host in cluster.hosts:
        host.disk.full = True
    served = 0
    for _ in range(100):
        for member in cluster:
            member.replica.apply([(place, raw)], lambda _error, _newer: None)
        cluster.run_for(0.1)
        served += sum(member.convergence.serving(partition_at(place)) for member in cluster)
    assert served > 200


def test_replicas_under_load_are_found_equal_without_walking_through_them() -> None:
    cluster = Cluster(3)
    cluster[0].write(*rows(100, 1))
    cluster.run_for(10)
    for member in cluster:
        member.asked.clear()
    for turn in range(8_000):
        cluster[0].write(row(b"%d" % (turn % 100), 2 + turn))
        cluster.run_for(0.002)
    asked = sum([member.asked for member in cluster], Counter[str]())
    assert asked["AskSums"] > 0
    assert asked["AskPlaces"] == 0


def test_a_damaged_entry_is_replaced_by_that_of_another_replica() -> None:
    cluster = Cluster(3)
    [(place, raw)] = rows(1, 1)
    cluster[0].write((place, raw))
    cluster.run_for(1)
    cluster[1].storage.commit({place: raw[:-1] + b"?"}, lambda _: None)
    cluster[1].replica.measure_anew(partition_at(place))  # as after a restart
    cluster.run_for(10)
    assert cluster[1].storage.get(place) == raw


def test_a_replica_whose_disk_is_full_goes_on_once_there_is_room() -> None:
    cluster = Cluster(3)
    cluster.run_for(1)
    cluster.hosts[1].disk.full = True
    cluster[0].write(*rows(50, 1), hint=False)
    cluster.run_for(10)
    assert cluster[1].contents() == {}
    cluster.hosts[1].disk.full = False
    cluster.run_for(10)
    cluster.assert_equal()
    assert len(cluster[1].contents()) == 50


def test_a_newer_ring_in_the_middle_of_a_comparison_begins_a_new_one() -> None:
    cluster = Cluster(3)
    cluster[0].replica.apply(rows(3_000, 1), lambda _error, _newer: None)
    while not cluster[1].contents():
        cluster.run_for(0.01)
    assert 0 < len(cluster[1].contents()) < 3_000
    cluster.set_ring()
    assert not cluster[1].convergence.equal(0)
    cluster.run_for(10)
    cluster.assert_equal()
    assert len(cluster[1].contents()) == 3_000
    assert cluster[1].convergence.status().pulled_count >= 3_000


def test_an_entry_that_fits_into_no_frame_travels_in_pieces() -> None:
    cluster = Cluster(3)
    large = row(b"large", 1, b"v" * (16 * 1024 * 1024))
    cluster[0].replica.apply([large, *rows(300, 1)], lambda _error, _newer: None)
    cluster.run_for(12)
    cluster.assert_equal()
    assert all(cluster[number].contents()[large[0]] == large[1] for number in range(3))
    assert all(age is not None for age in cluster[1].convergence.status().ages_s.values())
