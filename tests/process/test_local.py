"""Reads past a node on this host: what they see, and when they say that a node must be asked."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.client.local import LocalReader
from ringdict.client.reading import Reads
from ringdict.client.session import Session
from ringdict.node.config import PAGE_SHOWN_AGE_S_MAX
from ringdict.node.network.message import AskFolder, Message, Request, TellFolder
from ringdict.node.network.sockets import free_address
from ringdict.node.served.localstore import NOT_HERE
from ringdict.node.served.serving import bits_of
from ringdict.node.served.statuspage import NAME, PageReader, StatusPage
from ringdict.node.store.entry import EXPIRED, TOMBSTONE
from ringdict.ring.partition import dict_seed, key_hash

from ..client.nodes import Node, Nodes
from .audit import check_consistent
from .child import Child, Line, wait_until
from .servednode import run_node, serve, started, stopped, told

K = b"\x04k"
OLD, NEW = 1 << 40, (1 << 40) + 1
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


class Reader:
    """A client of its own, without connections."""

    def __init__(self, folder: Path) -> None:
        self.session = Session(
            ["127.0.0.1:1"], time.monotonic, lambda: time.time_ns() // 1_000_000, random.Random(1)
        )
        self.local = LocalReader(self.session)
        self.found = self.local.use(folder)

    def read(self, id_: bytes, key: bytes = K, reads: Reads = Reads.NEAREST) -> object:
        return self.local.read(id_, key, key_hash(dict_seed(id_), key), reads)

    def read_many(self, id_: bytes, keys: list[bytes]) -> list[Any]:
        return self.local.read_many(
            id_, [(key, key_hash(dict_seed(id_), key)) for key in keys], Reads.NEAREST
        )


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child[None]]:
    """A node in another process, which shows that it serves everything."""
    with Child(serve, tmp_path / "store") as child:
        started(child)
        told(child, "show")
        yield child


@pytest.fixture
def id_(child: Child[None]) -> bytes:
    made = told(child, "make", "d")
    assert isinstance(made, bytes)
    told(child, "put", made, K, b"old", OLD)
    return made


@pytest.fixture
def readers(tmp_path: Path) -> Iterator[Callable[[], Reader]]:
    made: list[Reader] = []

    def make() -> Reader:
        made.append(Reader(tmp_path / "store"))
        return made[-1]

    yield make
    for reader in made:
        reader.local.close()


MakeReader = Callable[[], Reader]


def partition_of(id_: bytes) -> int:
    return key_hash(dict_seed(id_), K) & 1023


# -- what is read ------------------------------------------------------------------------------------


def test_a_reader_sees_what_the_node_has(child: Child[None], id_: bytes, readers: MakeReader) -> None:
    reader = readers()
    assert reader.found
    assert reader.read(id_) == b"old"
    told(child, "put", id_, K, b"new", NEW)
    assert reader.read(id_) == b"new"
    assert reader.read(id_, b"\x04absent") is None
    long_key = b"\x04" + b"k" * 2_000
    told(child, "put", id_, long_key, b"long", NEW)
    assert reader.read(id_, long_key) == b"long"
    assert reader.read_many(id_, [long_key, b"\x04absent", K]) == [b"long", None, b"new"]
    assert reader.read(b"no Dict!") is NOT_HERE
    assert reader.read(id_, K, Reads.PRIMARY) is NOT_HERE


@pytest.mark.parametrize("flags", [TOMBSTONE, EXPIRED])
def test_what_is_deleted_or_expired_is_absent(
    child: Child[None], id_: bytes, readers: MakeReader, flags: int
) -> None:
    reader = readers()
    assert reader.read(id_) == b"old"
    told(child, "put", id_, K, b"", NEW, flags)
    assert reader.read(id_) is None
    now_ms = time.time_ns() // 1_000_000
    told(child, "put", id_, b"\x04soon", b"v", NEW, 0, now_ms + 60_000)
    told(child, "put", id_, b"\x04past", b"v", NEW, 0, now_ms - 1)
    assert reader.read(id_, b"\x04soon") == b"v"
    assert reader.read(id_, b"\x04past") is None


def test_a_reader_never_goes_back_in_time(child: Child[None], id_: bytes, readers: MakeReader) -> None:
    reader = readers()
    hashed = key_hash(dict_seed(id_), K)
    reader.session.memory.see(hashed, (NEW, 1, 0))  # its own write, which this replica has not yet
    assert reader.read(id_) is NOT_HERE
    assert reader.read_many(id_, [K]) == [NOT_HERE]
    assert reader.read(id_, K, Reads.ANY) == b"old"
    told(child, "put", id_, K, b"new", NEW)
    assert reader.read(id_) == b"new"
    other = readers()
    assert other.read(id_) == b"new"
    assert other.session.memory.look(hashed) == (NEW, 1, 0), "what was read here binds reads elsewhere"


def test_what_was_seen_and_is_not_there_is_asked_of_others(
    child: Child[None], id_: bytes, readers: MakeReader
) -> None:
    reader = readers()
    reader.session.memory.see(key_hash(dict_seed(id_), b"\x04away"), (NEW, 1, 0))
    assert reader.read(id_, b"\x04away") is NOT_HERE


# -- when it is not -------------------------------------------------------------------------------------


def test_only_partitions_that_the_node_serves_are_read(
    child: Child[None], id_: bytes, readers: MakeReader
) -> None:
    reader = readers()
    for _ in range(2):
        told(child, "show", bits_of([n for n in range(1024) if n != partition_of(id_)], 1024))
        assert reader.read(id_) is NOT_HERE
        assert reader.read_many(id_, [K]) == [NOT_HERE]
        told(child, "show", bits_of([partition_of(id_)], 1024))
        assert reader.read(id_) == b"old"


def test_a_node_that_goes_by_an_older_ring_than_the_client_is_not_read(
    child: Child[None], id_: bytes, readers: MakeReader
) -> None:
    reader = readers()
    reader.session.route = SimpleNamespace(epoch=2)  # type: ignore[assignment]
    assert reader.read(id_) is NOT_HERE
    told(child, "show", bits_of([partition_of(id_)], 1024), 2)
    assert reader.read(id_) == b"old"


@pytest.mark.deep
def test_a_stopped_node_is_read_no_more_after_a_second(
    child: Child[None], id_: bytes, readers: MakeReader
) -> None:
    reader = readers()
    assert reader.read(id_) == b"old"
    child.stop()
    start_s = time.monotonic()
    wait_until(lambda: reader.read(id_) is NOT_HERE, "the page to grow old")
    assert time.monotonic() - start_s < 2 * PAGE_SHOWN_AGE_S_MAX
    child.resume()
    wait_until(lambda: reader.read(id_) == b"old", "the page to be shown again")


@pytest.mark.deep
def test_a_killed_node_is_read_no_more_and_read_again_once_it_is_back(
    tmp_path: Path, child: Child[None], id_: bytes, readers: MakeReader
) -> None:
    with Child(serve, tmp_path / "store") as later:
        reader = readers()
        assert reader.read(id_) == b"old"
        child.kill()
        wait_until(lambda: reader.read(id_) is NOT_HERE, "the page to grow old")
        assert not readers().found
        started(later)
        told(later, "put", id_, K, b"new", NEW)
        assert reader.read(id_) is NOT_HERE
        told(later, "show")
        wait_until(lambda: reader.read(id_) == b"new", "the new node to be read")
        stopped(later)
    assert reader.read(id_) is NOT_HERE, "a node that ends well says so at once"


def read_without_rights(line: Line, folder: Path) -> bool:
    os.setuid(65_534)
    return Reader(folder).found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("name", ["status", "entries/lock.mdb", "entries"])
def test_who_may_not_read_asks_a_node(tmp_path: Path, child: Child[None], name: str) -> None:
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)
    (tmp_path / "store" / name).chmod(0o700)
    with Child(read_without_rights, tmp_path / "store") as stranger:
        assert stranger.result() is False


PROGRAM = """
import sys
from pathlib import Path
from ringdict.node.served import hostmark
if "blind" in sys.argv:
    hostmark.NAMESPACES = ()  # as if nothing told of the numbers of processes
