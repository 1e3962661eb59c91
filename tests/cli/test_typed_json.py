"""Typed JSON: whatever a Dict holds comes back as it was, and what is not ours is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.client.shell.typed_json import Json, dumps, loads
from ringdict.exception import InvalidError

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.complex_numbers(allow_nan=False)
)
KEYS = st.recursive(
    ATOMS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4
)


def containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.just("$bytes"), inner, max_size=3)
        | st.sets(KEYS, max_size=3)
        | st.frozensets(KEYS, max_size=3)
        | st.binary().map(bytearray)
    )


def typed(value: object) -> object:
    """`value` with every part beside its type: what `==` alone would not tell apart."""
    match value:
        case list() | tuple():
            return type(value), [typed(item) for item in value]
        case set() | frozenset():
            return type(value), {(type(item), item) for item in value}
        case dict():
            return dict, [(typed(key), typed(item)) for key, item in value.items()]
        case datetime() | time():
            return type(value), value, value.fold, str(value.tzinfo)
        case _:
            return type(value), value


@given(st.recursive(ATOMS, containers, max_leaves=8))
def test_every_value_comes_back_as_it_was(value: object) -> None:
    text = dumps(value)
    assert typed(loads(text)) == typed(value)
    assert text.isascii()
    assert "\n" not in text


@pytest.mark.parametrize(
    ("value", "document"),
    [
        (2**53 - 1, 2**53 - 1),
        (2**53, {"$int": "9007199254740992"}),
        (-(2**53), {"$int": "-9007199254740992"}),
        (2**10_000, {"$int": f"0x1{'0' * 2_500}"}),
        (1.0, 1.0),
        (float("inf"), {"$float": "inf"}),
        (b"\x00\x01", {"$bytes": "AAE="}),
        (bytearray(b"\x00\x01"), {"$bytearray": "AAE="}),
        ((1, [2]), {"$tuple": [1, [2]]}),
        ({1}, {"$set": [1]}),
        (frozenset({1}), {"$frozenset": [1]}),
        ({"a": 1}, {"a": 1}),
        ({}, {}),
        ({1: 2}, {"$dict": [[1, 2]]}),
        ({"$set": 1}, {"$dict": [["$set", 1]]}),
        (date(2026, 1, 2), {"$date": "2026-01-02"}),
        (time(3, 4, 5), {"$time": "03:04:05"}),
        (timedelta(1, 2, 3), {"$timedelta": [1, 2, 3]}),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), {"$datetime": "2026-01-02T03:04:05+00:00"}),
        (Decimal("1.50"), {"$decimal": "1.50"}),
        (UUID(int=1), {"$uuid": "00000000-0000-0000-0000-000000000001"}),
        (1 + 2j, {"$complex": [1.0, 2.0]}),
        (np.array([1, 2], "<i2"), {"$ndarray": {"dtype": "<i2", "shape": [2], "data": "AQACAA=="}}),
        (np.bool_(1), {"$numpy": {"dtype": "|b1", "data": "AQ=="}}),
    ],
)
def test_the_documented_notation(value: object, document: Json) -> None:
    assert json.loads(dumps(value)) == document
    back = loads(json.dumps(document))
    assert type(back) is type(value)
    if isinstance(back, np.ndarray) and isinstance(value, np.ndarray):
        assert back.tolist() == value.tolist()
    else:
        assert back == value


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(
    "zone", [None, UTC, timezone(timedelta(hours=-3, seconds=1)), ZoneInfo("Europe/Berlin")]
)
def test_clocks_keep_their_zone_and_their_hour(zone: timezone | ZoneInfo | None, fold: int) -> None:
    for clock in (datetime(2026, 10, 25, 2, 30, tzinfo=zone, fold=fold), time(2, 30, tzinfo=zone, fold=fold)):
        assert typed(loads(dumps(clock))) == typed(clock)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3)),
        np.arange(6.0).reshape(2, 3).T,
        np.array(["größer"]),
        np.array([b"x"]),
        np.array("2026-01-02", "M8[ns]"),
        np.array([(1, "x")], [("a", "<i4"), ("b", "<U3")]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_arrays_of_many_kinds(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    back = loads(dumps(array))
    assert isinstance(back, np.ndarray)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tolist() == array.tolist()
    assert back.flags.writeable


def test_not_a_number_is_one() -> None:
    back = loads(dumps(float("nan")))
    assert isinstance(back, float)
    assert back != back  # noqa: PLR0124 -- which is what it is known by


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"$nonsense": 1}',
        '{"$bytes": "AA==", "more": 1}',
        '{"$bytes": 1}',
        '{"$bytes": "?"}',
        '{"$int": 1}',
        '{"$int": "x"}',
        '{"$tuple": 1}',
        '{"$set": [[1]]}',
        '{"$dict": [[1]]}',
        '{"$dict": [[[1], 2]]}',
        '{"$date": "yesterday"}',
        '{"$datetime": {"at": "2026-01-02", "zone": "Nowhere/Land", "fold": 0}}',
        '{"$datetime": {"at": "2026-01-02", "zone": null, "fold": 9}}',
        '{"$datetime": {"at": "2026-01-02"}}',
        '{"$timedelta": [1, 2]}',
        '{"$timedelta": ["1", 2, 3]}',
        '{"$decimal": "many"}',
        '{"$complex": [1, 2]}',
        '{"$ndarray": {"dtype": "|O", "shape": [1], "data": "AAAAAAAAAAA="}}',
        '{"$ndarray": {"dtype": "<f8", "shape": [9], "data": ""}}',
        '{"$ndarray": {"dtype": "nonsense", "shape": [], "data": ""}}',
        f'{{"$int": "{"9" * 5_000}"}}',
        "9" * 5_000,
    ],
    ids=lambda text: text[:40],
)
def test_what_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        loads(text)


@pytest.mark.parametrize("make", [object, lambda: ..., lambda: [object()], lambda: {"a": {object(): 1}}])
def test_there_is_no_json_for_what_no_dict_holds(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="no JSON for"):
        dumps(make())
