"""The durability `interval` between processes that die, stop, fork, or find a disk that fails."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict, InvalidError, StoreFullError, UnavailableError
from ringdict.node.config import MIB, STORE_SLACK_BYTES, SYNC_DELAY_S, SYNC_TAKING_S
from ringdict.node.disk.datafile import DATA
from ringdict.node.disk.disk import SystemDisk
from ringdict.node.disk.folder import ENTRIES
from ringdict.node.disk.keeper import Keeper
from ringdict.node.disk.readertable import HOLD_TAG, ReaderTable, Slot
from ringdict.node.disk.syncpoint import newest, points, remove_dead, side_files
from ringdict.node.store.compaction import compact
from ringdict.node.store.store import Store

from ..seeds import seeds
from .audit import check_consistent
from .child import Child, Line, wait_until
from .conftest import MakeCluster

AnyDict = Dict[Any, Any]


@pytest.fixture
def cluster(clusters: MakeCluster) -> Iterator[Cluster]:
    cluster = clusters(durability="interval")
    yield cluster
    check_consistent(cluster.store)


def opened(cluster: Cluster) -> AnyDict:
    return Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()


def keeper_of(cluster: Cluster) -> Keeper:
    keeper = cluster.store.keeper
    assert keeper is not None
    return keeper


def transaction_of(cluster: Cluster) -> int:
    with cluster.store.reading() as transaction:
        return transaction.id()


def synced(cluster: Cluster) -> int:
    """The transaction of the newest sync point."""
    point = newest(cluster.store.folder)
    return point.transaction if point else 0


def file_bytes(cluster: Cluster) -> int:
    return (cluster.store.folder / ENTRIES / DATA).stat().st_size


# -- in the background -------------------------------------------------------------------------------


def test_what_is_written_is_on_disk_about_a_second_later(cluster: Cluster) -> None:
    d = opened(cluster)
    d["k"] = "v"
    start_s, written = time.monotonic(), transaction_of(cluster)
    wait_until(lambda: synced(cluster) >= written, "a sync point")
    assert time.monotonic() - start_s < 3 * SYNC_DELAY_S


def test_a_store_that_nobody_writes_to_is_left_alone(cluster: Cluster) -> None:
    d = opened(cluster)
    d["k"] = "v"
    wait_until(lambda: synced(cluster) >= transaction_of(cluster), "a sync point")
    times = [path.stat().st_mtime_ns for path in side_files(cluster.store.folder)]
    time.sleep(2 * SYNC_DELAY_S)
    assert [path.stat().st_mtime_ns for path in side_files(cluster.store.folder)] == times


def test_the_last_to_close_leaves_nothing_to_go_back_to(clusters: MakeCluster) -> None:
    cluster = clusters(durability="interval")
    folder = cluster.store.folder
    opened(cluster)["k"] = "v"
    assert newest(folder) is not None
    cluster.close()
    assert list(side_files(folder)) == []


def write_and_close(_: Line, cluster: Cluster) -> None:
    with cluster:
        opened(cluster)["theirs"] = 1


def test_who_closes_before_others_leaves_a_sync_point(cluster: Cluster) -> None:
    opened(cluster)["mine"] = 1
    with Child(write_and_close, cluster) as child:
        child.result()
    assert synced(cluster) == transaction_of(cluster)


PROGRAM = """
import sys
from ringdict import Dict
d = Dict.from_name("d", create_if_missing=True, cluster=sys.argv[1])
d["first"] = 1
d["second"] = 2
"""


def test_a_program_that_ends_has_brought_its_writes_to_disk(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    subprocess.run([sys.executable, "-c", PROGRAM, f"file://{folder}?durability=interval"], check=True)
    point = newest(folder)
    with Cluster(f"file://{folder}?durability=interval") as cluster:
        assert point is not None
        assert point.transaction == transaction_of(cluster)


def put_for_pool(url: str) -> None:
    opened(Cluster(url)).incr("n")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_that_ends_has_too(method: str, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    url = f"file://{folder}?durability=interval"
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=put_for_pool, args=(url,))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    point = newest(folder)
    with Cluster(url) as cluster:
        assert point is not None
        assert point.transaction == transaction_of(cluster)


def test_a_point_taken_in_the_gate_waits_for_no_thread_that_waits_for_the_gate(cluster: Cluster) -> None:
    d, keeper = opened(cluster), keeper_of(cluster)
    d["k"] = 0
    over = threading.Event()

    def take() -> None:
        while not over.is_set():
            keeper.take()

    taker = threading.Thread(target=take)
    taker.start()
    try:
        for number in range(50):
            hold = cluster.store.environment.hold
            assert hold is not None
            with cluster.store.environment.writer:
                cluster.store._gate.enter(5)  # type: ignore[union-attr]
                try:
                    keeper.take_here()
                finally:
                    cluster.store._gate.leave()  # type: ignore[union-attr]
            d["k"] = number
    finally:
        over.set()
        taker.join(30)
    assert not taker.is_alive()
    keeper.take()
    assert synced(cluster) == transaction_of(cluster)


# -- processes that die --------------------------------------------------------------------------------


def put_for_ever(line: Line, d: AnyDict, first: int) -> None:
    for number in range(first, first + 10_000_000):
        d[number % 1000, first] = (number, "x" * 500)
        line.send(number)


@pytest.mark.parametrize("seed", seeds(3, deep=9))
def test_writers_killed_one_by_one_lose_nothing(cluster: Cluster, seed: int) -> None:
    """Syncs included: each of them has a keeper, which may be at any step of one."""
    rng = random.Random(seed)
    d = opened(cluster)
    expected: dict[Any, int] = {}
    for life in range(6):
        with Child(put_for_ever, d, life * 10_000_000) as child, Child(put_for_ever, d, -1 - seed) as other:
            time.sleep(rng.random() * 1.5 * SYNC_DELAY_S / 3)
            child.kill()
            for number in child.received():
                expected[number % 1000, life * 10_000_000] = number
            other.kill()
    found = {key: value[0] for key, value in d.items()}
    for key, number in expected.items():
        assert found[key] in (number, number + 1, number + 1000), f"seed {seed}: {key} was acknowledged"
    check_consistent(cluster.store)


def put_some(line: Line, folder: Path, count: int) -> None:
    d = opened(Cluster(f"file://{folder}?durability=interval"))
    for number in range(count):
        d[number] = "x" * 1000
        line.send(number)
    signal.pause()


@pytest.mark.parametrize("wait_s", [0.0, 1.2])
def test_all_killed_without_a_power_cut(tmp_path: Path, wait_s: float) -> None:
    folder = tmp_path / "store"
    with Child(put_some, folder, 300) as child:
        while child.receive() != 299:
            pass
        time.sleep(wait_s)  # with or without a sync point in between
        child.kill()
    with Cluster(f"file://{folder}?durability=interval") as cluster:
        assert set(opened(cluster)) == set(range(300))
        check_consistent(cluster.store)
        opened(cluster)["then"] = 1


def test_what_the_dead_left_is_removed_once_it_is_not_needed(cluster: Cluster) -> None:
    d = opened(cluster)
    with Child(put_some, cluster.store.folder, 3) as child:
        while child.receive() != 2:
            pass
        wait_until(lambda: synced(cluster) == transaction_of(cluster), "a sync point")
        child.kill()
    before = {path.name for path in side_files(cluster.store.folder)}
    assert any(name.startswith(f"{child.pid}-") for name in before)
    d["newer"] = 1
    keeper_of(cluster).take()
    assert not any(path.name.startswith(f"{child.pid}-") for path in side_files(cluster.store.folder))


# -- processes that stop -------------------------------------------------------------------------------


class StoppingDisk(SystemDisk):
    """Stops its process in the midst of a sync point."""

    def sync_side_file(self, descriptor: int) -> None:
        if self.armed:
            os.kill(os.getpid(), signal.SIGSTOP)
        super().sync_side_file(descriptor)

    armed = False


def write_then_stop(_: Line, cluster: Cluster, where: str) -> None:
    disk = cluster.store._disk = StoppingDisk()
    opened(cluster)["stopped"] = 1
    if where == "in a sync":
        disk.armed = True
        keeper_of(cluster).take_if_nobody_does()
    os.kill(os.getpid(), signal.SIGSTOP)


def holds_of(line: Line, folder: Path) -> list[Slot]:
    """In a process of its own, since to open and close the lock file drops the locks that one has on it."""
    line.recv()
    table = ReaderTable(folder / ENTRIES)
    return [slot for slot in table.slots().values() if slot.thread == HOLD_TAG]


@pytest.mark.parametrize("where", ["idle", "in a sync"])
def test_a_stopped_process_holds_up_nobody_and_no_page(cluster: Cluster, where: str) -> None:
    d = opened(cluster)
    d.update(dict.fromkeys(range(2000), "x" * 4000))
    with (
        Child(holds_of, cluster.store.folder) as looker,
        Child(write_then_stop, cluster, where) as child,
    ):
        wait_until(lambda: state_of(child.pid) == "T", "a stopped process")
        before_bytes = file_bytes(cluster)
        end_s = time.monotonic() + 3 * SYNC_TAKING_S
        longest_s, number = 0.0, 0
        while time.monotonic() < end_s:
            number += 1
            start_s = time.monotonic()
            d[number % 2000] = "y" * 4000
            longest_s = max(longest_s, time.monotonic() - start_s)
        assert file_bytes(cluster) < before_bytes + 200 * MIB
        assert longest_s < 1.0
        looker.line.send("now")
        holds = looker.result()
        assert {slot.pid for slot in holds} == {child.pid, os.getpid()}
        assert len({slot.transaction for slot in holds}) == 1, "the stopped one's is raised as well"
        assert synced(cluster) > number // 2
        os.kill(child.pid, signal.SIGCONT)
    assert d["stopped"] == 1


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_syncs_keep_the_file_small(cluster: Cluster) -> None:
    d = opened(cluster)
    d.update(dict.fromkeys(range(5000), "x" * 1000))
    keeper_of(cluster).take()
    before_bytes = file_bytes(cluster)
    for round_ in range(40):
        for number in range(250):
            d[number * 20 + round_ % 20] = "y" * 1000
        keeper_of(cluster).take()
    assert file_bytes(cluster) < before_bytes + 30 * MIB  # 10,000 puts write 240 MB of pages


# -- forks ---------------------------------------------------------------------------------------------


def put_one(_: Line, d: AnyDict, key: int) -> None:
    d[key] = key


def test_a_fork_has_a_hold_and_a_side_file_of_its_own(cluster: Cluster) -> None:
    d = opened(cluster)
    for number in range(20):
        with Child(put_one, d, number) as child:
            d[-number - 1] = number
            child.result()
    assert len(d) == 40
    keeper_of(cluster).take()
    assert synced(cluster) == transaction_of(cluster)


# -- one durability for all ------------------------------------------------------------------------------


def test_all_users_of_a_store_have_one_durability(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringdict.node.disk.folder.ENTER_TIMEOUT_S", 0.2)
    opened(cluster)
    for other in ("none", "fsync"):
        with pytest.raises(UnavailableError, match=f"durability interval.*{other}"):
            Store(cluster.store.folder, durability=other).open()  # type: ignore[arg-type]


def durability_of(_: Line, url: str) -> str:
    with Cluster(url) as cluster:
        opened(cluster)
        return str(cluster.store.durability)


@pytest.mark.parametrize("durability", ["none", "fsync", "interval"])
def test_who_asks_for_none_takes_what_is_there(
    durability: str, clusters: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RINGDICT_DURABILITY", raising=False)
    cluster = clusters(durability=durability)
    opened(cluster)
    folder = cluster.store.folder
    with Child(durability_of, f"file://{folder}") as child:
        assert child.result() == durability
    cluster.close()
    with Child(durability_of, f"file://{folder}") as child:
        assert child.result() == "interval", "nobody has it open any more"


@pytest.mark.parametrize("durability", ["none", "fsync"])
def test_the_durability_may_change_when_nobody_has_it_open(durability: str, clusters: MakeCluster) -> None:
    for each in ("interval", durability, "interval"):
        cluster = clusters(durability=each)
        opened(cluster).incr("n")
        cluster.close()
    cluster = clusters(durability="interval")
    assert opened(cluster)["n"] == 3
    check_consistent(cluster.store)


# -- disks that fail -------------------------------------------------------------------------------------


class FailingDisk(SystemDisk):
    """Fails at one step from the second time on."""

    def __init__(self, step: str, number: int) -> None:
        self._step = step
        self._number = number
        self._left = 1

    def _fail(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left < 0:
                raise OSError(self._number, os.strerror(self._number))

    def sync_data(self, descriptor: int) -> None:
        self._fail("sync_data")
        super().sync_data(descriptor)

    def sync_side_file(self, descriptor: int) -> None:
        self._fail("sync_side_file")
        super().sync_side_file(descriptor)


def test_a_disk_that_did_not_keep_data_stops_writes_until_the_store_is_rewritten(
    clusters: MakeCluster,
) -> None:
    cluster = clusters(durability="interval", disk=FailingDisk("sync_data", errno.EIO), background=False)
    folder = cluster.store.folder
    d = opened(cluster)
    d["k"] = "v"
    with pytest.raises(UnavailableError, match=r"writes stop.*compact"):
        keeper_of(cluster).take()
    with pytest.raises(UnavailableError, match="writes stop"):
        d["k"] = "w"
    assert d["k"] == "v"
    cluster.store.close()
    again = clusters(durability="interval")
    with pytest.raises(UnavailableError, match="writes stop"):
        opened(again)["k"] = "w"
    again.close()
    compact(folder)
    healed = clusters(durability="interval")
    opened(healed)["k"] = "w"
    assert opened(healed)["k"] == "w"


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, StoreFullError), (errno.EIO, UnavailableError)])
def test_a_side_file_that_cannot_be_written_leaves_the_last_point(
    clusters: MakeCluster, number: int, error: type[Exception]
) -> None:
    disk = FailingDisk("sync_side_file", number)
    cluster = clusters(durability="interval", disk=disk, background=False)
    d = opened(cluster)
    d["k"] = "v"
    with pytest.raises(error):
        keeper_of(cluster).take()
    d["k"] = "w"  # as many as the disk has room for; the next sync may succeed
    disk._left = 1
    keeper_of(cluster).take()
    assert synced(cluster) == transaction_of(cluster)


def test_a_process_without_descriptors_is_no_failed_disk(
    clusters: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = clusters(durability="interval", background=False)
    d = opened(cluster)
    keeper_of(cluster).forget()  # as before its first sync point
    with monkeypatch.context() as patch:

        def fail(*_: Any, **__: Any) -> int:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        patch.setattr(os, "open", fail)
        with pytest.raises(UnavailableError, match="Too many open files"):
            keeper_of(cluster).take()
    d["k"] = "v"
    keeper_of(cluster).take()
    assert synced(cluster) == transaction_of(cluster)


def test_the_thread_outlives_whatever_goes_wrong(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    d = opened(cluster)
    d["k"] = 0
    wait_until(lambda: synced(cluster) == transaction_of(cluster), "a sync point")
    failed: list[None] = []

    def fail(*_: Any) -> None:
        failed.append(None)
        raise ValueError("unforeseen")

    with monkeypatch.context() as patch:
        patch.setattr("ringdict.node.disk.keeper.remove_dead", fail)
        d["k"] = 1
        wait_until(lambda: bool(failed), "a sync point that fails")
    d["k"] = 2
    wait_until(lambda: synced(cluster) == transaction_of(cluster), "the next sync point")


def test_a_side_file_for_which_there_is_no_room_leaves_nothing_behind(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = opened(cluster)
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr("ringdict.node.disk.syncpoint.reserve_file", lambda *_: False)
        keeper_of(cluster).forget()
        for _ in range(5):
            d["k"] = 1
            with pytest.raises(StoreFullError):
                keeper_of(cluster).take()
    assert len(os.listdir("/proc/self/fd")) <= before
    assert len(list(side_files(cluster.store.folder))) == 1, "the one of before"


def test_an_open_that_failed_half_way_leaves_nothing_half_open(
    clusters: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next try would settle the store, and remove the side file of its own keeper."""
    cluster = clusters(durability="interval")
    with monkeypatch.context() as patch:

        def fail(*_: Any, **__: Any) -> None:
            raise StoreFullError("no room for the stamp cell")

        patch.setattr("ringdict.node.store.opening.Opening.stamp_cell", fail)
        with pytest.raises(StoreFullError):
            opened(cluster)
    d = opened(cluster)
    d["k"] = "v"
    keeper_of(cluster).take()
    assert synced(cluster) == transaction_of(cluster)


