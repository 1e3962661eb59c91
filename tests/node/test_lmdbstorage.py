"""A node's storage on a real disk, where the contract's suite does not reach: growth, failure, damage."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from ringdict.exception import Error, StoreDamagedError, StoreFullError, UnavailableError
from ringdict.node.disk.durability import Durability
from ringdict.node.served import lmdbtree
from ringdict.node.served.lmdbstorage import LmdbStorage
from ringdict.node.world import Changes


class Desk:
    """The thread of a process: it makes the calls that are posted to it."""

    def __init__(self, folder: Path) -> None:
        self.posted: queue.Queue[Callable[[], None]] = queue.Queue()
        self.storage = LmdbStorage(folder, Durability.FSYNC, self.posted.put)
        self.told: list[Error | None] = []

    def commit(self, changes: Changes) -> Error | None:
        count = len(self.told)
        self.storage.commit(changes, self.told.append)
        while len(self.told) == count:
            self.posted.get(timeout=20)()
        return self.told[-1]


def test_the_map_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdbtree, "STORAGE_MAP_BYTES", 1 << 20)
    desk = Desk(tmp_path / "s")
    for number in range(12):
        assert desk.commit({b"%d" % number: bytes(1 << 19)}) is None
        assert len(desk.storage.get(b"0") or b"") == 1 << 19
    desk.storage.close()
    again = Desk(tmp_path / "s")
    assert len(again.storage.scan(b"", b"z", 100)) == 12
    again.storage.close()


class Failing:
    """LMDB's handle, whose next transactions fail."""

    def __init__(self, error: Exception, inner: lmdb.Environment) -> None:
        self.error = error
        self.inner = inner

    def begin(self, **_options: object) -> object:
        raise self.error

    def close(self) -> None:
        self.inner.close()

    def info(self) -> dict[str, int]:
        return {"map_size": 1}

    def set_mapsize(self, _size: int) -> None:
        raise MemoryError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (lmdb.Error("mdb_txn_commit: Input/output error"), UnavailableError),
        (lmdb.CorruptedError("not a tree"), StoreDamagedError),
        (lmdb.MapFullError("full"), StoreFullError),
        (lmdb.DiskError("full"), StoreFullError),
    ],
)
def test_a_commit_that_fails_says_what_it_means(tmp_path: Path, error: Exception, kind: type[Error]) -> None:
    desk = Desk(tmp_path / "s")
    assert desk.commit({b"k": b"before"}) is None
    real = desk.storage._tree.environment
    desk.storage._tree.environment = Failing(error, real)  # type: ignore[assignment]
    assert isinstance(desk.commit({b"k": b"lost"}), kind)
    if not isinstance(error, lmdb.MapFullError):
        for read in (lambda: desk.storage.get(b"k"), lambda: desk.storage.scan(b"", b"z", 1)):
            with pytest.raises(kind):
                read()
    desk.storage._tree.environment = real
    after = desk.commit({b"k": b"after"})
    if kind is StoreFullError:  # nothing was written, and the next is taken
        assert after is None
        assert desk.storage.get(b"k") == b"after"
    else:  # nobody knows what is on disk: nothing more is taken
        assert isinstance(after, kind)
        assert desk.storage.get(b"k") == b"before"
    desk.storage.close()


def test_what_cannot_be_opened_is_said_in_our_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UnavailableError):
        Desk(tmp_path / "file")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "data.mdb").write_bytes(b"no tree" * 4096)
    with pytest.raises(StoreDamagedError):
        Desk(tmp_path / "s")


def test_nobody_is_told_of_anything_after_close(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "s")
    desk.storage.commit({b"k": b"v"}, desk.told.append)
    desk.storage.close()
    while not desk.posted.empty():
        desk.posted.get()()
    assert desk.told == []
    again = Desk(tmp_path / "s")
    assert again.storage.get(b"k") in {None, b"v"}
    again.storage.close()


@pytest.mark.parametrize("fails", [True, False])
def test_who_ends_when_told_of_a_commit_is_told_of_no_other(tmp_path: Path, *, fails: bool) -> None:
    told: list[str] = []
    storage = LmdbStorage(tmp_path, Durability.NONE, lambda _call: None)

    def first(_error: Error | None) -> None:
        told.append("first")
        storage._closing = True  # as `close`, which a process that halts brings about

    storage.commit({b"a": b"1"}, first)
    storage.commit({b"b": b"2"}, lambda _error: told.append("second"))
    storage._finished(0 if fails else 2, StoreFullError("no room") if fails else None)
    assert told == ["first"]
    storage.close()
