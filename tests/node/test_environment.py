"""What LMDB says, in the words of ringdict, and what is done about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from ringdict import (
    Cluster,
    Dict,
    Error,
    OutcomeUnknownError,
    StoreDamagedError,
    StoreFullError,
    UnavailableError,
)
from ringdict.client.cluster import STORES, Tenant, parse
from ringdict.client.embedded import EmbeddedDict
from ringdict.node.config import MIB
from ringdict.node.disk import complaint
from ringdict.node.disk.durability import Durability
from ringdict.node.disk.environment import Environment
from ringdict.node.store.store import Store

SAID = {
    lmdb.ReadersFullError("full"): (UnavailableError, "8192 reads"),
    lmdb.LockError("resource temporarily unavailable"): (
        UnavailableError,
        f"this one's pid.*{os.getpid()}.*containers",
    ),
    lmdb.ReadonlyError("permission denied"): (UnavailableError, "cannot be opened for writing"),
    lmdb.Error("open: Read-only file system"): (UnavailableError, "read-only.*RINGDICT_HOME"),
    lmdb.Error("something else"): (UnavailableError, "cannot be used: something else"),
    lmdb.DiskError("no space left on device"): (StoreFullError, "full"),
    lmdb.CorruptedError("page not what it should be"): (StoreDamagedError, "damaged.*ringdict dict items"),
    lmdb.PageNotFoundError("no page"): (StoreDamagedError, "damaged"),
    lmdb.InvalidError("no LMDB file"): (StoreDamagedError, "damaged"),
}
"""An error of LMDB: what becomes of it, and which words are in it."""


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the next transaction that begins fail with an error, once."""

    def refuse(environment: Environment, error: Exception) -> None:
        begin = environment._begin
        inner = environment._lmdb

        def fail(*_: Any, **__: Any) -> Any:
            environment._begin = begin
            environment._lmdb = inner
            raise error

        environment._begin = fail
        environment._lmdb = Refusing(inner, fail)  # type: ignore[assignment]

    return refuse


