"""Whose store it is, in which format, and at what time: stores that change under a process that uses them."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Callable
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.client.embedded import EmbeddedDict
from ringdict.exception import FormatError, UnavailableError
from ringdict.node.disk.folder import STAMP
from ringdict.node.store import layout
from ringdict.node.store.meta import FORMAT, META

from .audit import check_consistent
from .child import Child, Line
from .conftest import MakeCluster

AnyDict = Dict[Any, Any]
NODE = b"node-7 (ringdict://10.0.0.7:7700)"


def opened(cluster: Cluster, name: str = "d") -> AnyDict:
    return Dict.from_name(name, create_if_missing=True, cluster=cluster).hydrate()


def put_record(cluster: Cluster, key: bytes, value: bytes) -> None:
    """Write a record of the store past all checks, as a node or another version would."""
    cluster.store.open()
    environment = cluster.store.environment
    with environment.writer:
        transaction = environment.begin_write()
        transaction.put(key, value)
        transaction.commit()


# -- a store that belongs to a node ----------------------------------------------------------------


def writes(d: AnyDict, cluster: Cluster) -> list[Callable[[], object]]:
    return [
        lambda: d.put("x", 2),
        lambda: d.put("new", 2, skip_if_exists=True),
        lambda: d.update({"x": 2}),
        lambda: d.pop("x"),
        lambda: d.pop("x", None),
        lambda: d.delete_many(["x"]),
        lambda: d.incr("n"),
        lambda: d.setdefault("new", 2),
        lambda: d.replace("new", 2, if_version=None),
        lambda: d.touch("x", 10),
        d.popitem,
        lambda: d.lock("l").acquire(),
        d.clear,
        lambda: asyncio.run(d.put.aio("x", 2)),  # type: ignore[arg-type]
        lambda: Dict.objects.create("e", cluster=cluster),
        lambda: Dict.objects.delete("d", cluster=cluster),
        lambda: Dict.from_name("e", create_if_missing=True, cluster=cluster).hydrate(),
    ]


def every_write_is_refused(line: Line, cluster: Cluster) -> int:
    d = opened(cluster)
    d["mine"] = 1
    line.send("opened")
    line.recv()
    attempts = writes(d, cluster)
    for write in attempts:
        with pytest.raises(UnavailableError, match=r"belongs to the node node-7 .*RINGDICT_URL"):
            write()
    assert d["x"] == 1, "reads go on"
    return len(attempts)


def test_a_node_that_takes_over_stops_embedded_writers(cluster: Cluster, dict_: AnyDict) -> None:
    dict_["x"] = 1
    with Child(every_write_is_refused, cluster) as child:
        child.receive()
        put_record(cluster, layout.OWNER, NODE)
        child.line.send("go on")
        assert child.result() == 17
    for write in writes(dict_, cluster):
        with pytest.raises(UnavailableError, match="node-7"):
            write()
    assert dict(dict_.items()) == {"x": 1, "mine": 1}
    assert not cluster.store.sweep()


def test_a_store_given_back_takes_writes_again(cluster: Cluster, dict_: AnyDict) -> None:
    put_record(cluster, layout.OWNER, NODE)
    with pytest.raises(UnavailableError):
        dict_["x"] = 1
    environment = cluster.store.environment
    with environment.writer:
        transaction = environment.begin_write()
        transaction.delete(layout.OWNER)
        transaction.commit()
    dict_["x"] = 1
    assert dict_["x"] == 1


# -- a store of a newer version --------------------------------------------------------------------


def digest(cluster: Cluster) -> bytes:
    return hashlib.sha256((cluster.store.environment.path / "data.mdb").read_bytes()).digest()


def open_in_vain(line: Line, cluster: Cluster) -> list[str]:
    complaints = []
    for use in (opened, lambda cluster: Dict.objects.list(cluster=cluster), opened):
        with pytest.raises(FormatError) as caught:
            use(cluster)
        complaints.append(str(caught.value))
    return complaints


def test_a_newer_format_is_not_touched(clusters: MakeCluster) -> None:
    cluster = clusters()
    opened(cluster)["x"] = 1
    with cluster.store.reading() as transaction:
        meta = transaction.get(layout.META)
    assert meta is not None
    put_record(cluster, layout.META, struct.pack(">H", FORMAT + 1) + meta[2:])
    before = digest(cluster)
    with Child(open_in_vain, cluster) as child:
        for complaint in child.result():
            assert "newer" in complaint
            assert "Upgrade ringdict" in complaint
    assert digest(cluster) == before


def test_another_number_of_partitions_is_not_touched(clusters: MakeCluster) -> None:
    cluster = clusters()
    opened(cluster)
    with cluster.store.reading() as transaction:
        meta = transaction.get(layout.META)
    assert meta is not None
    _, partitions, node_id, created_ms = META.unpack(meta)
    put_record(cluster, layout.META, META.pack(FORMAT, partitions * 4, node_id, created_ms))
    before = digest(cluster)
    with Child(open_in_vain_partitions, cluster) as child:
        assert child.result()
    assert digest(cluster) == before


def open_in_vain_partitions(line: Line, cluster: Cluster) -> bool:
    with pytest.raises(FormatError, match="partitions"):
        opened(cluster)
    return True


# -- clocks ----------------------------------------------------------------------------------------

DAY_MS = 86_400_000
BOOT_MS = 1_800_000_000_000


class Host:
    """The clocks of a host, set by hand: `pass_` lets time go by, `set_wall` is what an operator does."""

    def __init__(self) -> None:
        self._wall_ms = BOOT_MS
        self._monotonic_ms = 1_000_000
        self._boots = 1

    def wall_ms(self) -> int:
        return self._wall_ms

    def monotonic_ms(self) -> int:
        return self._monotonic_ms

    def boot_id(self) -> bytes:
        return self._boots.to_bytes(16, "big")

    def pass_(self, seconds: float) -> None:
        self._wall_ms += int(seconds * 1000)
        self._monotonic_ms += int(seconds * 1000)

    def set_wall(self, by_ms: int) -> None:
        self._wall_ms += by_ms

    def boot(self) -> None:
        self._boots += 1
        self._monotonic_ms = 5_000


@pytest.fixture
def host() -> Host:
    return Host()


Reopen = Callable[[], AnyDict]


@pytest.fixture
def reopen(clusters: MakeCluster, host: Host) -> Reopen:
    """Opens the store anew, as after the end of the only process that had it open."""
    last: list[Cluster] = []

    def make() -> AnyDict:
        if last:
            check_consistent(last[-1].store)
            last[-1].store.close()
        last.append(clusters(clock=host, background=False))
        return opened(last[-1])

    return make


def version(d: AnyDict, key: str) -> int:
    entry = d.get_entry(key)
    assert entry is not None
    return entry.version


def sweep_out(d: AnyDict) -> None:
    bound = d._bound
    assert isinstance(bound, EmbeddedDict)
    while bound.table.store.sweep():
        pass


@pytest.mark.parametrize("boot", [False, True])
@pytest.mark.parametrize("jump_ms", [-400 * DAY_MS, -DAY_MS, -1, 0, DAY_MS])
def test_versions_grow_across_restarts(reopen: Reopen, host: Host, jump_ms: int, boot: bool) -> None:
    highest = 0
    for number in range(20):
        d = reopen()
        for key in ("x", f"fresh {number}"):
            d[key] = number
            assert version(d, key) > highest
            highest = version(d, key)
        with d.lock("l") as lock:
            assert lock.token is not None
            assert lock.token > highest
            highest = lock.token
        d.pop("x")
        host.pass_(1)
        host.set_wall(jump_ms)
        if boot:
            host.boot()


@pytest.mark.parametrize("cell", ["kept", "lost"])
def test_versions_grow_where_the_last_write_left_no_record(reopen: Reopen, host: Host, cell: str) -> None:
    """A put over a value of the same size writes no counters; then the host boots, and its clock is off.

    A power cut may lose the cell of the last stamp, which nothing brings to the disk.
    """
    d = reopen()
    d["x"] = 1
    for _ in range(500):
        host.pass_(0.001)
        d["x"] = 2
    last = version(d, "x")
    host.set_wall(-DAY_MS)
    host.boot()
    bound = d._bound
    assert isinstance(bound, EmbeddedDict)
    stamp = bound.store.folder / STAMP
    if cell == "lost":
        stamp.rename(stamp.with_name("lost"))
    d = reopen()
    d["y"] = 1
    assert version(d, "y") > last
    d["x"] = 3
    assert version(d, "x") > version(d, "y")


@pytest.mark.parametrize("boot", [False, True])
@pytest.mark.parametrize("jump_ms", [-400 * DAY_MS, -DAY_MS, -1])
def test_a_clock_set_back_freezes_no_ttl(reopen: Reopen, host: Host, jump_ms: int, boot: bool) -> None:
    d = reopen()
    d.put("x", 1, ttl=100)
    host.pass_(50)
    d["later"] = 1
    host.set_wall(jump_ms)
    if boot:
        host.boot()
    else:
        assert 40 < (d.ttl("x") or 0) <= 50
    d = reopen()
    assert d["x"] == 1
    assert 40 < (d.ttl("x") or 0) <= 50
    host.pass_(51)
    assert "x" not in d
    assert d.get("x") is None
    assert len(d) == 1
    sweep_out(d)
    assert len(d) == 1


@pytest.mark.parametrize("swept", [False, True])
def test_a_clock_set_back_revives_nothing(reopen: Reopen, host: Host, swept: bool) -> None:
    d = reopen()
    d.put("x", 1, ttl=100)
    host.pass_(101)
    assert "x" not in d
    d["later"] = 1
    if swept:
        sweep_out(d)
    host.set_wall(-DAY_MS)
    assert "x" not in d
    d = reopen()
    assert "x" not in d
    host.boot()
    d = reopen()
    assert "x" not in d
    assert len(d) == 1
    assert d.put("x", 2, skip_if_exists=True)


def test_a_clock_set_back_revives_nothing_that_only_readers_saw_expire(reopen: Reopen, host: Host) -> None:
    """Nobody has written since: what tells the next process how late it was?"""
    d = reopen()
    d.put("x", 1, ttl=100)
    host.pass_(101)
    assert "x" not in d
    host.set_wall(-DAY_MS)
    assert "x" not in d
    assert "x" not in reopen()


def test_a_clock_that_was_a_year_ahead_for_a_moment(reopen: Reopen, host: Host) -> None:
    """What was written meanwhile keeps its order; times to live run on, and none lasts a year."""
    d = reopen()
    d["x"] = 1
    host.set_wall(365 * DAY_MS)
    d["x"] = 2
    ahead = version(d, "x")
    host.set_wall(-365 * DAY_MS)
    d = reopen()
    d["x"] = 3
    assert version(d, "x") > ahead
    d.put("short", 1, ttl=10)
    assert d["short"] == 1
    host.pass_(11)
    assert "short" not in d


def hold(line: Line, cluster: Cluster) -> None:
    opened(cluster).lock("l", ttl=30).acquire()


def test_a_wall_clock_set_forward_ends_no_lock(clusters: MakeCluster, host: Host) -> None:
    cluster = clusters(clock=host, background=False)
    d = opened(cluster)
    with Child(hold, cluster) as child:
        child.result()
    host.set_wall(DAY_MS)
    lock = d.lock("l", wait_s=0)
    with pytest.raises(TimeoutError):
        lock.acquire()
    host.pass_(31)
    lock.acquire()
