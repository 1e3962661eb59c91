"""`Cluster`: which store it is, where that is said, and what closing it means."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from ringdict import (
    ClosedError,
    Cluster,
    Dict,
    InvalidError,
    NotFoundError,
    ValueTooLargeError,
)
from ringdict.client.cluster import STORES, forget
from ringdict.node.disk.durability import Durability

# -- URLs ----------------------------------------------------------------------------------------


def test_a_file_url_names_a_folder(tmp_path: Path) -> None:
    for url in (
        f"file://{tmp_path}/a%20b",
        f"file://localhost{tmp_path}/a%20b",
        [f"file://{tmp_path}/a%20b"],
    ):
        with Cluster(url) as cluster:
            Dict.from_name("d", create_if_missing=True, cluster=cluster)["k"] = 1
            assert cluster.store.folder == tmp_path / "a b"
            assert cluster.store.durability is Durability.INTERVAL
    assert (tmp_path / "a b").is_dir()


@pytest.mark.parametrize(
    "url",
    [
        "/folder",
        "file:folder",
        "file://host/folder",
        "redis://localhost",
        "",
        "file:///folder?durability=sometimes",
        "file:///folder?speed=high",
        "file:///folder#part",
        "file:///folder?value_bytes_max=many",
        "file:///folder?value_bytes_max=0",
        "file:///folder?value_bytes_max=67108865",
        "file:///folder?value_bytes_max=-5",
        [],
        ["file:///a", "file:///b"],
    ],
)
def test_a_wrong_url_is_refused_at_once(url: Any) -> None:
    with pytest.raises(InvalidError):
        Cluster(url)


@pytest.mark.parametrize("arguments", [{"timeout_s": 0}, {"timeout_s": -1}, {"secret": "s"}, {"tls": True}])
def test_a_wrong_argument_is_refused_at_once(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        Cluster("file:///folder", **arguments)


def test_a_handle_takes_a_url(url: str) -> None:
    Dict.from_name("d", create_if_missing=True, cluster=url)["k"] = 1
    with Cluster(url) as cluster:
        assert Dict.from_name("d", cluster=cluster)["k"] == 1


def test_a_wrong_url_of_a_handle_is_wrong_at_first_use_at_the_latest() -> None:
    with pytest.raises(InvalidError):
        Dict.from_name("d", cluster="redis://localhost").hydrate()


def test_links_lead_to_the_same_store(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "store")
    with Cluster(f"file://{tmp_path}/store") as cluster, Cluster(f"file://{tmp_path}/link") as same:
        assert cluster.store is same.store


def test_a_process_uses_a_store_in_one_way(url: str) -> None:
    with Cluster(url) as cluster:
        cluster.store.open()
        other = Cluster(url.replace("none", "fsync"))
        with pytest.raises(InvalidError, match=r"durability=none.*durability=fsync"):
            Dict.from_name("d", create_if_missing=True, cluster=other).hydrate()
    Dict.from_name("d", create_if_missing=True, cluster=other).hydrate()
    other.close()


# -- variables, read at first use ----------------------------------------------------------------


@pytest.fixture
def default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes the cluster that nobody named, as these variables say."""
    clusters: list[Cluster] = []

    def make(**variables: str) -> Cluster:
        cluster = Cluster()
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        clusters.append(cluster)
        return cluster

    yield make
    for cluster in clusters:
        cluster.close()


def test_ringdict_url_says_where(default: Callable[..., Cluster], url: str, tmp_path: Path) -> None:
    cluster = default(RINGDICT_URL=url, RINGDICT_HOME=str(tmp_path / "home"))
    assert cluster.store.folder == tmp_path / "store"


def test_else_ringdict_home_says_where(default: Callable[..., Cluster], tmp_path: Path) -> None:
    assert default(RINGDICT_HOME=str(tmp_path / "home")).store.folder == tmp_path / "home"


def test_else_it_is_in_the_users_state_folder(
    default: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RINGDICT_HOME")
    assert default(XDG_STATE_HOME=str(tmp_path)).store.folder == tmp_path / "ringdict"


@pytest.mark.parametrize("durability", ["fsync", "interval", "none"])
def test_ringdict_durability_says_how(
    durability: str, default: Callable[..., Cluster], tmp_path: Path
) -> None:
    cluster = default(RINGDICT_HOME=str(tmp_path), RINGDICT_DURABILITY=durability)
    cluster.store.open()
    assert cluster.store.durability is Durability(durability)


def test_a_url_goes_before_the_variables(default: Callable[..., Cluster], url: str) -> None:
    cluster = default(RINGDICT_URL=url, RINGDICT_DURABILITY="fsync", RINGDICT_VALUE_BYTES_MAX="5")
    assert cluster.store.durability is Durability.NONE
    assert cluster.store.value_bytes_max == 5


def test_ringdict_value_bytes_max_says_how_large(default: Callable[..., Cluster], tmp_path: Path) -> None:
    cluster = default(RINGDICT_HOME=str(tmp_path), RINGDICT_VALUE_BYTES_MAX="10", RINGDICT_DURABILITY="none")
    d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    d["k"] = "x" * 9
    with pytest.raises(ValueTooLargeError):
        d["k"] = "x" * 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RINGDICT_DURABILITY", "often"),
        ("RINGDICT_VALUE_BYTES_MAX", "1e6"),
        ("RINGDICT_VALUE_BYTES_MAX", "٣"),
        ("RINGDICT_URL", "file://host/folder"),
    ],
)
def test_a_wrong_variable_is_refused_at_first_use(
    name: str, value: str, default: Callable[..., Cluster]
) -> None:
    cluster = default(**{name: value})
    with pytest.raises(InvalidError):
        Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()


