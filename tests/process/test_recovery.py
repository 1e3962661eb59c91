"""Two of three nodes are lost for good: the third goes on by force, and what was lost never comes back into
the ring by itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import LockTimeoutError, UnavailableError
from ringdict.ring.config import LINEAGE_EPOCHS

from .nodes import RealCluster, RealNode, wait_until
from .test_moves import ring_of, wait_at_rest


def dict_of(cluster: Cluster) -> Dict[Any, Any]:
    return Dict[Any, Any].from_name("d", create_if_missing=True, cluster=cluster)


def lost(*nodes: RealNode) -> list[str]:
    return [word for node in nodes for word in ("--lost", node.address)]


def works(cluster: Cluster) -> bool:
    try:
        return dict_of(cluster).put("probe", 1) and dict_of(cluster).incr("probes") > 0
    except UnavailableError:
        return False


def is_held(cluster: Cluster, key: str) -> bool:
    try:
        dict_of(cluster).lock(key, wait_s=0).acquire()
    except LockTimeoutError:
        return True
    return False


@pytest.mark.timeout(240)
def test_one_of_three_goes_on_and_takes_two_new_ones_in(tmp_path: Path) -> None:
    with RealCluster(tmp_path, 3, "--partitions", "64") as nodes:
        nodes.wait_ready()
        first, *others = nodes.nodes
        with nodes.client(timeout_s=10.0) as client:
            d = dict_of(client)
            d.update({number: number for number in range(200)})
            held = d.lock("held")
            assert held.acquire()
            old_token = held.token
            count = d.incr("count")
        cluster_id = ring_of(nodes)["cluster_id"]
        nodes.command("force-recover", *lost(*others), "--cluster-id", cluster_id, code=2)  # they answer
        assert ring_of(nodes)["epoch"] < LINEAGE_EPOCHS
        for node in others:
            node.kill()
            shutil.rmtree(node.folder / "data")
        nodes.nodes = [first]
        nodes.command("force-recover", *lost(*others), code=1)  # says what it costs
        nodes.command("force-recover", *lost(*others), "--cluster-id", "0" * 12, code=2)
        assert ring_of(nodes)["epoch"] < LINEAGE_EPOCHS
        nodes.command("force-recover", *lost(*others), "--cluster-id", cluster_id[:12])
        assert ring_of(nodes)["epoch"] >= LINEAGE_EPOCHS
        with nodes.client(timeout_s=10.0) as client:
            wait_until(lambda: works(client))
            d = dict_of(client)
            assert all(d[number] == number for number in range(200))
            assert d.incr("count") == count + 1
            assert is_held(client, "held")
            assert held.token == old_token
            fresh = d.lock("fresh")
            assert fresh.acquire()
            assert fresh.token is not None
            assert old_token is not None
            assert fresh.token > old_token
        assert "recovered by force" in nodes.command("status", code=None)
        assert "recovered by force" in first.log
        nodes.add("--partitions", "64")
        nodes.add("--partitions", "64")
        wait_at_rest(nodes, 3)
        first.kill()
        with nodes.client(timeout_s=10.0) as client:
            wait_until(lambda: works(client))
            assert all(dict_of(client)[number] == number for number in range(200))
            assert is_held(client, "fresh")


@pytest.mark.deep
@pytest.mark.timeout(240)
def test_an_old_majority_that_comes_back_hands_over_and_votes_no_more(tmp_path: Path) -> None:
    with RealCluster(tmp_path, 3, "--partitions", "64") as nodes:
        nodes.wait_ready()
        first, *others = nodes.nodes
        first.kill()
        nodes.nodes = others
        with nodes.client(timeout_s=10.0) as client:
            wait_until(lambda: works(client))
            dict_of(client).put("only there", 1)
            assert dict_of(client).lock("there", ttl=60).acquire()
        for node in others:
            node.kill()
        nodes.nodes = [first]
        first.start()
        wait_until(lambda: bool(nodes.command("ring", "--json", code=None)))
        cluster_id = ring_of(nodes)["cluster_id"]
        nodes.command("force-recover", *lost(*others), "--cluster-id", cluster_id[:12])
        with nodes.client(timeout_s=10.0) as client:
            wait_until(lambda: works(client))
            assert "only there" not in dict_of(client)
            again = dict_of(client).lock("there", ttl=60)
            assert again.acquire()
            for node in others:
                node.start()
            nodes.nodes = [first, *others]
            wait_until(lambda: "only there" in dict_of(client), nodes._why)
            wait_until(lambda: all('"member": false' in node.log for node in others))
            again.extend()
            assert is_held(client, "there")
        assert [one["address"] for one in ring_of(nodes)["members"] if one["state"] == "active"] == [
            first.address
        ]