class Refusing:
    """An LMDB environment whose `begin` is another."""

    def __init__(self, inner: Any, begin: Any) -> None:
        self._inner = inner
        self.begin = begin

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("error", SAID, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("use", ["read", "iterate", "write"])
def test_an_error_of_lmdb_is_said_in_other_words(
    use: str, error: lmdb.Error, d: Dict[Any, Any], store: Store, refusing: Any
) -> None:
    d["k"] = 1
    kind, words = SAID[error]
    refusing(store.environment, error)
    with pytest.raises(kind, match=words) as caught:
        {"read": lambda: d["k"], "iterate": lambda: list(d), "write": lambda: d.put("k", 2)}[use]()
    assert caught.value.__cause__ is error
    assert d["k"] == 1


def test_an_error_in_the_middle_of_a_read_is_translated_too(store: Store) -> None:
    with pytest.raises(StoreDamagedError), store.reading():
        raise lmdb.CorruptedError("page not what it should be")


def test_a_damaged_tree_decides_nothing_any_more_here_and_elsewhere(
    d: Dict[Any, Any], store: Store, folder: Path, cluster: Cluster
) -> None:
    d["k"] = 1
    with pytest.raises(StoreDamagedError), store.reading():
        raise lmdb.CorruptedError("page 5")
    for decide in (
        lambda: d.incr("n"),
        lambda: d.pop("k"),
        lambda: d.put("l", 1, skip_if_exists=True),
        d.clear,
    ):
        with pytest.raises(StoreDamagedError, match="no atomic operation"):
            decide()
    assert d["k"] == 1
    d["k"] = 2
    cluster.close()
    with Cluster(f"file://{folder}?durability=none") as later:
        d = Dict.from_name("d", cluster=later)
        assert d["k"] == 2
        with pytest.raises(StoreDamagedError, match="no atomic operation"):
            d.incr("n")


# -- growth --------------------------------------------------------------------------------------


@pytest.fixture
def small(folder: Path) -> Iterator[Dict[Any, Any]]:
    """A Dict in a store whose map holds a mebibyte."""
    address = parse(f"file://{folder}?durability=none")
    store = Store(folder, durability=Durability.NONE, map_bytes=MIB, background=False)
    STORES.tenants[folder] = Tenant(address, store)
    with Cluster(f"file://{folder}?durability=none") as cluster:
        yield Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()


def test_a_full_map_grows(small: Dict[Any, Any]) -> None:
    entries = {n: bytes([n]) * 50_000 for n in range(100)}
    small.update(entries)
    assert small == entries
    small["k"] = 1
    assert small["k"] == 1


def test_a_map_that_cannot_grow_is_a_full_store(
    small: Dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    small["k"] = "acknowledged"
    bound = small._bound
    assert isinstance(bound, EmbeddedDict)
    environment = bound.store.environment

    def refuse(_: int) -> None:
        raise MemoryError

    inner = environment._lmdb
    environment._lmdb = Refusing(inner, inner.begin)  # type: ignore[assignment, union-attr]
    environment._lmdb.set_mapsize = refuse  # type: ignore[union-attr, method-assign]
    with pytest.raises(StoreFullError, match="ulimit -v"):
        small.update({n: bytes(50_000) for n in range(100)})
    assert dict(small.items()) == {"k": "acknowledged"}  # through a handle opened anew
    small.update({n: bytes(50_000) for n in range(100)})
    assert len(small) == 101


@pytest.mark.parametrize("use", ["read", "iterate", "write"])
def test_growth_by_another_process_is_taken_over(
    use: str, d: Dict[Any, Any], store: Store, refusing: Any
) -> None:
    d["k"] = 1
    refusing(store.environment, lmdb.MapResizedError("the file has grown"))
    answer = {"read": lambda: d["k"], "iterate": lambda: list(d), "write": lambda: d.put("k", 2)}[use]()
    assert answer in (1, ["k"], True)


def test_a_system_that_gives_little_memory_gets_a_small_map(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    opened: Any = lmdb.Environment

    def bounded(*arguments: Any, map_size: int, **more: Any) -> Any:
        sizes.append(map_size)
        if map_size > 100 * MIB:
            raise lmdb.MemoryError("cannot allocate memory")
        return opened(*arguments, map_size=map_size, **more)

    monkeypatch.setattr(lmdb, "Environment", bounded)
    with Cluster(f"file://{folder}?durability=none") as cluster:
        d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
        d["k"] = 1
        assert d["k"] == 1
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 100 * MIB


def test_a_system_that_gives_none_is_said_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise lmdb.MemoryError("cannot allocate memory")

    monkeypatch.setattr(lmdb, "Environment", refuse)
    with (
        Cluster(f"file://{folder}?durability=none") as cluster,
        pytest.raises(UnavailableError, match="ulimit -v"),
    ):
        Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()


# -- commits -------------------------------------------------------------------------------------


class FailingCommit:
    """A write transaction whose commit fails."""

    def __init__(self, inner: Any, error: Exception) -> None:
        self._inner = inner
        self._error = error

    def commit(self) -> None:
        self._inner.abort()
        raise self._error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture
def committing(store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the next commit fail with an error."""

    def fail(error: Exception) -> None:
        begin_write = store.environment.begin_write

        def once() -> Any:
            monkeypatch.setattr(store.environment, "begin_write", begin_write)
            return FailingCommit(begin_write(), error)

        monkeypatch.setattr(store.environment, "begin_write", once)

    return fail


@pytest.mark.parametrize(
    ("error", "full", "kind"),
    [
        (lmdb.DiskError("no space left"), False, StoreFullError),
        (lmdb.Error("input/output error"), True, StoreFullError),
        (lmdb.Error("input/output error"), False, UnavailableError),
    ],
)
def test_a_commit_that_the_disk_refused_did_not_happen(
    error: lmdb.Error,
    full: bool,
    kind: type[Error],
    d: Dict[Any, Any],
    committing: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    d["k"] = "before"
    if full:
        monkeypatch.setattr(complaint, "FULL_BYTES", 1 << 62)
    committing(error)
    with pytest.raises(kind, match=r"full|Nothing was written"):
        d["k"] = "after"
    assert d["k"] == "before"
    d["k"] = "again"
    assert d["k"] == "again"


@pytest.mark.parametrize(
    ("worse", "kind"),
    [(lmdb.PanicError("panic"), OutcomeUnknownError), (lmdb.CorruptedError("page 5"), StoreDamagedError)],
)
def test_a_commit_that_failed_at_its_last_page_may_have_happened(
    worse: lmdb.Error, kind: type[Error], d: Dict[Any, Any], store: Store, committing: Any
) -> None:
    d["k"] = "before"
    committing(lmdb.Error("input/output error"))
    inner = store.environment._lmdb

    def fail(*_: Any, **__: Any) -> Any:
        raise worse

    begin_write = store.environment.begin_write

    def begin_then_fail() -> Any:
        raw = begin_write()
        store.environment._lmdb = Refusing(inner, fail)  # type: ignore[assignment]
        return raw

    store.environment.begin_write = begin_then_fail  # type: ignore[method-assign]
    try:
        with pytest.raises(kind):
            d["k"] = "after"
    finally:
        store.environment._lmdb = inner
    assert d["k"] == "before"


def test_after_a_panic_the_environment_is_opened_anew(d: Dict[Any, Any], store: Store, refusing: Any) -> None:
    d["k"] = 1
    refusing(store.environment, lmdb.PanicError("an earlier commit failed half-way"))
    d["k"] = 2
    assert d["k"] == 2
