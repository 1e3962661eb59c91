"""The log of a storage (node/disk/synclog.py, node/served/loggedstorage.py): cuts, rot, room, order."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ringdict.exception import Error, StoreDamagedError, StoreFullError, UnavailableError
from ringdict.node.disk import synclog
from ringdict.node.disk.disk import SystemDisk
from ringdict.node.disk.synclog import FILES, LogDamageError, SyncLog
from ringdict.node.served import loggedstorage
from ringdict.node.served.loggedstorage import LoggedStorage
from ringdict.node.world import Changes

KEY = 0x1234567890ABCDEF
SECTOR_BYTES = 512


class Home:
    """The thread of a process, and the ends of its turns."""

    def __init__(self) -> None:
        self.posted: list[Callable[[], None]] = []
        self.late: list[Callable[[], None]] = []

    def post(self, call: Callable[[], None], /) -> None:
        self.posted.append(call)

    def at_turn_end(self, call: Callable[[], None], /) -> None:
        self.late.append(call)

    def after_flush(self, call: Callable[[], None], /) -> None:
        self.late.append(call)

    def run_until(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            for calls in (self.late, self.posted):
                while calls:
                    calls.pop(0)()


class CutDisk(SystemDisk):
    """Remembers what was written since the last sync of each file, and what stood there before."""

    def __init__(self) -> None:
        self.unsynced: list[tuple[int, int, bytes]] = []
        self.error: OSError | None = None
        self.write_error: OSError | None = None

    def write(self, descriptor: int, content: bytes, at: int) -> None:
        if self.write_error is not None:
            super().write(descriptor, content[: len(content) // 2], at)
            raise self.write_error
        self.unsynced.append((descriptor, at, os.pread(descriptor, len(content), at)))
        super().write(descriptor, content, at)

    def sync_side_file(self, descriptor: int) -> None:
        if self.error is not None:
            raise self.error
        super().sync_side_file(descriptor)
        self.unsynced.clear()

    def cut(self, dice: random.Random) -> None:
        """The power fails: of what was not synced any sectors have got there."""
        for descriptor, at, before in reversed(self.unsynced):
            begin = at
            while begin < at + len(before):
                end = min((begin // SECTOR_BYTES + 1) * SECTOR_BYTES, at + len(before))
                if dice.random() < 0.5:
                    os.pwrite(descriptor, before[begin - at : end - at], begin)
                begin = end


def made(folder: Path, disk: SystemDisk | None = None) -> SyncLog:
    log = SyncLog(folder, disk or SystemDisk(), KEY)
    log.make()
    return log


def put(log: SyncLog, payload: bytes) -> None:
    if not log.has_room(payload):
        log.turn_over()
    log.append(payload)
    log.sync()


def found(folder: Path, applied: int = 0) -> list[bytes]:
    log = SyncLog(folder, SystemDisk(), KEY)
    try:
        return log.recover(applied)
    finally:
        log.close()


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synclog, "LOG_FILE_BYTES", 8192)


@pytest.mark.usefixtures("_small")
def test_a_log_gives_back_what_it_was_given_after_any_number_of_turns(tmp_path: Path) -> None:
    log = made(tmp_path)
    payloads = [b"%d" % number * 200 for number in range(100)]
    first_in_file = 0
    begins: list[int] = []
    for number, payload in enumerate(payloads):
        if not log.has_room(payload):
            begins.append(first_in_file)
            first_in_file = number
        put(log, payload)
        if begins:  # what is in the file before the present one, and in that one
            assert found(tmp_path, begins[-1]) == payloads[begins[-1] : number + 1]
    assert len(begins) > 3
    log.close()


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("number", [0, 5, 8])
def test_a_record_that_has_rotted_is_told_from_one_that_was_torn(tmp_path: Path, number: int) -> None:
    log = made(tmp_path)
    payloads = [bytes([65 + each]) * 300 for each in range(9)]
    for payload in payloads:
        put(log, payload)
    log.close()
    path = tmp_path / FILES[0]
    content = bytearray(path.read_bytes())
    content[content.index(payloads[number]) + 7] ^= 1
    path.write_bytes(content)
    if number == 8:  # the last: as if the power had failed while it was written
        assert found(tmp_path) == payloads[:8]
    else:
        with pytest.raises(LogDamageError):
            found(tmp_path)


@pytest.mark.usefixtures("_small")
def test_a_value_that_looks_like_a_record_is_none(tmp_path: Path) -> None:
    other = SyncLog(tmp_path, SystemDisk(), KEY + 1)
    other.make()
    put(other, b"forged" * 9)
    other.close()
    forged = (tmp_path / FILES[0]).read_bytes()[:100]
    log = made(tmp_path)
    put(log, forged * 20)
    put(log, b"short")
    path = tmp_path / FILES[0]
    content = path.read_bytes()
    path.write_bytes(b"\0" * 50 + content[50:])
    with pytest.raises(LogDamageError, match="number 1 "):
        found(tmp_path)
    log.close()


@pytest.mark.usefixtures("_small")
def test_a_log_that_is_gone_or_short_is_no_empty_one(tmp_path: Path) -> None:
    log = made(tmp_path)
    log.close()
    (tmp_path / FILES[1]).write_bytes(b"\0" * 100)
    with pytest.raises(LogDamageError):
        found(tmp_path)
    (tmp_path / FILES[1]).unlink()
    with pytest.raises(LogDamageError):
        found(tmp_path)


class Trial:
    """A storage in a folder, of which it is known what it was told."""

    def __init__(self, folder: Path, disk: SystemDisk | None = None) -> None:
        self.home, self.folder = Home(), folder
        self.storage = LoggedStorage(folder, self.home, disk)
        self.told: list[Error | None] = []

    def commit(self, *commits: Changes) -> list[Error | None]:
        count = len(self.told)
        for changes in commits:
            self.storage.commit(changes, self.told.append)
        self.home.run_until(lambda: len(self.told) == count + len(commits))
        return self.told[count:]

    def die(self) -> None:
        """As by SIGKILL: the threads' work in hand is done, nothing else."""
        self.storage._closing = True
        self.storage._logger.end()
        self.storage._folder_hand.end()
        self.storage._log.close()
        self.storage._tree.close()


