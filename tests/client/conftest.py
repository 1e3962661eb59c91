"""Dicts for the tests of the client: in a store of their own, some of them on a clock that a test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.client.cluster import STORES, Tenant, parse
from ringdict.node.store import Store


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


class ManualClock:
    """The clocks of a host on which time passes when a test says so."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000
        self.monotonic = 5_000_000
        self.boot = b"first boot------"

    def wall_ms(self) -> int:
        return self.wall

    def monotonic_ms(self) -> int:
        return self.monotonic

    def boot_id(self) -> bytes:
        return self.boot


@pytest.fixture
def clock() -> ManualClock:
    """The clock of `timed`."""
    return ManualClock()


@pytest.fixture
def advance(clock: ManualClock) -> Callable[[float], None]:
    """Lets so many seconds pass."""

    def advance(seconds: float) -> None:
        clock.wall += round(seconds * 1000)
        clock.monotonic += round(seconds * 1000)

    return advance


@pytest.fixture
def set_wall_clock(clock: ManualClock) -> Callable[[float], None]:
    """Sets the wall clock forward by so many seconds, or back; no time passes."""

    def set_wall_clock(seconds: float) -> None:
        clock.wall += round(seconds * 1000)

    return set_wall_clock


@pytest.fixture
def reboot(clock: ManualClock) -> Callable[[], None]:
    """Makes it a later boot of the host, whose monotonic clock has begun anew."""

    def reboot() -> None:
        clock.boot = b"second boot-----"
        clock.monotonic = 1_000

    return reboot


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
