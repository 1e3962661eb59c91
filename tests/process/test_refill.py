"""A real node whose entries are gone is filled again by the others, under load, without anyone's help."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ringdict import Dict

from .nodes import RealCluster, wait_until

ENTRIES = 5_000
BATCH = 1_000


@pytest.mark.deep
def test_a_node_whose_disk_was_wiped_is_filled_under_load(tmp_path: Path) -> None:
    with RealCluster(tmp_path) as cluster:
        cluster.wait_ready()
        with cluster.client(30.0) as client:
            some = Dict[int, bytes].from_name("d", create_if_missing=True, cluster=client)
            for first in range(0, ENTRIES, BATCH):
                some.update(dict.fromkeys(range(first, first + BATCH), b"v" * 100))
            node = cluster.nodes[2]
            node.kill()
            data = node.folder / "data"
            for folder in ("entries", "synced"):
                shutil.rmtree(data / folder)
            for name in ("stamp", "status"):
                (data / name).unlink(missing_ok=True)
            node.start()
            written = 0

            def is_filled() -> bool:
                nonlocal written
                some[written % ENTRIES] = b"new"
                written += 1
                return written % 20 == 0 and node.is_ready

            wait_until(is_filled)
            assert pulled(cluster, node.address) >= ENTRIES - written
            assert written


def pulled(cluster: RealCluster, address: str) -> int:
    """How many entries a node got from others by comparing."""
    for each in find(json.loads(cluster.command("status", "--json", code=None)), "convergence"):
        if each.get("address") == address:
            count: int = each["convergence"]["pulled_count"]
            return count
    raise AssertionError(f"{address} says nothing")


def find(tree: Any, name: str) -> list[dict[str, Any]]:
    """All objects in JSON that have such a member."""
    children: list[Any] = []
    if isinstance(tree, dict):
        children = list(tree.values())
    elif isinstance(tree, list):
        children = tree
    found = [each for child in children for each in find(child, name)]
    return [tree, *found] if isinstance(tree, dict) and name in tree else found
