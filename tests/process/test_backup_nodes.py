"""Backups of the nodes of a real cluster, taken under load: all that was acknowledged before is in them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ringdict import Cluster, Dict
from ringdict.node.network.sockets import free_address
from ringdict.node.store.archive import ArchiveReader

from .nodes import RealCluster, RealNode, wait_until
from .test_cluster import Load

WRITERS = 4


def numbers_in(cluster: Cluster, name: str) -> dict[Any, Any]:
    with cluster:
        return dict(Dict.from_name(name, cluster=cluster).items())


def test_what_four_writers_had_acknowledged_is_in_the_backups_of_the_nodes(tmp_path: Path) -> None:
    backups = [tmp_path / f"b{number}" for number in range(3)]
    with RealCluster(tmp_path / "nodes") as nodes, ExitStack() as stack:
        nodes.wait_ready()
        loads = [stack.enter_context(Load(nodes, name=f"load{number}")) for number in range(WRITERS)]
        for load in loads:
            load.runs_on(200)
        before = [dict(load.acknowledged) for load in loads]
        for node, backup in zip(nodes.nodes, backups, strict=True):
            nodes.command("backup", str(backup), "--data", str(node.folder / "data"), "--rate", "1")
        errors = [error for load in loads for error in load.errors]
        assert not errors
        old = {ArchiveReader(backup).manifest.source for backup in backups}
        assert len(old) == 3

    anew = RealCluster(tmp_path / "anew", count=0)
    node = RealNode(anew.folder / "n", free_address(), [])
    anew.nodes.append(node)
    words = list(map(str, backups))
    with anew:
        anew.command("restore", *words, "--data", str(node.folder / "data"))
        node.start()
        wait_until(lambda: node.is_ready, lambda: node.log)
        for number, acknowledged in enumerate(before):
            there = numbers_in(anew.client(), f"load{number}")
            lost = {key for key, value in acknowledged.items() if there.get(key, -1) < value}
            assert not lost
        assert not [one for one in old if one[:12] in anew.command("status", code=None)]

        anew.command("restore", *words, "--data", str(tmp_path / "embedded"))
        for number, acknowledged in enumerate(before):
            there = numbers_in(Cluster(f"file://{tmp_path}/embedded"), f"load{number}")
            assert all(there[key] >= value for key, value in acknowledged.items())
