"""What `ulimit` leaves: where address space is scarce the map starts smaller, and grows by itself."""

from __future__ import annotations

import itertools
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import StoreFullError, UnavailableError
from ringdict.node.config import KIB, MIB

from .audit import check_consistent
from .child import Child, Line
from .conftest import BOTH_MAPS, MakeCluster

AnyDict = Dict[Any, Any]


def opened(cluster: Cluster, name: str = "d") -> AnyDict:
    return Dict.from_name(name, create_if_missing=True, cluster=cluster).hydrate()


def limit_address_space(room_bytes: int) -> None:
    """`ulimit -v`: what this process has, and so much more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit_bytes = pages * resource.getpagesize() + room_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def fill_in_little_space(line: Line, cluster: Cluster, name: str, room_bytes: int, count: int) -> int:
    limit_address_space(room_bytes)
    d = opened(cluster, name)
    for number in range(count):
        d[number] = bytes(90_000)
    return sum(len(value) for value in d.values())


@BOTH_MAPS
def test_the_map_starts_smaller_where_address_space_is_scarce_and_grows(
    clusters: MakeCluster, file_system: str
) -> None:
    """64 MiB to begin with; 90 MB go in."""
    cluster = clusters(file_system=file_system)
    with Child(fill_in_little_space, cluster, "d", 600 * MIB, 1_000) as child:
        assert child.result() == 90_000_000
    assert len(opened(cluster)) == 1_000


@BOTH_MAPS
def test_two_processes_grow_the_map_in_turn(clusters: MakeCluster, file_system: str) -> None:
    cluster = clusters(map_bytes=MIB, file_system=file_system)
    with (
        Child(fill_in_little_space, cluster, "a", 1_000 * MIB, 300) as one,
        Child(fill_in_little_space, cluster, "b", 1_000 * MIB, 300) as other,
    ):
        assert one.result() == other.result() == 27_000_000
    assert len(opened(cluster, "a")) == len(opened(cluster, "b")) == 300
    check_consistent(cluster.store)


def outgrow(line: Line, cluster: Cluster) -> tuple[int, int]:
    """How many entries went in until there was no space for more, and how many can be read then."""
    limit_address_space(300 * MIB)
    d = opened(cluster)
    number = 0
    for _ in range(3):
        with pytest.raises(StoreFullError, match="address space"):
            while number < 10_000:
                d[number] = bytes(90_000)
                number += 1
        assert d[0] == bytes(90_000)
    return number, sum(1 for value in d.values() if len(value) == 90_000)


@BOTH_MAPS
def test_out_of_address_space(clusters: MakeCluster, file_system: str) -> None:
    """What was acknowledged stays readable, and a process that has more space can go on."""
    cluster = clusters(file_system=file_system)
    with Child(outgrow, cluster) as child:
        number, read = child.result()
    assert number == read > 500
    d = opened(cluster)
    d["works"] = "again"
    assert len(d) == number + 1
    check_consistent(cluster.store)


# -- growth beside reads ---------------------------------------------------------------------------


@BOTH_MAPS
def test_reads_of_other_threads_go_on_while_the_map_grows(clusters: MakeCluster, file_system: str) -> None:
    cluster = clusters(map_bytes=256 * KIB, file_system=file_system)
    d = opened(cluster)
    d.update({key: f"value {key}" for key in range(300)})
    over = threading.Event()
    failed: list[BaseException] = []
    rounds = [0] * 2

    def read(number: int) -> None:
        try:
            while not over.is_set():
                assert {key: d[key] for key in range(0, 300, 7)} == {
                    key: f"value {key}" for key in range(0, 300, 7)
                }
                assert sum(1 for key, _ in d.items() if isinstance(key, int)) == 300
                rounds[number] += 1
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(10):
            d["big", number] = bytes(90 * KIB)
            with Child(grow_elsewhere, cluster, number) as child:
                child.result()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failed
    assert all(rounds)
    assert sum(len(value) for key, value in d.items() if isinstance(key, tuple)) == 20 * 90 * KIB
    check_consistent(cluster.store)


def grow_elsewhere(line: Line, cluster: Cluster, number: int) -> None:
    opened(cluster)["elsewhere", number] = bytes(90 * KIB)


def read_again_and_again(line: Line, cluster: Cluster) -> int:
    d = opened(cluster)
    d["reader"] = True
    line.send("begun")
    for rounds in itertools.count(1):
        before = len(d)
        assert before <= sum(1 for _ in d) <= len(d)
        if line.poll():
            return rounds
    raise AssertionError


@BOTH_MAPS
def test_reads_of_other_processes_go_on_while_the_map_grows(clusters: MakeCluster, file_system: str) -> None:
    cluster = clusters(map_bytes=256 * KIB, file_system=file_system)
    d = opened(cluster)
    with Child(read_again_and_again, cluster) as one, Child(read_again_and_again, cluster) as other:
        one.receive()
        other.receive()
        for number in range(100):
            d[number] = bytes(90 * KIB)
        for child in (one, other):
            child.line.send("stop")
        assert one.result() > 0
        assert other.result() > 0
    check_consistent(cluster.store)


# -- small files -----------------------------------------------------------------------------------


def write_small_files(line: Line, cluster: Cluster) -> int:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))
    d = opened(cluster)
    number = 0
    for _ in range(3):
        with pytest.raises((StoreFullError, UnavailableError), match=r"Nothing was written|full"):
            while number < 1_000:
                d[number] = bytes(50_000)
                number += 1
        assert dict(d.items()) == dict.fromkeys(range(number), bytes(50_000))
    return number


@BOTH_MAPS
@pytest.mark.parametrize("durability", ["none", "fsync"])
def test_files_may_grow_no_further(clusters: MakeCluster, durability: str, file_system: str) -> None:
    """`ulimit -f`, like a quota, refuses a write in its own way. Who is not bound by it goes on."""
    cluster = clusters(durability=durability, file_system=file_system)
    with Child(write_small_files, cluster) as child:
        written = child.result()
    d = opened(cluster)
    assert len(d) == written > 20
    d["works"] = "again"
    check_consistent(cluster.store)
