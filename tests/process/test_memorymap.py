"""Reserved data files: no process ever maps what the disk has no blocks for, else it would end by SIGBUS."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import StoreFullError
from ringdict.node.config import KIB, MIB, RESERVE_BYTES_MAX, RESERVE_BYTES_MIN
from ringdict.node.disk.durability import Durability
from ringdict.node.disk.memorymap import more_bytes, reserve
from ringdict.node.disk.metapage import in_force, read_metas
from ringdict.node.store import layout
from ringdict.node.store.store import Store

from .audit import check_consistent
from .child import Child, Line
from .conftest import MakeCluster

AnyDict = Dict[Any, Any]


def opened(cluster: Cluster, name: str = "d") -> AnyDict:
    return Dict.from_name(name, create_if_missing=True, cluster=cluster).hydrate()


def data_of(cluster: Cluster) -> Path:
    return cluster.store.environment.path / "data.mdb"


def blocks_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


# -- the file --------------------------------------------------------------------------------------


def test_the_disk_has_blocks_for_all_of_the_file(clusters: MakeCluster) -> None:
    cluster = clusters(file_system="ext4")
    d = opened(cluster)
    data = data_of(cluster)
    assert data.stat().st_size == RESERVE_BYTES_MIN
    for number in range(60):
        d[number] = bytes(90 * KIB)
        assert blocks_bytes(data) >= data.stat().st_size
    meta = in_force(read_metas(data))
    assert meta is not None
    assert meta.size_bytes <= data.stat().st_size <= more_bytes(meta.size_bytes) + RESERVE_BYTES_MIN


def test_a_copy_with_holes_gets_its_blocks_back(clusters: MakeCluster, tmp_path: Path) -> None:
    first = clusters(file_system="ext4")
    d = opened(first)
    d.update({number: bytes(50 * KIB) for number in range(100)})
    first.store.close()
    copy = clusters(tmp_path / "copy", file_system="ext4")
    shutil.copytree(first.store.folder, copy.store.folder)
    data = data_of(copy)
    size_bytes = data.stat().st_size
    content = data.read_bytes()
    with data.open("wb") as file:
        file.truncate(size_bytes)
        for at in range(0, size_bytes, 4 * KIB):
            page = content[at : at + 4 * KIB]
            if any(page):
                file.seek(at)
                file.write(page)
    assert blocks_bytes(data) < size_bytes
    assert len(opened(copy)) == 100
    assert blocks_bytes(data) >= size_bytes == data.stat().st_size


def test_what_a_process_left_that_died_while_it_made_the_file_is_no_store(clusters: MakeCluster) -> None:
    cluster = clusters(file_system="ext4")
    folder = cluster.store.environment.path
    folder.mkdir(parents=True)
    (folder / "data.mdb").write_bytes(bytes(MIB))
    d = opened(cluster)
    d["k"] = 1
    assert d == {"k": 1}


def test_steps_of_growth() -> None:
    assert more_bytes(MIB) == 2 * MIB
    assert more_bytes(40 * MIB) == 45 * MIB
    assert more_bytes(1_000 * MIB) == 1_000 * MIB + RESERVE_BYTES_MAX
    assert more_bytes(MIB + 4 * KIB) == 3 * MIB  # a whole number of the smallest step


def test_a_reservation_that_failed_leaves_the_length_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_way(descriptor: int, offset: int, length: int) -> None:
        os.ftruncate(descriptor, length // 2)
        raise OSError(28, "No space left on device")

    path = tmp_path / "data"
    path.write_bytes(bytes(MIB))
    monkeypatch.setattr(os, "posix_fallocate", half_way)
    with path.open("r+b") as file, pytest.raises(OSError, match="No space"):
        reserve(file, 4 * MIB)
    assert path.stat().st_size == MIB


# -- several processes -------------------------------------------------------------------------------


def grow(line: Line, cluster: Cluster, name: str, count: int) -> int:
    d = opened(cluster, name)
    for number in range(count):
        d[number] = bytes(60 * KIB)
    return len(d)


def open_again_and_again(line: Line, cluster: Cluster) -> int:
    """Open, look, close; the number of rounds."""
    rounds = 0
    assert opened(cluster, "looked-at") == {"k": 1}  # whereby the handle that the fork copied is closed
    cluster.store.close()
    while not line.poll():
        store = Store(cluster.store.folder, durability=Durability.NONE, file_system="ext4")
        with store.reading() as transaction:
            assert transaction.get(layout.META)
        store.close()
        rounds += 1
    return rounds


def test_opening_never_cuts_off_what_another_has_reserved(clusters: MakeCluster) -> None:
    """LMDB cuts the file to the map of whoever opens it: not while another makes it longer."""
    cluster = clusters(file_system="ext4")
    opened(cluster, "looked-at")["k"] = 1
    with (
        Child(open_again_and_again, cluster) as one,
        Child(open_again_and_again, cluster) as other,
        Child(grow, cluster, "a", 400) as first,
        Child(grow, cluster, "b", 400) as second,
    ):
        assert first.result() == second.result() == 400
        for child in (one, other):
            child.line.send("stop")
            assert child.result() > 0
    assert all(value == bytes(60 * KIB) for name in "ab" for value in opened(cluster, name).values())
    check_consistent(cluster.store)


def test_who_has_no_address_space_for_more_still_has_what_is_there(
    clusters: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = clusters(file_system="ext4")
    d = opened(cluster)
    d["k"] = 1
    data = data_of(cluster)
    environment: Any = cluster.store.environment._lmdb
    size_bytes = data.stat().st_size

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(environment, name)

        def set_mapsize(self, size_bytes: int) -> None:
            raise MemoryError

    monkeypatch.setattr(cluster.store.environment, "_lmdb", Refusing())
    with pytest.raises(StoreFullError, match="address space"):
        d.update({number: bytes(90 * KIB) for number in range(20)})
    assert data.stat().st_size == size_bytes
    assert d == {"k": 1}
    d.update({number: bytes(90 * KIB) for number in range(20)})
    assert len(d) == 21
