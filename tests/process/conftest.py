"""Stores for tests with real processes: closed behind the test, and audited if it passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.node.config import GATE_TIMEOUT_S
from ringdict.node.disk.durability import Durability
from ringdict.node.store.store import Store

from .audit import check_consistent

MakeCluster = Callable[..., Cluster]
BOTH_MAPS = pytest.mark.parametrize("file_system", ["ext4", "other"])
"""What to take the folder's file system for: on the first the data file is reserved, on the other sparse."""


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[MakeCluster]:
    """Makes clusters in this test's folder: `clusters(durability="fsync", timeout_s=0.5, map_bytes=…)`.

    Options that only `Store` knows (`map_bytes`, `file_system`, `clock`, `background`) give it a store of
    its own.
    """
    made: list[tuple[Cluster, Store | None]] = []

    def make(
        folder: Path | None = None,
        *,
        durability: str = "none",
        timeout_s: float = GATE_TIMEOUT_S,
        **options: Any,
    ) -> Cluster:
        folder = folder or tmp_path / "store"
        cluster = Cluster(f"file://{folder}?durability={durability}", timeout_s=timeout_s)
        store = None
        if options:
            cluster._store = store = Store(folder, durability=Durability(durability), **options)
        made.append((cluster, store))
        return cluster

    yield make
    for cluster, store in made:
        cluster.close()
        if store is not None:
            store.close()


@pytest.fixture
def cluster(clusters: MakeCluster) -> Iterator[Cluster]:
    """The store that most tests use: no syncs, and whole when the test is over."""
    cluster = clusters()
    yield cluster
    check_consistent(cluster.store)


@pytest.fixture
def dict_(cluster: Cluster) -> Dict[Any, Any]:
    """A Dict in that store, there already."""
    d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    return d.hydrate()