def test_a_close_that_fails_leaves_nothing_half_closed(
    clusters: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = clusters(durability="interval")
    opened(cluster)["k"] = "v"
    with monkeypatch.context() as patch:

        def fail(*_: Any, **__: Any) -> bool:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch.setattr("ringdict.node.store.store.settle", fail)
        with pytest.raises(UnavailableError, match="Input/output error"):
            cluster.store.close()
    with Child(count_there, cluster.store.folder) as child:
        assert child.result() == 1


def count_there(_: Line, folder: Path) -> int:
    store = Store(folder)
    other = Cluster(f"file://{folder}")
    other._store = store
    return len(opened(other))


def test_a_compaction_that_fails_keeps_the_last_sync_point_of_a_failed_disk(
    clusters: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = clusters(durability="interval", disk=FailingDisk("sync_data", errno.EIO), background=False)
    folder = cluster.store.folder
    opened(cluster)["k"] = "v"
    with pytest.raises(UnavailableError):
        keeper_of(cluster).take()
    cluster.store.close()
    before = newest(folder)

    def fail(*_: Any) -> None:
        raise StoreFullError("no room for the copy")

    with monkeypatch.context() as patch:
        patch.setattr("ringdict.node.store.compaction._copy", fail)
        with pytest.raises(StoreFullError):
            compact(folder)
    assert newest(folder) == before is not None
    compact(folder)
    assert newest(folder) is None


def test_a_side_file_that_was_written_to_meanwhile_is_not_removed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(cluster)["k"] = "v"
    keeper_of(cluster).take()
    folder, looks = cluster.store.folder, []

    def stale(path: Path) -> list[Any]:
        looks.append(path)
        found = points(path)
        return [point._replace(transaction=1) for point in found] if len(looks) == 1 else found

    keeper_of(cluster).forget()  # its process is gone
    monkeypatch.setattr("ringdict.node.disk.syncpoint.points", stale)
    remove_dead(folder, 2)
    assert len(looks) == 2
    assert synced(cluster) == transaction_of(cluster)


def test_a_second_handle_of_one_process_is_refused_before_it_does_harm(cluster: Cluster) -> None:
    opened(cluster)["k"] = "v"
    link = cluster.store.folder.parent / "link"
    link.symlink_to(cluster.store.folder)
    locks = locks_of(cluster)
    assert locks
    with pytest.raises(UnavailableError, match="by another way"):
        Store(link).open()
    assert locks_of(cluster) == locks


def locks_of(cluster: Cluster) -> list[str]:
    inode = str((cluster.store.folder / ENTRIES / "lock.mdb").stat().st_ino)
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [row[6] for row in rows if row[1] == "POSIX" and row[5].endswith(f":{inode}")]


# -- a limit for the store -------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["interval", "none", "fsync"])
@pytest.mark.parametrize("file_system", ["ext4", "btrfs"])
def test_a_store_has_a_limit_and_room_to_remove(
    clusters: MakeCluster, durability: str, file_system: str
) -> None:
    limit_bytes = 8 * MIB
    cluster = clusters(durability=durability, store_bytes_max=limit_bytes, file_system=file_system)
    d = opened(cluster)
    with pytest.raises(StoreFullError, match=r"limit of 8388608 bytes.*Nothing was written"):
        for number in range(10_000):
            d[number] = "x" * 30_000
    count = len(d)
    assert file_bytes(cluster) <= limit_bytes
    assert count * 30_000 > limit_bytes / 2
    for number in range(count):
        del d[number]
    assert len(d) == 0
    for number in range(count // 2):
        d[number] = "y" * 30_000
    assert file_bytes(cluster) <= limit_bytes + STORE_SLACK_BYTES
    check_consistent(cluster.store)


@pytest.mark.parametrize("text", ["", "x", "-1", "1", str(1 << 60)])
def test_a_limit_that_is_none(text: str, tmp_path: Path) -> None:
    if text:
        with pytest.raises(InvalidError, match="store_bytes_max"):
            Cluster(f"file://{tmp_path}?store_bytes_max={text}")
    else:
        Cluster(f"file://{tmp_path}?store_bytes_max={text}")


def test_the_limit_comes_from_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGDICT_STORE_BYTES_MAX", str(8 * MIB))
    with Cluster(f"file://{tmp_path}/s") as cluster:
        assert cluster.store.store_bytes_max == 8 * MIB