def content(storage: LoggedStorage) -> dict[bytes, bytes]:
    return dict(storage.scan(b"", b"\xff" * 9, 100_000))


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are soon full, and values that are soon too large for them."""
    monkeypatch.setattr(synclog, "LOG_FILE_BYTES", 3000)
    monkeypatch.setattr(loggedstorage, "LOG_RECORD_BYTES_MAX", 1500)
    monkeypatch.setattr(loggedstorage, "LOG_TURN_BYTES_MAX", 600)


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize("seed", range(12))
def test_after_any_power_cut_all_that_was_told_is_there_and_nothing_by_halves(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    model: dict[bytes, bytes] = {}
    for _ in range(6):
        disk = CutDisk()
        trial = Trial(tmp_path / "s", disk)
        assert content(trial.storage) == model
        for _ in range(dice.randrange(40)):
            changes: Changes = {}
            for _ in range(dice.randrange(1, 4)):
                size = dice.choice([5, 50, 700, 2500] if dice.random() < 0.3 else [5, 50])
                value = dice.randbytes(size) if dice.random() < 0.8 else None
                changes[b"k%d" % dice.randrange(30)] = value
            assert trial.commit(changes) == [None]
            model.update({key: value for key, value in changes.items() if value is not None})
            for key in [key for key, value in changes.items() if value is None]:
                model.pop(key, None)
            assert content(trial.storage) == model
        last: Changes = {b"x": dice.randbytes(400), b"y": dice.randbytes(400)}
        after = model | {key: value for key, value in last.items() if value is not None}
        if dice.random() < 0.5:  # cut in the middle of a write
            disk.error = OSError(5, "cut")
            assert isinstance(trial.commit(last)[0], UnavailableError)
            disk.cut(dice)
        trial.die()
        trial = Trial(tmp_path / "s")
        assert content(trial.storage) in (model, after)
        model = content(trial.storage)
        if dice.random() < 0.3:
            trial.storage.close()
        else:
            trial.die()


@pytest.mark.usefixtures("_tiny")
def test_pages_and_gets_see_the_same_whatever_lies_where(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "s")
    dice = random.Random(1)
    for _ in range(60):
        trial.commit({b"k%02d" % dice.randrange(40): dice.choice([None, dice.randbytes(60)])})
        trial.storage.commit({b"k%02d" % dice.randrange(40): b"waits"}, trial.told.append)
        rows = trial.storage.scan(b"k05", b"k30", 1000)
        keys = [b"k%02d" % number for number in range(5, 30)]
        assert rows == [(key, value) for key in keys if (value := trial.storage.get(key)) is not None]
        assert trial.storage.scan(b"k05", b"k30", 3) == rows[:3]
        count = len(trial.told)
        trial.home.run_until(lambda count=count: len(trial.told) > count)  # type: ignore[misc]
    trial.storage.close()


@pytest.mark.usefixtures("_tiny")
def test_a_full_disk_takes_nothing_and_the_next_commit_is_taken(tmp_path: Path) -> None:
    disk = CutDisk()
    trial = Trial(tmp_path / "s", disk)
    assert trial.commit({b"a": b"1"}) == [None]
    disk.write_error = OSError(28, "no room")
    told = trial.commit({b"a": b"2"}, {b"b": b"3"})
    assert [type(error) for error in told] == [StoreFullError] * 2
    assert content(trial.storage) == {b"a": b"1"}
    disk.write_error = None
    assert trial.commit({b"c": b"4"}) == [None]
    trial.die()
    trial = Trial(tmp_path / "s")
    assert content(trial.storage) == {b"a": b"1", b"c": b"4"}
    trial.storage.close()


@pytest.mark.usefixtures("_tiny")
def test_while_lmdb_has_no_room_the_log_takes_what_it_can_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path / "s")
    write = trial.storage._tree.write
    monkeypatch.setattr(trial.storage._tree, "write", lambda _group: StoreFullError("no room"))
    model: dict[bytes, bytes] = {}
    for number in range(40):
        error = trial.commit({b"k%d" % number: bytes(200)})[0]
        if error is None:
            model[b"k%d" % number] = bytes(200)
        assert content(trial.storage) == model
    assert 20 < len(model) < 30
    assert isinstance(trial.told[-1], StoreFullError)
    monkeypatch.setattr(trial.storage._tree, "write", write)
    assert trial.commit({b"after": b"x"}) == [None]
    trial.die()
    trial = Trial(tmp_path / "s")
    assert content(trial.storage) == model | {b"after": b"x"}
    trial.storage.close()


def test_a_sync_that_failed_is_the_last(tmp_path: Path) -> None:
    disk = CutDisk()
    trial = Trial(tmp_path / "s", disk)
    disk.error = OSError(28, "no room, it says")
    assert isinstance(trial.commit({b"a": b"1"})[0], UnavailableError)
    disk.error = None
    assert isinstance(trial.commit({b"a": b"2"})[0], UnavailableError)
    trial.storage.close()


def test_a_slow_disk_is_left_to_a_thread_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path / "s")
    trial.commit({b"a": b"1"})
    assert trial.storage._logger._thread is None
    monkeypatch.setattr(loggedstorage, "LOG_TRIES", 1 << 60)
    trial.storage._sync_ns = 1e12
    trial.commit({b"a": b"2"})
    assert trial.storage._logger._thread is not None
    assert trial.storage._sync_ns < 1e12
    trial.storage._sync_ns = 0
    trial.storage.close()


def test_what_is_left_of_a_log_without_its_tree_or_the_reverse(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "s")
    trial.commit({b"a": b"1"})
    trial.storage.close()
    (tmp_path / "s" / FILES[0]).unlink()
    with pytest.raises(StoreDamagedError, match="log-0"):
        Trial(tmp_path / "s")
