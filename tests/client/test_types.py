"""What a type checker sees: mypy and basedpyright read this file in `make check`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import (
    AsyncIterator,
    Awaitable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from datetime import timedelta
from typing import Any, assert_type

import pytest
import trio

from ringdict import Cluster, Dict, Lock, types
from ringdict.client import signature


@pytest.fixture
def ages(cluster: Cluster) -> Dict[str, int]:
    """A Dict of names and ages; the annotation is all that says so."""
    ages: Dict[str, int] = Dict.from_name("ages", create_if_missing=True, cluster=cluster)
    ages.update(ada=36, alan=41)
    return ages


def test_handles(ages: Dict[str, int], cluster: Cluster) -> None:
    assert_type(Dict.from_name("ages", cluster=cluster), Dict[Any, Any])
    assert_type(Dict[str, int].from_name("ages", cluster=cluster), Dict[str, int])
    assert_type(Dict.from_id(ages.object_id, cluster=cluster), Dict[Any, Any])
    assert_type(ages.hydrate(), Dict[str, int])
    assert_type(ages.name, str | None)
    assert_type(ages.object_id, str)
    assert_type(Dict.objects.list(cluster=cluster), list[Dict[Any, Any]])
    with Dict.ephemeral(cluster=cluster) as d:
        assert_type(d, Dict[Any, Any])


def test_a_dict_is_a_mapping_to_a_checker_too(ages: Dict[str, int]) -> None:
    def total(ages: Mapping[str, int]) -> int:
        return sum(ages[name] for name in ages)

    def forget(ages: MutableMapping[str, int]) -> None:
        ages.pop("ada", None)
        ages.setdefault("grace", 85)

    assert total(ages) == 77
    forget(ages)
    assert dict(ages.items()) == {"alan": 41, "grace": 85}


def test_one_key(ages: Dict[str, int]) -> None:
    assert_type(ages["ada"], int)
    assert_type(ages.get("ada"), int | None)
    assert_type(ages.get("ada", 0), int)
    assert_type(ages.get("ada", default="unknown"), int | str)
    assert_type(ages.get("ada", None, fresh=True), int | None)
    assert_type("ada" in ages, bool)
    assert_type(ages.contains("ada"), bool)
    assert_type(ages.put("ada", 37, ttl=timedelta(days=1)), bool)
    assert_type(ages.setdefault("ada", 0), int)
    assert_type(ages.pop("ada"), int)
    assert_type(ages.pop("ada", None), int | None)
    assert_type(ages.popitem(), tuple[str, int])


def test_versions(ages: Dict[str, int]) -> None:
    entry = ages.get_entry("ada")
    assert_type(entry, types.Entry[int] | None)
    assert entry is not None
    assert_type(entry.value, int)
    assert_type(ages.replace("ada", 37, if_version=entry.version), types.Version)
    assert_type(ages.incr("ada"), int | float)
    assert_type(ages.touch("ada", 5), bool)
    assert_type(ages.ttl("ada"), float | None)
    assert isinstance(entry, types.Entry)


def test_many_keys(ages: Dict[str, int]) -> None:
    ages.update({"alan": 42})
    ages.update([("alan", 43)], ttl=5, grace=85)
    assert_type(ages.get_many(["ada"]), dict[str, int])
    assert_type(ages.delete_many(["ada"]), int)
    assert_type(ages.len(), int)
    assert_type(ages.info(), types.DictInfo)


def test_views(ages: Dict[str, int]) -> None:
    assert_type(ages.keys(), KeysView[str])
    assert_type(ages.values("a"), ValuesView[int])
    assert_type(ages.items(prefix="a"), ItemsView[str, int])
    assert_type(iter(ages), Iterator[str])
    assert_type(dict(ages.items()), dict[str, int])
    assert_type(sorted(ages.keys()), list[str])


def test_async_forms(ages: Dict[str, int]) -> None:
    async def main() -> None:
        assert_type(await ages.get.aio("ada"), int | None)
        assert_type(await ages.get.aio("ada", 0), int)
        assert_type(await ages.get.aio("ada", default="unknown"), int | str)
        assert_type(await ages.contains.aio("ada"), bool)
        assert_type(await ages.put.aio("ada", 37, skip_if_exists=True), bool)
        assert_type(await ages.setdefault.aio("ada", 0), int)
        assert_type(await ages.incr.aio("ada"), int | float)
        assert_type(await ages.get_entry.aio("ada"), types.Entry[int] | None)
        assert_type(await ages.get_many.aio(["ada"]), dict[str, int])
        assert_type(await ages.pop.aio("ada"), int)
        assert_type(await ages.pop.aio("ada", None), int | None)
        assert_type(await ages.hydrate.aio(), Dict[str, int])
        assert_type(await ages.popitem.aio(), tuple[str, int])
        assert_type(await ages.len.aio(), int)
        assert_type(ages.keys.aio(), AsyncIterator[str])
        async for name, age in ages.items.aio("a"):
            assert_type(name, str)
            assert_type(age, int)
        async for age in ages.values.aio():
            assert_type(age, int)

    trio.run(main)


def test_locks(ages: Dict[str, int]) -> None:
    async def main() -> None:
        async with ages.lock("ada") as lock:
            assert_type(lock, Lock)
            assert_type(await lock.owned.aio(), bool)
        assert_type(await lock.acquire.aio(), int)

    with ages.lock("ada", ttl=None, wait_s=0) as lock:
        assert_type(lock, Lock)
        assert_type(lock.token, int | None)
        assert_type(lock.owned(), bool)
    trio.run(main)


def wrong(ages: Dict[str, int]) -> None:
    """What a checker must not let pass: mypy complains of an `ignore` that it has no need of."""
    ages["ada"] = "old"  # type: ignore[assignment]
    ages[5] = 5  # type: ignore[index]
    ages.get(5)  # type: ignore[call-overload]
    ages.put("ada", "old")  # type: ignore[arg-type]
    ages.put("ada", 5, reply=True)  # type: ignore[call-arg]
    ages.put.aio("ada", "old")  # type: ignore[arg-type]
    ages.update({"ada": "old"})  # type: ignore[arg-type]
    ages.replace("ada", 5)  # type: ignore[call-arg]
    ages.lock(5)  # type: ignore[arg-type]


def awaited(ages: Dict[str, int]) -> Awaitable[int | None]:
    """An `.aio` form may be handed on before it is awaited."""
    return ages.get.aio("ada")


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("get", signature.Get),
        ("pop", signature.Remove),
        ("keys", signature.Keys),
        ("values", signature.Values),
        ("items", signature.Items),
    ],
)
def test_what_is_declared_is_what_can_be_called(name: str, declared: Any, ages: Dict[str, int]) -> None:
    """These methods are declared by hand, for the sake of overloads."""
    kinds = {each.name: each.kind for each in inspect.signature(getattr(ages, name)).parameters.values()}
    for form in ("__call__", "aio"):
        for each in overloads(declared, form):
            _, *parameters = inspect.signature(each).parameters.values()
            assert {each.name: each.kind for each in parameters}.items() <= kinds.items()


def overloads(declared: type, form: str) -> Iterable[Any]:
    """`typing.get_overloads` goes by the implementation, and a protocol has none."""
    registry: Any = vars(typing)["_overload_registry"][declared.__module__]
    return registry.get(f"{declared.__name__}.{form}", {}).values() or [getattr(declared, form)]
