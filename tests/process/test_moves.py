"""The ring of a real cluster changes under load: how far it is can be seen, it is as slow as it was told to
be, and survives a SIGKILL of who takes over; who goes through a Dict meanwhile sees each key once."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pytest

from ringdict import Cluster, Dict
from ringdict.node.network.sockets import free_address

from .nodes import RealCluster, RealNode, wait_until
from .test_cluster import Load

STABLE = 2_000


def filled(cluster: Cluster, *, value_bytes: int = 8) -> Dict[Any, Any]:
    """A Dict of keys that nobody touches from now on."""
    d = Dict[Any, Any].from_name("stable", create_if_missing=True, cluster=cluster).hydrate()
    d.update(dict.fromkeys(range(STABLE), "x" * value_bytes))
    return d


class Scanner:
    """Goes through a Dict again and again."""

    def __init__(self, cluster: RealCluster) -> None:
        self._cluster = cluster.client(timeout_s=20.0)
        self._dict = Dict[Any, Any].from_name("stable", cluster=self._cluster)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.scans = 0
        self.faults: list[str] = []

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                seen = Counter(key for key in self._dict if isinstance(key, int))
            except Exception as error:  # noqa: BLE001 - belongs to the test
                self.faults.append(repr(error))
                return
            twice = [key for key, count in seen.items() if count > 1]
            missed = set(range(STABLE)) - seen.keys()
            if twice or missed:
                self.faults.append(f"scan {self.scans}: twice {twice[:5]}, missed {sorted(missed)[:5]}")
            self.scans += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._cluster.close()


def ring_of(cluster: RealCluster) -> dict[str, Any]:
    return dict(json.loads(cluster.command("ring", "--json") or "{}"))


def copies_of(cluster: RealCluster, node: RealNode) -> int:
    members = ring_of(cluster)["members"]
    return sum(member["copies"] for member in members if member["address"] == node.address)


def wait_at_rest(cluster: RealCluster, members: int) -> None:
    def so() -> bool:
        ring = ring_of(cluster)
        active = [member for member in ring["members"] if member["state"] == "active"]
        return bool(ring["at_rest"]) and len(active) == members

    wait_until(so, lambda: cluster.command("status", code=None))


def moves_of(cluster: RealCluster, node: RealNode) -> dict[str, Any]:
    """What a node says of what it takes over; empty: nothing."""
    told = json.loads(cluster.command("status", "--json", code=None) or '{"nodes": []}')
    for one in told["nodes"]:
        if one["address"] == node.address and one["status"]:
            return one["status"]["moves"] or {}
    return {}


@pytest.mark.deep
@pytest.mark.timeout(400)
def test_who_scans_while_a_node_joins_weighs_more_and_leaves_sees_each_key_once(tmp_path: Path) -> None:
    with RealCluster(tmp_path) as nodes:
        nodes.wait_ready()
        with nodes.client(timeout_s=20.0) as client:
            filled(client)
        with Load(nodes) as load, Scanner(nodes) as scanner:
            load.runs_on()
            fourth = nodes.add()
            wait_at_rest(nodes, 4)
            before = copies_of(nodes, fourth)
            nodes.command("adjust", fourth.address, "--weight", "3", "--zone", "b", "--yes")
            wait_at_rest(nodes, 4)
            members = {one["address"]: one for one in ring_of(nodes)["members"]}
            assert (members[fourth.address]["weight"], members[fourth.address]["zone"]) == (3, "b")
            assert copies_of(nodes, fourth) > before
            nodes.command("leave", fourth.address, "--yes")
            wait_at_rest(nodes, 3)
            scans = scanner.scans
            wait_until(lambda: scanner.scans > scans or bool(scanner.faults))
        assert not scanner.faults
        assert scanner.scans >= 5
        load.check(nodes)


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_slow_move_is_seen_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    with RealCluster(tmp_path) as nodes:
        nodes.wait_ready()
        with nodes.client(timeout_s=20.0) as client:
            filled(client, value_bytes=4_000)
        fourth = RealNode(
            tmp_path / "n3", free_address(), [node.address for node in nodes.nodes], "--move-rate", "1"
        )
        nodes.nodes.append(fourth)
        begun_s = time.monotonic()
        fourth.start()
        wait_until(
            lambda: moves_of(nodes, fourth).get("moved_bytes", 0) > 1 << 20, lambda: fourth.log[-2_000:]
        )
        moves = moves_of(nodes, fourth)
        assert moves["taking_partitions"] > 500
        assert moves["pending_partitions"] >= moves["taking_partitions"] > moves["ready_partitions"]
        assert 0 < moves["rate_bytes_s"] <= 1.3 * (1 << 20), moves
        assert moves["waits_for"], "somebody holds what it lacks"
        said = nodes.command("status", code=None)
        assert "partitions that it takes over" in said
        fourth.kill()
        fourth.start()
        wait_at_rest(nodes, 4)
        assert time.monotonic() - begun_s > 3, "six megabytes at one a second"
        assert moves_of(nodes, fourth) == {}
        with nodes.client(timeout_s=20.0) as client:
            there = Dict[Any, Any].from_name("stable", cluster=client)
            assert sum(1 for _ in there) == STABLE
