"""`Dict.objects`: making, listing and deleting Dicts by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ringdict import AlreadyExistsError, Cluster, Dict, InvalidError, NotFoundError
from ringdict.node.store.store import Store

from .clock import ManualClock

objects = Dict.objects


def names(cluster: Cluster, **arguments: Any) -> list[str | None]:
    return [d.name for d in objects.list(cluster=cluster, **arguments)]


# -- create --------------------------------------------------------------------------------------


def test_create_makes_a_dict_and_returns_none(cluster: Cluster) -> None:
    assert objects.create("d", cluster=cluster) is None
    assert len(Dict.from_name("d", cluster=cluster)) == 0


def test_create_twice_is_an_error_if_not_allowed(d: Dict[Any, Any], cluster: Cluster) -> None:
    d["k"] = 1
    with pytest.raises(AlreadyExistsError, match="'d'"):
        objects.create("d", cluster=cluster)
    objects.create("d", allow_existing=True, cluster=cluster)
    assert d["k"] == 1


def test_create_takes_a_default_ttl(cluster: Cluster) -> None:
    objects.create("d", ttl=timedelta(seconds=60), cluster=cluster)
    d = Dict.from_name("d", cluster=cluster)
    d["k"] = 1
    assert d.ttl("k") == pytest.approx(60, abs=5)


@pytest.mark.parametrize("make", [objects.create, objects.delete])
def test_a_name_that_no_dict_can_have(make: Callable[..., None], cluster: Cluster) -> None:
    with pytest.raises(InvalidError, match="Invalid Dict name"):
        make("no spaces", cluster=cluster)


@pytest.mark.parametrize("call", [objects.create, objects.delete, lambda name, **more: objects.list(**more)])
def test_an_environment_that_no_dict_can_live_in(call: Callable[..., object], cluster: Cluster) -> None:
    with pytest.raises(InvalidError):
        call("d", environment_name="no\0such", cluster=cluster)


# -- list ----------------------------------------------------------------------------------------


@pytest.fixture
def three(timed_store: Store, cluster: Cluster, clock: ManualClock) -> Cluster:
    """Where "first", "second" and "third" were made, a minute after each other."""
    for name in ("first", "second", "third"):
        objects.create(name, cluster=cluster)
        clock.advance(60)
    return cluster


def test_list_gives_the_newest_first(three: Cluster) -> None:
    assert names(three) == ["third", "second", "first"]


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (2, ["third", "second"]), (9, ["third", "second", "first"])]
)
def test_list_gives_no_more_than_was_asked_for(count: int, expected: list[str], three: Cluster) -> None:
    assert names(three, max_objects=count) == expected


def test_a_negative_number_of_objects_is_refused(three: Cluster) -> None:
    with pytest.raises(InvalidError, match="max_objects"):
        objects.list(max_objects=-1, cluster=three)


def test_list_gives_what_was_made_before_an_instant(three: Cluster) -> None:
    third = Dict.from_name("third", cluster=three).info().created_at
    assert names(three, created_before=third) == ["second", "first"]
    assert names(three, created_before=third.isoformat()) == ["second", "first"]
    assert names(three, created_before=third.astimezone(timezone(timedelta(hours=9)))) == ["second", "first"]
    assert names(three, created_before=third.astimezone().replace(tzinfo=None)) == ["second", "first"]
    assert names(three, created_before=third + timedelta(seconds=1), max_objects=1) == ["third"]
    assert names(three, created_before="2001-02-03") == []


@pytest.mark.parametrize("when", ["yesterday", "", 5, datetime.now(UTC).date()])
def test_what_is_no_instant_is_refused(when: Any, cluster: Cluster) -> None:
    with pytest.raises((InvalidError, TypeError)):
        objects.list(created_before=when, cluster=cluster)


def test_listed_handles_are_hydrated_and_work(three: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for d in objects.list(cluster=three):
        assert d.name is not None
        assert d.object_id.startswith("di-")
        d["k"] = d.name
    assert Dict.from_name("second", cluster=three)["k"] == "second"


def test_list_knows_only_its_environment_and_no_ephemerals(cluster: Cluster) -> None:
    objects.create("d", cluster=cluster)
    objects.create("other", environment_name="test", cluster=cluster)
    with Dict.ephemeral(cluster=cluster):
        assert names(cluster) == ["d"]
        assert names(cluster, environment_name="test") == ["other"]
        assert names(cluster, environment_name="empty") == []


# -- delete --------------------------------------------------------------------------------------


def test_delete_removes_the_dict_and_all_that_is_in_it(d: Dict[Any, Any], cluster: Cluster) -> None:
    d["k"] = 1
    objects.delete("d", cluster=cluster)
    assert names(cluster) == []
    objects.create("d", cluster=cluster)
    assert not Dict.from_name("d", cluster=cluster)


def test_delete_of_a_missing_dict_is_an_error_if_not_allowed(cluster: Cluster) -> None:
    with pytest.raises(NotFoundError, match="'d'"):
        objects.delete("d", cluster=cluster)
    objects.delete("d", allow_missing=True, cluster=cluster)


def test_delete_removes_nothing_of_the_same_name_elsewhere(d: Dict[Any, Any], cluster: Cluster) -> None:
    d["k"] = 1
    objects.create("d", environment_name="test", cluster=cluster)
    objects.delete("d", environment_name="test", cluster=cluster)
    assert d["k"] == 1


def test_a_dict_made_many_times_never_meets_what_was_before(cluster: Cluster) -> None:
    ids = set()
    for life in range(10):
        d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
        assert not d
        d[life] = "of this life"
        ids.add(d.object_id)
        objects.delete("d", cluster=cluster)
    assert len(ids) == 10


def test_the_space_of_a_deleted_dict_is_swept(
    timed: Dict[Any, Any], timed_store: Store, cluster: Cluster
) -> None:
    timed.update(dict.fromkeys(range(2000), "x" * 100), ttl=100)
    other = Dict.from_name("other", create_if_missing=True, cluster=cluster)
    other.put("k", 1, ttl=100)
    objects.delete("d", cluster=cluster)
    while timed_store.sweep():
        pass
    with timed_store.reading() as transaction:
        assert transaction.stat()["entries"] < 20
    assert other == {"k": 1}
    assert len(other) == 1
