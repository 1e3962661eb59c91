"""Three real nodes: killed, stopped, restarted, joined, attacked, short of room. No put is lost."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from ringdict import Dict
from ringdict.exception import Error
from ringdict.node.network.sockets import free_address
from ringdict.node.world import Address

from ..node.caller import RawClient
from .nodes import SECRET, RealCluster, RealNode, wait_until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RealCluster]:
    with RealCluster(tmp_path) as nodes:
        nodes.wait_ready()
        yield nodes


class Load:
    """Puts numbers under keys of its own without a pause, and notes what was acknowledged and how long each
    call took."""

    def __init__(self, cluster: RealCluster, name: str = "load") -> None:
        self._name = name
        self.acknowledged: dict[str, int] = {}
        self.errors: list[Error] = []
        self.longest_s = 0.0
        self._stop = threading.Event()
        self._cluster = cluster.client()
        self._dict = Dict[str, int].from_name(name, create_if_missing=True, cluster=self._cluster)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            key = f"k{number % 500}"
            begun_s = time.monotonic()
            try:
                self._dict[key] = number
                self.acknowledged[key] = number
            except Error as error:
                self.errors.append(error)
            self.longest_s = max(self.longest_s, time.monotonic() - begun_s)

    def __enter__(self) -> Self:
        self._dict.hydrate()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def runs_on(self, count: int = 50) -> None:
        """Wait until so many more were acknowledged."""
        goal = len(self.acknowledged) and max(self.acknowledged.values()) + count
        wait_until(lambda: bool(self.acknowledged) and max(self.acknowledged.values()) >= goal)

    def check(self, cluster: RealCluster) -> None:
        """What was acknowledged is there, or something newer. One owner may not have heard of it yet."""
        with cluster.client() as other:
            load = Dict[str, int].from_name(self._name, cluster=other)
            there = load.get_many(list(self.acknowledged), fresh=True)
        lost = {key: number for key, number in self.acknowledged.items() if there.get(key, -1) < number}
        assert not lost


def test_three_nodes_serve_and_a_node_that_is_asked_to_stop_harms_nobody(cluster: RealCluster) -> None:
    assert "3 of 3 nodes answer" in cluster.command("status", code=None)
    with Load(cluster) as load:
        load.runs_on()
        begun_s = time.monotonic()
        assert cluster.nodes[2].stop() == 0
        assert time.monotonic() - begun_s < 6
        load.runs_on()
        cluster.nodes[2].start()
        wait_until(lambda: cluster.nodes[2].is_ready)
        load.runs_on()
    assert not load.errors
    load.check(cluster)


@pytest.mark.deep
def test_a_node_that_is_killed_under_load_and_comes_back_loses_nothing(cluster: RealCluster) -> None:
    with Load(cluster) as load:
        for node in cluster.nodes:
            load.runs_on()
            node.kill()
            load.runs_on()
            node.start()
            wait_until(lambda node=node: node.is_ready)  # type: ignore[misc]
            load.runs_on()
    assert load.longest_s < 4
    load.check(cluster)


@pytest.mark.deep
def test_a_node_that_is_stopped_delays_calls_by_two_seconds_at_most(cluster: RealCluster) -> None:
    with Load(cluster) as load:
        load.runs_on()
        cluster.nodes[1].signal(signal.SIGSTOP)
        load.runs_on(300)
        cluster.nodes[1].signal(signal.SIGCONT)
        load.runs_on()
    assert load.longest_s < 2
    load.check(cluster)


@pytest.mark.deep
def test_all_at_once_die_and_come_back_and_the_client_goes_on(cluster: RealCluster) -> None:
    load = Load(cluster)
    with load:
        load.runs_on()
        for node in cluster.nodes:
            node.kill()
        time.sleep(0.5)
        for node in cluster.nodes:
            node.start()
        load.runs_on()
    cluster.wait_ready()
    load.check(cluster)


@pytest.mark.deep
def test_a_fourth_node_joins_under_load(cluster: RealCluster) -> None:
    with Load(cluster) as load:
        load.runs_on()
        cluster.add()
        cluster.wait_ready()
        load.runs_on()
    assert not load.errors
    load.check(cluster)
    assert "4 of 4 nodes answer" in cluster.command("status", code=None)


@pytest.mark.deep
def test_a_node_joins_through_a_name_and_outlives_one_that_is_none(cluster: RealCluster) -> None:
    port = cluster.nodes[0].address.rpartition(":")[2]
    seeds = [Address("nobody.invalid:7447"), Address(f"localhost:{port}")]
    named = RealNode(cluster.folder / "named", free_address(), seeds)
    cluster.nodes.append(named)
    named.start()
    cluster.wait_ready()
    assert "4 of 4 nodes answer" in cluster.command("status", code=None)


@pytest.mark.deep
def test_hostile_and_slow_connections_harm_nobody(cluster: RealCluster) -> None:
    addresses = [node.address for node in cluster.nodes]
    slow = [RawClient(address) for address in addresses for _ in range(300)]
    before_mb = [node.rss_mb for node in cluster.nodes]
    with Load(cluster) as load:
        for _ in range(200):
            for address in addresses:
                with RawClient(address) as stranger:
                    stranger.socket.sendall(os.urandom(300))
                with RawClient(address).shake(SECRET.encode()) as client:
                    client.send(b"\x93" + os.urandom(100), os.urandom(50), b"")
        load.runs_on()
    for one in slow:
        one.close()
    assert not load.errors
    load.check(cluster)
    grown_mb = [node.rss_mb - before for node, before in zip(cluster.nodes, before_mb, strict=True)]
    assert max(grown_mb) < 60


@pytest.mark.deep
def test_a_node_whose_disk_takes_nothing_more_harms_nobody(cluster: RealCluster) -> None:
    """A limit on the size of files stands for a full disk: what would grow one is refused."""
    node = cluster.nodes[2]
    node.stop()

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))

    node.start(limit)
    with Load(cluster) as load:
        large = Dict[int, bytes].from_name("large", create_if_missing=True, cluster=load._cluster)
        for number in range(60):
            large[number] = os.urandom(90_000)
        load.runs_on()
        assert all(len(large[number]) == 90_000 for number in range(60))
        sizes = [max(file.stat().st_size for file in one.folder.rglob("data.mdb")) for one in cluster.nodes]
        assert sizes[2] <= 2 << 20 < 4 << 20 < min(sizes[:2])  # it could not, the others could
    load.check(cluster)
    node.kill()
    node.start()
    cluster.wait_ready()
