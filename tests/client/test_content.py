"""What can be a key and a value, up to which size, and what is said of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from ringdict import Cluster, DeserializationError, Dict, RequestSizeError, ValueTooLargeError

KEY_BYTES_MAX = 4096  # encoded: a byte for the type, then the text
VALUE_BYTES_MAX = 100 * 1024  # of MessagePack: a head of five bytes, then the bytes


# -- keys ----------------------------------------------------------------------------------------


def _name(value: object) -> str:
    """`repr`, but the same in each process: the order of a set is not."""
    return repr(sorted(value, key=repr)) if isinstance(value, set | frozenset) else repr(value)


@pytest.mark.parametrize(
    "key",
    [
        None,
        True,
        0,
        -1,
        10**50,
        1.5,
        float("inf"),
        "",
        "text",
        "\ud800",
        b"",
        b"\x00\xff",
        UUID(int=5),
        date(2024, 2, 29),
        datetime(2024, 2, 29, 12, 30),  # noqa: DTZ001 - without a zone
        datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
        (),
        ("user", 123, (None, b"")),
        frozenset(),
        frozenset({1, "a"}),
    ],
    ids=_name,
)
def test_what_can_be_a_key(key: Any, d: Dict[Any, Any]) -> None:
    d[key] = "value"
    assert d[key] == "value"
    assert list(d) == [key]
    assert d.pop(key) == "value"


def test_equal_keys_are_one_key(d: Dict[Any, Any]) -> None:
    d[1] = "int"
    d[1.0] = "float"
    d[True] = "bool"
    assert len(d) == 1
    assert d[1] == "bool"
    d["1"] = d[b"1"] = "others"
    assert len(d) == 3


def test_a_subclass_of_a_key_type_counts_as_its_base(d: Dict[Any, Any]) -> None:
    class Name(str):
        __slots__ = ()

    d[Name("k")] = 1
    assert d["k"] == 1
    assert [type(key) for key in d] == [str]


@pytest.mark.parametrize(
    "key", [[], {}, set(), bytearray(), ([],), object(), 1j, Decimal(1), Fraction(1, 2), ...]
)
def test_what_cannot_be_a_key_is_a_type_error(key: Any, d: Dict[Any, Any]) -> None:
    uses = (
        lambda: d[key],
        lambda: d.__setitem__(key, 1),
        lambda: d.__delitem__(key),
        lambda: key in d,
        lambda: d.get(key),
        lambda: d.put(key, 1),
        lambda: d.pop(key, None),
        lambda: d.setdefault(key, 1),
        lambda: d.replace(key, 1, if_version=None),
        lambda: d.incr(key),
        lambda: d.get_entry(key),
        lambda: d.touch(key, 1),
        lambda: d.ttl(key),
        lambda: d.update({"good": 1}) or d.update([("good", 1), (key, 1)]),
        lambda: d.get_many(["good", key]),
        lambda: d.delete_many(["good", key]),
        lambda: d.lock(key),
    )
    for use in uses:
        with pytest.raises(TypeError, match=r"key type|unhashable"):
            use()
    assert set(d) <= {"good"}


def test_a_key_may_have_4_kib(d: Dict[Any, Any]) -> None:
    longest = "k" * (KEY_BYTES_MAX - 1)
    d[longest] = 1
    assert d[longest] == 1
    for use in (lambda: d.get(longest + "k"), lambda: d.put(longest + "k", 1), lambda: d.lock(longest + "k")):
        with pytest.raises(RequestSizeError):
            use()
    assert len(d) == 1


@pytest.mark.parametrize("length", [425, 426, 438, 439, 440, 441, 1000, 4095])
def test_keys_too_long_for_the_tree_are_told_apart_by_their_last_byte(length: int, d: Dict[Any, Any]) -> None:
    keys = ["k" * (length - 1) + last for last in "ab"]
    d.update({key: key[-1] for key in keys})
    assert [d[key] for key in keys] == ["a", "b"]
    assert sorted(d) == keys
    del d[keys[0]]
    assert list(d.items()) == [(keys[1], "b")]


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(10**30),
        2.5,
        "text",
        b"bytes",
        bytearray(b"bytes"),
        [1, [2]],
        (1, (2,)),
        {"a": {1: (2,)}},
        {1, "a"},
        frozenset({2}),
        datetime(2024, 2, 29, 12, tzinfo=UTC),
        date(2024, 2, 29),
        Decimal("1.50"),
        UUID(int=7),
        1 + 2j,
        np.float32(1.5),
    ],
    ids=_name,
)
def test_a_value_comes_back_as_the_type_it_went_in(value: Any, d: Dict[Any, Any]) -> None:
    d["k"] = value
    assert d["k"] == value
    assert type(d["k"]) is type(value)


def test_an_array_comes_back_as_an_array(d: Dict[Any, Any]) -> None:
    d["k"] = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(d["k"], [[0, 1, 2], [3, 4, 5]], strict=False)
    assert d["k"].dtype == np.float64


def test_a_value_may_have_100_kib(d: Dict[Any, Any]) -> None:
    d["k"] = largest = b"v" * (VALUE_BYTES_MAX - 5)
    assert d["k"] == largest
    larger = largest + b"v"
    uses = (
        lambda: d.put("other", larger),
        lambda: d.put("other", larger, skip_if_exists=True),
        lambda: d.setdefault("other", larger),
        lambda: d.replace("other", larger, if_version=None),
        lambda: d.update({"fits": 1, "other": larger}),
    )
    for use in uses:
        with pytest.raises(ValueTooLargeError, match=str(VALUE_BYTES_MAX)):
            use()
    assert list(d) == ["k"]


def test_too_large_a_value_is_a_request_size_error_and_a_value_error() -> None:
    assert issubclass(ValueTooLargeError, RequestSizeError)
    assert issubclass(ValueTooLargeError, ValueError)


def test_the_limit_of_values_is_a_setting(url: str) -> None:
    with Cluster(url + "&value_bytes_max=1000000") as cluster:
        d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
        d["k"] = b"v" * 999_995
        with pytest.raises(ValueTooLargeError, match="1000000"):
            d["k"] = b"v" * 999_996
        assert len(d["k"]) == 999_995


@dataclass(frozen=True)
class Point:
    """A class of the application's own."""

    x: int


