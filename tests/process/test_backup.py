"""Backups of real stores: taken while others write, killed half-way, on full disks; what is not whole is no
backup, and a flipped bit is found."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ringdict import Cluster, Dict
from ringdict.client.shell.exit_code import ExitCode
from ringdict.exception import LockTimeoutError, StoreDamagedError, UnavailableError
from ringdict.node.config import MIB
from ringdict.node.store import archive, layout, restoration
from ringdict.node.store.archive import MANIFEST, ROWS, ArchiveReader
from ringdict.node.store.restoration import WORK, restore
from ringdict.node.store.store import Store

from .audit import check_consistent
from .child import Child, Line, wait_until
from .conftest import MakeCluster
from .servednode import ServedNode, row
from .test_disk import SmallDisk

AnyDict = Dict[Any, Any]
WRITERS = 4


def opened(cluster: Cluster, name: str = "d") -> AnyDict:
    return Dict.from_name(name, create_if_missing=True, cluster=cluster).hydrate()


def begin(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ringdict", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def command(*words: object, code: int = ExitCode.OK) -> str:
    """Run `ringdict …`; what it said."""
    process = begin(*words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    return out + err


def restored(clusters: MakeCluster, folder: Path) -> Cluster:
    """The store in `folder`, audited once somebody has written to it: it stands every test of a store."""
    cluster = clusters(folder)
    opened(cluster, "written-since")["a"] = 1
    check_consistent(cluster.store)
    return cluster


# -- what is in it ---------------------------------------------------------------------------------


def fill(_line: Line, cluster: Cluster) -> None:
    """Two megabytes, which a backup at one a second takes its time for."""
    opened(cluster, "bulk").update(dict.fromkeys(range(2000), "x" * 1000))


def count_up(line: Line, cluster: Cluster, writer: int) -> None:
    """Write n under a key of its own and under one that all share a page with, and say so."""
    d = opened(cluster)
    for number in range(1_000_000):
        d[writer, number] = "x" * 200
        line.send(number)
        if line.poll(0):
            return


def test_a_backup_while_four_write_has_all_that_was_there_and_is_one_instant(
    clusters: MakeCluster, tmp_path: Path
) -> None:
    cluster = clusters()
    with Child(fill, cluster) as child:
        child.result()
    with ExitStack() as stack:
        writers = [stack.enter_context(Child(count_up, cluster, writer)) for writer in range(WRITERS)]
        before = [[writer.receive() for _ in range(50)][-1] for writer in writers]
        process = begin("backup", tmp_path / "b", "--data", tmp_path / "store", "--rate", 1)
        last = before
        while process.poll() is None:
            last = [drained(writer) for writer in writers]
        assert process.communicate()[1] == ""
        for writer in writers:
            writer.line.send("stop")
            writer.result()
    command("restore", tmp_path / "b", "--data", tmp_path / "r")
    d = opened(restored(clusters, tmp_path / "r"))
    for which in range(WRITERS):
        numbers = sorted(number for its, number in d if its == which)
        assert numbers == list(range(len(numbers))), "one instant: none missing below the last"
        assert numbers[-1] >= before[which]
        assert last[which] > numbers[-1], "they went on writing"


def drained(child: Child[None]) -> int:
    """The last number that a writer has told of."""
    last = child.receive()
    while child.line.poll(0):
        last = child.receive()
    return int(last)


def test_locks_lives_long_keys_and_times_to_live_come_back(clusters: MakeCluster, tmp_path: Path) -> None:
    cluster = clusters()
    d = opened(cluster)
    opened(cluster, "gone")["x"] = 1
    Dict.objects.delete("gone", cluster=cluster)
    cleared = opened(cluster, "cleared")
    cleared["x"] = 1
    cleared.clear()
    cleared["y"] = 2
    long_key = "k" * 2_000
    d[long_key] = "long"
    d.put("brief", 1, ttl=3_600)
    d.put("over", 1, ttl=0.001)
    d.lock("l", ttl=None).acquire()
    with Dict.ephemeral(cluster=cluster) as brief:
        brief["x"] = 1
        command("backup", tmp_path / "b", "--data", tmp_path / "store")
    assert " in 2 Dicts" in command("restore", tmp_path / "b", "--data", tmp_path / "r")

    there = restored(clusters, tmp_path / "r")
    d = opened(there)
    assert dict(d.items()) == {long_key: "long", "brief": 1}
    assert dict(opened(there, "cleared").items()) == {"y": 2}
    assert not opened(there, "gone"), "its first life is over"
    with pytest.raises(LockTimeoutError):
        d.lock("l", wait_s=0).acquire()


# -- what is not whole is no backup ----------------------------------------------------------------


@pytest.fixture
def backed_up(clusters: MakeCluster, tmp_path: Path) -> Path:
    """A backup of three megabytes; its store is closed."""
    cluster = clusters()
    opened(cluster).update({number: f"value {number} ".ljust(300, ".") for number in range(9_000)})
    cluster.close()
    command("backup", tmp_path / "b", "--data", tmp_path / "store")
    return tmp_path / "b"


def cut_off(rows: bytearray) -> None:
    del rows[len(rows) // 2 :]


def flip_a_bit(rows: bytearray) -> None:
    rows[len(rows) // 3] ^= 4


def leave_a_block_out(rows: bytearray) -> None:
    length, _ = archive.BLOCK.unpack_from(rows, archive.HEAD.size)
    del rows[archive.HEAD.size : archive.HEAD.size + archive.BLOCK.size + length]


def nothing_at_the_end(rows: bytearray) -> None:
    del rows[-archive.BLOCK.size :]


@pytest.mark.parametrize("spoil", [cut_off, flip_a_bit, leave_a_block_out, nothing_at_the_end])
def test_a_backup_that_is_not_what_was_written_is_refused(
    backed_up: Path, tmp_path: Path, spoil: Callable[[bytearray], None]
) -> None:
    rows = bytearray((backed_up / ROWS).read_bytes())
    spoil(rows)
    (backed_up / ROWS).write_bytes(rows)
    with pytest.raises(StoreDamagedError, match="is damaged"):
        restore([backed_up], tmp_path / "r")
    assert list((tmp_path / "r").iterdir()) == []
    assert "is damaged" in command("verify", backed_up, code=ExitCode.STORE)


def test_blocks_that_are_missing_are_missed_whatever_the_length_says(backed_up: Path, tmp_path: Path) -> None:
    rows = bytearray((backed_up / ROWS).read_bytes())
    leave_a_block_out(rows)
    (backed_up / ROWS).write_bytes(rows)
    facts = json.loads((backed_up / MANIFEST).read_bytes())
    facts.pop("manifest_checksum")
    forged = archive.Manifest(**facts | {"rows_bytes": len(rows)})
    (backed_up / MANIFEST).write_bytes(forged.encode())
    with pytest.raises(StoreDamagedError, match="block 0"):
        restore([backed_up], tmp_path / "r")


def test_a_manifest_that_is_damaged_is_none(backed_up: Path, tmp_path: Path) -> None:
    text = (backed_up / MANIFEST).read_text().replace('"entries": 9000', '"entries": 9001')
    (backed_up / MANIFEST).write_text(text)
    with pytest.raises(StoreDamagedError, match="manifest"):
        restore([backed_up], tmp_path / "r")


def test_neither_a_backup_nor_a_store_goes_where_something_is(backed_up: Path, tmp_path: Path) -> None:
    assert "empty" in command("backup", backed_up, "--data", tmp_path / "store", code=ExitCode.STORE)
    assert "empty" in command("restore", backed_up, "--data", tmp_path / "store", code=ExitCode.STORE)
    ArchiveReader(backed_up)
    assert "no whole backup" in command("restore", tmp_path, "--data", tmp_path / "r", code=ExitCode.STORE)
    assert "no store" in command("backup", tmp_path / "c", "--data", tmp_path / "none", code=ExitCode.STORE)
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "none").exists()


# -- killed ----------------------------------------------------------------------------------------


def test_a_backup_that_is_killed_half_way_is_none_and_can_be_begun_anew(
    backed_up: Path, tmp_path: Path
) -> None:
    target = tmp_path / "c"
    process = begin("backup", target, "--data", tmp_path / "store", "--rate", 1)
    wait_until(lambda: (target / ROWS).exists() and (target / ROWS).stat().st_size > MIB, "a block")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [path.name for path in target.iterdir()] == [ROWS]
    with pytest.raises(UnavailableError, match="no whole backup"):
        restore([target], tmp_path / "r")
    command("backup", target, "--data", tmp_path / "store")
    assert restore([target], tmp_path / "r").entries == 9_000
    assert restore([backed_up], tmp_path / "s").entries == 9_000


def test_a_backup_that_is_interrupted_leaves_nothing(backed_up: Path, tmp_path: Path) -> None:
    target = tmp_path / "c"
    process = begin("backup", target, "--data", tmp_path / "store", "--rate", 1)
    wait_until(lambda: (target / ROWS).exists() and (target / ROWS).stat().st_size > MIB, "a block")
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    assert not target.exists()
    assert backed_up.exists()


def restore_slowly(line: Line, backup: Path, folder: Path) -> None:
    def tell(done_bytes: int, _total_bytes: int) -> None:
        line.send(done_bytes)
        line.recv()

    with mock.patch.object(restoration, "RESTORE_BYTES_MAX", MIB):
        restore([backup], folder, progress=tell)


@pytest.mark.parametrize("portions", [1, 2, 3])
def test_a_restoration_that_is_killed_leaves_no_store(
    clusters: MakeCluster, backed_up: Path, tmp_path: Path, portions: int
) -> None:
    folder = tmp_path / "r"
    with Child(restore_slowly, backed_up, folder) as child:
        for number in range(portions):
            child.receive()
            if number < portions - 1:
                child.line.send("go on")
        child.kill()
    assert [path.name for path in folder.iterdir()] == [WORK]
    command("restore", backed_up, "--data", folder)
    assert len(opened(restored(clusters, folder))) == 9_000


# -- disks -----------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk", 2 * MIB)
    yield disk
    subprocess.run(["umount", "-l", str(disk.folder)], check=False)


def test_a_full_disk_ends_a_backup_and_a_restoration_in_words(
    backed_up: Path, tmp_path: Path, small_disk: SmallDisk
) -> None:
    target = small_disk.folder / "b"
    said = command("backup", target, "--data", tmp_path / "store", code=ExitCode.STORE)
    assert "full" in said
    assert not target.exists()
    said = command("restore", backed_up, "--data", small_disk.folder / "r", code=ExitCode.STORE)
    assert "full" in said
    assert list((small_disk.folder / "r").iterdir()) == []


def test_what_counts_is_on_disk_before_it_counts(
    backed_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut finds a backup, or a store, that is whole or none: names come after what they stand for."""
    events: list[str] = []
    sync, replace, rename = os.fsync, Path.replace, Path.rename

    def note_sync(descriptor: int) -> None:
        events.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def note_replace(path: Path, target: Path) -> Path:
        events.append(f"name {target.name}")
        return replace(path, target)

    def note_rename(path: Path, target: Path) -> Path:
        events.append(f"name {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    monkeypatch.setattr(Path, "rename", note_rename)
    from ringdict.node.store.backup import backup

    backup(tmp_path / "store", tmp_path / "c", lambda *_: None)
    assert events[-5:] == [
        "sync rows", "sync manifest.json.new", "name manifest.json", "sync c", f"sync {tmp_path.name}"
    ]  # fmt: skip
    events.clear()
    restore([backed_up], tmp_path / "r")
    assert events == [f"sync {WORK}", "name entries", "sync r", f"sync {tmp_path.name}"]


# -- damage ----------------------------------------------------------------------------------------


def flip_in(path: Path, needle: bytes) -> None:
    """Flip a bit behind `needle`, wherever it stands in a file."""
    content = path.read_bytes()
    at = content.find(needle)
    assert at >= 0
    with path.open("r+b") as file:
        while at >= 0:
            file.seek(at + len(needle) + 3)
            file.write(bytes([content[at + len(needle) + 3] ^ 16]))
            at = content.find(needle, at + 1)


def test_a_flipped_bit_is_found_and_named_and_left_out(backed_up: Path, tmp_path: Path) -> None:
    number = random.Random(7).randrange(9_000)
    assert "9,000 entries are whole, none damaged" in command("verify", "--data", tmp_path / "store")
    flip_in(tmp_path / "store" / "entries" / "data.mdb", f"value {number} ".encode())
    said = command("verify", "--data", tmp_path / "store", code=ExitCode.STORE)
    assert f"damaged\tmain/d\tentry\t{number}\n" in said
    assert "8,999 entries are whole, 1 damaged" in said
    found = json.loads(command("verify", tmp_path / "store", "--json", code=ExitCode.STORE))
    assert found == {
        "whole": 8_999, "dead": 0, "damaged": 1,
        "damaged_entries": [{"environment": "main", "dict": "d", "kind": "entry", "key": str(number)}],
    }  # fmt: skip
    said = command("backup", tmp_path / "c", "--data", tmp_path / "store", code=ExitCode.UNKNOWN)
    assert "1 damaged entries are not in the backup" in said
    assert restore([tmp_path / "c"], tmp_path / "r").entries == 8_999
    assert "none damaged" in command("verify", backed_up)


def test_a_tree_that_cannot_be_walked_is_damage_too(backed_up: Path, tmp_path: Path) -> None:
    data = tmp_path / "store" / "entries" / "data.mdb"
    content = bytearray(data.read_bytes())
    content[8_192:] = bytes(len(content) - 8_192)
    data.write_bytes(content)
    assert "damaged" in command("verify", "--data", tmp_path / "store", code=ExitCode.STORE)
    assert backed_up.exists()


# -- folders of nodes ------------------------------------------------------------------------------


def serve(line: Line, folder: Path, version: int, deleted: list[bytes], cleared: list[bytes]) -> None:
    node = ServedNode(folder)
    id_ = node.make("d")
    for number in range(100):
        node.put(id_, b"\x05n%d" % number, b"\x01", version)
    for key in deleted:
        node.put(id_, key, b"", version + 10, flags=2)
    for key in cleared:  # as a cluster says that the key's partition was cleared
        prefix = row(id_, key, b"", 1)[0][: layout.PREFIX_BYTES]
        node.commit({layout.CLEARED + prefix: version.to_bytes(8, "big")})
    line.send(node.node.hex())
    line.recv()
    node.stop()


def test_backups_of_several_nodes_become_one_store_of_another_node(
    clusters: MakeCluster, tmp_path: Path
) -> None:
    backups: list[Path] = []
    for number, (deleted, cleared) in enumerate([([], []), ([b"\x05n7"], [b"\x05n9"])]):
        folder = tmp_path / f"n{number}"
        with Child(serve, folder, 5 + number, deleted, cleared) as child:
            node = child.receive()
            backups.append(tmp_path / f"b{number}")
            command("backup", backups[-1], "--data", folder)
            child.line.send("stop")
            child.result()
        manifest = ArchiveReader(backups[-1]).manifest
        assert (manifest.source, manifest.last_stamp) == (node, 5 + number + 10 * bool(deleted))
        rows = [row for block in ArchiveReader(backups[-1]).blocks() for row in block]
        own = {key[8:12] for key, _ in rows if key.startswith(layout.SYSTEM)}
        assert own - {b"clea"} == {b"name", b"dict", b"stat"}, "nothing that it has promised anybody"
    for turn, order in enumerate([backups, backups[::-1]]):
        restore(order, tmp_path / f"r{turn}")
    restore(backups, tmp_path / "r2")
    with Child(found_again, tmp_path / "r2") as child:
        assert child.result() not in [ArchiveReader(path).manifest.source for path in backups]
    for turn in range(3):
        assert len(opened(restored(clusters, tmp_path / f"r{turn}"))) == 98, "a delete stands, and a clear"


def found_again(_line: Line, folder: Path) -> str:
    """Another node takes the folder over, and has what an embedded store had in it."""
    node = ServedNode(folder)
    name = node.node.hex()
    node.stop()
    return name


def test_a_store_whose_clock_was_ahead_gives_higher_stamps_once_it_is_restored(
    clusters: MakeCluster, tmp_path: Path
) -> None:
    far = (int(time.time() * 1_000) + 86_400_000) << 16
    with Child(serve, tmp_path / "n", far, [], []) as child:
        child.receive()
        command("backup", tmp_path / "b", "--data", tmp_path / "n")
        child.line.send("stop")
        child.result()
    restore([tmp_path / "b"], tmp_path / "r")
    d = opened(clusters(tmp_path / "r"))
    d["new"] = 1
    store: Store = clusters(tmp_path / "r").store
    assert store._cell is not None
    assert store._cell.read() > far
