"""The secret of three real nodes is changed while clients read and write, as an operator does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import AuthError
from ringdict.gossip.keyring import key_name

from .nodes import SECRET, WAIT_S_MAX, RealCluster, RealNode, wait_until
from .test_cluster import Load

NEW = "another secret of the tests' cluster"
OLD_KEY, NEW_KEY = key_name(SECRET.encode()), key_name(NEW.encode())


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RealCluster]:
    with RealCluster(tmp_path) as nodes:
        nodes.wait_ready()
        yield nodes


def key(
    cluster: RealCluster, node: RealNode, *words: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """`ringdict key …` on the host of a node, so to speak."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RINGDICT_")}
    return subprocess.run(
        [sys.executable, "-m", "ringdict", "key", *words],
        env=environ | {"RINGDICT_SECRET_FILE": str(node.secret_file), "RINGDICT_URL": cluster.url},
        input=given, capture_output=True, text=True, timeout=WAIT_S_MAX, check=False,
    )  # fmt: skip


def all_have(cluster: RealCluster, *names: str) -> bool:
    """Whether every node says so of itself: asked with whatever secret it has in its file."""
    told = key(cluster, cluster.nodes[0], "list")
    rows = [line.split() for line in told.stdout.splitlines()[1:]]
    return told.returncode == 0 and tuple(row[0] for row in rows) == names


def deaths(cluster: RealCluster) -> list[str]:
    """What the nodes' logs say of members that failed, or were suspected to have."""
    lines = [json.loads(line) for node in cluster.nodes for line in node.log.splitlines() if line[:1] == "{"]
    return [str(line) for line in lines if line.get("change") in ("failed", "suspected")]


@pytest.mark.deep
@pytest.mark.timeout(300)  # some thirty commands, each a process of its own
def test_the_secret_is_changed_under_load_and_nobody_is_lost(
    cluster: RealCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, last = cluster.nodes, cluster.nodes[2]
    clients = tmp_path / "clients"
    clients.write_text(SECRET, encoding="utf-8")
    monkeypatch.setenv("RINGDICT_SECRET_FILE", str(clients))
    cluster.secret = None
    with Load(cluster) as load:
        load.runs_on()
        for node in nodes[:2]:
            assert key(cluster, node, "install", "-", given=NEW).stdout.split() == [NEW_KEY]
        wait_until(lambda: f"as well: {NEW_KEY}" in nodes[0].log and f"as well: {NEW_KEY}" in nodes[1].log)
        refused = key(cluster, nodes[0], "use", NEW_KEY)
        assert (refused.returncode, refused.stderr) == (
            1,
            f"ringdict: {last.address} does not have {NEW_KEY} yet\n",
        )
        key(cluster, last, "install", "-", given=NEW)
        wait_until(lambda: all_have(cluster, OLD_KEY, NEW_KEY))
        load.runs_on()
        for node in nodes:
            assert key(cluster, node, "use", NEW_KEY[:4]).returncode == 0
            wait_until(lambda node=node: f"in use is {NEW_KEY}" in node.log)  # type: ignore[misc]
            load.runs_on()
            refused = key(cluster, node, "remove", OLD_KEY)
            assert refused.returncode == (0 if node is last else 1), refused.stderr
        clients.write_text(NEW, encoding="utf-8")
        for node in nodes[:2]:
            assert key(cluster, node, "remove", OLD_KEY).returncode == 0
        wait_until(lambda: all_have(cluster, NEW_KEY))
        load.runs_on()
        assert deaths(cluster) == []
        last.kill()
        last.start()
        wait_until(lambda: last.is_ready)
        load.runs_on()
    assert load.errors == []
    assert load.longest_s < 2
    cluster.secret = NEW
    load.check(cluster)
    with Cluster(cluster.url, secret=SECRET) as late, pytest.raises(AuthError):
        Dict[str, int].from_name("load", cluster=late).hydrate()
