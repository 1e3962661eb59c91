"""Values: exact types, refusals, limits, pickle only where it is allowed, and hostile bytes."""

from __future__ import annotations

import collections
import dataclasses
import enum
import io
import math
import pickle
import struct
import subprocess
import sys
import threading
import time as clock
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import numpy as np
import ormsgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringdict.client import extension
from ringdict.client.values import ValueCodec
from ringdict.exception import DeserializationError, InvalidError, RequestSizeError, ValueTooLargeError
from ringdict.node.config import VALUE_DEPTH_MAX

BYTES_MAX = 1 << 20

codec = ValueCodec(allow_pickle=False, value_bytes_max=BYTES_MAX)
trusting = ValueCodec(allow_pickle=True, value_bytes_max=BYTES_MAX)


def extended(lowered: object) -> bytes:
    """An extended value as somebody else may have written it."""
    packed: bytes = msgpack.Packer(unicode_errors="surrogatepass").pack(lowered)
    return b"\xc1" + packed


def round_trip(value: Any) -> Any:
    return codec.decode(codec.encode(value))


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all through; NaN is the same as NaN, 0.0 is not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple | dict):
        pair = [[*each.items()] if isinstance(each, dict) else each for each in (one, other)]
        return len(one) == len(other) and all(map(same, *pair))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(same(a, b) for b in other) for a in one)
    if isinstance(one, datetime | time):
        return bool(repr(one) == repr(other) and one.fold == other.fold)
    if isinstance(one, float | complex | Decimal):
        return repr(one) == repr(other)
    return bool(one == other)


# -- what values there are -----------------------------------------------------------------------