def test_a_handle_without_a_cluster_reads_the_variables_at_first_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    d = Dict.from_name("d", create_if_missing=True)
    monkeypatch.setenv("RINGDICT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RINGDICT_DURABILITY", "none")
    d["k"] = 1
    assert (tmp_path / "home" / "entries" / "data.mdb").exists()
    monkeypatch.setenv("RINGDICT_HOME", str(tmp_path / "elsewhere"))
    assert d["k"] == 1
    with pytest.raises(NotFoundError):
        Dict.from_name("d").hydrate()
    forget(tmp_path / "home")
    forget(tmp_path / "elsewhere")


# -- closing -------------------------------------------------------------------------------------


def test_a_closed_cluster_says_so(url: str) -> None:
    cluster = Cluster(url)
    d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    lock = d.lock("k")
    lock.acquire()
    cluster.close()
    uses: list[Callable[[], object]] = [
        lambda: d["k"],
        lambda: d.put("k", 1),
        lambda: d.incr("k"),
        lambda: d.update(k=1),
        lambda: len(d),
        lambda: list(d),
        d.clear,
        d.info,
        lock.extend,
        lock.owned,
        lambda: Dict.from_name("d", cluster=cluster).hydrate(),
        lambda: Dict.objects.list(cluster=cluster),
        lambda: Dict.objects.create("other", cluster=cluster),
    ]
    for use in uses:
        with pytest.raises(ClosedError, match="closed"):
            use()


def test_closing_twice_or_unused_is_no_error(url: str) -> None:
    cluster = Cluster(url)
    cluster.close()
    cluster.close()
    with pytest.raises(ClosedError):
        Dict.from_name("d", cluster=cluster).hydrate()


def test_a_store_is_closed_with_the_last_cluster_that_uses_it(url: str, tmp_path: Path) -> None:
    one, other = Cluster(url), Cluster(url)
    d = Dict.from_name("d", create_if_missing=True, cluster=one)
    same = Dict.from_name("d", cluster=other)
    d["k"] = 1
    assert same["k"] == 1
    one.close()
    assert same["k"] == 1
    other.close()
    assert tmp_path / "store" not in STORES.tenants
    with pytest.raises(ClosedError):
        same["k"]


def test_handles_of_a_closed_cluster_are_closed_though_another_uses_the_store(url: str) -> None:
    with Cluster(url) as other:
        other.store.open()
        with Cluster(url) as cluster:
            d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
            d["k"] = 1
        with pytest.raises(ClosedError):
            d["k"]
        with pytest.raises(ClosedError):
            d["k"] = 2


def test_a_store_can_be_opened_again_after_it_was_closed(url: str) -> None:
    for n in range(3):
        with Cluster(url) as cluster:
            d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
            d[n] = n
            assert len(d) == n + 1


def test_with_and_closing_close(url: str) -> None:
    with closing(Cluster(url)) as cluster:
        cluster.store.open()
    with Cluster(url) as same:
        assert same is not cluster
        same.store.open()
    for closed in (cluster, same):
        with pytest.raises(ClosedError):
            closed.store  # noqa: B018


def test_async_with_and_aclose_close(url: str) -> None:
    async def main() -> None:
        async with Cluster(url) as cluster:
            d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
            await d.put.aio("k", 1)
        other = Cluster(url)
        assert await Dict.from_name("d", cluster=other).get.aio("k") == 1
        await other.aclose()
        for closed in (cluster, other):
            with pytest.raises(ClosedError):
                await Dict.from_name("d", cluster=closed).hydrate.aio()

    trio.run(main)


# -- as an argument ------------------------------------------------------------------------------


def test_repr_names_the_url() -> None:
    assert repr(Cluster("file:///folder")) == "ringdict.Cluster('file:///folder')"
    assert repr(Cluster()) == "ringdict.Cluster(None)"


def test_a_cluster_pickles_by_its_arguments(url: str) -> None:
    cluster = Cluster(url, timeout_s=7, environment="test")
    d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    d["k"] = 1
    other = pickle.loads(pickle.dumps(cluster))
    assert (other.url, other.timeout_s, other.environment) == (url, 7, "test")
    assert pickle.loads(pickle.dumps(d)) == d
    cluster.close()
    other.close()
