"""A folder of an embedded store under a node, and back again."""

from __future__ import annotations

import fcntl
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ringdict import Cluster, Dict
from ringdict.client.keys import encode_key
from ringdict.exception import StoreFullError, UnavailableError
from ringdict.node.clock import SystemClock
from ringdict.node.config import GATE_TIMEOUT_S
from ringdict.node.disk.durability import Durability
from ringdict.node.replicas.names import Names
from ringdict.node.replicas.replica import Replica
from ringdict.node.served.heritage import binding, has_entries, last_stamp
from ringdict.node.store import layout
from ringdict.node.store.entry import EXPIRED, TOMBSTONE
from ringdict.node.store.restart import may_lack
from ringdict.node.world import World

from .audit import check_consistent
from .child import Child
from .conftest import MakeCluster
from .servednode import ServedNode, count_up, row, serve, started, stopped, told

AnyDict = Dict[Any, Any]
HOUR_MS = 3_600_000
LONG = "k" * 2_000


def opened(cluster: Cluster, name: str = "d") -> AnyDict:
    return Dict.from_name(name, create_if_missing=True, cluster=cluster).hydrate()


def stamp_now() -> int:
    return time.time_ns() // 1_000_000 << 16


def replica_of(node: ServedNode) -> tuple[Replica, Names]:
    world = cast("World", SimpleNamespace())
    replica = Replica(world, node.entries, lambda: time.time_ns() // 1_000_000)
    return replica, Names(world, node.entries, replica)


def id_of(d: AnyDict) -> bytes:
    bound = d._bound
    assert bound is not None
    return bound.dict_id


def version_of(d: AnyDict, key: str) -> int:
    entry = d.get_entry(key)
    assert entry is not None
    return entry.version


# -- an embedded folder under a node -----------------------------------------------------------------


def test_an_embedded_folder_is_served_as_it_is(clusters: MakeCluster, tmp_path: Path) -> None:
    cluster = clusters()
    d, cleared, gone = opened(cluster), opened(cluster, "cleared"), opened(cluster, "gone")
    d.update({"a": 1, LONG: 2, ("t", 1): [3]})
    d.put("soon", 1, ttl=3600)
    cleared.update({number: number for number in range(2_000)})
    cleared.clear()
    cleared["new"] = 1
    gone["x"] = 1
    Dict.objects.delete("gone", cluster=cluster)
    lock = d.lock("l")
    lock.acquire()
    versions = {key: version_of(d, key) for key in ("a", LONG, "soon")}
    token = lock.token
    cluster.close()

    node = ServedNode(tmp_path / "store")
    replica, names = replica_of(node)
    id_ = names.look_up("main", "d").dict_id
    for key, version in versions.items():
        read = replica.read(id_, encode_key(key))
        assert read.entry is not None
        assert read.entry.version == version
    assert has_entries(node.entries)
    assert last_stamp(node.entries) >= max(*versions.values(), token or 0)
    assert names.look_up("main", "gone").dict_id == b""
    cleared_id = names.look_up("main", "cleared").dict_id
    left = node.entries.scan(cleared_id, cleared_id + b"\xff", 10)
    assert len(left) == 1, "what a clear left behind is nobody's any more"
    assert node.entries.scan(layout.SWEEP, layout.SWEEP + b"\xff", 10) == []
    node.stop()


def test_an_empty_folder_and_one_that_holds_something_are_told_apart(
    clusters: MakeCluster, tmp_path: Path
) -> None:
    node = ServedNode(tmp_path / "new")
    assert not has_entries(node.entries)
    node.make("d")
    assert has_entries(node.entries)
    node.stop()


def test_embedded_writers_stop_and_readers_go_on_while_a_node_serves(
    clusters: MakeCluster, tmp_path: Path
) -> None:
    cluster = clusters()
    with Child(serve, tmp_path / "store") as child:
        d = opened(cluster)
        d["x"] = 1
        node = started(child)
        owner = rf"belongs to the node {node.hex()} at ringdict://127.0.0.1:7700.*RINGDICT_URL"
        with pytest.raises(UnavailableError, match=owner):
            d["x"] = 2
        with pytest.raises(UnavailableError, match="nobody counts"):
            len(d)
        told(child, "put", id_of(d), encode_key("y"), b"\x07", stamp_now())
        assert d["y"] == 7
        assert dict(d.items()) == {"x": 1, "y": 7}
        stopped(child)
    d["x"] = 2
    assert (len(d), d["x"]) == (2, 2)
    check_consistent(cluster.store)


def test_an_embedded_user_finds_what_a_node_made_and_right_counters(
    clusters: MakeCluster, tmp_path: Path
) -> None:
    """Of all kinds: grown and shrunk values, over-long keys, expiries, what was deleted, a new Dict."""
    cluster = clusters()
    d = opened(cluster)
    d.update({number: "x" * number for number in range(300)})
    d.put("short", 1, ttl=3600)
    cluster.close()
    node = ServedNode(tmp_path / "store")
    _, names = replica_of(node)
    id_ = names.look_up("main", "d").dict_id
    stamp = stamp_now() + (10_000 << 16)
    for number in range(0, 300, 3):
        node.put(id_, encode_key(number), b"\xc0", stamp + number)
    node.put(id_, encode_key(1), b"", stamp + 400, flags=TOMBSTONE)
    node.put(id_, encode_key(2), b"", stamp + 401, flags=EXPIRED)
    node.put(id_, encode_key("short"), b"\x02", stamp + 402)
    node.put(id_, encode_key(LONG), b"\x02", stamp + 403, expires_ms=(stamp >> 16) + HOUR_MS)
    new = node.make("new")
    node.put(new, encode_key("k"), b"\x05", stamp + 404)
    node.commit(dict([row(b"stranger", encode_key("k"), b"\x05", stamp)]))
    node.stop()

    cluster = clusters()
    d = opened(cluster)
    assert len(d) == 300  # 300 and LONG and short, less two
    assert d[0] is None
    assert 1 not in d
    assert 2 not in d
    assert (d["short"], d[LONG]) == (2, 2)
    assert d.ttl("short") is None
    assert 0 < (d.ttl(LONG) or 0) < HOUR_MS
    d["after"] = 1
    assert version_of(d, "after") > stamp + 404
    assert dict(opened(cluster, "new").items()) == {"k": 5}
    while cluster.store.sweep():
        pass
    check_consistent(cluster.store)


def test_counters_are_made_anew_by_whoever_counts_or_writes_first(
    clusters: MakeCluster, tmp_path: Path
) -> None:
    """A handle that was open all the time: its process has counters in mind from before."""
    cluster = clusters()
    children = [Child(serve, tmp_path / "store") for _ in range(3)]
    d = opened(cluster)
    d["x"] = 1
    for turn, child in enumerate(children):
        with child:
            started(child)
            told(child, "put", id_of(d), encode_key(f"y{turn}"), b"\x07", stamp_now())
            stopped(child)
        if turn != 1:
            d[f"z{turn}"] = 1
        assert len(d) == [3, 4, 6][turn]
        check_consistent(cluster.store)


# -- whose the folder is -----------------------------------------------------------------------------


def test_a_killed_node_keeps_its_folder_until_it_is_back(clusters: MakeCluster, tmp_path: Path) -> None:
    cluster = clusters()
    with Child(serve, tmp_path / "store") as child, Child(serve, tmp_path / "store") as later:
        d = opened(cluster)
        d["x"] = 1
        node = started(child)
        child.kill()
        with pytest.raises(UnavailableError, match=rf"{node.hex()}.*If it has died, start it again"):
            d["x"] = 2
        assert d["x"] == 1
        assert started(later) == node
        stopped(later)
    d["x"] = 2
    check_consistent(cluster.store)


def test_a_folder_is_not_served_by_a_node_that_it_does_not_belong_to(
    clusters: MakeCluster, tmp_path: Path
) -> None:
    with Child(serve, tmp_path / "store") as child:
        node = started(child)
        child.kill()
    shutil.rmtree(tmp_path / "store" / "identity")
    with pytest.raises(UnavailableError, match=rf"belongs to the node {node.hex()}"):
        ServedNode(tmp_path / "store")


def test_two_nodes_cannot_serve_one_folder(tmp_path: Path) -> None:
    with Child(serve, tmp_path / "store") as child:
        started(child)
        with pytest.raises(UnavailableError, match=rf"a node \(process {child.pid}\) serves the folder"):
            ServedNode(tmp_path / "store")
        child.kill()
        ServedNode(tmp_path / "store").stop()


def test_a_node_of_a_ring_of_several_does_not_give_its_folder_back(
    clusters: MakeCluster, tmp_path: Path
) -> None:
    node = ServedNode(tmp_path / "store")
    node.commit(binding(bytes(16)))
    node.stop()
    cluster = clusters()
    with pytest.raises(UnavailableError, match=node.node.hex()):
        opened(cluster)
    cluster.close()
    node = ServedNode(tmp_path / "store")
    node.commit(binding(None))
    node.stop()
    opened(clusters())["x"] = 1


def test_a_node_and_embedded_users_need_one_durability(
    clusters: MakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringdict.node.disk.folder.ENTER_TIMEOUT_S", 0.1)
    with Child(serve, tmp_path / "store") as child:
        started(child)
        with pytest.raises(UnavailableError, match="in use with durability none"):
            opened(clusters(durability="fsync"))
    with Child(serve, tmp_path / "other", "fsync") as child:
        opened(clusters(folder=tmp_path / "other", durability="none"))["x"] = 1
        with pytest.raises(UnavailableError, match="in use with durability none"):
            started(child)


# -- writing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", list(Durability))
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(2, 8))])
def test_sigkill_loses_nothing_that_was_told(tmp_path: Path, durability: str, seed: int) -> None:
    with Child(count_up, tmp_path / "store", durability) as child:
        heard = [child.receive() for _ in range(20 * seed)]
        child.kill()
        heard += child.received()
    assert heard == [(number, None) for number in range(1, len(heard) + 1)]
    node = ServedNode(tmp_path / "store", durability)
    replica, names = replica_of(node)
    id_ = names.look_up("main", "d").dict_id
    found = [replica.read(id_, b"\x05n%d" % number).entry for number in range(1, len(heard) + 4)]
    assert all(found[: len(heard)])
    node.stop()


