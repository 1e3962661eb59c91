"""Real nodes of clusters that divide their keys into few partitions, or many; and what a value may have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import FormatError, ValueTooLargeError
from ringdict.node.store import layout

from .nodes import RealCluster


def divided_into(node: RealCluster) -> int:
    """What the ring says."""
    return int(json.loads(node.command("ring", "--json"))["partitions"])


def fill(cluster: Cluster) -> Dict[str, int]:
    d = Dict[str, int].from_name("d", create_if_missing=True, cluster=cluster)
    d.update({f"k{number}": number for number in range(300)})
    return d


@pytest.mark.parametrize("count", [8, 4096])
def test_a_cluster_has_as_many_partitions_as_it_was_founded_with(tmp_path: Path, count: int) -> None:
    with RealCluster(tmp_path, 1, "--partitions", str(count)) as nodes:
        nodes.wait_ready()
        assert divided_into(nodes) == count
        with nodes.client() as cluster:
            fill(cluster)
        nodes.nodes[0].stop()
        nodes.nodes[0].start()
        nodes.wait_ready()
        with nodes.client() as cluster:
            d = Dict[str, int].from_name("d", cluster=cluster)
            assert sorted(d.values()) == list(range(300))
            assert d.get_many(["k1", "k299", "no"]) == {"k1": 1, "k299": 299}
            assert len(d) == 300
            assert [d[f"k{number}"] for number in range(300)] == list(range(300))
        assert nodes.nodes[0].stop() == 0
    with (
        Cluster(f"file://{tmp_path}/n0/data") as embedded,
        pytest.raises(FormatError, match=f"{count} partitions"),
    ):
        Dict.from_name("d", cluster=embedded).hydrate()


def test_a_node_joins_a_cluster_with_another_number_than_it_was_told(tmp_path: Path) -> None:
    with RealCluster(tmp_path, 1, "--partitions", "16") as nodes:
        nodes.wait_ready()
        with nodes.client() as cluster:
            fill(cluster)
        newcomer = nodes.add("--partitions", "2048")
        nodes.wait_ready()
        assert divided_into(nodes) == 16
        nodes.nodes[0].kill()
        with Cluster(f"ringdict://{newcomer.address}", secret=nodes.secret) as cluster:
            d = Dict[str, int].from_name("d", cluster=cluster)
            assert sorted(d.values()) == list(range(300))


def test_a_folder_with_entries_keeps_its_own_number(tmp_path: Path) -> None:
    with Cluster(f"file://{tmp_path}/n0/data") as embedded:
        fill(embedded)
    with RealCluster(tmp_path, 1, "--partitions", "16") as nodes:
        nodes.wait_ready()
        assert divided_into(nodes) == layout.PARTITIONS
        with nodes.client() as cluster:
            assert len(Dict.from_name("d", cluster=cluster)) == 300
        assert nodes.nodes[0].stop() == 0
    with Cluster(f"file://{tmp_path}/n0/data") as embedded:
        d = Dict[str, int].from_name("d", cluster=embedded)
        d["more"] = 1
        assert len(d) == 301


def test_a_value_may_be_as_large_as_the_nodes_were_told(tmp_path: Path) -> None:
    with RealCluster(tmp_path, 1, "--value-bytes-max", "1000000") as nodes:
        nodes.wait_ready()
        with Cluster(f"{nodes.url}?value_bytes_max=2000000", secret=nodes.secret) as cluster:
            d = Dict[str, bytes].from_name("d", create_if_missing=True, cluster=cluster)
            d["large"] = b"x" * 900_000
            assert len(d["large"]) == 900_000
            with pytest.raises(ValueTooLargeError):
                d["larger"] = b"x" * 1_000_001