from tests.process.servednode import ServedNode, ALL
from tests.process.test_local import Reader
folder = Path(sys.argv[1])
if "node" in sys.argv:
    node = ServedNode(folder)
    id_ = node.make("d")
    node.put(id_, b"\\x04k", b"v", 1)
    node.show()
    print(id_.hex(), flush=True)
    while sys.stdin.readline():
        node.show()
        assert node.entries.get(b"x") is None
        print("fine", flush=True)
else:
    reader = Reader(folder)
    print(reader.found, reader.read(bytes.fromhex(sys.argv[2])), flush=True)
"""


def in_container(*arguments: object) -> subprocess.Popen[str]:
    checkout = Path(__file__).parents[2]
    return subprocess.Popen(
        [*UNSHARE, sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=checkout,
    )


@pytest.mark.deep
@pytest.mark.parametrize("sight", ["seeing", "blind"])
def test_who_numbers_processes_otherwise_asks_a_node(tmp_path: Path, sight: str) -> None:
    """In two containers both are number 1. Even one that cannot tell does no harm to the node."""
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not make a namespace for processes")
    with in_container(tmp_path / "store", "node", sight) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        id_ = node.stdout.readline().strip()
        with in_container(tmp_path / "store", id_, sight) as client:
            said, _ = client.communicate(timeout=30)
        assert said == "False NotHere.NOT_HERE\n"
        node.stdin.write("\n")
        node.stdin.flush()
        assert node.stdout.readline() == "fine\n"
        node.communicate()


# -- processes and clients --------------------------------------------------------------------------------


def test_forked_readers_and_several_clients_of_one_process(
    child: Child[None], id_: bytes, readers: MakeReader
) -> None:
    first, second = readers(), readers()
    assert first.read(id_) == second.read(id_) == b"old"
    with Child(lambda line: first.read(id_)) as forked:
        assert forked.result() == b"old"
    first.local.close()
    assert first.read(id_) is NOT_HERE
    assert second.read(id_) == b"old"


def test_a_dict_reads_past_the_node_on_its_host_and_goes_back_to_asking(
    child: Child[None], id_: bytes, tmp_path: Path
) -> None:
    """The ring is of small nodes in this process; the entries are the child's."""
    folders = {"told": str(tmp_path / "store")}

    def hook(node: Node, request: Request) -> Message | None:
        return TellFolder(request.number, folders["told"]) if isinstance(request, AskFolder) else None

    nodes = Nodes()
    try:
        for node in nodes:
            node.hook = hook
        with Cluster(nodes.url) as cluster:
            d: Dict[Any, Any] = Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()
            told(child, "put", id_, b"\x04past", b"\x07", OLD)
            wait_until(lambda: d.get("past") == 7, "the first read past the node")
            asked = sum(len(node.asked) for node in nodes)
            assert [d["past"], d.get("absent"), d.get_many(["past", "absent"])] == [7, None, {"past": 7}]
            assert sum(len(node.asked) for node in nodes) == asked
            d.update({"mine": 1, "past": 8})  # the ring has them, the child has not
            assert d.get_many(["mine", "past", "absent"]) == {"mine": 1, "past": 8}
            assert d["past"] == 8

            def asks() -> bool:
                asked = sum(len(node.asked) for node in nodes)
                assert d.get("absent") is None
                return sum(len(node.asked) for node in nodes) > asked

            assert not asks()
            stopped(child)
            assert asks()
    finally:
        nodes.close()


