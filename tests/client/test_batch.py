"""Many keys in one call: `update`, `get_many`, `delete_many`."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from collections.abc import Iterator
from typing import Any

import pytest

from ringdict import Cluster, Dict, PartialFailureError, StoreFullError, UnavailableError
from ringdict.node.config import BATCH_BYTES_MAX, BATCH_ENTRIES_MAX
from ringdict.node.store.store import Store

# -- update --------------------------------------------------------------------------------------


class HasKeys:
    """Not a Mapping, but `dict.update` takes it."""

    def keys(self) -> Iterator[str]:
        return iter("ab")

    def __getitem__(self, key: str) -> int:
        return ord(key)


@pytest.mark.parametrize(
    "source",
    [
        {"a": 97, "b": 98},
        OrderedDict(a=97, b=98),
        UserDict({"a": 97, "b": 98}),
        [("a", 97), ("b", 98)],
        (["a", 97], ["b", 98]),
        zip("ab", (97, 98), strict=True),
        {"a": 97, "b": 98}.items(),
        HasKeys(),
    ],
    ids=lambda source: type(source).__name__,
)
def test_update_takes_what_dict_update_takes(source: Any, d: Dict[Any, Any]) -> None:
    d["b"] = "to be overwritten"
    assert d.update(source) is None
    assert d == {"a": 97, "b": 98}


def test_update_takes_keywords(d: Dict[Any, Any]) -> None:
    d.update(a=1)
    d.update({"a": 2, 5: 3}, b=4, self=5, io=6, mapping_or_pairs=7)
    assert d == {"a": 2, 5: 3, "b": 4, "self": 5, "io": 6, "mapping_or_pairs": 7}


def test_update_takes_a_dict_of_ours(d: Dict[Any, Any], cluster: Cluster) -> None:
    other = Dict.from_name("other", create_if_missing=True, cluster=cluster)
    other.update({n: n for n in range(600)})
    d.update(other)
    d.update(other.items())
    assert d == other


def test_update_with_nothing_does_nothing(d: Dict[Any, Any]) -> None:
    d.update()
    d.update({})
    d.update([])
    assert not d


def test_of_equal_keys_the_last_wins(d: Dict[Any, Any]) -> None:
    d.update([(1, "first"), ("k", 0), (1.0, "second"), (True, "last")])
    assert d == {1: "last", "k": 0}


@pytest.mark.parametrize("source", [5, [5], [(1, 2, 3)], ["a"], None])
def test_update_refuses_what_dict_update_refuses(source: Any, d: Dict[Any, Any]) -> None:
    with pytest.raises((TypeError, ValueError)) as of_dict:
        {}.update(source)
    with pytest.raises(of_dict.type):
        d.update(source)
    assert not d


def test_one_bad_pair_and_none_is_written(d: Dict[Any, Any]) -> None:
    for bad in [("k", object()), ([], 1)]:
        with pytest.raises(TypeError):
            d.update([("good", 1)] * 20_000 + [bad])
    assert not d


def test_update_counts_once_what_it_overwrites(d: Dict[Any, Any]) -> None:
    d.update(dict.fromkeys(range(10), "old"))
    d.update(dict.fromkeys(range(5, 20), "newer"))
    assert len(d) == 20
    assert d.info().entries == len(list(d)) == 20
    assert sorted(value for value in d.values() if value == "old") == ["old"] * 5


def test_update_overwrites_long_keys_and_expiring_entries(d: Dict[Any, Any]) -> None:
    keys = ["short", "k" * 500, "k" * 501]
    d.update(dict.fromkeys(keys, 1), ttl=1000)
    empty = d.info().bytes
    d.update(dict.fromkeys(keys, 2))
    assert d == dict.fromkeys(keys, 2)
    assert [d.ttl(key) for key in keys] == [None] * 3
    assert (len(d), d.info().bytes) == (3, empty)


@pytest.mark.embedded
def test_a_batch_shares_one_version_and_the_next_is_above(d: Dict[Any, Any]) -> None:
    def versions() -> set[int]:
        return {entry.version for entry in map(d.get_entry, "abc") if entry is not None}

    d.update(a=1, b=1, c=1)
    (first,) = versions()
    d.update(a=2, b=2, c=2)
    (second,) = versions()
    assert second > first


@pytest.fixture
def large(d: Dict[Any, Any]) -> dict[int, int]:
    """More than fits into two transactions."""
    return {n: n for n in range(2 * BATCH_ENTRIES_MAX + 5)}


def test_update_of_more_than_one_transaction(d: Dict[Any, Any], large: dict[int, int]) -> None:
    d.update(large)
    assert len(d) == len(large)
    assert dict(d.items()) == large


def fail(store: Store, monkeypatch: pytest.MonkeyPatch, after: int, error: Exception) -> None:
    """Let all writes but the first `after` fail."""
    write = store.write
    left = [after]

    def failing(*arguments: Any) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise error
        return write(*arguments)

    monkeypatch.setattr(store, "write", failing)


def test_part_of_an_update_failed(
    d: Dict[Any, Any], cluster: Cluster, large: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(cluster.store, monkeypatch, 1, cause := StoreFullError("the disk is full"))
    with pytest.raises(
        PartialFailureError, match="10000 of 20005 keys are done; then: the disk is full"
    ) as caught:
        d.update(large)
    monkeypatch.undo()
    assert caught.value.__cause__ is cause
    assert sorted(caught.value.done) == sorted(d)
    assert len(caught.value.done) == BATCH_ENTRIES_MAX
    assert set(caught.value.failed) == set(large) - set(d)
    assert set(caught.value.failed.values()) == {cause}


def test_an_update_that_failed_as_a_whole_raises_the_cause(
    d: Dict[Any, Any], cluster: Cluster, large: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(cluster.store, monkeypatch, 0, UnavailableError("others write"))
    with pytest.raises(UnavailableError, match="others write"):
        d.update(large)
    monkeypatch.undo()
    assert not d


def test_an_update_is_split_where_it_gets_too_large_for_one_transaction(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cluster(url + "&value_bytes_max=60000000") as cluster:
        d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
        half = bytes(BATCH_BYTES_MAX // 2 + 1)
        d.update({"small": 1})
        fail(cluster.store, monkeypatch, 1, UnavailableError("others write"))
        with pytest.raises(PartialFailureError) as caught:
            d.update({"a": half, "b": half})
        assert (caught.value.done, list(caught.value.failed)) == (["a"], ["b"])


# -- get_many ------------------------------------------------------------------------------------


def test_get_many_leaves_out_what_is_missing(d: Dict[Any, Any]) -> None:
    d.update(a=1, b=None)
    assert d.get_many(["a", "b", "c"]) == {"a": 1, "b": None}
    assert d.get_many([]) == {}
    assert d.get_many(iter("ab"), fresh=True) == {"a": 1, "b": None}


def test_get_many_answers_under_the_keys_that_were_asked(d: Dict[Any, Any]) -> None:
    d[1] = "one"
    ((key, value),) = d.get_many([1.0]).items()
    assert (type(key), value) == (float, "one")


def test_get_many_of_very_many(d: Dict[Any, Any], large: dict[int, int]) -> None:
    d.update(large)
    assert d.get_many(range(-5, len(large) + 5)) == large


def test_get_many_of_long_keys(d: Dict[Any, Any]) -> None:
    keys = ["k" * length for length in (439, 440, 441, 442, 4095)]
    d.update({key: len(key) for key in keys})
    assert d.get_many([*keys, "k" * 4094]) == {key: len(key) for key in keys}


# -- delete_many ---------------------------------------------------------------------------------


def test_delete_many_tells_how_many_there_were(d: Dict[Any, Any]) -> None:
    d.update(a=1, b=None, c=3)
    assert d.delete_many(["a", "b", "missing", "a"]) == 2
    assert d == {"c": 3}
    assert d.delete_many([]) == 0


def test_delete_many_of_very_many(d: Dict[Any, Any], large: dict[int, int]) -> None:
    d.update(large)
    d["stays"] = 1
    assert d.delete_many(iter(large)) == len(large)
    assert d == {"stays": 1}
    assert d.info().bytes == len(b"?stays\x01")


def test_part_of_a_delete_many_failed(
    d: Dict[Any, Any], cluster: Cluster, large: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    d.update(large)
    fail(cluster.store, monkeypatch, 2, UnavailableError("others write"))
    with pytest.raises(PartialFailureError) as caught:
        d.delete_many(large)
    monkeypatch.undo()
    assert len(caught.value.done) == 2 * BATCH_ENTRIES_MAX
    assert set(caught.value.failed) == set(d)


# -- what update overwrites, in the counters -------------------------------------------------------


def counted(d: Dict[Any, Any]) -> tuple[int, int]:
    """Entries and bytes of a Dict that is made anew with the same contents, and nothing else."""
    contents = dict(d.items())
    d.clear()
    for key, value in contents.items():
        d[key] = value
    info = d.info()
    return info.entries, info.bytes


def test_update_over_entries_of_atomic_operations_and_long_keys(d: Dict[Any, Any]) -> None:
    keys = ["k", "l" * 1_000]
    for key in keys:
        d.put(key, "old", skip_if_exists=True)
    d["plain"] = "old"
    d.update(dict.fromkeys([*keys, "plain"], "newer"))
    info = d.info()
    assert (info.entries, info.bytes) == counted(d)


def test_update_over_what_a_clear_has_left(d: Dict[Any, Any]) -> None:
    d.update(dict.fromkeys(range(100), "old"))
    d.clear()
    d.update(dict.fromkeys(range(50), "new"))
    info = d.info()
    assert (info.entries, info.bytes) == counted(d)
    assert info.entries == 50
