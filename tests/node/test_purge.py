"""What is dead is forgotten once everybody has it, and nothing that it covered comes back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ringdict.node.config import COLLECT_INTERVAL_S, PURGE_AWAY_S, PURGE_DELAY_S
from ringdict.node.network.message import Reply
from ringdict.node.network.peermessage import Applied, Replicate
from ringdict.node.replicas.collect import header_of
from ringdict.node.replicas.stretch import Row, partition_at
from ringdict.node.store import layout
from ringdict.node.store.entry import EXPIRED, FLAGS_AT, HEADER_BYTES, TOMBSTONE
from ringdict.node.store.transaction import DictState
from ringdict.node.world import NS_PER_S

from .replicas import DICT, NOW_MS, Cluster, Member, row

PURGED_S = 2 * COLLECT_INTERVAL_S + PURGE_DELAY_S + 30
"""So soon after something died it is gone everywhere, if everybody answers."""


def started(count: int = 3) -> Cluster:
    """A cluster that knows its Dict, and all its sums."""
    cluster = Cluster(count)
    for member in cluster:
        member.storage.commit({layout.STATE + DICT: DictState(0, 0, 0, 0, 0).encode()}, lambda _: None)
    cluster.run_for(6)
    return cluster


def grave(key: bytes, version: int) -> Row:
    return row(key, version, b"", flags=TOMBSTONE)


def told(cluster: Cluster, to: Member, *rows: Row) -> Reply | None:
    """What a member answers to entries that another one sends."""
    sender = next(member for member in cluster if member is not to)
    answers: list[Reply | None] = []
    sender.bus.ask(to.node, Replicate(0, sender.view.mark, list(rows)), answers.append, NS_PER_S)
    cluster.run_for(1)
    [answer] = answers
    return answer


def test_a_tombstone_that_all_have_is_purged_and_the_mark_stays() -> None:
    cluster = started()
    cluster[0].write(row(b"a", 5), grave(b"a", 8), row(b"b", 3))
    cluster.run_for(PURGED_S)
    cluster.assert_equal()
    for member in cluster:
        assert list(member.contents().values()) == [row(b"b", 3)[1]]
        assert member.replica.marks.get(partition_at(row(b"a")[0])) == 8
        assert member.replica.highest(partition_at(row(b"a")[0])) == 8


def test_what_comes_late_is_refused_everywhere_and_who_sent_it_is_told_the_mark() -> None:
    cluster = started()
    cluster[0].write(row(b"a", 5), grave(b"a", 8))
    cluster.run_for(PURGED_S)
    for member in cluster:
        assert isinstance(answer := told(cluster, member, row(b"a", 7)), Applied)
        assert answer.newer == 8
    for member in cluster:
        assert isinstance(answer := told(cluster, member, row(b"a", 9)), Applied)
        assert answer.newer == 0
        assert member.contents() == dict([row(b"a", 9)])


def test_a_mark_survives_a_restart() -> None:
    cluster = started()
    cluster[0].write(row(b"a", 5), grave(b"a", 8))
    cluster.run_for(PURGED_S)
    cluster.simulation.crash(cluster.hosts[1])
    cluster.simulation.restart(cluster.hosts[1])
    cluster.run_for(3)
    assert isinstance(answer := told(cluster, cluster[1], row(b"a", 7)), Applied)
    assert answer.newer == 8
    assert not cluster[1].contents()


def test_nothing_is_purged_while_an_owner_is_away_and_has_not_been_for_long() -> None:
    cluster = started()
    cluster[0].write(row(b"a", 5))
    cluster.run_for(3)
    cluster.simulation.crash(cluster.hosts[2])
    cluster[0].write(grave(b"a", 8), hint=False)
    cluster.run_for(PURGED_S)
    assert cluster[0].contents() == cluster[1].contents() == dict([grave(b"a", 8)])
    cluster.simulation.restart(cluster.hosts[2])
    cluster.run_for(PURGED_S)
    assert not cluster[0].contents()
    cluster.assert_equal()


def long_away(cluster: Cluster, number: int, meanwhile: Callable[[], None]) -> None:
    """One member is away for longer than anybody waits for it."""
    if cluster.hosts[number].up:
        cluster.simulation.crash(cluster.hosts[number])
    cluster.run_for(20)
    meanwhile()
    cluster.run_for(PURGED_S)
    cluster.leap(PURGE_AWAY_S)
    cluster.run_for(PURGED_S)
    cluster.simulation.restart(cluster.hosts[number])
    cluster.run_for(10)


def test_who_was_away_for_too_long_brings_nothing_back_and_keeps_what_is_above_the_mark() -> None:
    cluster = started()
    cluster[0].write(row(b"a", 5), row(b"b", 5))
    cluster.run_for(3)
    with cluster.split(2):
        cluster[2].write(row(b"own", 6), row(b"new", 90), hint=False)
        cluster.run_for(1)
    place = partition_at(row(b"own")[0])
    dead = next(b"%d" % n for n in range(10_000) if partition_at(row(b"%d" % n)[0]) == place)
    long_away(cluster, 2, lambda: cluster[0].write(grave(b"a", 8), grave(dead, 9), hint=False))
    cluster.assert_equal()
    for member in cluster:
        there = member.contents()
        assert row(b"a")[0] not in there
        assert there[row(b"b")[0]] == row(b"b", 5)[1]
        assert there[row(b"new")[0]] == row(b"new", 90)[1]


def test_what_a_minority_kept_to_itself_for_too_long_is_lost_and_counted() -> None:
    cluster = started()
    own = row(b"own", 6)
    dead = next(b"%d" % n for n in range(100_000) if partition_at(row(b"%d" % n)[0]) == partition_at(own[0]))
    cluster.simulation.crash(cluster.hosts[0])
    cluster.simulation.crash(cluster.hosts[1])
    cluster[2].write(own, hint=False)
    cluster.run_for(1)
    cluster.simulation.crash(cluster.hosts[2])
    cluster.simulation.restart(cluster.hosts[0])
    cluster.simulation.restart(cluster.hosts[1])
    cluster.run_for(3)
    long_away(cluster, 2, lambda: cluster[0].write(grave(dead, 9), hint=False))
    cluster.assert_equal()
    assert not any(own[0] in member.contents() for member in cluster)
    assert cluster[2].convergence.status().lost_count == 1


def test_an_empty_disk_is_filled_and_learns_the_mark() -> None:
    cluster = started()
    cluster[0].write(row(b"a", 5), grave(b"a", 8), *[row(b"%d" % n, 3) for n in range(500)])
    cluster.run_for(PURGED_S)
    host = cluster.hosts[2]
    cluster.simulation.crash(host)
    host.disk.volumes.pop("entries")
    cluster.simulation.restart(host)
    cluster.run_for(6)
    cluster.assert_equal()
    assert len(cluster[2].contents()) == 500
    assert isinstance(answer := told(cluster, cluster[2], row(b"a", 7)), Applied)
    assert answer.newer == 8


def test_a_damaged_entry_is_never_taken_for_one_that_was_purged() -> None:
    cluster = started()
    good = row(b"own", 6)
    dead = next(b"%d" % n for n in range(100_000) if partition_at(row(b"%d" % n)[0]) == partition_at(good[0]))
    cluster[0].write(good, grave(dead, 9))
    cluster.run_for(PURGED_S)
    for member in (cluster[1], cluster[2]):
        member.storage.commit({good[0]: good[1][:-1] + b"?"}, lambda _: None)
        member.replica.measure_anew(partition_at(good[0]))
    cluster.run_for(12)
    assert all(member.contents() == dict([good]) for member in cluster)


# -- expiry ------------------------------------------------------------------------------------------


def test_an_expired_value_is_dropped_its_header_stays_for_a_while_and_then_goes() -> None:
    cluster = started()
    place, raw = row(b"a", 5, b"v" * 100, expires_ms=NOW_MS - 1)
    cluster[0].write((place, raw))
    cluster.run_for(2)
    for member in cluster:
        [header] = member.contents().values()
        assert len(header) == HEADER_BYTES
        assert header[FLAGS_AT] & EXPIRED
        assert header == header_of(place, raw)
    cluster.run_for(PURGED_S)
    assert not any(member.contents() for member in cluster)
    assert isinstance(answer := told(cluster, cluster[1], (place, raw)), Applied)
    assert answer.newer == 5
    assert not cluster[1].contents()


def test_nobody_drops_a_value_by_a_clock_that_is_ahead_of_the_others() -> None:
    cluster = started()
    some = row(b"a", 5, expires_ms=NOW_MS + 3_600_000)
    cluster[0].write(some)
    cluster[1].replica.now_ms = lambda: NOW_MS + 7_200_000
    cluster.run_for(PURGED_S)
    assert all(member.contents() == dict([some]) for member in cluster)
    with cluster.split(1):
        cluster.run_for(PURGED_S)
        assert cluster[1].contents() == dict([some])


def test_a_value_that_was_touched_in_time_is_not_dropped() -> None:
    cluster = started()
    cluster[0].write(row(b"a", 5, expires_ms=NOW_MS - 1), row(b"a", 5, touch=7, expires_ms=NOW_MS + 10_000))
    cluster.run_for(PURGED_S)
    [raw] = cluster[0].contents().values()
    assert raw == row(b"a", 5, touch=7, expires_ms=NOW_MS + 10_000)[1]


# -- Dicts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [True, False])
def test_what_a_clear_or_a_deletion_leaves_behind_is_purged(*, deleted: bool) -> None:
    cluster = started()
    some = [row(b"%d" % n, 5) for n in range(300)]
    cluster[0].write(*some)
    cluster.run_for(3)
    for member in cluster:
        state = None if deleted else DictState(9, 9, 0, 0, 0).encode()
        member.storage.commit({layout.STATE + DICT: state, layout.SWEEP + DICT: b""}, lambda _: None)
        member.replica.dict_changed(DICT)
    late = row(b"late", 99)
    cluster[0].write(late)
    cluster.run_for(2 * PURGED_S)
    cluster.assert_equal()
    assert all(member.contents() == ({} if deleted else dict([late])) for member in cluster)


def test_a_look_for_the_dead_is_bounded_and_nothing_dead_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ringdict.node.replicas import collect, stretch

    looked: list[int] = []
    original = stretch.partition_rows

    def counted(*arguments: object) -> tuple[list[Row], bytes]:
        rows, next_ = original(*arguments)  # type: ignore[arg-type]
        looked.append(len(rows))
        return rows, next_

    monkeypatch.setattr(collect, "partition_rows", counted)
    cluster = started()
    cluster[0].write(*[row(b"%d" % n, 5) for n in range(500)])
    cluster.run_for(PURGED_S)
    assert not looked
    cluster[0].write(*[grave(b"%d" % n, 9) for n in range(500)])
    cluster.run_for(2 * PURGED_S)
    assert looked
    assert not any(member.contents() for member in cluster)
    assert cluster[0].purger.status().dead_count == 0


def test_what_travels_in_pieces_is_with_every_owner_before_anything_beside_it_is_purged() -> None:
    cluster = started()
    large = row(b"large", 1, b"v" * (16 * 1024 * 1024))
    dead = next(
        b"%d" % n for n in range(100_000) if partition_at(row(b"%d" % n)[0]) == partition_at(large[0])
    )
    cluster[0].replica.apply([large], lambda _error, _newer: None)
    cluster[0].write(grave(dead, 9))
    marks: list[int] = []
    for _ in range(int(PURGED_S)):
        cluster.run_for(1)
        marks = [member.replica.marks.get(partition_at(large[0])) for member in cluster]
        assert not any(marks) or all(large[0] in member.contents() for member in cluster)
    assert marks == [9, 9, 9]
    assert all(member.contents() == {large[0]: large[1]} for member in cluster)
