"""NumPy arrays and scalars as values: dtype, shape, order and bytes, and nothing that would need pickle."""

from __future__ import annotations

import math
import sys
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.client import extension
from ringdict.client.values import ValueCodec
from ringdict.exception import DeserializationError, ValueTooLargeError

BYTES_MAX = 1 << 20

codec = ValueCodec(allow_pickle=False, value_bytes_max=BYTES_MAX)
trusting = ValueCodec(allow_pickle=True, value_bytes_max=BYTES_MAX)


def round_trip(value: Any) -> Any:
    return codec.decode(codec.encode(value))


grid = np.arange(12, dtype="<i4").reshape(3, 4)
record = np.dtype([("name", "U3"), ("at", ">i8", (2,)), ("in", [("x", "f4"), ("y", "?")])])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3),
        np.array([], dtype="f8"),
        np.zeros((2, 0, 3), dtype="i2"),
        np.array(5),
        grid,
        np.asfortranarray(grid),
        grid[::2, 1::2],
        grid.T,
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        grid.astype(">i4"),
        np.broadcast_to(np.float32(1.5), (2, 2)),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array(["a\0b", "\ud800", ""]),
        np.array([b"a", b""], dtype="S3"),
        np.array(["2026-01-01", "NaT"], dtype="M8[ns]"),
        np.array([1, 2], dtype="m8[s]"),
        np.array([1.5], dtype="f2"),
        np.array([1.5], dtype=np.longdouble),
        np.zeros(2, dtype=record),
        np.zeros(2, dtype=np.dtype([("a", "i1"), ("b", "i8")], align=True)),
        np.zeros(2, dtype="V7"),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_arrays_come_back_as_they_were(array: np.ndarray[Any, Any]) -> None:
    decoded = round_trip({"deep": (array,)})["deep"][0]
    assert type(decoded) is np.ndarray
    assert decoded.dtype == array.dtype
    assert decoded.dtype.byteorder == array.dtype.byteorder
    assert decoded.shape == array.shape
    assert decoded.tobytes() == array.tobytes()
    contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    assert not contiguous or decoded.flags.f_contiguous == array.flags.f_contiguous
    assert decoded.flags.writeable


@pytest.mark.parametrize(
    "scalar",
    [
        np.bool_(True),
        np.int64(-1),
        np.uint8(255),
        np.float16(1.5),
        np.float64(math.pi),
        np.float32("nan"),
        np.longdouble("1.1"),
        np.complex64(1j),
        np.datetime64("2026-01-01T00:00", "m"),
        np.datetime64("NaT", "ns"),
        np.timedelta64(5, "D"),
        np.str_("a\0\ud800"),
        np.str_(""),
        np.bytes_(b"a\0"),
        np.bytes_(b""),
        np.void(b"ab"),
        np.zeros(1, dtype=record)[0],
    ],
    ids=repr,
)
def test_numpy_scalars_come_back_as_they_were(scalar: Any) -> None:
    decoded = round_trip([scalar])[0]
    assert type(decoded) is type(scalar)
    assert decoded.dtype == scalar.dtype
    assert decoded.tobytes() == scalar.tobytes()
    assert repr(decoded) == repr(scalar)


def test_an_array_of_another_byte_order_holds_scalars_of_this_one() -> None:
    assert round_trip(np.array([1], dtype=">i2")[0]) == 1


def deep_dtype(depth: int) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype("i1")
    for _ in range(depth):
        dtype = np.dtype([("a", dtype)])
    return dtype


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.array([object()]), "is a ndarray, whose dtype object cannot be rebuilt without pickle"),
        (np.zeros(1, dtype=[("a", "O")]), "is a ndarray, whose dtype .* cannot be rebuilt"),
        (np.zeros(1, dtype=[(("title", "a"), "i1")]), "is a ndarray, whose dtype .* cannot be rebuilt"),
        (np.void(b""), "is a void, whose dtype .* cannot be rebuilt"),
        (np.rec.array([(1,)], dtype=[("a", "i1")])[0], "is a record, whose dtype .* cannot be rebuilt"),
        (np.zeros(1, dtype=deep_dtype(20)), "is a ndarray, whose dtype nests deeper than 16"),
        (
            np.rec.array([(1,)], dtype=[("a", "i1")]),
            "is a recarray, which is not exactly one of the supported",
        ),
        (np.ma.masked_array([1]), "is a MaskedArray, which is not exactly one of the supported"),
        (np.array(["a"], dtype=np.dtypes.StringDType()), "is a ndarray, whose dtype"),
    ],
)
def test_arrays_that_only_pickle_could_hold_are_refused(value: Any, why: str) -> None:
    with pytest.raises(TypeError, match=f"^value {why}"):
        codec.encode(value)
    assert type(trusting.decode(trusting.encode(value))) is type(value)