@pytest.mark.parametrize("durability", list(Durability))
def test_a_process_that_holds_up_writers_does_not_hold_up_the_node(tmp_path: Path, durability: str) -> None:
    node = ServedNode(tmp_path / "store", durability)
    with (tmp_path / "store" / "gate.turn").open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        done: list[object] = []
        start_s = time.monotonic()
        node.entries.commit({b"k" * 20: b"v"}, done.append)
        node.desk.end_turn()
        node.entries.commit({b"l" * 20: b"v"}, done.append)
        node.desk.end_turn()
        assert node.entries.get(b"k" * 20) == b"v"
        assert time.monotonic() - start_s < GATE_TIMEOUT_S / 5
        assert done == []
    while len(done) < 2:
        node.desk.turn()
    assert done == [None, None]
    node.stop()


@pytest.mark.parametrize("durability", list(Durability))
def test_what_is_large_goes_to_a_thread_and_the_map_grows(tmp_path: Path, durability: str) -> None:
    node = ServedNode(tmp_path / "store", durability)
    for number in range(6):
        node.commit({b"%020d" % number: bytes(4 << 20), b"n" * 20: b"%d" % number})
        assert node.entries.get(b"n" * 20) == b"%d" % number
    assert len(node.entries.scan(b"0" * 10, b"1", 100)) == 6
    node.stop()


