"""What a read finds out about replicas is mended behind its back; nothing is deleted by it, and who does not
own a key is not given it.

Replicas are not compared in these tests, so whatever is mended here a read has mended.
"""

from __future__ import annotations

import pytest

from ringdict.node.config import REPAIR_PAUSE_S, REPAIR_PLACES_MAX, REPAIR_SAMPLE_READS
from ringdict.node.network.message import Absent, Get, GetMany, Present, Refused
from ringdict.node.replicas import readrepair
from ringdict.node.replicas.convergence import Convergence
from ringdict.node.replicas.place import place_of
from ringdict.node.replicas.readrepair import ReadRepair, RepairStatus
from ringdict.node.store.entry import NO_OPERATION, TOMBSTONE, Stored, encode
from ringdict.ring.partition import dict_seed, key_hash

from .keepers import KEY, Cluster

LONG_S = 1.0
"""Time for four looks, each taken twice."""


@pytest.fixture(autouse=True)
def _uncompared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Convergence, "_tick", lambda _: None)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def place(cluster: Cluster, key: bytes = KEY) -> bytes:
    return place_of(cluster.dict_id, key, key_hash(dict_seed(cluster.dict_id), key))


def entry(cluster: Cluster, version: int, body: bytes = b"v", flags: int = 0, key: bytes = KEY) -> bytes:
    stored = Stored(flags, version << 16, 1, 0, 0, NO_OPERATION, b"", body)
    return encode(stored, key_hash(dict_seed(cluster.dict_id), key))


def give(cluster: Cluster, number: int, raw: bytes, key: bytes = KEY) -> None:
    """A node alone gets an entry."""
    cluster.keeping(number).replica.apply([(place(cluster, key), raw)], lambda _error, _newer: None)


def stands(cluster: Cluster, number: int, key: bytes = KEY) -> bytes | None:
    return cluster.keeping(number).entries.get(place(cluster, key))


def ask(cluster: Cluster, number: int, *, doubts: bool = False) -> Present | Absent | Refused:
    reply = cluster.ask(number, Get(0, cluster.epoch, cluster.dict_id, KEY, doubts))
    assert isinstance(reply, (Present, Absent, Refused))
    return reply


def status(cluster: Cluster, number: int) -> RepairStatus:
    return cluster.keeping(number).repair.status()


def test_a_doubting_read_lets_all_owners_have_the_newest(cluster: Cluster) -> None:
    for number, version in enumerate([1, 3, 2]):
        give(cluster, number, entry(cluster, version, b"%d" % version))
    answer = ask(cluster, 0, doubts=True)
    assert isinstance(answer, Present)
    assert answer.body == b"1", "nobody waits for the repair"
    cluster.run_for(LONG_S)
    assert stands(cluster, 0) == stands(cluster, 1) == stands(cluster, 2) == entry(cluster, 3, b"3")
    assert status(cluster, 0).mended_count == 1
    assert status(cluster, 0).sent_count == 1
    assert not status(cluster, 0).waiting


def test_an_owner_that_has_nothing_is_given_it(cluster: Cluster) -> None:
    give(cluster, 1, entry(cluster, 5))
    ask(cluster, 1, doubts=True)
    cluster.run_for(LONG_S)
    assert stands(cluster, 0) == stands(cluster, 2) == entry(cluster, 5)


def test_a_removal_is_repaired_like_an_entry_and_nothing_is_deleted(cluster: Cluster) -> None:
    give(cluster, 0, entry(cluster, 2))
    give(cluster, 1, entry(cluster, 3, b"", TOMBSTONE))
    give(cluster, 2, entry(cluster, 4, b"written after the removal"))
    ask(cluster, 1, doubts=True)
    cluster.run_for(LONG_S)
    assert all(stands(cluster, n) == entry(cluster, 4, b"written after the removal") for n in range(3))


def test_what_was_purged_does_not_come_back(cluster: Cluster) -> None:
    partition = key_hash(dict_seed(cluster.dict_id), KEY) % 1024
    give(cluster, 0, entry(cluster, 2))
    for number in (1, 2):
        cluster.keeping(number).replica.raise_mark(partition, 9 << 16, lambda _error, _newer: None)
    cluster.run_for(0.1)
    ask(cluster, 0, doubts=True)
    ask(cluster, 1, doubts=True)
    cluster.run_for(LONG_S)
    assert stands(cluster, 1) is stands(cluster, 2) is None
    assert stands(cluster, 0) is not None, "a read removes nothing, either"
    assert not status(cluster, 0).sent_count


