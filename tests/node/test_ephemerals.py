"""Ephemeral Dicts of a cluster: they live as long as their owner says so to anybody, and no longer."""

from __future__ import annotations

import pytest

from ringdict.node.config import HEARTBEAT_INTERVAL_S, HEARTBEAT_TIMEOUT_S
from ringdict.node.network.message import Resolve, Resolved, ResolveId
from ringdict.node.store.catalogue import EPHEMERAL, Record
from ringdict.sim.network import Noise

from .keepers import Cluster

RECORD = Record(EPHEMERAL, "someone's", 5, "me", 0)


def beat(cluster: Cluster, at: int) -> bytes:
    reply = cluster.ask(at, Resolve(0, EPHEMERAL, "someone's", RECORD.encode()))
    assert isinstance(reply, Resolved)
    return reply.dict_id


def exists(cluster: Cluster, dict_id: bytes, at: int = 0) -> bool:
    reply = cluster.ask(at, ResolveId(0, dict_id))
    assert isinstance(reply, Resolved)
    return bool(reply.dict_id)


def lonely(cluster: Cluster, numbers: list[int]) -> None:
    for number in numbers:
        for other in range(len(cluster.hosts)):
            if other not in numbers:
                cluster.simulation.network.cut(cluster.hosts[number].address, cluster.hosts[other].address)
                cluster.simulation.network.cut(cluster.hosts[other].address, cluster.hosts[number].address)


def ended_count(cluster: Cluster) -> int:
    return sum(cluster.keeping(number).ephemerals.ended_count for number in range(len(cluster.hosts)))


def test_it_is_ended_everywhere_once_its_owner_was_silent_for_too_long() -> None:
    cluster = Cluster(3)
    dict_id = beat(cluster, 0)
    cluster.run_for(HEARTBEAT_TIMEOUT_S - 1)
    assert exists(cluster, dict_id)
    cluster.run_for(2 * HEARTBEAT_INTERVAL_S + 5)
    assert not any(exists(cluster, dict_id, at) for at in range(3))
    assert ended_count(cluster) >= 1


def test_beats_to_anybody_keep_it_though_many_messages_are_lost() -> None:
    cluster = Cluster(3)
    dict_id = beat(cluster, 0)
    cluster.simulation.network.noise = Noise(loss=0.3)
    for number in range(12):
        cluster.run_for(HEARTBEAT_INTERVAL_S)
        cluster.begin(number % 3, Resolve(0, EPHEMERAL, "someone's", RECORD.encode()))
    cluster.simulation.network.noise = Noise()
    assert exists(cluster, dict_id)


def test_whoever_was_started_lately_takes_every_owner_for_alive() -> None:
    cluster = Cluster(3)
    dict_id = beat(cluster, 0)
    cluster.run_for(HEARTBEAT_TIMEOUT_S - 5)
    for host in cluster.hosts:
        cluster.simulation.crash(host)
        cluster.simulation.restart(host)
    cluster.run_for(HEARTBEAT_TIMEOUT_S - 5)
    assert exists(cluster, dict_id)
    cluster.run_for(2 * HEARTBEAT_INTERVAL_S + 10)
    assert not exists(cluster, dict_id)


def test_a_minority_ends_nothing() -> None:
    cluster = Cluster(3)
    dict_id = beat(cluster, 0)
    lonely(cluster, [0])
    for _ in range(8):
        cluster.run_for(HEARTBEAT_INTERVAL_S)
        assert beat(cluster, 1) == dict_id
    assert cluster.keeping(0).ephemerals._silence_ns(dict_id) > HEARTBEAT_TIMEOUT_S * 1e9
    assert cluster.keeping(0).names.by_id(dict_id).record
    assert ended_count(cluster) == 0


def test_whoever_heard_him_speaks_for_him() -> None:
    """All lost what the one told them that he beats at."""
    cluster = Cluster(3)
    dict_id = beat(cluster, 0)
    for number in (1, 2):
        cluster.keeping(number).ephemerals._on_beat = lambda *_: None  # type: ignore[method-assign]
        cluster.keeping(number)._handlers.update(cluster.keeping(number).ephemerals.handlers())
    for _ in range(8):
        cluster.run_for(HEARTBEAT_INTERVAL_S)
        assert beat(cluster, 0) == dict_id
    assert exists(cluster, dict_id, 1)
    assert ended_count(cluster) == 0


def test_a_beat_that_comes_too_late_makes_nothing_again() -> None:
    cluster = Cluster(3)
    dict_id = beat(cluster, 0)
    cluster.run_for(HEARTBEAT_TIMEOUT_S + 2 * HEARTBEAT_INTERVAL_S + 5)
    assert not exists(cluster, dict_id)
    assert beat(cluster, 1) == b""


@pytest.mark.parametrize("seed", range(4))
def test_several_end_it_at_once_and_it_is_ended_once(seed: int) -> None:
    cluster = Cluster(5, seed=seed)
    dict_id = beat(cluster, 0)
    for number in range(5):
        ephemerals = cluster.keeping(number).ephemerals
        ephemerals._heard_ns[dict_id] = cluster.hosts[number].world.now_ns() - int(301e9)  # type: ignore[union-attr]
    for number in range(5):
        ephemerals = cluster.keeping(number).ephemerals
        assert ephemerals._view is not None
        ephemerals._ask(ephemerals._view, [dict_id])
    cluster.run_for(1.0)
    assert not any(exists(cluster, dict_id, at) for at in range(5))
    assert len({cluster.keeping(at).names.digest for at in range(5)}) == 1
    assert {cluster.keeping(at).names.life_of(EPHEMERAL, "someone's").life for at in range(5)} == {1}