def test_a_node_with_a_full_store_takes_removals(tmp_path: Path) -> None:
    node = ServedNode(tmp_path / "store")
    node.entries._store.store_bytes_max = 8 << 20  # type: ignore[attr-defined]
    number = 0
    with pytest.raises(StoreFullError):
        while True:
            node.commit({b"%020d" % number: bytes(1 << 20)})
            number += 1
    assert node.entries.get(b"%020d" % number) is None
    for each in range(number):
        node.commit({b"%020d" % each: None})
    node.commit({b"%020d" % 0: bytes(1 << 20)})
    node.stop()


def test_embedded_handles_of_the_node_s_own_process_are_refused(
    clusters: MakeCluster, tmp_path: Path
) -> None:
    node = ServedNode(tmp_path / "store")
    with pytest.raises(UnavailableError, match="open already, by another way"):
        opened(clusters())
    node.stop()


@pytest.mark.parametrize("durability", list(Durability))
def test_a_folder_says_whether_the_system_went_down_under_it(tmp_path: Path, durability: str) -> None:
    folder, boot_id, later = tmp_path / "store", SystemClock().boot_id(), b"another boot    "
    assert not may_lack(folder, boot_id)
    with Child(serve, folder, durability) as child:
        started(child)
        id_ = told(child, "make", "d")
        told(child, "put", id_, b"\x04k", b"v", 1)
        child.kill()
    assert not may_lack(folder, boot_id)
    assert may_lack(folder, later) == (durability != Durability.FSYNC)
    ServedNode(folder, durability).stop()
    assert may_lack(folder, later) == (durability == Durability.NONE), "nothing tells how that went down"