@pytest.mark.parametrize(
    ("value", "part"),
    [(Point(1), "Point"), ([1, Point(1)], r"\[1\]"), ({"a": {1: Point(1)}}, r"\['a'\]\[1\]")],
)
def test_another_type_is_a_type_error_that_says_where_and_what_to_do(
    value: Any, part: str, d: Dict[Any, Any]
) -> None:
    with pytest.raises(TypeError, match=f"{part}.*allow_pickle"):
        d["k"] = value
    assert not d


def test_any_type_goes_where_pickle_is_allowed(d: Dict[Any, Any], cluster: Cluster) -> None:
    pickling = Dict.from_name("d", cluster=cluster, allow_pickle=True)
    pickling["k"] = [Point(3)]
    assert pickling["k"] == [Point(3)]
    pickling["plain"] = (1, 2)
    assert d["plain"] == (1, 2)


def test_who_does_not_allow_pickle_never_unpickles(d: Dict[Any, Any], cluster: Cluster) -> None:
    Dict.from_name("d", cluster=cluster, allow_pickle=True)["k"] = Point(3)
    uses = (
        lambda: d["k"],
        lambda: d.get("k"),
        lambda: d.get_entry("k"),
        lambda: list(d.values()),
        lambda: list(d.items()),
        lambda: d.get_many(["k"]),
        lambda: d.setdefault("k", 1),
    )
    for use in uses:
        with pytest.raises(DeserializationError, match="allow_pickle"):
            use()
    assert "k" in d
    assert list(d) == ["k"]
    d["k"] = "overwritten"
    assert d["k"] == "overwritten"


def test_who_cannot_read_a_value_does_not_take_it_away(d: Dict[Any, Any], cluster: Cluster) -> None:
    pickling = Dict.from_name("d", cluster=cluster, allow_pickle=True)
    pickling["k"] = Point(3)
    for use in (lambda: d.pop("k"), lambda: d.pop("k", None), d.popitem):
        with pytest.raises(DeserializationError):
            use()
    assert pickling.pop("k") == Point(3)


def test_who_cannot_read_a_value_can_still_remove_it(d: Dict[Any, Any], cluster: Cluster) -> None:
    Dict.from_name("d", cluster=cluster, allow_pickle=True)["k"] = Point(3)
    del d["k"]
    assert not d
