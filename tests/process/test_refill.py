"""A real node whose entries are gone, or damaged, gets them again from the others, without anyone's help."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ringdict import Dict

from .nodes import RealCluster, RealNode, wait_until

ENTRIES = 5_000
BATCH = 1_000
NEEDLE = b"a value that a bit will flip in"


@pytest.mark.deep
@pytest.mark.parametrize("folders", [("entries", "synced"), ("entries",)], ids=["both", "entries alone"])
def test_a_node_whose_disk_was_wiped_is_filled_under_load(tmp_path: Path, folders: tuple[str, ...]) -> None:
    with RealCluster(tmp_path) as cluster:
        cluster.wait_ready()
        with cluster.client(30.0) as client:
            some = Dict[int, bytes].from_name("d", create_if_missing=True, cluster=client)
            for first in range(0, ENTRIES, BATCH):
                some.update(dict.fromkeys(range(first, first + BATCH), b"v" * 100))
            node = cluster.nodes[2]
            node.kill()
            data = node.folder / "data"
            for folder in folders:
                shutil.rmtree(data / folder)
            for name in ("stamp", "status") if "synced" in folders else ():
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


@pytest.mark.deep
@pytest.mark.parametrize("is_read", [True, False], ids=["read", "left alone"])
def test_a_flipped_bit_is_found_by_verify_and_mended_while_all_run(tmp_path: Path, *, is_read: bool) -> None:
    with RealCluster(tmp_path) as cluster:
        cluster.wait_ready()
        with cluster.client(30.0) as client:
            some = Dict[str, bytes].from_name("d", create_if_missing=True, cluster=client)
            some.update({f"key {number}": b"v" * 100 for number in range(500)})
            some["unlucky"] = NEEDLE
            flip(cluster.nodes[0])
            said = cluster.command("verify", "--data", str(cluster.nodes[0].folder / "data"), code=4)
            assert "unlucky" in said

            def is_whole() -> bool:
                assert not is_read or some["unlucky"] == NEEDLE
                words = ("verify", "--json", "--data", str(cluster.nodes[0].folder / "data"))
                return bool(json.loads(cluster.command(*words, code=None))["damaged"] == 0)

            wait_until(is_whole, lambda: cluster.command("status", "--json", code=None))


def flip(node: RealNode) -> None:
    """Flip a bit of the needle in a node's data file, under its hands."""
    path = node.folder / "data" / "entries" / "data.mdb"
    content = path.read_bytes()
    places = [found.start() for found in re.finditer(re.escape(NEEDLE), content)]
    assert places
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            file.write(bytes([NEEDLE[0] ^ 1]))


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