def test_an_embedded_folder_under_a_whole_node_and_back(tmp_path: Path) -> None:
    address, url = free_address(), f"file://{tmp_path / 'store'}"
    with Cluster(url) as cluster:
        d: Dict[Any, Any] = Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()
        d.update({number: [number] for number in range(300)})
    with Child(run_node, tmp_path / "store", address) as child:
        with Cluster(f"ringdict://{address}", timeout_s=20) as cluster:
            d = Dict.from_name("d", cluster=cluster).hydrate()
            assert d.get_many(range(300)) == {number: [number] for number in range(300)}
            d["new"] = "x"
            store = None
            while store is None or store.known[0] == 0:
                assert d["new"] == "x"
                store = cluster.client.local._store
            assert asyncio.run(d.get.aio("new")) == "x"  # type: ignore[arg-type]
            assert d.get_many([1, "absent", "new"]) == {1: [1], "new": "x"}
            d["new"] = "y"
            assert d["new"] == "y", "its own write, at once"
            assert len(d) == 301
        child.line.send("that is all")
        child.result()
    with Cluster(url) as cluster:
        d = Dict.from_name("d", cluster=cluster)
        assert (len(d), d["new"], d[299]) == (301, "y", [299])
        d["newer"] = 1
        assert len(d) == 302
        check_consistent(cluster.store)


# -- the page --------------------------------------------------------------------------------------------


def test_a_page_is_believed_whole_and_fresh_or_not_at_all(tmp_path: Path) -> None:
    now_ns = [time.monotonic_ns()]
    page = StatusPage(tmp_path, b"s" * 16)
    reader = PageReader(tmp_path, bytes, lambda: now_ns[0])
    assert reader.look() is None
    page.show(b"one")
    now_ns[0] = time.monotonic_ns()
    shown = reader.look()
    assert shown is not None
    assert (shown.content, shown.start) == (b"one", b"s" * 16)
    assert reader.look() is shown
    page.show(b"two")
    now_ns[0] = time.monotonic_ns()
    assert [one.content for one in [reader.look()] if one] == [b"two"]
    now_ns[0] += int(PAGE_SHOWN_AGE_S_MAX * 1e9)
    assert reader.look() is None
    now_ns[0] = time.monotonic_ns() - 10**9  # a clock that is behind the node's is another one
    assert reader.look() is None
    page.close()
    now_ns[0] = time.monotonic_ns()
    assert reader.look() is None


def test_a_page_that_is_renewed_while_it_is_looked_at_is_fresh(tmp_path: Path) -> None:
    """Its stamp was taken for one of the future, and one read in many thousands went to a node."""
    page = StatusPage(tmp_path, b"s" * 16)
    page.show(b"one")

    def renewed_meanwhile() -> int:
        now_ns = time.monotonic_ns()
        page.show(b"one")
        return now_ns

    assert PageReader(tmp_path, bytes, renewed_meanwhile).look() is not None
    page.close()


def test_a_page_of_random_bytes_is_none(tmp_path: Path) -> None:
    page = StatusPage(tmp_path, b"s" * 16)
    page.show(b"one")
    whole = (tmp_path / NAME).read_bytes()
    dice = random.Random(1)
    for _ in range(100):
        at, bit = dice.randrange(16, 16 + 44 + 3), dice.randrange(8)
        (tmp_path / NAME).write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        assert PageReader(tmp_path, bytes).look() is None
    (tmp_path / NAME).write_bytes(whole)
    page.show(b"one")
    assert PageReader(tmp_path, bytes).look() is not None
    page.close()