def test_a_damaged_entry_is_mended_by_who_reads_it(cluster: Cluster) -> None:
    for number in range(3):
        give(cluster, number, entry(cluster, 1))
    cluster.run_for(0.1)
    cluster.keeping(0).entries.commit({place(cluster): entry(cluster, 1)[:-1] + b"X"}, lambda _: None)
    cluster.run_for(0.1)
    assert isinstance(ask(cluster, 0), Refused)
    cluster.run_for(LONG_S)
    assert isinstance(ask(cluster, 0), Present)
    assert stands(cluster, 0) == entry(cluster, 1)


def test_few_of_many_reads_find_a_difference_that_nobody_noticed(cluster: Cluster) -> None:
    give(cluster, 0, entry(cluster, 2))
    for _ in range(20):
        request = GetMany(0, cluster.epoch, cluster.dict_id, [KEY] * REPAIR_SAMPLE_READS)
        cluster.ask(0, request)
    cluster.run_for(LONG_S)
    assert 5 <= status(cluster, 0).sampled_count <= 80, "about twenty"
    assert stands(cluster, 1) == stands(cluster, 2) == entry(cluster, 2)


def test_a_write_under_way_is_no_difference(cluster: Cluster) -> None:
    give(cluster, 0, entry(cluster, 2))
    ask(cluster, 0, doubts=True)
    cluster.run_for(0.05)
    for number in (1, 2):
        give(cluster, number, entry(cluster, 2))
    cluster.run_for(LONG_S)
    assert not status(cluster, 0).sent_count


def test_looks_are_bounded_in_number_and_rate(cluster: Cluster) -> None:
    repair = cluster.keeping(0).repair
    for number in range(REPAIR_PLACES_MAX + 10):
        repair.doubt(cluster.dict_id, b"\x03%d" % number)
    assert repair.status().waiting == REPAIR_PLACES_MAX
    assert repair.status().dropped_count == 10
    cluster.run_for(100 * REPAIR_PAUSE_S)
    assert repair.status().waiting >= REPAIR_PLACES_MAX - 50, "each is looked up at two owners"
    cluster.run_for(3 * REPAIR_PLACES_MAX * REPAIR_PAUSE_S)
    assert not repair.status().waiting


def test_who_cannot_be_reached_is_left_to_others(cluster: Cluster) -> None:
    give(cluster, 0, entry(cluster, 2))
    cluster.simulation.crash(cluster.hosts[1])
    ask(cluster, 0, doubts=True)
    cluster.run_for(2.0)
    assert stands(cluster, 2) == entry(cluster, 2)
    assert not status(cluster, 0).waiting


def test_a_former_owner_is_given_nothing() -> None:
    cluster = Cluster(4)
    cluster.decide([0, 1, 2, 3], first=1)  # owned by 1, 2 and 3
    give(cluster, 1, entry(cluster, 2))
    ask(cluster, 1, doubts=True)
    cluster.run_for(LONG_S)
    assert stands(cluster, 2) == stands(cluster, 3) == entry(cluster, 2)
    assert stands(cluster, 0) is None
    cluster.keeping(0).repair.doubt(cluster.dict_id, KEY)
    cluster.run_for(LONG_S)
    assert stands(cluster, 0) is None, "and asks for nothing"


def test_under_a_newer_ring_its_owners_are_asked() -> None:
    cluster = Cluster(4)
    give(cluster, 0, entry(cluster, 2))
    cluster.keeping(0).repair.doubt(cluster.dict_id, KEY)
    cluster.decide([0, 2, 3], first=0)
    cluster.run_for(LONG_S)
    assert stands(cluster, 1) is None
    assert stands(cluster, 2) == stands(cluster, 3) == entry(cluster, 2)


# -- wrong versions ----------------------------------------------------------------------------------


def test_who_repairs_former_owners_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ReadRepair, "_drawn", lambda self, view, _: [n for n in view.members if n != self._me]
    )
    monkeypatch.setattr("ringdict.node.replicas.replicadesk.ReplicaDesk.keeps", lambda _self, _place: True)
    with pytest.raises(AssertionError):
        test_a_former_owner_is_given_nothing()


def test_who_takes_the_last_answer_for_the_newest_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readrepair, "is_newer", lambda front, standing: front != standing)
    monkeypatch.setattr("ringdict.node.replicas.replica.beats", lambda raw, standing: raw != standing)
    with pytest.raises(AssertionError):
        test_a_doubting_read_lets_all_owners_have_the_newest(Cluster())