class Flag(np.bool_ if False else np.float64):  # type: ignore[misc]
    """A scalar of a class that NumPy does not know."""


def test_a_subclass_of_a_numpy_scalar_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^value is a Flag, which NumPy cannot rebuild from its dtype"):
        codec.encode(Flag(1.5))


@pytest.mark.parametrize("depth", [1, 16])
def test_nested_dtypes_come_back(depth: int) -> None:
    assert round_trip(np.zeros(1, dtype=deep_dtype(depth))).dtype == deep_dtype(depth)


def test_large_arrays_are_not_turned_into_bytes() -> None:
    huge = np.broadcast_to(np.int8(0), (1 << 40,))
    with pytest.raises(ValueTooLargeError):
        codec.encode([huge])


def extended(code: int, payload: bytes) -> bytes:
    packed: bytes = msgpack.Packer().pack(msgpack.ExtType(code, payload))
    return b"\xc1" + packed


def numpy_value(code: int, *parts: object) -> bytes:
    return extended(code, msgpack.Packer().pack(parts))


def deep_form(depth: int) -> object:
    return (deep_form(depth - 1), (1,)) if depth else "i1"


@pytest.mark.parametrize(
    "parts",
    [
        ("O", [1], False, b"12345678"),
        ("|O8", [1], False, b"12345678"),
        ("<i8", [1 << 62], False, b""),
        ("<i8", [-1, -1], False, b"12345678"),
        ("<i8", [-1], False, b"12345678"),
        ("<i8", [1], False, b"1234567"),
        ("<i8", [1], False, "12345678"),
        ("<i8", [1.0], False, b"12345678"),
        ("<i8", 1, False, b"12345678"),
        ("<i8", [1] * 100, False, b"12345678"),
        ("<U0", [1 << 60], False, b""),
        ("no such dtype", [1], False, b""),
        (None, [1], False, b"12345678"),
        (5, [1], False, b"12345678"),
        ({"names": ["a"], "formats": ["O"], "offsets": [0], "itemsize": 8}, [1], False, b"12345678"),
        ({"names": ["a"], "formats": ["<i8"], "offsets": [4], "itemsize": 8}, [1], False, b"12345678"),
        ({"names": ["a"]}, [1], False, b"12345678"),
        (deep_form(20), [1], False, b"1"),
        ("<i8", [1], False),
        ("<i8",),
    ],
    ids=lambda parts: repr(parts)[:40],
)
def test_malformed_arrays(parts: tuple[Any, ...]) -> None:
    with pytest.raises(DeserializationError):
        codec.decode(numpy_value(extension.NDARRAY, *parts))


@pytest.mark.parametrize(
    "parts",
    [
        ("<i8", b"1"),
        ("|O8", b"12345678"),
        ("U", b"a"),
        ("S", "a"),
        ("U", 5),
        ("S", 1 << 40),
        ("V0", b""),
        ("<i8", None),
    ],
    ids=repr,
)
def test_malformed_numpy_scalars(parts: tuple[Any, ...]) -> None:
    with pytest.raises(DeserializationError):
        codec.decode(numpy_value(extension.SCALAR, *parts))


def test_an_array_is_unreadable_where_numpy_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.encode([np.arange(3)])
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(DeserializationError, match="numpy") as caught:
        codec.decode(data)
    assert isinstance(caught.value.__cause__, ImportError)
    assert codec.decode(codec.encode((1,))) == (1,)


@given(st.sampled_from([grid, np.zeros(2, dtype=record), np.str_("a"), np.float32(1)]), st.data())
def test_damaged_arrays_are_a_value_or_refused(array: object, data: st.DataObject) -> None:
    encoded = bytearray(codec.encode(array))
    place = data.draw(st.integers(1, len(encoded) - 1))
    encoded[place] = data.draw(st.integers(0, 255))
    try:
        codec.decode(bytes(encoded))
    except DeserializationError:
        pass


def test_nested_payloads_of_arrays_are_not_followed() -> None:
    payload = b"\x01"
    for _ in range(200):
        payload = extended(extension.NDARRAY, payload)[1:]
    with pytest.raises(DeserializationError):
        codec.decode(b"\xc1" + payload)
