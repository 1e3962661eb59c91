"""Real nodes that leave the ring, are removed from it while they are dead or alive, and are replaced."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict

from .nodes import RealCluster, RealNode, wait_until
from .test_cluster import Load


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RealCluster]:
    with RealCluster(tmp_path, 3, "--partitions", "64") as nodes:
        nodes.wait_ready()
        yield nodes


def ring_of(cluster: RealCluster) -> dict[str, Any]:
    """What the nodes that are there say of the ring; empty: nobody says anything."""
    told = cluster.command("ring", "--json", code=None)
    return json.loads(told) if told else {}


def wait_for_members(cluster: RealCluster, *nodes: RealNode) -> None:
    """Until these are the members of a ring at rest."""
    wanted = {node.address for node in nodes}

    def so() -> bool:
        ring = ring_of(cluster)
        return bool(ring) and ring["at_rest"] and {each["address"] for each in ring["members"]} == wanted

    wait_until(so, lambda: str(ring_of(cluster)))


def read_from(node: RealNode, load: Load, cluster: RealCluster) -> None:
    """All that was acknowledged is there on one node alone, or something newer."""
    with Cluster(f"ringdict://{node.address}", secret=cluster.secret) as other:
        there = Dict[str, int].from_name("load", cluster=other).get_many(list(load.acknowledged))
    lost = {key: number for key, number in load.acknowledged.items() if there.get(key, -1) < number}
    assert not lost


@pytest.mark.deep
def test_a_node_leaves_under_load_after_it_has_handed_over(cluster: RealCluster) -> None:
    """Three replicas each, four nodes: what the one that leaves has goes to the fourth before it is out."""
    newcomer = cluster.add()
    cluster.wait_ready()
    leaver = cluster.nodes[0]
    with Load(cluster) as load:
        load.runs_on()
        cluster.command("leave", leaver.address, "-y")
        wait_for_members(cluster, *cluster.nodes[1:])
        assert leaver.stop() == 0
        load.runs_on()
    assert not load.errors
    load.check(cluster)
    for node in cluster.nodes[1:3]:  # one owner is enough: each of the three keeps all by now
        node.kill()
    read_from(newcomer, load, cluster)


@pytest.mark.deep
def test_the_last_but_one_leaves_and_one_node_serves_all(cluster: RealCluster) -> None:
    first, second, third = cluster.nodes
    with Load(cluster) as load:
        load.runs_on()
        for leaver, staying in ((third, (first, second)), (second, (first,))):
            cluster.command("leave", leaver.address, "-y")
            wait_for_members(cluster, *staying)
            leaver.stop()
            load.runs_on()
    assert not load.errors
    read_from(first, load, cluster)


@pytest.mark.deep
def test_a_dead_node_is_removed_and_replaced_under_load(cluster: RealCluster) -> None:
    with Load(cluster) as load:
        load.runs_on()
        dead = cluster.nodes[2]
        dead.kill()
        load.runs_on()
        cluster.command("remove", dead.address, "-y")
        wait_for_members(cluster, *cluster.nodes[:2])
        cluster.nodes.remove(dead)
        newcomer = cluster.add("--data", str(cluster.folder / "another"))
        wait_for_members(cluster, *cluster.nodes)
        wait_until(lambda: newcomer.is_ready)
        load.runs_on()
    load.check(cluster)
    for node in cluster.nodes[:2]:
        node.kill()
    read_from(newcomer, load, cluster)


@pytest.mark.deep
def test_a_node_that_is_removed_while_it_lives_serves_no_more_and_harms_nobody(cluster: RealCluster) -> None:
    with Load(cluster) as load:
        load.runs_on()
        removed = cluster.nodes[2]
        cluster.command("remove", removed.address, "-y")
        wait_for_members(cluster, *cluster.nodes[:2])
        load.runs_on()
        begun_s = time.monotonic()
        wait_until(lambda: not removed.is_ready)
        assert time.monotonic() - begun_s < 20
        load.runs_on()
    assert not load.errors
    removed.stop()
    for node in cluster.nodes[:2]:
        read_from(node, load, cluster)
