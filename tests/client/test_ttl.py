"""Time to live: how it is given, what it does, what keeps it. On a clock that the tests set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ringdict import Cluster, Dict, InvalidError
from ringdict.node.store.store import Store

from .clock import ManualClock

# -- what a ttl is -------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [10, 10.0, timedelta(seconds=10)])
def test_an_entry_lives_as_long_as_its_ttl_says(ttl: Any, timed: Dict[Any, Any], clock: ManualClock) -> None:
    timed.put("k", 1, ttl=ttl)
    clock.advance(9.999)
    assert timed["k"] == 1
    assert len(timed) == 1
    clock.advance(0.001)
    assert "k" not in timed
    assert len(timed) == 0


def test_none_is_for_ever(timed: Dict[Any, Any], clock: ManualClock) -> None:
    timed.put("k", 1, ttl=None)
    clock.advance(10**9)
    assert timed["k"] == 1
    assert timed.ttl("k") is None


def test_over_a_century_is_for_ever(timed: Dict[Any, Any]) -> None:
    timed.put("k", 1, ttl=timedelta(days=366 * 101))
    assert timed.ttl("k") is None
    timed.put("k", 1, ttl=float("inf"))
    assert timed.ttl("k") is None


def test_the_shortest_ttl_is_a_millisecond(timed: Dict[Any, Any], clock: ManualClock) -> None:
    timed.put("k", 1, ttl=1e-9)
    assert "k" in timed
    clock.advance(0.001)
    assert "k" not in timed


@pytest.mark.parametrize(
    "ttl", [0, -1, 0.0, float("nan"), float("-inf"), timedelta(0), timedelta(-1), True, "5", b"", [5], 5j]
)
def test_another_ttl_is_refused_before_anything_is_written(ttl: Any, timed: Dict[Any, Any]) -> None:
    timed["there"] = 1
    uses: dict[str, Callable[[], object]] = {
        "put": lambda: timed.put("k", 1, ttl=ttl),
        "put if absent": lambda: timed.put("k", 1, skip_if_exists=True, ttl=ttl),
        "setdefault": lambda: timed.setdefault("k", 1, ttl=ttl),
        "incr": lambda: timed.incr("k", ttl=ttl),
        "update": lambda: timed.update({"k": 1}, ttl=ttl),
        "touch": lambda: timed.touch("there", ttl),
        "lock": lambda: timed.lock("k", ttl=ttl),
        "ephemeral": lambda: Dict.ephemeral(ttl=ttl),
        "create": lambda: Dict.objects.create("other", ttl=ttl),
    }
    for use in uses.values():
        with pytest.raises(InvalidError, match="ttl"):
            use()
    assert list(timed) == ["there"]
    assert timed.ttl("there") is None


# -- the Dict's default --------------------------------------------------------------------------


@pytest.fixture
def daily(timed_store: Store, cluster: Cluster) -> Dict[Any, Any]:
    """A Dict whose entries live for ten seconds if nothing else is said."""
    return Dict.from_name("daily", create_if_missing=True, cluster=cluster, ttl=10)


def test_unset_is_the_default_of_the_dict(daily: Dict[Any, Any], clock: ManualClock) -> None:
    daily["a"] = 1
    daily.put("b", 1)
    daily.update(c=1)
    daily.setdefault("d", 1)
    daily.incr("e")
    daily.replace("f", 1, if_version=None)
    daily.put("g", 1, skip_if_exists=True)
    assert {key: daily.ttl(key) for key in daily} == dict.fromkeys("abcdefg", 10)
    clock.advance(10)
    assert not daily


def test_what_is_said_goes_before_the_default(daily: Dict[Any, Any]) -> None:
    daily.put("a", 1, ttl=20)
    daily.put("b", 1, ttl=None)
    daily.update({"c": 1}, ttl=timedelta(seconds=30))
    daily.setdefault("d", 1, ttl=None)
    daily.incr("e", ttl=5)
    assert {key: daily.ttl(key) for key in "abcde"} == {"a": 20, "b": None, "c": 30, "d": None, "e": 5}


# -- what keeps it, what sets it anew ------------------------------------------------------------


@pytest.mark.parametrize("write", ["put", "setitem", "update"])
def test_overwriting_applies_it_anew(write: str, timed: Dict[Any, Any], clock: ManualClock) -> None:
    timed.put("k", 1, ttl=10)
    clock.advance(6)
    {
        "put": lambda: timed.put("k", 2, ttl=10),
        "setitem": lambda: timed.__setitem__("k", 2),
        "update": lambda: timed.update({"k": 2}, ttl=10),
    }[write]()
    clock.advance(6)
    assert timed["k"] == 2
    assert timed.ttl("k") == (None if write == "setitem" else 4)


def test_incr_replace_and_setdefault_keep_the_expiry(timed: Dict[Any, Any], clock: ManualClock) -> None:
    timed.put("k", 1, ttl=10)
    clock.advance(4)
    timed.incr("k", ttl=100)
    assert timed.ttl("k") == 6
    entry = timed.get_entry("k")
    assert entry is not None
    timed.replace("k", 5, if_version=entry.version)
    assert timed.ttl("k") == 6
    timed.setdefault("k", 7, ttl=100)
    assert timed.ttl("k") == 6
    clock.advance(6)
    assert "k" not in timed


def test_a_key_that_expired_is_absent_to_every_operation(timed: Dict[Any, Any], clock: ManualClock) -> None:
    def expired() -> str:
        timed.put("k", "old", ttl=1)
        clock.advance(1)
        return "k"

    assert timed.get(expired()) is None
    assert timed.get_entry(expired()) is None
    assert timed.get_many([expired()]) == {}
    assert timed.pop(expired(), "absent") == "absent"
    assert timed.delete_many([expired()]) == 0
    assert timed.touch(expired(), 5) is False
    assert timed.setdefault(expired(), "new") == "new"
    assert timed.put(expired(), "new", skip_if_exists=True) is True
    assert timed.incr(expired()) == 1
    assert timed.replace(expired(), "new", if_version=None)
    expired()
    assert list(timed.items()) == []
    with pytest.raises(KeyError):
        timed.popitem()
    with pytest.raises(KeyError):
        timed.ttl("k")
    with pytest.raises(KeyError):
        timed.incr("k", initial=None)


def test_what_expires_later_is_not_what_was_written_first(timed: Dict[Any, Any], clock: ManualClock) -> None:
    """The index of expiry instants forgets an instant that was replaced."""
    timed.put("k", 1, ttl=10)
    timed.put("k", 2, ttl=20)
    timed.put("n", 1, ttl=10)
    timed.put("n", 2)
    clock.advance(15)
    assert dict(timed.items()) == {"k": 2, "n": 2}
    assert len(timed) == 2
    clock.advance(5)
    assert dict(timed.items()) == {"n": 2}
    assert len(timed) == 1


# -- touch, ttl ----------------------------------------------------------------------------------


def test_touch_gives_another_ttl_and_keeps_the_rest(timed: Dict[Any, Any], clock: ManualClock) -> None:
    timed.put("k", "v", ttl=10)
    before = timed.get_entry("k")
    clock.advance(5)
    assert timed.touch("k", 30) is True
    after = timed.get_entry("k")
    assert before is not None
    assert after is not None
    assert (after.value, after.version) == (before.value, before.version)
    assert timed.ttl("k") == 30
    assert timed.touch("k", timedelta(minutes=1)) is True
    assert timed.ttl("k") == 60
    assert timed.touch("k", None) is True
    assert timed.ttl("k") is None
    assert len(timed) == 1


def test_touch_of_a_missing_key_is_false(timed: Dict[Any, Any]) -> None:
    assert timed.touch("k", 5) is False
    assert "k" not in timed


def test_touch_at_a_version_touches_that_version_only(timed: Dict[Any, Any]) -> None:
    timed["k"] = 1
    entry = timed.get_entry("k")
    assert entry is not None
    assert timed.touch("k", 5, if_version=entry.version) is True
    timed["k"] = 2
    current = timed.get_entry("k")
    assert current is not None
    from ringdict import ConflictError

    with pytest.raises(ConflictError) as caught:
        timed.touch("k", 5, if_version=entry.version)
    assert caught.value.current == current.version
    assert timed.ttl("k") is None


def test_ttl_tells_the_seconds_left(timed: Dict[Any, Any], clock: ManualClock) -> None:
    timed.put("k", 1, ttl=2.5)
    assert timed.ttl("k") == 2.5
    clock.advance(1)
    assert timed.ttl("k", fresh=True) == 1.5
    with pytest.raises(KeyError, match="'missing'"):
        timed.ttl("missing")


def test_get_entry_tells_the_instant_with_its_zone(timed: Dict[Any, Any], timed_store: Store) -> None:
    now = datetime.fromtimestamp(timed_store.host.wall_ms() / 1000, UTC)
    timed.put("k", 1, ttl=60)
    entry = timed.get_entry("k")
    assert entry is not None
    assert entry.expires_at == now + timedelta(minutes=1)


# -- clocks that jump ----------------------------------------------------------------------------


def test_a_clock_set_back_neither_revives_nor_prolongs(timed: Dict[Any, Any], clock: ManualClock) -> None:
    timed.put("dead", 1, ttl=5)
    timed.put("k", 1, ttl=20)
    clock.advance(10)
    assert "dead" not in timed
    clock.set_wall(-3600)
    assert "dead" not in timed
    assert timed.ttl("k") == 10
    clock.advance(10)
    assert "k" not in timed


def test_a_clock_set_forward_ends_what_is_due_by_it(timed: Dict[Any, Any], clock: ManualClock) -> None:
    timed.put("k", 1, ttl=20)
    timed["for ever"] = 1
    clock.set_wall(3600)
    assert list(timed) == ["for ever"]


# -- sweeping ------------------------------------------------------------------------------------


def test_sweeping_changes_no_answer(timed: Dict[Any, Any], timed_store: Store, clock: ManualClock) -> None:
    timed.update({n: n for n in range(1_000)}, ttl=10)
    timed.update({f"stays {n}": n for n in range(100)}, ttl=1000)
    timed["for ever"] = 1
    clock.advance(10)
    assert len(timed) == 101
    steps = 0
    while timed_store.sweep():
        assert len(timed) == 101
        steps += 1
        assert steps < 100
    assert len(timed) == len(list(timed)) == 101
    assert timed.info().entries == 101


def test_sweeping_gives_back_the_bytes(timed: Dict[Any, Any], timed_store: Store, clock: ManualClock) -> None:
    timed["k"] = 1
    empty = timed.info().bytes
    timed.update(dict.fromkeys(range(100), "x" * 100), ttl=10)
    assert timed.info().bytes > empty + 10_000
    clock.advance(10)
    while timed_store.sweep():
        pass
    assert timed.info().bytes == empty


def test_an_entry_overwritten_before_the_sweep_survives_it(
    timed: Dict[Any, Any], timed_store: Store, clock: ManualClock
) -> None:
    timed.put("k", 1, ttl=1)
    clock.advance(1)
    timed.put("k", 2, ttl=100)
    while timed_store.sweep():
        pass
    assert timed["k"] == 2
    assert len(timed) == 1


def test_expiry_survives_the_store_being_opened_again(url: str) -> None:
    with Cluster(url) as cluster:
        d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
        d.put("k", 1, ttl=3600)
        d.put("for ever", 1)
    with Cluster(url) as cluster:
        d = Dict.from_name("d", cluster=cluster)
        assert 3590 < (d.ttl("k") or 0) <= 3600
        assert d.ttl("for ever") is None
