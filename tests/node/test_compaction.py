"""Giving disk space back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb
import pytest

from ringdict import Cluster, Dict, StoreFullError, UnavailableError
from ringdict.node.store import compaction
from ringdict.node.store.compaction import compact


def test_the_file_shrinks_and_loses_nothing(d: Dict[Any, Any], cluster: Cluster, folder: Path) -> None:
    d.update({n: bytes(10_000) for n in range(300)})
    d.delete_many(range(1, 300))
    cluster.close()
    result = compact(folder)
    assert result.after_bytes < result.before_bytes / 10
    assert (folder / "entries" / "data.mdb").stat().st_size == result.after_bytes
    assert not (folder / compaction.COPY).exists()
    with Cluster(f"file://{folder}?durability=none") as later:
        d = Dict.from_name("d", cluster=later)
        assert d == {0: bytes(10_000)}
        d["k"] = 1
        assert d["k"] == 1


def test_it_tells_how_far_it_is(
    d: Dict[Any, Any], cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "COMPACTION_POLL_S", 0.0001)
    d.update({n: bytes(50_000) for n in range(400)})
    cluster.close()
    told: list[tuple[int, int]] = []
    result = compact(folder, progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {result.before_bytes}
    assert told == sorted(told)
    assert told[-1] == (result.before_bytes, result.before_bytes)


def test_it_needs_the_store_for_itself(d: Dict[Any, Any], folder: Path) -> None:
    with pytest.raises(UnavailableError, match="used by nobody else"):
        compact(folder)
    d["k"] = 1
    assert d["k"] == 1


def test_where_nothing_is_there_is_nothing_to_compact(folder: Path) -> None:
    with pytest.raises(UnavailableError, match="there is no store"):
        compact(folder)
    assert not folder.exists()


def test_without_room_for_the_copy_all_is_as_it_was(
    d: Dict[Any, Any], cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    d["k"] = 1
    cluster.close()
    opened = lmdb.Environment

    class Full:
        def __init__(self, *arguments: Any, **more: Any) -> None:
            self._inner = opened(*arguments, **more)

        def copy(self, *_: Any, **__: Any) -> None:
            raise lmdb.DiskError("no space left on device")

        def close(self) -> None:
            self._inner.close()

    with monkeypatch.context() as patch:
        patch.setattr(lmdb, "Environment", Full)
        with pytest.raises(StoreFullError, match="no room"):
            compact(folder)
    assert not (folder / compaction.COPY).exists()
    with Cluster(f"file://{folder}?durability=none") as later:
        assert Dict.from_name("d", cluster=later) == {"k": 1}
