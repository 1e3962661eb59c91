"""Disks that are full, read-only, not ours or damaged: a clear error, and nothing acknowledged is lost."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import StoreFullError, UnavailableError
from ringdict.node.config import KIB, MIB
from ringdict.node.disk.folder import prepare

from ..seeds import seeds
from .audit import check_consistent
from .child import Child, Line
from .conftest import BOTH_MAPS, MakeCluster

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


@BOTH_MAPS
@pytest.mark.parametrize("durability", ["none", "fsync"])
@pytest.mark.parametrize("fill", [put_one, put_many, overwrite])
@pytest.mark.parametrize("seed", seeds(3, deep=7, campaign=15))
def test_disk_full(
    clusters: MakeCluster, disk: SmallDisk, fill: Fill, durability: str, seed: int, file_system: str
) -> None:
    rng = random.Random(seed)
    cluster = clusters(disk.folder / "store", durability=durability, file_system=file_system)
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
    cluster = clusters(disk.folder / "store", durability=durability, file_system="other")
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


def test_atomic_operations_in_what_a_full_disk_had_reserved(clusters: MakeCluster, disk: SmallDisk) -> None:
    """They go on while there are pages; each is done or refused, never half of either."""
    cluster = clusters(disk.folder / "store", file_system="tmpfs")
    d = opened(cluster)
    disk.fill()
    done: dict[Any, Any] = {}
    refused = 0
    for size_bytes in (50_000, 2_000, 1):
        for number in itertools.count():
            key, value = (size_bytes, number), bytes(size_bytes)
            try:
                assert d.put(key, value, skip_if_exists=True)
                done[key] = value
                done["n"] = d.incr("n", initial=0)
            except StoreFullError:
                refused += 1
                break
        assert dict(d.items()) == done
    assert refused == 3
    assert len(done) > 10
    assert seen_elsewhere(cluster) == done
    disk.relieve()
    assert d.put("new", 1, skip_if_exists=True)


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


# -- disks that cannot be written ------------------------------------------------------------------


def complaint_of(cluster: Cluster, become: Callable[[], object] = lambda: None) -> str:
    """What opening a store and writing to it gives in another process, which first becomes something."""

    def attempt(line: Line) -> str:
        become()
        with pytest.raises(UnavailableError) as caught:
            opened(cluster)["x"] = 2
        return str(caught.value)

    with Child(attempt) as child:
        return child.result()


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def fill_and_close(line: Line, cluster: Cluster) -> None:
    opened(cluster)["x"] = 1
    cluster.close()


def test_a_read_only_file_system(clusters: MakeCluster, disk: SmallDisk) -> None:
    cluster = clusters(disk.folder / "store")
    with Child(fill_and_close, cluster) as child:
        child.result()
    disk.remount("ro")
    complaint = complaint_of(cluster)
    assert "ead-only file system" in complaint
    assert "RINGDICT_HOME" in complaint
    disk.remount("rw")
    assert opened(cluster)["x"] == 1


def test_no_store_can_be_made_on_a_read_only_file_system(clusters: MakeCluster, disk: SmallDisk) -> None:
    disk.remount("ro")
    complaint = complaint_of(clusters(disk.folder / "store"))
    assert "ead-only file system" in complaint
    assert "RINGDICT_HOME" in complaint


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that everybody may enter, which those that pytest makes are not."""
    if os.getuid():
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_folder_that_may_not_be_written(clusters: MakeCluster, public_folder: Path) -> None:
    complaint = complaint_of(clusters(public_folder / "store"), become_nobody)
    assert "Permission denied" in complaint
    assert "RINGDICT_HOME" in complaint


def test_a_folder_that_may_not_be_entered(clusters: MakeCluster, public_folder: Path) -> None:
    public_folder.chmod(0o700)
    complaint = complaint_of(clusters(public_folder / "store"), become_nobody)
    assert "Permission denied" in complaint
    assert "RINGDICT_HOME" in complaint


@pytest.mark.parametrize(
    "unwritable", [".", "entries", "entries/data.mdb", "entries/lock.mdb", "gate.turn", "stamp"]
)
def test_a_store_of_somebody_else(clusters: MakeCluster, public_folder: Path, unwritable: str) -> None:
    """All of its files are writable but one."""
    cluster = clusters(public_folder / "store")
    with Child(fill_and_close, cluster) as child:
        child.result()
    store = public_folder / "store"
    for path in [store, *store.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)
    (store / unwritable).chmod(0o555 if unwritable in (".", "entries") else 0o444)
    if unwritable in (".", "entries"):
        assert use_as_nobody(cluster) == 2  # nothing has to be made there any more
    else:
        complaint = complaint_of(cluster, become_nobody)
        assert "ermission denied" in complaint
        assert "RINGDICT_HOME" in complaint


def use_as_nobody(cluster: Cluster) -> object:
    def use(line: Line) -> object:
        become_nobody()
        d = opened(cluster)
        d["x"] = 2
        return d["x"]

    with Child(use) as child:
        return child.result()


def test_users_share_a_store(clusters: MakeCluster, public_folder: Path) -> None:
    """Its files are made for everybody, as far as the umask of whoever makes them lets them be."""
    public_folder.chmod(0o777)
    cluster = clusters(public_folder / "store")

    def make(line: Line) -> None:
        os.umask(0)
        opened(cluster)["x"] = 1

    with Child(make) as child:
        child.result()
    assert use_as_nobody(cluster) == 2
    assert opened(cluster)["x"] == 2


@pytest.mark.parametrize("where", ["store", "store/entries", "store/entries/data.mdb", "store/gate.turn"])
def test_something_else_lies_there(clusters: MakeCluster, tmp_path: Path, where: str) -> None:
    """A file instead of a folder, a folder instead of a file."""
    obstacle = tmp_path / where
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    if where in ("store", "store/entries"):
        obstacle.write_text("mine")
    else:
        obstacle.mkdir()
    with pytest.raises(UnavailableError, match=r"store.*RINGDICT_HOME"):
        opened(clusters(tmp_path / "store"))
    assert obstacle.exists()


# -- network file systems --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p", "ceph", "lustre"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    home = os.path.realpath(tmp_path)
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"23 22 0:5 / {home}/remote\\040disk rw,noatime shared:5 - {kind} server:/export rw\n"
        f"24 23 8:2 / {home}/remote\\040disk/local rw - xfs /dev/sdb1 rw\n"
    )
    prepare(tmp_path / "near", mounts)
    prepare(tmp_path / "remote disk" / "local" / "store", mounts)
    prepare(tmp_path / "remote disk no more", mounts)
    with pytest.raises(
        UnavailableError, match=rf"network file system \({kind}\).*RINGDICT_HOME.*RINGDICT_URL"
    ):
        prepare(tmp_path / "remote disk" / "store", mounts)
