"""From an embedded folder to a cluster: what is held stays held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import LockTimeoutError
from ringdict.node.network.sockets import free_address

from .nodes import SECRET, RealNode, wait_until


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RealNode]:
    one = RealNode(tmp_path / "n0", free_address(), [])
    yield one
    one.kill()


def test_a_lock_of_an_embedded_folder_is_held_when_a_node_serves_it(node: RealNode) -> None:
    embedded = Cluster(f"file://{node.folder}/data")
    d = Dict[str, int].from_name("d", create_if_missing=True, cluster=embedded)
    held, passing = d.lock("held", ttl=None), d.lock("passing", ttl=0.001)
    token = held.acquire()
    assert passing.acquire()
    assert d.put("once", 1, skip_if_exists=True)
    d["plain"] = 2
    embedded.close()

    node.start()
    wait_until(lambda: node.is_ready, lambda: node.log)
    with Cluster(f"ringdict://{node.address}", secret=SECRET) as cluster:
        served = Dict[str, int].from_name("d", cluster=cluster)
        with pytest.raises(LockTimeoutError):
            served.lock("held", ttl=None, wait_s=0).acquire()
        assert served.lock("passing", ttl=None, wait_s=5).acquire()
        assert not served.put("once", 9, skip_if_exists=True)
        assert not served.put("plain", 9, skip_if_exists=True)
        assert served.pop("once") == 1
        assert served.put("once", 3, skip_if_exists=True)
        release(served, "held", token)
        assert served.lock("held", ttl=None, wait_s=5).acquire() > token
    node.stop()
    with Cluster(f"file://{node.folder}/data") as back:
        once = Dict[str, int].from_name("d", cluster=back)
        assert once["once"] == 3


def release(d: Dict[str, int], name: str, token: int) -> None:
    """As whoever took it over from an embedded process would."""
    lock = d.lock(name, ttl=None)
    lock._token = token
    lock.release()
