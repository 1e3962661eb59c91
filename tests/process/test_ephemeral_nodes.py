"""An ephemeral Dict of real nodes goes when the process that made it was killed, and stays while it lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.client import ephemeral
from ringdict.exception import NotFoundError
from ringdict.node.network.sockets import free_address

from .nodes import RealCluster, RealNode, wait_until

HASTY = """
import sys
from ringdict.node import config
config.HEARTBEAT_INTERVAL_S, config.HEARTBEAT_TIMEOUT_S = 0.5, 4.0
from ringdict.cli import main
sys.exit(main(sys.argv[sys.argv.index("ringdict") + 1 :]))
"""
"""A node for which five minutes are four seconds."""

OWNER = """
import sys, time
from ringdict import Cluster, Dict
cluster = Cluster(sys.argv[1], secret=sys.argv[2])
with Dict.ephemeral(cluster=cluster) as d:
    d["k"] = 1
    print(d.object_id, flush=True)
    time.sleep(600)
"""


def hasty_nodes(folder: Path) -> RealCluster:
    cluster = RealCluster(folder, 0)
    (folder / "hasty.py").write_text(HASTY, encoding="utf-8")
    for number in range(3):
        seeds = [node.address for node in cluster.nodes]
        node = RealNode(folder / f"n{number}", free_address(), seeds, "--partitions", "64")
        node.prefix = [sys.executable, str(folder / "hasty.py")]
        cluster.nodes.append(node)
        node.start()
    return cluster


def is_there(client: Cluster, object_id: str) -> bool:
    try:
        return Dict[Any, Any].from_id(object_id, cluster=client).get("k") == 1
    except NotFoundError:
        return False


@pytest.mark.timeout(180)
def test_it_goes_with_the_process_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heart = ephemeral.Heart
    monkeypatch.setattr(ephemeral, "Heart", lambda beat: heart(beat, 0.5))
    with hasty_nodes(tmp_path) as nodes:
        nodes.wait_ready()
        with nodes.client() as client, Dict[Any, Any].ephemeral(cluster=client) as mine:
            mine["k"] = 1
            assert nodes.secret is not None
            owner = subprocess.Popen(
                [sys.executable, "-c", OWNER, nodes.url, nodes.secret], stdout=subprocess.PIPE, text=True
            )
            try:
                assert owner.stdout is not None
                object_id = owner.stdout.readline().strip()
                assert is_there(client, object_id)
            finally:
                owner.kill()
                owner.communicate()
            wait_until(lambda: not is_there(client, object_id))
            assert is_there(client, mine.object_id)
            assert mine["k"] == 1
