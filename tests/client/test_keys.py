"""Canonical keys: Python's equality, order, limits, refusals, and hostile bytes."""

# ruff: noqa: DTZ001, DTZ901 - naive datetimes are keys, too

from __future__ import annotations

import enum
import math
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringdict.client.keys import decode_key, encode_key, encode_prefix
from ringdict.exception import InvalidError, RequestSizeError
from ringdict.node.config import KEY_BYTES_MAX, KEY_DEPTH_MAX

# -- what keys there are -------------------------------------------------------------------------

texts = st.text(st.characters(), max_size=20) | st.text("\x00\x01\xff\ud800a", max_size=5)
blobs = st.binary(max_size=20) | st.text("\x00\xffa", max_size=5).map(lambda text: text.encode("latin-1"))
integers = (
    st.integers()
    | st.integers(-300, 300)
    | st.sampled_from([2**n + d for n in (63, 64, 984) for d in (-1, 0, 1)])
)
numbers = st.booleans() | integers | st.floats(allow_nan=False)
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
aware = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones)
scalars = st.one_of(st.none(), numbers, texts, blobs, st.uuids(), st.dates(), st.datetimes(), aware)
keys = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)


# -- equality --------------------------------------------------------------------------------------


@given(keys, keys)
@example(1, True)
@example(0.0, -0.0)
@example((1, (2.0,)), (True, (2,)))
@example(frozenset({1, 2}), frozenset({2.0, True}))
@example("a", b"a")
@example(datetime(2026, 1, 1), date(2026, 1, 1))
@example(datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC))
def test_equal_keys_and_only_they_have_equal_bytes(one: object, other: object) -> None:
    assert (encode_key(one) == encode_key(other)) == (one == other)


@given(st.lists(numbers, min_size=2, max_size=2) | st.lists(aware, min_size=2, max_size=2))
def test_equality_among_types_that_may_be_equal(pair: list[Any]) -> None:
    assert (encode_key(pair[0]) == encode_key(pair[1])) == (pair[0] == pair[1])


@given(st.integers(-(2**60), 2**60))
def test_a_float_is_the_int_that_it_equals(number: int) -> None:
    rounded = float(number)
    assert encode_key(rounded) == encode_key(int(rounded))
    assert (encode_key(rounded) == encode_key(number)) == (rounded == number)


@given(keys)
@example(math.inf)
@example(-math.inf)
def test_a_key_comes_back_equal(key: object) -> None:
    encoded = encode_key(key)
    decoded = decode_key(encoded)
    assert decoded == key
    assert encode_key(decoded) == encoded


def test_nan_is_one_key() -> None:
    encoded = encode_key(math.nan)
    assert encode_key(-float("nan")) == encoded
    decoded = decode_key(encoded)
    assert isinstance(decoded, float)
    assert math.isnan(decoded)
    assert encode_key(frozenset({float("nan"), float("nan")})) == encode_key(frozenset({math.nan}))


@pytest.mark.parametrize(
    ("key", "comes_back"), [(True, 1), (2.0, 2), (-0.0, 0), (1.5, 1.5), (-(2.0**70), -(2**70))]
)
def test_numbers_without_a_fraction_come_back_as_int(key: float, comes_back: float) -> None:
    decoded = decode_key(encode_key(key))
    assert decoded == comes_back
    assert type(decoded) is type(comes_back)


def test_an_instant_comes_back_in_utc() -> None:
    zurich = timezone(timedelta(hours=1))
    decoded = decode_key(encode_key(datetime(2026, 1, 1, 0, 30, tzinfo=zurich)))
    assert isinstance(decoded, datetime)
    assert decoded.tzinfo is UTC
    assert (decoded.year, decoded.hour) == (2025, 23)


def test_fold_is_no_part_of_a_naive_key() -> None:
    assert encode_key(datetime(2026, 1, 1, fold=1)) == encode_key(datetime(2026, 1, 1))


class Nowhere(tzinfo):
    """Tells neither offset nor name, and no daylight saving time."""

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        return None

    dst = utcoffset

    def tzname(self, when: datetime | None) -> str | None:
        return None


def test_a_time_zone_without_an_offset_leaves_a_datetime_naive() -> None:
    key = datetime(2026, 1, 1, tzinfo=Nowhere())
    assert key == datetime(2026, 1, 1)
    assert encode_key(key) == encode_key(datetime(2026, 1, 1))


# -- subclasses ------------------------------------------------------------------------------------


class Colour(enum.IntEnum):
    RED = 3


class Name(enum.StrEnum):
    ANNA = "anna"


class Text(str):
    __slots__ = ()

    def encode(self, *args: object, **kwargs: object) -> bytes:
        return b"something else"

    def __len__(self) -> int:
        return 0


class Blob(bytes):
    pass


class Real(float):
    pass