texts = st.text(max_size=10) | st.text("\x00\ud800\udfffé", max_size=3)
zones = (
    st.none()
    | st.just(UTC)
    | st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
    | st.builds(timezone, st.integers(-1439, 1439).map(lambda m: timedelta(minutes=m)), texts)
    | st.sampled_from([ZoneInfo("Europe/Zurich"), ZoneInfo("UTC"), ZoneInfo("America/New_York")])
)
folds = st.sampled_from([0, 1])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2**2048]),
    st.floats(),
    texts,
    st.binary(max_size=10),
)
leaves = st.one_of(
    scalars,
    st.complex_numbers(),
    st.decimals(),
    st.sampled_from([Decimal("sNaN"), Decimal("-NaN123"), Decimal("-0E+3"), Decimal("1E-999999")]),
    st.uuids(),
    st.dates(),
    st.timedeltas(),
    st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.times(), zones, folds),
    st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.datetimes(), zones, folds),
)
hashables = st.recursive(
    leaves.filter(lambda leaf: repr(leaf).lower().find("nan") < 0),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values = (
    st.recursive(
        leaves | st.binary(max_size=5).map(bytearray),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(hashables, inner, max_size=4),
            st.sets(hashables, max_size=4),
        ),
        max_leaves=12,
    )
    | hashables
)
plain = st.recursive(
    scalars.filter(lambda leaf: type(leaf) is not str and (type(leaf) is not int or -(2**63) <= leaf < 2**64))
    | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.one_of(
                st.none(), st.booleans(), st.integers(0, 9), st.floats(), st.binary(max_size=3), st.text("ab")
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


# -- exact types -------------------------------------------------------------------------------------


@given(values)
@example([[], (), {}, set(), frozenset(), [[]], ((),)])
@example({(1, "a"): 1, frozenset({(1,)}): 2, None: 3, b"a": 4, UUID(int=1): 5, 2**70: 6, date(2026, 1, 1): 7})
@example([True, 1, 1.0, -0.0, math.nan])
@example({float("nan"): 1, -0.0: 2, True: 3})
def test_a_value_comes_back_as_it_was(value: object) -> None:
    assert same(round_trip(value), value)


@given(plain)
def test_plain_values_are_bare_messagepack(value: object) -> None:
    data = codec.encode(value)
    assert data == msgpack.packb(value)
    assert data[0] != 0xC1
    assert same(codec.decode(data), value)


@given(values)
def test_who_allows_pickle_writes_the_same_bytes(value: object) -> None:
    assert trusting.encode(value) == codec.encode(value)


@given(values)
def test_values_are_copies(value: object) -> None:
    data = codec.encode(value)
    assert codec.decode(data) is not codec.decode(data) or type(value) not in (list, dict, set, bytearray)


def test_a_reader_takes_a_view_of_bytes() -> None:
    for value in ({"a": [1]}, (1, {2})):
        view: Any = memoryview(codec.encode(value))
        assert codec.decode(view) == value


class Elsewhere(tzinfo):
    """A time zone of another library."""

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        return timedelta(hours=5) if when is not None else None

    dst = utcoffset

    def tzname(self, when: datetime | None) -> str | None:
        return None


def test_a_foreign_time_zone_is_kept_as_its_offset() -> None:
    value = datetime(2026, 1, 1, tzinfo=Elsewhere())
    decoded = round_trip(value)
    assert decoded == value
    assert decoded.tzinfo == timezone(timedelta(hours=5))


def test_a_zoneinfo_without_a_key_is_kept_as_its_offset() -> None:
    header = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    tables = struct.pack(">lbb", 3600, 0, 0) + b"XYZ\x00"
    version_2 = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    zone = ZoneInfo.from_file(io.BytesIO(header + tables + version_2 + tables + b"\nXYZ-1\n"))
    assert round_trip(datetime(2026, 1, 1, tzinfo=zone)).tzinfo == timezone(timedelta(hours=1))


@pytest.mark.parametrize("value", [time(1, tzinfo=Elsewhere()), {"at": time(1, tzinfo=Elsewhere())}])
def test_a_time_zone_without_an_offset_is_refused(value: object) -> None:
    with pytest.raises(
        TypeError, match=r"^value(\['at'\])? is a time, whose time zone tells no offset: convert it"
    ):
        codec.encode(value)


# -- imports ---------------------------------------------------------------------------------------

PROGRAM = """
import sys
from ringdict.client.values import ValueCodec
codec = ValueCodec(allow_pickle=False, value_bytes_max=1000)
assert codec.decode(codec.encode({"a": [1, "b"]})) == {"a": [1, "b"]}
loaded = {"msgpack", "zoneinfo", "decimal", "pickle", "cloudpickle", "numpy"} & set(sys.modules)
assert not loaded, loaded
assert codec.decode(codec.encode((1, {2}))) == (1, {2})
try:
    codec.encode(object())
except TypeError:
    pass
loaded = {"cloudpickle", "numpy"} & set(sys.modules)
assert not loaded, loaded
"""


def test_nothing_is_imported_before_it_is_needed(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=False,
        env={"PYTHONPATH": str(root / ".import")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# -- refusals ----------------------------------------------------------------------------------------


class Foo:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Foo)

    def __hash__(self) -> int:
        return 1


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Items(list[Any]):
    pass


class Colour(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1


class Stamp(datetime):
    pass


@dataclasses.dataclass
class Data:
    x: int = 1


class Point(NamedTuple):
    x: int
    y: int


UNSUPPORTED = [
    Foo(),
    Text("a"),
    Whole(1),
    Items([1]),
    Colour.RED,
    Number.ONE,
    Stamp(2026, 1, 1),
    Data(),
    Point(1, 2),
    collections.OrderedDict(a=1),
    collections.defaultdict(list),
    collections.Counter("aab"),
    range(3),
    UTC,
    Foo,
    len,
]

FOREIGN = [
    memoryview(b"a"),
    msgpack.ExtType(extension.LIST, b""),
    msgpack.ExtType(extension.PICKLE, b""),
    msgpack.Timestamp(1, 2),
    ormsgpack.Ext(extension.DECIMAL, b"1"),
    ormsgpack.Fragment(b"\x01"),
]


@pytest.mark.parametrize("part", [*UNSUPPORTED, *FOREIGN], ids=lambda part: type(part).__name__)
@pytest.mark.parametrize(
    ("wrap", "where"),
    [
        (lambda part: part, "value"),
        (lambda part: {"a": [1, 2, {}, part]}, r"value\['a'\]\[3\]"),
        (lambda part: [(1, {"x"}), {"b": (part,)}], r"value\[1\]\['b'\]\[0\]"),
        (lambda part: [part, Foo()], r"value\[0\]"),
    ],
)
def test_an_unsupported_part_is_refused_by_its_place(
    part: Any, wrap: Callable[[Any], Any], where: str
) -> None:
    why = "which is not exactly one of the supported types: convert it, or open"
    with pytest.raises(TypeError, match=f"^{where} is a {type(part).__name__}, {why}"):
        codec.encode(wrap(part))


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({Foo(): 1}, r"value key <.*> is a Foo"),
        ({"a": {(1, Foo()): 1}}, r"value\['a'\] key \(1, <.*>\)\[1\] is a Foo"),
        ({Text("a"): 1}, r"value key 'a' is a Text"),
        ({Number.ONE: 1}, r"value key <Number.ONE: 1> is a Number"),
        ({"s": {Foo()}}, r"value\['s'\] item is a Foo"),
        ([frozenset({Colour.RED})], r"value\[0\] item is a Colour"),
        (
            {"d": {Decimal("NaN"): 1, Decimal("NaN"): 2}},
            r"value\['d'\] is a dict, which has keys that cannot be told apart",
        ),
    ],
)
def test_keys_and_items_are_named_too(value: Any, where: str) -> None:
    with pytest.raises(TypeError, match=f"^{where}"):
        codec.encode(value)


def test_a_long_key_is_abbreviated_in_the_message() -> None:
    with pytest.raises(TypeError) as caught:
        codec.encode({"a" * 10_000: Foo()})
    assert len(str(caught.value)) < 250


def nested(depth: int, kind: Callable[[list[Any]], Any], inner: Any = 1) -> Any:
    for _ in range(depth):
        inner = kind([inner])
    return inner


@pytest.mark.parametrize(
    "kind", [list, tuple, frozenset, lambda part: {"a": part[0]}, lambda part: [tuple(part)]], ids=range(5)
)
def test_depth_is_limited(kind: Callable[[list[Any]], Any]) -> None:
    step = 2 if isinstance(kind([1]), list) and kind([1]) != [1] else 1
    deepest = nested(VALUE_DEPTH_MAX // step, kind)
    assert round_trip(deepest) == deepest
    innermost: Any
    for innermost in (1, (), []) if kind is not frozenset else (1, ()):
        with pytest.raises(InvalidError, match=f"deeper than {VALUE_DEPTH_MAX}"):
            codec.encode(nested(VALUE_DEPTH_MAX // step + 1, kind, innermost))
    assert trusting.decode(trusting.encode(nested(VALUE_DEPTH_MAX // step + 1, kind))) is not None


def test_a_cycle_is_too_deep() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    for value in (cycle, (cycle,), {"a": cycle}):
        with pytest.raises(InvalidError):
            codec.encode(value)
    decoded: Any = trusting.decode(trusting.encode(cycle))
    assert decoded[0] is decoded


# -- size ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda size: "a" * (size - 3),
        lambda size: b"a" * (size - 3),
        lambda size: [b"a" * (size - 4)],
        lambda size: ("a" * (size - 5),),
        lambda size: bytearray(size - 5),
        lambda size: [1] * (size - 3),
        lambda size: (1,) * (size - 4),
    ],
    ids=range(7),
)
def test_size_is_limited_to_the_byte(make: Callable[[int], Any]) -> None:
    small = ValueCodec(allow_pickle=False, value_bytes_max=1000)
    assert len(small.encode(make(1000))) == 1000
    with pytest.raises(
        ValueTooLargeError, match=r"the value has 1001 bytes or more: at most 1000 are allowed"
    ):
        small.encode(make(1001))
    assert issubclass(ValueTooLargeError, RequestSizeError)


@pytest.mark.parametrize(
    "value",
    [
        "a" * 10_000,
        b"a" * 10_000,
        ["a" * 10_000],
        {"a": b"a" * 10_000},
        ("a" * 10_000,),
        (b"a" * 10_000,),
        [({}, "a" * 10_000)],
        bytearray(10_000),
        {"a": [bytearray(10_000)]},
        [None] * 10_000,
        (None,) * 10_000,
        dict.fromkeys(range(10_000)),
        dict.fromkeys((number,) for number in range(10_000)),
        np.zeros(10_000),
    ],
    ids=range(14),
)
def test_a_large_value_is_refused_before_it_is_bytes(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **options: object) -> bytes:
        raise AssertionError("it was turned into bytes")

    monkeypatch.setattr("ringdict.client.values._pack", never)
    monkeypatch.setattr("msgpack.Packer", never)
    with pytest.raises(ValueTooLargeError, match="at most 1000 are allowed"):
        ValueCodec(allow_pickle=False, value_bytes_max=1000).encode(value)


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("allow_pickle", [False, True])
def test_few_objects_that_stand_for_many_parts_do_not_hold_up(
    kind: Callable[[Any], Any], allow_pickle: bool
) -> None:
    value: Any = kind(["x"])
    for _ in range(100):
        value = kind([value, value])
    with pytest.raises(ValueTooLargeError):
        ValueCodec(allow_pickle=allow_pickle, value_bytes_max=10_000).encode(value)


# -- pickle --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", UNSUPPORTED, ids=lambda value: type(value).__name__)
def test_pickle_carries_what_else_is_unsupported(value: Any) -> None:
    data = trusting.encode({"a": value})
    decoded: Any = trusting.decode(data)
    assert decoded == {"a": value}
    assert type(decoded["a"]) is type(value)
    with pytest.raises(DeserializationError, match="allow_pickle=True"):
        codec.decode(data)


def test_pickle_keeps_shared_references_and_closures() -> None:
    shared: list[Any] = [Foo()]
    decoded: Any = trusting.decode(trusting.encode([shared, shared, lambda: 5]))
    assert decoded[0] is decoded[1]
    assert decoded[2]() == 5


class Trap:
    sprung = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return Trap.spring, ()

    @staticmethod
    def spring() -> int:
        Trap.sprung += 1
        return Trap.sprung


def test_nothing_is_unpickled_unless_it_is_allowed() -> None:
    forged = msgpack.ExtType(extension.PICKLE, pickle.dumps(Trap()))
    before = Trap.sprung
    for data in (
        trusting.encode(Trap()),
        extended(forged),
        extended({"a": [1, forged]}),
        extended({"a": {forged.data: forged}}),
        extended(forged)[1:],
        extended([1, {"a": forged}])[1:],
    ):
        with pytest.raises(DeserializationError):
            codec.decode(data)
    assert Trap.sprung == before
    assert trusting.decode(trusting.encode(Trap())) == before + 1


def test_a_lock_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match=r"^the value cannot be pickled: TypeError: "):
        trusting.encode(threading.Lock())


def test_what_cannot_be_unpickled_is_unreadable() -> None:
    missing = pickle.dumps(Foo()).replace(b"Foo", b"Fox")
    for payload in (missing, b"", b"garbage", pickle.dumps(Foo())[:-3]):
        with pytest.raises(DeserializationError, match="cannot read the value") as caught:
            trusting.decode(extended(msgpack.ExtType(extension.PICKLE, payload)))
        assert caught.value.__cause__ is not None


def test_pickling_ends_at_the_limit() -> None:
    class Endless:
        def __reduce__(self) -> tuple[Any, ...]:
            return list, (), None, (b"x" * 1000 + str(number).encode() for number in range(10**9))

    for value in (Endless(), [Foo(), b"x" * (2 * BYTES_MAX)]):
        with pytest.raises(ValueTooLargeError):
            trusting.encode(value)


# -- threads and re-entry ------------------------------------------------------------------------------


def test_threads_do_not_disturb_each_other() -> None:
    samples: list[Any] = [
        [{"n": n, "at": datetime(2026, 1, 1, tzinfo=UTC), "t": ("a", n, 2**70 + n), "s": {n}, "f": n / 7}]
        for n in range(40)
    ]
    expected = [codec.encode(sample) for sample in samples]
    wrong: list[int] = []
    start = threading.Barrier(8)

    def encode_all() -> None:
        start.wait()
        for _ in range(20):
            for index, sample in enumerate(samples):
                if codec.encode(sample) != expected[index] or codec.decode(expected[index]) != sample:
                    wrong.append(index)

    threads = [threading.Thread(target=encode_all) for _ in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


class Reentrant(tzinfo):
    """Uses the codec while the codec asks for its offset."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        assert round_trip((1, [2**70, {"a"}])) == (1, [2**70, {"a"}])
        return timedelta(hours=1)

    dst = utcoffset

    def tzname(self, when: datetime | None) -> str | None:
        return None


def test_the_codec_may_be_used_by_what_it_encodes() -> None:
    value = [(1, datetime(2026, 1, 1, tzinfo=Reentrant()), "a" * 100, 2**80)]
    assert round_trip(value) == [
        (1, datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), "a" * 100, 2**80)
    ]


# -- hostile bytes -------------------------------------------------------------------------------------


def assert_value_or_refused(data: bytes) -> None:
    try:
        value = codec.decode(data)
    except DeserializationError:
        return
    assert_supported(value)


def assert_supported(value: Any) -> None:
    if isinstance(value, dict):
        for pair in value.items():
            assert_supported(pair)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            assert_supported(part)
    else:
        known = (
            type(None),
            bool,
            int,
            float,
            str,
            bytes,
            bytearray,
            complex,
            Decimal,
            UUID,
            date,
            time,
            datetime,
            timedelta,
        )
        assert type(value) in known or isinstance(value, np.ndarray | np.generic)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    assert_value_or_refused(data)
    assert_value_or_refused(b"\xc1" + data)


@given(values, st.data())
def test_damaged_values_are_a_value_or_refused(value: object, data: st.DataObject) -> None:
    encoded = bytearray(codec.encode(value))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] = data.draw(st.integers(0, 255))
    assert_value_or_refused(bytes(encoded))
    assert_value_or_refused(bytes(encoded[:place]))


CODES = st.sampled_from(
    sorted({code for name, code in vars(extension).items() if name.isupper() and type(code) is int})
)


@given(
    st.recursive(
        scalars.filter(lambda leaf: type(leaf) is not int or -(2**63) <= leaf < 2**64),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.builds(msgpack.ExtType, CODES, st.binary(max_size=20))
            | st.sampled_from([msgpack.ExtType(code, b"") for code in (1, 2, 3)])
        ),
    )
)
def test_forged_extensions_are_a_value_or_refused(forged: object) -> None:
    assert_value_or_refused(extended(forged))


LIST = msgpack.ExtType(extension.LIST, b"")
SET = msgpack.ExtType(extension.SET, b"")


@pytest.mark.parametrize(
    "forged",
    [
        LIST,
        [1, LIST],
        [LIST, LIST],
        [[1], LIST, 2],
        {"a": LIST},
        {LIST: 1},
        [SET, [LIST, 1]],
        [SET, {}],
        {"a": {"b": [SET, SET]}},
        {(LIST, 1): 1},
        msgpack.ExtType(extension.LIST, b"x"),
        [msgpack.ExtType(extension.LIST, b"x"), 1],
        msgpack.ExtType(0, b""),
        msgpack.ExtType(0x55, b"abc"),
        msgpack.ExtType(extension.COMPLEX, b"abc"),
        msgpack.ExtType(extension.DECIMAL, b"abc"),
        msgpack.ExtType(extension.DECIMAL, b"\xff"),
        msgpack.ExtType(extension.UUID_, b"abc"),
        msgpack.ExtType(extension.DATE, b"\x00\x00\x01\x01"),
        msgpack.ExtType(extension.DATE, b"\x07\xea\x02\x1e"),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05"),
        msgpack.ExtType(extension.TIME, b"\x18\x00\x00\x00" + bytes(4)),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05\x02" + bytes(4)),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05\x00" + bytes(4) + b"\x04"),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05\x00" + bytes(4) + b"\x01"),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05\x00" + bytes(4) + b"\x01" + bytes(9)),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05\x00" + bytes(4) + b"\x05" + bytes(8)),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05\x00" + bytes(4) + b"\x01\x7f" + bytes(7)),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05\x00" + bytes(4) + b"\x03No/Where"),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05\x00" + bytes(4) + b"\x03"),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05\x00" + bytes(4) + b"\x03../../etc/passwd"),
        msgpack.ExtType(extension.TIME, b"\x03\x04\x05\x00" + bytes(4) + b"\x03/etc/passwd"),
        msgpack.ExtType(extension.DATETIME, b"abc"),
        msgpack.ExtType(extension.TIMEDELTA, b"abc"),
        msgpack.ExtType(extension.TIMEDELTA, b"\x7f\xff\xff\xff" + bytes(8)),
    ],
    ids=repr,
)
def test_malformed_extensions(forged: object) -> None:
    with pytest.raises(DeserializationError):
        codec.decode(extended(forged))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xc1\xc1",
        b"\xc1\x01\x02",
        b"\x91",
        b"\xa2\xff\xff",
        b"\xa3\xed\xa0\x80",
        b"\x81\x80\x01",
        b"\xc1\x81\x80\x01",
        b"\xc1\x81\x92\xc7\x00\x01\x01\x01",
        b"\xd4\x0b\x01",
        b"\x91\xd4\x0b\x01",
        b"\xd6\xff\x00\x00\x00\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xc1\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01",
        b"\xc1\xdf\xff\xff\xff\xff\x01",
        b"\xc6\xff\xff\xff\xff",
        b"\xc1\xc6\xff\xff\xff\xff",
        b"\xc1\xc9\xff\xff\xff\xff\x0b",
    ],
)
def test_malformed_values(data: bytes) -> None:
    with pytest.raises(DeserializationError):
        codec.decode(data)


def test_an_unknown_code_is_named() -> None:
    with pytest.raises(DeserializationError, match="extension code 85 is unknown to this version"):
        codec.decode(b"\xc1\xd4\x55\x00")


def test_the_timestamp_of_messagepack_is_read_as_an_instant() -> None:
    assert same(codec.decode(b"\xc1\xd6\xff\x00\x00\x00\x01"), datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "head", [b"\x91", b"\x81\x01", b"\xdd\x00\x0f\x00\x00", b"\xdf\x00\x0f\x00\x00\x01", b"\x92\xc7\x00\x01"]
)
@pytest.mark.parametrize("prefix", [b"", b"\xc1"])
def test_hostile_depth_is_cheap(head: bytes, prefix: bytes) -> None:
    started = clock.monotonic()
    with pytest.raises(DeserializationError):
        codec.decode(prefix + head * 200_000)
    assert clock.monotonic() - started < 5
