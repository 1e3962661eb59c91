"""Disks that are full, read-only, not ours or damaged: a clear error, and nothing acknowledged is lost."""

from __future__ import annotations

import itertools
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import StoreFullError, UnavailableError
from ringdict.node.config import KIB, MIB

from .audit import check_consistent
from .child import Child, Line
from .conftest import MakeCluster

AnyDict = Dict[Any, Any]
NOBODY = 65_534


def opened(cluster: Cluster, name: str = "d") -> AnyDict:
    return Dict.from_name(name, create_if_missing=True, cluster=cluster).hydrate()


def whole(line: Line, cluster: Cluster) -> dict[Any, Any]:
    """All of the Dict, as another process sees it, which opens the store anew."""
    check_consistent(cluster.store)
    return dict(opened(cluster).items())


def seen_elsewhere(cluster: Cluster) -> dict[Any, Any]:
    with Child(whole, cluster) as child:
        return child.result()


# -- disk full -------------------------------------------------------------------------------------


class SmallDisk:
    """A file system of a few megabytes, with a ballast file on it that can be thrown off."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        folder.mkdir()
        options = f"size={size_bytes},nr_inodes=1000"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"this user may not mount a file system: {done.stderr.strip()}")

    def load(self, size_bytes: int) -> None:
        self._ballast.write_bytes(bytes(size_bytes))

    def fill(self, *, but_bytes: int = 0) -> None:
        """Leave only so much room."""
        free_bytes = shutil.disk_usage(self.folder).free - but_bytes
        with self._ballast.open("ab") as ballast:
            ballast.write(bytes(max(0, free_bytes)))

    def relieve(self) -> None:
        self._ballast.unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk", 6 * MIB)
    yield disk
    disk.unmount()


def put_one(d: AnyDict, number: int, rng: random.Random) -> dict[Any, Any]:
    value = rng.randbytes(rng.choice((10, 1_000, 5_000, 60_000)))
    d[number] = value
    return {number: value}


def put_many(d: AnyDict, number: int, rng: random.Random) -> dict[Any, Any]:
    pairs = {(number, key): rng.randbytes(rng.choice((10, 300))) for key in range(rng.randrange(1, 1_000))}
    d.update(pairs)
    return pairs


def overwrite(d: AnyDict, number: int, rng: random.Random) -> dict[Any, Any]:
    pairs = {key: rng.randbytes(400) for key in rng.sample(range(3_000), 1_000)}
    d.update(pairs)
    return pairs


Fill = Callable[[AnyDict, int, random.Random], dict[Any, Any]]


def fill_up(d: AnyDict, fill: Fill, rng: random.Random) -> dict[Any, Any]:
    """Write until the disk is full; what was acknowledged."""
    acknowledged: dict[Any, Any] = {}
    for number in itertools.count():
        try:
            acknowledged.update(fill(d, number, rng))
        except StoreFullError as error:
            assert "full" in str(error)  # noqa: PT017 - it comes at a moment that nobody knows
            return acknowledged
        assert number < 20_000, "this disk never fills"
    raise AssertionError


@pytest.mark.parametrize("durability", ["none", "fsync"])
@pytest.mark.parametrize("fill", [put_one, put_many, overwrite])
@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.deep] if seed >= 3 else []) for seed in range(25)]
)
def test_disk_full(clusters: MakeCluster, disk: SmallDisk, fill: Fill, durability: str, seed: int) -> None:
    rng = random.Random(seed)
    cluster = clusters(disk.folder / "store", durability=durability)
    d = opened(cluster)
    disk.fill(
        but_bytes=rng.randrange(200 * KIB, 3 * MIB)
    )  # so that it fails at ever other places of a commit
    acknowledged = fill_up(d, fill, rng)
    assert dict(d.items()) == acknowledged, f"seed {seed}"
    check_consistent(cluster.store)
    assert seen_elsewhere(cluster) == acknowledged
    disk.relieve()
    acknowledged.update(fill(d, -1, rng))
    assert dict(d.items()) == acknowledged
    assert seen_elsewhere(cluster) == acknowledged


@pytest.mark.parametrize("durability", ["none", "fsync"])
def test_atomic_operations_on_a_full_disk_decide_nothing(
    clusters: MakeCluster, disk: SmallDisk, durability: str
) -> None:
    cluster = clusters(disk.folder / "store", durability=durability)
    d = opened(cluster)
    d.update({"n": 1, "x": "there"})
    entry = d.get_entry("x")
    assert entry is not None
    version = entry.version
    operations: list[Callable[[], object]] = [
        lambda: d.put("new", 1, skip_if_exists=True),
        lambda: d.pop("x"),
        lambda: d.incr("n"),
        lambda: d.replace("x", 2, if_version=version),
        lambda: d.setdefault("new", 1),
        lambda: d.touch("x", 1_000),
        lambda: d.lock("l", wait_s=0).acquire(),
        lambda: d.delete_many(["x", "n"]),
        lambda: Dict.objects.delete("d", cluster=cluster),
        lambda: Dict.objects.create("e", cluster=cluster),
        d.clear,
    ]
    disk.fill()
    for operation in operations:
        with pytest.raises(StoreFullError):
            operation()
        assert dict(d.items()) == {"n": 1, "x": "there"}
    disk.relieve()
    for operation in operations[:3]:
        operation()
    assert dict(d.items()) == {"n": 2, "new": 1}


@pytest.mark.parametrize("room_bytes", range(0, 200 * KIB, 24 * KIB))
def test_clear_on_a_disk_that_is_nearly_full(clusters: MakeCluster, disk: SmallDisk, room_bytes: int) -> None:
    cluster = clusters(disk.folder / "store", background=False)
    d = opened(cluster)
    d.update(dict.fromkeys(range(3000), "x" * 500))
    disk.fill(but_bytes=room_bytes)
    try:
        d.clear()
    except StoreFullError:
        assert len(d) == len(dict(d.items())) == 3_000
    else:
        assert len(d) == len(dict(d.items())) == 0
    for _ in range(20):
        try:
            cluster.store.sweep()
        except StoreFullError:
            break
    check_consistent(cluster.store)
    disk.relieve()
    d.clear()
    while cluster.store.sweep():
        pass
    check_consistent(cluster.store)
    d["works"] = "again"
    assert seen_elsewhere(cluster) == {"works": "again"}


def read_all_at_once(line: Line, cluster: Cluster, count: int) -> int:
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(cluster.store.reading())
        return len(dict(opened(cluster).items()))


def test_many_read_a_store_on_a_full_disk(clusters: MakeCluster, disk: SmallDisk) -> None:
    """The table of readers is a sparse file: a slot that the disk has no room for ends the process."""
    cluster = clusters(disk.folder / "store")
    opened(cluster).update({key: key for key in range(100)})
    disk.fill()
    with Child(read_all_at_once, cluster, 300) as child:
        assert child.result() == 100


def make_a_store(line: Line, cluster: Cluster) -> int:
    return len(opened(cluster))


@pytest.mark.parametrize("room_bytes", [0, 4 * KIB, 8 * KIB, 12 * KIB, 16 * KIB, 24 * KIB])
def test_a_store_made_on_a_full_disk_is_made_or_is_not(
    clusters: MakeCluster, disk: SmallDisk, room_bytes: int
) -> None:
    disk.fill(but_bytes=room_bytes)
    cluster = clusters(disk.folder / "store")
    with Child(make_a_store, cluster) as child:
        try:
            assert child.result() == 0
        except (StoreFullError, UnavailableError) as error:
            assert "full" in str(error) or "space" in str(error)  # noqa: PT017 - it may be enough room
    disk.relieve()
    assert len(opened(cluster)) == 0


# -- little address space --------------------------------------------------------------------------


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


def test_the_map_starts_smaller_where_address_space_is_scarce_and_grows(cluster: Cluster) -> None:
    """64 MiB to begin with; 90 MB go in."""
    with Child(fill_in_little_space, cluster, "d", 600 * MIB, 1_000) as child:
        assert child.result() == 90_000_000
    assert len(opened(cluster)) == 1_000


def test_two_processes_grow_the_map_in_turn(clusters: MakeCluster) -> None:
    cluster = clusters(map_bytes=MIB)
    with (
        Child(fill_in_little_space, cluster, "a", 1_000 * MIB, 300) as one,
        Child(fill_in_little_space, cluster, "b", 1_000 * MIB, 300) as other,
    ):
        assert one.result() == other.result() == 27_000_000
    assert len(opened(cluster, "a")) == len(opened(cluster, "b")) == 300
    check_consistent(cluster.store)


def outgrow(line: Line, cluster: Cluster) -> tuple[int, int]:
    limit_address_space(300 * MIB)
    d = opened(cluster)
    number = -1
    with pytest.raises(StoreFullError, match="address space"):
        for number in range(10_000):
            d[number] = bytes(90_000)
    written = sum(1 for value in d.values() if len(value) == 90_000)
    d.clear()
    while cluster.store.sweep():
        pass
    d["works"] = "again"
    assert dict(d.items()) == {"works": "again"}
    return number, written


def test_out_of_address_space(clusters: MakeCluster) -> None:
    with Child(outgrow, clusters(background=False)) as child:
        number, written = child.result()
    assert number == written > 500
