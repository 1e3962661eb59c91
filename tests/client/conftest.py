"""Dicts for the tests of the client: in a store of their own, some of them on a clock that a test sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.client.cluster import STORES, Tenant, parse
from ringdict.node.store import Store

from .clock import ManualClock
from .library import Asyncio, Trio


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a store that is not there yet."""
    return f"file://{tmp_path}/store?durability=none"


@pytest.fixture
def cluster(url: str) -> Iterator[Cluster]:
    """A cluster of its own."""
    with Cluster(url) as cluster:
        yield cluster


@pytest.fixture
def d(cluster: Cluster) -> Dict[Any, Any]:
    """An empty Dict called "d", in `cluster`."""
    return Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()


@pytest.fixture
def clock() -> ManualClock:
    """The clock of `timed`."""
    return ManualClock()


@pytest.fixture
def timed_store(url: str, clock: ManualClock) -> Iterator[Store]:
    """The store at `url`, on `clock`; it sweeps when a test says so."""
    address = parse(url)
    store = Store(address.folder, durability=address.durability, clock=clock, background=False)
    STORES.tenants[address.folder] = Tenant(address, store)
    yield store
    store.close()


@pytest.fixture
def timed(timed_store: Store, cluster: Cluster) -> Dict[Any, Any]:
    """An empty Dict called "d" in `timed_store`."""
    return Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()


@pytest.fixture(params=[Asyncio(), Trio()], ids=lambda library: type(library).__name__.lower())
def on(request: pytest.FixtureRequest) -> Any:
    """The library of event loops that the test runs on."""
    return request.param
