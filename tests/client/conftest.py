"""Dicts for the tests of the client: in a store of their own, some of them on a clock that a test sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ringdict import Cluster, Dict
from ringdict.client.cluster import STORES, Tenant, parse
from ringdict.node.store.store import Store

from .clock import ManualClock
from .library import Asyncio, Trio
from .nodes import Nodes


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a store that is not there yet."""
    return f"file://{tmp_path}/store?durability=none"


@pytest.fixture(scope="session")
def nodes_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Of the cluster of nodes that the tests are run on; None: they are run on embedded stores."""
    url: str | None = request.config.getoption("--on-nodes")
    if url != "small":
        yield url
        return
    nodes = Nodes()
    yield nodes.url
    nodes.close()


@pytest.fixture
def cluster(nodes_url: str | None, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of its own; of nodes, an environment of its own in theirs."""
    if nodes_url is None:
        with Cluster(request.getfixturevalue("url")) as cluster:
            yield cluster
    else:
        with Cluster(nodes_url, environment=f"t{uuid4().hex[:16]}") as cluster:
            yield cluster


EMBEDDED_ONLY = frozenset({"clock", "timed", "timed_store", "url", "monkeypatch", "tmp_path"})
"""Fixtures of tests that look into an embedded store."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On nodes, leave out what is about embedded stores."""
    if config.getoption("--on-nodes") is None:
        return
    here = Path(__file__).parent
    kept = [item for item in items if not item.path.is_relative_to(here) or is_for_nodes(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def is_for_nodes(item: pytest.Item) -> bool:
    """Whether a test is about Dicts wherever they live."""
    fixtures: set[str] = set(getattr(item, "fixturenames", ()))
    return "cluster" in fixtures and not fixtures & EMBEDDED_ONLY and not item.get_closest_marker("embedded")


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
