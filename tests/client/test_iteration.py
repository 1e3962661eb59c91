"""`keys()`, `values()`, `items()`, prefixes, and what an iteration sees of what others do meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import ItemsView, KeysView, ValuesView
from typing import Any

import pytest

from ringdict import Cluster, Dict, InvalidError, NotFoundError, RequestSizeError

SEVERAL_PAGES = 1_500
"""Entries; a page has at most 256."""


@pytest.fixture
def full(d: Dict[Any, Any]) -> Dict[Any, Any]:
    """A Dict of several pages, whose values are their keys."""
    d.update({n: n for n in range(SEVERAL_PAGES)})
    return d


# -- views ---------------------------------------------------------------------------------------


def test_views_stream_all_there_is(full: Dict[Any, Any]) -> None:
    everything = range(SEVERAL_PAGES)
    assert sorted(full) == sorted(full.keys()) == sorted(full.values()) == list(everything)
    assert sorted(full.items()) == [(n, n) for n in everything]


def test_an_empty_dict_has_empty_views(d: Dict[Any, Any]) -> None:
    assert list(d) == list(d.keys()) == list(d.values()) == list(d.items()) == []


def test_a_view_can_be_iterated_again_and_shows_what_is_there_then(d: Dict[Any, Any]) -> None:
    keys = d.keys()
    assert list(keys) == []
    d["k"] = 1
    assert list(keys) == list(keys) == ["k"]
    assert len(keys) == 1


def test_views_are_views(d: Dict[Any, Any]) -> None:
    d.update(a=1, b=[2])
    assert isinstance(d.keys(), KeysView)
    assert isinstance(d.values(), ValuesView)
    assert isinstance(d.items(), ItemsView)
    assert len(d.keys()) == len(d.values()) == len(d.items()) == 2
    assert "DictKeysView(ringdict.Dict.from_name('d'))" in repr(d.keys())


def test_views_know_what_they_contain(d: Dict[Any, Any]) -> None:
    d.update(a=1, b=[2], none=None)
    assert "a" in d.keys()  # noqa: SIM118 - the view is what is tested
    assert 1 not in d.keys()  # noqa: SIM118
    assert [2] in d.values()
    assert 2 not in d.values()
    assert ("b", [2]) in d.items()
    assert ("none", None) in d.items()
    assert ("a", 2) not in d.items()
    assert ("c", None) not in d.items()
    no_pairs: list[Any] = ["a", ("a", 1, 1), None]
    assert not [each for each in no_pairs if each in d.items()]


def test_keys_and_items_are_sets(d: Dict[Any, Any]) -> None:
    d.update(a=1, b=2)
    assert d.keys() == {"a", "b"}
    assert d.keys() & {"b", "c"} == {"b"}
    assert d.keys() | {"c"} == {"a", "b", "c"}
    assert d.keys() - {"a"} == {"b"}
    assert d.keys() ^ {"b", "c"} == {"a", "c"}
    assert d.keys() <= {"a", "b", "c"}
    assert d.keys().isdisjoint({"c"})
    assert d.items() == {("a", 1), ("b", 2)}
    assert d.items() & {("a", 1), ("b", 3)} == {("a", 1)}
    assert d.keys() == {"a": 1, "b": 2}.keys()


def test_a_copy_is_made_of_the_items(d: Dict[Any, Any]) -> None:
    d.update(a=1, b=2)
    assert dict(d.items()) == dict(d) == {**d} == {"a": 1, "b": 2}


# -- prefixes ------------------------------------------------------------------------------------


@pytest.fixture
def mixed(d: Dict[Any, Any]) -> Dict[Any, Any]:
    """A Dict with keys of every type that has prefixes, and of some that have none."""
    keys = [
        "", "user:1", "user:12", "user:2", "use", "üser", "user", b"", b"user:1", b"\xff\xff", 1, None,
        (), ("user",), ("user", 1), ("user", 1, "a"), ("user", 12), ("user:1",), (1, 2), ("user", "1"),
        (("user",), 1),
    ]  # fmt: skip
    d.update({key: key for key in keys})
    return d


def starts_with(key: Any, prefix: Any) -> bool:
    return type(key) is type(prefix) and bool(key[: len(prefix)] == prefix)


@pytest.mark.parametrize(
    "prefix",
    ["", "u", "user", "user:", "user:1", "user:1x", "ü", b"", b"user", b"\xff", b"\xff\xff",
     (), ("user",), ("user", 1), ("user", 1.0), ("user", 1, "a"), ("user", 1, "a", None), (1,), (("user",),)],
    ids=repr,
)  # fmt: skip
def test_a_prefix_finds_the_keys_that_start_with_it(prefix: Any, mixed: Dict[Any, Any]) -> None:
    expected = {key for key in mixed if starts_with(key, prefix)}
    assert Counter(mixed.keys(prefix)) == Counter(expected)
    assert Counter(mixed.values(prefix)) == Counter(expected)
    assert dict(mixed.items(prefix)) == {key: key for key in expected}
    assert len(mixed.keys(prefix)) == len(expected)
    assert mixed.keys(prefix) == expected


def test_a_view_of_a_prefix_contains_no_other_keys(mixed: Dict[Any, Any]) -> None:
    assert "user:1" in mixed.keys("user")
    assert "use" not in mixed.keys("user")
    assert b"user:1" not in mixed.keys("user")
    assert ("user:1", "user:1") in mixed.items("user:")
    assert ("use", "use") not in mixed.items("user:")


def test_no_prefix_means_all(mixed: Dict[Any, Any]) -> None:
    assert set(mixed.keys(None)) == set(mixed)


@pytest.mark.parametrize("prefix", [5, 1.5, frozenset("a"), ["user"], True])
def test_what_has_no_beginning_is_no_prefix(prefix: Any, d: Dict[Any, Any]) -> None:
    for view in (d.keys, d.values, d.items):
        with pytest.raises(TypeError, match="prefix"):
            view(prefix)


def test_a_prefix_of_a_key_type_only(d: Dict[Any, Any]) -> None:
    with pytest.raises(TypeError):
        d.keys(([],))
    with pytest.raises(RequestSizeError):
        d.keys("k" * 4096)
    with pytest.raises(InvalidError):
        prefix: Any = ()
        for _ in range(40):
            prefix = (prefix,)
        d.keys(prefix)


@pytest.mark.parametrize("length", [100, 423, 424, 425, 426, 430, 438, 439, 440, 441, 600, 4094])
def test_a_prefix_may_be_as_long_as_a_key(length: int, d: Dict[Any, Any]) -> None:
    """The tree holds the first 425 bytes of an over-long key; what comes behind is compared all the same."""
    expected = {"k" * length, "k" * length + "!"}
    others = {"k" * (length - 1), "k" * (length - 1) + "!"}
    d.update(dict.fromkeys(expected | others))
    d["j" * length] = d["l" * length] = None
    assert sorted(d.keys("k" * length)) == sorted(expected)


def test_few_among_many(full: Dict[Any, Any]) -> None:
    """What does not match is leapt over, and a page that found nothing is not taken for the last."""
    full.update({f"needle {n}": n for n in range(5)})
    assert sorted(full.values("needle")) == list(range(5))
    assert list(full.keys("no such thing")) == []


def test_a_prefix_stays_inside_its_dict(cluster: Cluster) -> None:
    """Dicts lie behind each other in one tree, and locks in front of the keys of each partition."""
    dicts = [Dict.from_name(name, create_if_missing=True, cluster=cluster) for name in "abc"]
    for d in dicts:
        d.update({f"{d.name}:{n}": n for n in range(50)} | {"last": d.name} | {b"\xff" * 9: 1, "é": 2})
        for n in range(50):
            d.lock(n).acquire()
    for d in dicts:
        assert len(list(d.keys(f"{d.name}:"))) == 50
        assert list(d.items("last")) == [("last", d.name)]
        assert list(d.keys(b"\xff")) == [b"\xff" * 9]
        assert list(d.keys("é")) == ["é"]
        for missing in ("", "a:", "b:", "c:", "zzz", b"\x00", ("a",)):
            assert all(starts_with(key, missing) for key in d.keys(missing))


def test_a_large_value_has_a_page_of_its_own(url: str) -> None:
    with Cluster(url + "&value_bytes_max=6000000") as cluster:
        d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
        for n in range(5):
            d[n] = bytes([n]) * 5_000_000
        assert {value[0]: len(value) for value in d.values()} == dict.fromkeys(range(5), 5_000_000)


# -- while others do something -------------------------------------------------------------------


def test_each_key_comes_once_and_none_is_missed_while_others_write(
    full: Dict[Any, Any], cluster: Cluster
) -> None:
    other = Dict.from_name("d", cluster=cluster)
    seen: Counter[Any] = Counter()
    for turn, key in enumerate(full):
        seen[key] += 1
        other[f"new {turn}"] = None
        other[turn % SEVERAL_PAGES] = "overwritten"
    assert {key for key in seen if type(key) is int} == set(range(SEVERAL_PAGES))
    assert max(seen.values()) == 1


def test_none_is_missed_that_stays_while_others_delete(full: Dict[Any, Any], cluster: Cluster) -> None:
    other = Dict.from_name("d", cluster=cluster)
    seen: Counter[Any] = Counter()
    for turn, key in enumerate(full):
        seen[key] += 1
        other.pop(2 * turn + 1, None)
    assert set(range(0, SEVERAL_PAGES, 2)) <= set(seen)
    assert max(seen.values()) == 1


def test_a_loop_may_delete_what_it_goes_over(full: Dict[Any, Any]) -> None:
    for key in full:
        del full[key]
    assert not full


def test_an_iteration_ends_soon_after_a_clear(full: Dict[Any, Any]) -> None:
    keys = iter(full)
    next(keys)
    full.clear()
    full["new"] = 1
    rest = list(keys)
    assert len(rest) <= 256
    assert len(rest) == len(set(rest))


@pytest.mark.parametrize("made_anew", [False, True])
@pytest.mark.parametrize("used_meanwhile", [False, True])
def test_an_iteration_says_so_when_its_dict_was_deleted(
    made_anew: bool, used_meanwhile: bool, full: Dict[Any, Any], cluster: Cluster
) -> None:
    keys = iter(full)
    next(keys)
    Dict.objects.delete("d", cluster=cluster)
    if made_anew:
        Dict.objects.create("d", cluster=cluster)
        if used_meanwhile:
            full["new"] = 1
    with pytest.raises(NotFoundError, match="deleted"):
        list(keys)


@pytest.mark.embedded
def test_a_broken_off_iteration_leaves_nothing_open(full: Dict[Any, Any], cluster: Cluster) -> None:
    for _ in full:
        break
    for _ in full.items():
        break
    assert not cluster.store.environment._active
    cluster.close()  # would wait for a transaction that is open
