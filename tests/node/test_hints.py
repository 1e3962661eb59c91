"""Writes for nodes that cannot be reached reach them later."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ringdict.exception import Error, StoreFullError
from ringdict.node.config import HINT_AGE_S_MAX
from ringdict.node.replicas import hints as hints_module
from ringdict.node.replicas.convergence import Convergence
from ringdict.node.replicas.place import check
from ringdict.node.replicas.stretch import Row
from ringdict.node.world import NS_PER_S, NodeId

from .replicas import Cluster, Member, row


class Idle(Convergence):
    """Compares with nobody: what arrives has come by hints."""

    def _tick(self) -> None:
        pass


class ByHints(Cluster):
    convergence = Idle


def rows(count: int, version: int = 1) -> list[Row]:
    return [row(b"%d" % number, version, b"%d" % version) for number in range(count)]


def add(member: Member, node: NodeId, some: Sequence[Row]) -> list[Error | None]:
    told: list[Error | None] = []
    member.hints.add(node, some, told.append)
    return told


def test_a_node_that_is_back_gets_what_it_missed_and_the_hints_are_gone() -> None:
    cluster = ByHints(3)
    cluster.simulation.crash(cluster.hosts[2])
    cluster[0].write(*rows(700))
    cluster.run_for(5)
    assert cluster[0].hints.count == 700
    assert cluster[0].hints.waiting() == {cluster[2].node: (700, cluster[0].hints.size_bytes)}
    cluster.simulation.restart(cluster.hosts[2])
    cluster.run_for(5)
    assert (cluster[0].hints.count, cluster[0].hints.size_bytes) == (0, 0)
    cluster.assert_equal()
    assert len(cluster[2].contents()) == 700


def test_hints_survive_a_restart_of_who_keeps_them() -> None:
    cluster = ByHints(3)
    cluster.simulation.crash(cluster.hosts[2])
    cluster[0].write(*rows(30))
    cluster.run_for(3)
    size_bytes = cluster[0].hints.size_bytes
    cluster.simulation.cut_power([cluster.hosts[0]])
    cluster.simulation.restart(cluster.hosts[0])
    cluster.run_for(1)
    assert (cluster[0].hints.count, cluster[0].hints.size_bytes) == (30, size_bytes)
    cluster.simulation.restart(cluster.hosts[2])
    cluster.run_for(5)
    assert len(cluster[2].contents()) == 30


def test_of_two_hints_for_one_key_the_newer_one_is_kept() -> None:
    cluster = ByHints(3)
    cluster.simulation.crash(cluster.hosts[2])
    node = cluster[2].node
    for some in (rows(1, 5), rows(1, 4), rows(1, 5)):
        add(cluster[0], node, some)
    cluster.run_for(1)
    assert cluster[0].hints.count == 1
    cluster.simulation.restart(cluster.hosts[2])
    cluster.run_for(5)
    [raw] = cluster[2].contents().values()
    assert raw == rows(1, 5)[0][1]


def test_a_hint_for_a_node_that_keeps_the_partition_no_more_goes_to_those_who_do() -> None:
    cluster = ByHints(4)
    cluster.set_ring(owning=[3])
    cluster.simulation.crash(cluster.hosts[3])
    add(cluster[0], cluster[3].node, rows(20))
    cluster.run_for(3)
    cluster.set_ring(owning=[0, 1, 2])
    cluster.run_for(5)
    assert cluster[0].hints.count == 0
    cluster.assert_equal()
    assert len(cluster[0].contents()) == len(cluster[1].contents()) == 20


def test_beyond_their_limit_hints_are_refused_and_nothing_of_them_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hints_module, "HINTS_BYTES_MAX", 1_000)
    cluster = ByHints(3)
    cluster.simulation.crash(cluster.hosts[2])
    told = add(cluster[0], cluster[2].node, rows(10)) + add(cluster[0], cluster[2].node, rows(100))
    assert told == []
    told = add(cluster[0], cluster[2].node, rows(100))
    cluster.run_for(1)
    assert [type(error) for error in told] == [StoreFullError]
    assert cluster[0].hints.count == 10
    assert cluster[0].hints.refused_count == 200


@pytest.mark.parametrize(("keeps", "has"), [(True, True), (True, False), (False, False)])
def test_old_hints_are_dropped_only_where_the_entry_is_kept_besides(*, keeps: bool, has: bool) -> None:
    cluster = ByHints(4)
    cluster.set_ring(owning=[0, 1, 3] if keeps else [1, 3])
    cluster.simulation.crash(cluster.hosts[3])
    add(cluster[0], cluster[3].node, rows(20))
    if has:
        cluster[0].replica.apply(rows(20), lambda _error, _newer: None)
    cluster.run_for(1)
    cluster.hosts[0].clock.skew_ns += (HINT_AGE_S_MAX + 10) * NS_PER_S
    cluster.run_for(5)
    assert cluster[0].hints.count == (0 if has else 20)
    assert cluster[0].hints.dropped_count == (20 if has else 0)


def test_a_damaged_hint_does_not_stop_those_behind_it() -> None:
    cluster = ByHints(3)
    cluster.simulation.crash(cluster.hosts[2])
    add(cluster[0], cluster[2].node, rows(20))
    cluster.run_for(1)
    assert cluster.hosts[0].disk.rot("hints")
    cluster.simulation.restart(cluster.hosts[2])
    cluster.run_for(5)
    assert len(cluster[2].contents()) == 19
    assert cluster[0].hints.count == 0


def test_who_answers_nothing_is_asked_for_less() -> None:
    cluster = ByHints(3)
    add(cluster[0], cluster[2].node, rows(600))
    cluster.simulation.crash(cluster.hosts[2])
    cluster.run_for(30)
    stream = cluster[0].hints._streams[cluster[2].node]
    assert stream.rows_max == 1
    cluster.simulation.restart(cluster.hosts[2])
    cluster.run_for(10)
    assert cluster[0].hints.count == 0


def test_a_full_disk_refuses_hints_and_what_was_kept_before_is_still_counted() -> None:
    cluster = ByHints(3)
    cluster.simulation.crash(cluster.hosts[2])
    add(cluster[0], cluster[2].node, rows(10))
    cluster.run_for(1)
    size_bytes = cluster[0].hints.size_bytes
    cluster.hosts[0].disk.full = True
    told = add(cluster[0], cluster[2].node, rows(20, version=2))
    assert cluster[0].hints.count == 20
    cluster.run_for(1)
    assert [type(error) for error in told] == [StoreFullError]
    assert (cluster[0].hints.count, cluster[0].hints.size_bytes) == (10, size_bytes)


def test_a_hint_refused_for_an_older_ring_is_kept_and_the_ring_is_heard_of() -> None:
    cluster = ByHints(3)
    old = cluster.decree
    assert old is not None
    cluster.set_ring()
    cluster[0].set_decree(old)
    add(cluster[0], cluster[2].node, rows(3))
    cluster.run_for(2)
    assert cluster[0].hints.count == 3
    assert (cluster[2].node, cluster[2].view.mark) in cluster[0].heard


def test_a_hint_that_cannot_be_delivered_keeps_no_other_one_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = ByHints(3)
    cluster.simulation.crash(cluster.hosts[2])
    member, target = cluster[0], cluster[2]
    add(member, target.node, rows(300))
    cluster.run_for(1)
    odd = sorted(place for place, _ in rows(300))[:3]

    def odd_check(rows: Sequence[Row], mask: int) -> tuple[str, set[bytes]]:
        return ("odd", set()) if any(place in odd for place, _ in rows) else check(rows, mask)

    monkeypatch.setattr("ringdict.node.replicas.replicadesk.check", odd_check)
    cluster.simulation.restart(cluster.hosts[2])
    cluster.run_for(10)
    assert member.hints.count == 3
    assert cluster[2].contents().keys() == {place for place, _ in rows(300)} - set(odd)
    monkeypatch.undo()
    cluster.run_for(10)
    assert member.hints.count == 0
    assert len(cluster[2].contents()) == 300
