"""A store for the tests of this room, and a Dict in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.node.store.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a store that is not there yet."""
    return tmp_path / "store"


@pytest.fixture
def cluster(folder: Path) -> Iterator[Cluster]:
    """What the store in `folder` is to a client."""
    with Cluster(f"file://{folder}?durability=none") as cluster:
        yield cluster


@pytest.fixture
def store(cluster: Cluster) -> Store:
    """The store in `folder`, open."""
    cluster.store.open()
    return cluster.store


@pytest.fixture
def d(cluster: Cluster) -> Dict[Any, Any]:
    """A Dict in that store."""
    return Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()