class Whole(int):
    pass


class Items(tuple[object, ...]):
    __slots__ = ()


class Members(frozenset[object]):
    pass


class Stamp(datetime):
    pass


class Day(date):
    pass


class Id(UUID):
    pass


class Point(NamedTuple):
    x: int
    y: object


@pytest.mark.parametrize(
    ("key", "base"),
    [
        (Colour.RED, 3),
        (Name.ANNA, "anna"),
        (Text("a\0b"), "a\0b"),
        (Blob(b"a\0b"), b"a\0b"),
        (Real(1.5), 1.5),
        (Real(2), 2),
        (Whole(-7), -7),
        (Point(1, "b"), (1, "b")),
        (Items([1]), (1,)),
        (Members([1]), frozenset({1})),
        (Stamp(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
        (Stamp(2026, 1, 2), datetime(2026, 1, 2)),
        (Day(2026, 1, 2), date(2026, 1, 2)),
        (Id(int=5), UUID(int=5)),
        (np.float64(1.5), 1.5),
        (np.str_("a"), "a"),
        (np.bytes_(b"a"), b"a"),
    ],
)
def test_a_subclass_counts_as_its_base(key: Any, base: object) -> None:
    assert encode_key(key) == encode_key(base)
    assert encode_key((key, frozenset({key}))) == encode_key((base, frozenset({base})))
    decoded = decode_key(encode_key(key))
    assert type(decoded) is type(decode_key(encode_key(base)))


class Nanoseconds(datetime):
    """Finer than its base, as the timestamps of pandas are."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = datetime.__hash__


class OtherDay(date):
    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = date.__hash__


@pytest.mark.parametrize("key", [Nanoseconds(2026, 1, 1), OtherDay(2026, 1, 1)])
def test_a_subclass_that_is_unequal_to_its_base_is_refused(key: object) -> None:
    with pytest.raises(TypeError, match=r"unsupported key type: '(Nanoseconds|OtherDay)'"):
        encode_key(key)


# -- order -------------------------------------------------------------------------------------------


def assert_order(pair: list[Any]) -> None:
    one, other = pair
    assert (encode_key(one) < encode_key(other)) == (one < other)
    assert (encode_key((one,)) < encode_key((other,))) == ((one,) < (other,))


def pairs(of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(of, min_size=2, max_size=2)


@given(pairs(numbers))
@example([-0.5, -1])
@example([-0.5, 0])
@example([-1.25, -1.5])
@example([1.25, 1.5])
@example([2**984 - 1, 2**984])
@example([-(2**984), 1 - 2**984])
@example([math.inf, 2**2000])
@example([-math.inf, -(2**2000)])
def test_numbers_sort_across_their_types(pair: list[float]) -> None:
    assert_order(pair)


@given(pairs(st.floats(-2, 2) | st.integers(-2, 2)))
def test_small_numbers_sort_across_their_types(pair: list[float]) -> None:
    assert_order(pair)


def test_nan_sorts_after_infinity() -> None:
    assert encode_key(math.nan) > encode_key(math.inf)


@given(st.one_of(pairs(texts), pairs(blobs), pairs(st.dates()), pairs(st.datetimes()), pairs(aware)))
def test_order_within_a_type(pair: list[Any]) -> None:
    assert_order(pair)


@given(pairs(st.lists(integers, max_size=3).map(tuple)) | pairs(st.lists(texts, max_size=3).map(tuple)))
def test_tuples_of_one_type_sort_item_by_item(pair: list[Any]) -> None:
    assert_order(pair)


@given(keys)
def test_no_key_begins_with_a_reserved_byte(key: object) -> None:
    assert encode_key(key)[0] >= 0x02


# -- prefixes ----------------------------------------------------------------------------------------


@given(texts | blobs, st.data())
def test_a_prefix_of_a_str_or_bytes_is_a_prefix_of_its_key(key: Any, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(key)))
    assert encode_key(key).startswith(encode_prefix(key[:length]))


@given(st.lists(keys, max_size=3), st.lists(keys, max_size=2))
def test_leading_items_are_a_prefix_of_a_tuple(items: list[object], more: list[object]) -> None:
    prefix = encode_prefix(tuple(items))
    assert encode_key((*items, *more)).startswith(prefix)


@given(st.lists(keys, max_size=3), st.lists(keys, max_size=3))
def test_other_tuples_do_not_have_the_prefix(items: list[object], others: list[object]) -> None:
    starts = encode_key(tuple(others)).startswith(encode_prefix(tuple(items)))
    assert starts == (tuple(others[: len(items)]) == tuple(items))


def test_a_prefix_matches_whole_items() -> None:
    assert not encode_key(("ab",)).startswith(encode_prefix(("a",)))
    assert not encode_key((1.5,)).startswith(encode_prefix((1,)))
    assert encode_prefix(Point(1, 2)) == encode_prefix((1, 2))
    assert encode_prefix(Text("ab")) == encode_prefix("ab")


@pytest.mark.parametrize("prefix", [None, 1, ["a"], frozenset({1}), bytearray(b"a")])
def test_other_types_are_no_prefix(prefix: Any) -> None:
    with pytest.raises(TypeError, match="a prefix is a str, bytes or a tuple"):
        encode_prefix(prefix)


@pytest.mark.parametrize("prefix", ["a" * KEY_BYTES_MAX, b"a" * KEY_BYTES_MAX, ("a" * KEY_BYTES_MAX,)])
def test_a_prefix_is_no_longer_than_a_key(prefix: Any) -> None:
    with pytest.raises(RequestSizeError):
        encode_prefix(prefix)


# -- refusals ----------------------------------------------------------------------------------------


class Unhashable(tuple[object, ...]):
    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ([], "list"),
        ({}, "dict"),
        (set[int](), "set"),
        (bytearray(), "bytearray"),
        (("a", ({},)), "dict"),
        (Unhashable(), "Unhashable"),
        ((1, (Unhashable(),)), "Unhashable"),
    ],
)
def test_unhashable_keys_are_refused_in_pythons_words(key: object, name: str) -> None:
    with pytest.raises(TypeError, match=f"^unhashable type: '{name}'; a key is None, a bool, int"):
        encode_key(key)


@pytest.mark.parametrize(
    "key",
    [
        Decimal(1),
        1j,
        object(),
        Fraction(1, 2),
        time(1),
        timedelta(1),
        int,
        len,
        ...,
        range(3),
        np.int64(1),
        memoryview(b"a"),
    ],
)
def test_unsupported_keys_are_refused_by_type(key: object) -> None:
    for each in (key, ("a", key)):
        with pytest.raises(TypeError, match=f"^unsupported key type: '{type(key).__name__}'; a key is None"):
            encode_key(each)


@pytest.mark.parametrize(
    "key",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(microseconds=1))),),
    ],
)
def test_instants_outside_of_utc_are_invalid(key: object) -> None:
    with pytest.raises(InvalidError, match="outside of the years 1 to 9999"):
        encode_key(key)


@pytest.mark.parametrize(
    "key",
    [
        datetime.min,
        datetime.max,
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        date.max,
    ],
)
def test_the_ends_of_time_are_keys(key: object) -> None:
    assert decode_key(encode_key(key)) == key


def nested(depth: int, kind: Callable[[tuple[object, ...]], object]) -> object:
    key: object = 1
    for _ in range(depth):
        key = kind((key,))
    return key


@pytest.mark.parametrize("kind", [tuple, frozenset])
def test_depth_is_limited(kind: Callable[[tuple[object, ...]], object]) -> None:
    deepest = nested(KEY_DEPTH_MAX, kind)
    assert decode_key(encode_key(deepest)) == deepest
    with pytest.raises(InvalidError, match=f"deeper than {KEY_DEPTH_MAX}"):
        encode_key(nested(KEY_DEPTH_MAX + 1, kind))
    with pytest.raises(InvalidError):
        encode_prefix((nested(KEY_DEPTH_MAX, tuple),))


@pytest.mark.parametrize(
    ("fits", "does_not"),
    [
        ("a" * (KEY_BYTES_MAX - 1), "a" * KEY_BYTES_MAX),
        ("\U0001f600" * 1023, "\U0001f600" * 1024),
        (b"a" * (KEY_BYTES_MAX - 1), b"a" * KEY_BYTES_MAX),
        (("a" * (KEY_BYTES_MAX - 4),), ("a" * (KEY_BYTES_MAX - 3),)),
        ((b"a" * (KEY_BYTES_MAX - 4),), (b"a" * (KEY_BYTES_MAX + 1),)),
        (2 ** (8 * 4000), 2 ** (8 * 5000)),
        (-(2 ** (8 * 4000)), -(2 ** (8 * 5000))),
        (2 ** (8 * 4090) - 1, 2 ** (8 * 4092) - 1),
        (tuple(range(800)), tuple(range(2000))),
        ("a", "a" * 10_000),
    ],
    ids=str.split("str wide bytes str-item bytes-item int negative edge tuple long"),
)
def test_size_is_limited(fits: object, does_not: object) -> None:
    assert decode_key(encode_key(fits)) == fits
    with pytest.raises(RequestSizeError, match=f"at most {KEY_BYTES_MAX} are allowed"):
        encode_key(does_not)


def test_few_objects_that_stand_for_many_items_do_not_hold_up() -> None:
    key: tuple[object, ...] = ("x",)
    members: frozenset[object] = frozenset({"x"})
    for _ in range(KEY_DEPTH_MAX - 3):
        key = (key, key)
        members = frozenset({members, (members,)})
    for each in (key, members):
        with pytest.raises((RequestSizeError, InvalidError)):
            encode_key(each)


# -- hostile bytes -------------------------------------------------------------------------------------


def assert_canonical_or_refused(data: bytes) -> None:
    try:
        key = decode_key(data)
    except ValueError:
        with pytest.raises(ValueError, match=r"^not a canonical key: "):
            decode_key(data)
    else:
        assert encode_key(key) == data


@given(st.binary(max_size=40))
def test_bytes_are_a_canonical_key_or_none(data: bytes) -> None:
    assert_canonical_or_refused(data)


@given(
    st.lists(
        st.sampled_from([0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 97, 127, 128, 129, 130, 0xFD, 0xFF]), max_size=14
    )
)
def test_likely_bytes_are_a_canonical_key_or_none(data: list[int]) -> None:
    assert_canonical_or_refused(bytes(data))


@given(keys, st.data())
def test_damaged_keys_are_canonical_or_refused(key: object, data: st.DataObject) -> None:
    encoded = bytearray(encode_key(key))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] = data.draw(st.integers(0, 255))
    assert_canonical_or_refused(bytes(encoded))
    assert_canonical_or_refused(bytes(encoded[:place]))


@pytest.mark.parametrize(
    ("digits", "what"),
    [
        ("", "nothing"),
        ("00", "an end"),
        ("01", "the lock key space"),
        ("0c", "an unknown tag"),
        ("02 00", "something after the key"),
        ("03", "no head"),
        ("03 01", "a head without meaning"),
        ("03 fc", "a head without meaning"),
        ("03 81 00 00", "a leading zero"),
        ("03 7f ff 00", "a negative leading zero"),
        ("03 88 00 00 00 00 00 00 00 01 00", "leading zeros of a word"),
        ("03 fd 00 01 05 00", "a short number in the long form"),
        ("03 02 ff fe fa 00", "a short negative number in the long form"),
        ("03 fd 10 00 01", "less than the size says"),
        ("03 81 01", "no fraction"),
        ("03 81 01 02", "an unknown fraction"),
        ("03 81 01 02 bf f8 00 00 00 00 00 00", "a number after an unknown fraction"),
        ("03 81 01 01 bf f0 00 00 00 00 00 00", "1.0 as a fraction"),
        ("03 81 02 01 bf f8 00 00 00 00 00 00", "1.5 with the floor of 2.5"),
        ("03 80 01 ff f8 00 00 00 00 00 00", "NaN as a fraction"),
        ("03 80 01 ff f0 00 00 00 00 00 00", "infinity as a fraction"),
        ("03 81 01 01 bf f8", "half a double"),
        ("03 00 00", "a fraction of infinity"),
        ("04 ff", "no UTF-8"),
        ("04 c0 80", "overlong UTF-8"),
        ("06 00", "half a UUID"),
        ("07 00 00 00 00", "day zero"),
        ("07 ff ff ff ff", "a day after the last"),
        ("08 ff ff ff ff ff ff ff ff", "an instant after the last"),
        ("09 7f ff ff ff ff ff ff ff", "an instant after the last"),
        ("07 00 0b 49", "half a date"),
        ("0a 07 00 0b 49", "half a date in a tuple"),
        ("0b 07 00 0b 49", "half a date in a frozenset"),
        ("08 00 e3 07", "half an instant"),
        ("0a", "a tuple without an end"),
        ("0a 04 61", "a str without an end"),
        ("0a 04 61 00", "a tuple without an end after a str"),
        ("0a 04 61 00 ff", "an escape and no end"),
        ("0b 03 82 01 00 00 03 81 01 00 00", "members out of order"),
        ("0b 02 02 00", "a member twice"),
    ],
)
def test_malformed_keys(digits: str, what: str) -> None:
    data = bytes.fromhex(digits)
    with pytest.raises(ValueError, match=r"^not a canonical key") as caught:
        decode_key(data)
    assert not isinstance(caught.value, InvalidError), what


@pytest.mark.parametrize("tag", [b"\x0a", b"\x0b"])
def test_hostile_depth_is_refused(tag: bytes) -> None:
    for depth in (KEY_DEPTH_MAX + 1, 100_000):
        with pytest.raises(ValueError, match=r"^not a canonical key"):
            decode_key(tag * depth + b"\x00" * depth)


def test_threads_do_not_disturb_each_other() -> None:
    expected = {key: encode_key(key) for key in [("a", n, (n + 0.5, frozenset({n}))) for n in range(50)]}
    wrong: list[object] = []

    def encode_all() -> None:
        for _ in range(20):
            wrong.extend(
                key for key, data in expected.items() if encode_key(key) != data or decode_key(data) != key
            )

    threads = [threading.Thread(target=encode_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
