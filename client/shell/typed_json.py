"""Keys and values as JSON and back, each coming back as the type it went in.

What JSON has stands for itself. The rest is an object of one member whose name starts with `$`:
`{"$bytes": "AAE="}`, `{"$tuple": [1, 2]}`; docs/cli.md lists them. The text is plain ASCII, so that no
terminal, locale or tool in between can spoil it.
"""

from __future__ import annotations

import json
import math
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from ...exception import InvalidError

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.generic]]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
T = TypeVar("T")
Clock = TypeVar("Clock", datetime, time)

INT_PLAIN_MAX: Final = 2**53 - 1
"""Beyond it most readers of JSON (those that keep numbers as doubles) would silently change the number."""

INT_DECIMAL_BITS_MAX: Final = 10_000
"""Of an int written in decimal: Python refuses above 4,300 digits, since the conversion is quadratic."""


def dumps(value: object) -> str:
    """`value`, which must be of the kinds that a Dict holds without pickle, as one line of JSON."""
    return json.dumps(to_json(value), allow_nan=False, separators=(", ", ": "))


def loads(text: str) -> object:
    """The value that `text` stands for.

    Raises:
        InvalidError: it is not JSON, or an object with a `$` name is not one of ours.
    """
    try:
        return from_json(cast(Json, json.loads(text)))
    except RecursionError:
        raise InvalidError("the JSON is nested too deeply") from None
    except InvalidError:
        raise
    except ValueError as error:
        raise InvalidError(f"not JSON: {error}") from None


def to_json(value: object) -> Json:
    """`value` in terms of JSON. `TypeError` for a kind that no Dict holds without pickle."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return cast(Json, value)
    if kind is list:
        return [to_json(item) for item in cast(list[object], value)]
    if kind is dict:
        return _write_dict(cast(dict[object, object], value))
    if kind is int and abs(cast(int, value)) <= INT_PLAIN_MAX:
        return cast(int, value)
    if kind is float and math.isfinite(cast(float, value)):
        return cast(float, value)
    tag = _BY_KIND.get(kind) or _numpy_tag(kind)
    if tag is None:
        raise TypeError(f"no JSON for {kind.__qualname__}")
    return {tag.name: tag.write(value)}


def from_json(document: Json) -> object:
    """The value that `to_json` made `document` from. `InvalidError` if it cannot have."""
    if isinstance(document, list):
        return [from_json(item) for item in document]
    if not isinstance(document, dict):
        return document
    if not any(name.startswith("$") for name in document):
        return {name: from_json(item) for name, item in document.items()}
    name, *others = document
    tag = _BY_NAME.get(name)
    if tag is None or others:
        known = ", ".join(_BY_NAME)
        raise InvalidError(f"{name!r} in a JSON object is none of {known}; a dict with such a key is a $dict")
    try:
        return tag.read(document[name])
    except InvalidError:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InvalidError(f"{name} cannot be read: {error}") from None


class _Tag:
    """One type that JSON lacks: how its content is written and read."""

    def __init__(
        self, name: str, kind: type[T] | None, write: Callable[[T], Json], read: Callable[[Json], T]
    ) -> None:
        self.name = name
        self.kind: type[object] | None = kind  # None: numpy's, known only where numpy is
        self.write = cast(Callable[[object], Json], write)
        self.read: Callable[[Json], object] = read


# -- contents ------------------------------------------------------------------------------------


def _text(content: Json) -> str:
    if not isinstance(content, str):
        raise TypeError("a string was expected")
    return content


def _list(content: Json) -> list[Json]:
    if not isinstance(content, list):
        raise TypeError("a list was expected")
    return content


def _fields(content: Json, *names: str) -> dict[str, Json]:
    if not isinstance(content, dict) or content.keys() != set(names):
        raise TypeError(f"an object of {', '.join(names)} was expected")
    return content


def _items(content: Json) -> list[object]:
    return [from_json(item) for item in _list(content)]


def _write_items(items: Iterable[object]) -> Json:
    return [to_json(item) for item in items]


def _write_bytes(data: bytes | bytearray) -> Json:
    return b64encode(data).decode()


def _read_bytes(content: Json) -> bytes:
    return b64decode(_text(content), validate=True)


def _write_int(number: int) -> Json:
    return str(number) if number.bit_length() <= INT_DECIMAL_BITS_MAX else hex(number)


def _write_dict(mapping: dict[object, object]) -> Json:
    names = [name for name in mapping if type(name) is str and not name.startswith("$")]
    if len(names) == len(mapping):
        return {name: to_json(mapping[name]) for name in names}
    return {"$dict": [[to_json(key), to_json(value)] for key, value in mapping.items()]}


def _read_dict(content: Json) -> dict[object, object]:
    pairs = [_items(pair) for pair in _list(content)]
    return dict(cast(list[tuple[object, object]], pairs))  # dict() refuses what is not two items


def _write_clock(clock: datetime | time) -> Json:
    zone = clock.tzinfo
    if not isinstance(zone, ZoneInfo) and not clock.fold:
        return clock.isoformat()
    # ISO 8601 can name neither a zone nor which of two equal times at the end of summer time is meant.
    named = isinstance(zone, ZoneInfo)
    local = clock.replace(tzinfo=None) if named else clock
    return {"at": local.isoformat(), "zone": str(zone) if named else None, "fold": clock.fold}


def _read_clock(content: Json, parse: Callable[[str], Clock]) -> Clock:
    if isinstance(content, str):
        return parse(content)
    fields = _fields(content, "at", "zone", "fold")
    clock = parse(_text(fields["at"])).replace(fold=_int(fields["fold"]))
    return clock if fields["zone"] is None else clock.replace(tzinfo=ZoneInfo(_text(fields["zone"])))


def _int(content: Json) -> int:
    if not isinstance(content, int):
        raise TypeError("a whole number was expected")
    return content


def _read_timedelta(content: Json) -> timedelta:
    days, seconds, microseconds = map(_int, _list(content))
    return timedelta(days, seconds, microseconds)


def _read_complex(content: Json) -> complex:
    real, imaginary = _items(content)
    if not isinstance(real, float) or not isinstance(imaginary, float):
        raise TypeError("two floats were expected")
    return complex(real, imaginary)


# -- numpy ---------------------------------------------------------------------------------------


def _write_array(array: Array) -> Json:
    shape: list[Json] = [int(length) for length in array.shape]
    return {"dtype": _write_dtype(array.dtype), "shape": shape, "data": _write_bytes(array.tobytes())}


def _read_array(content: Json) -> Array:
    try:
        from numpy import ndarray
        from numpy.lib.format import descr_to_dtype
    except ImportError:
        raise InvalidError("an array needs numpy, which is not installed here") from None
    fields = _fields(content, "dtype", "shape", "data")
    dtype: np.dtype[np.generic] = descr_to_dtype(cast("list[tuple[str, str]]", fields["dtype"]))
    if dtype.hasobject:
        raise TypeError("an array of objects is bytes for nobody but the process that made it")
    shape = tuple(_int(length) for length in _list(fields["shape"]))
    # A copy: an array over the decoded bytes could not be written to.
    return ndarray(shape, dtype, _read_bytes(fields["data"])).copy()


def _write_scalar(scalar: np.generic) -> Json:
    return {"dtype": _write_dtype(scalar.dtype), "data": _write_bytes(scalar.tobytes())}


def _read_scalar(content: Json) -> np.generic:
    fields = _fields(content, "dtype", "data")
    return cast("np.generic", _read_array({**fields, "shape": []})[()])


def _write_dtype(dtype: np.dtype[np.generic]) -> Json:
    from numpy.lib.format import dtype_to_descr

    return cast(Json, dtype_to_descr(dtype))  # a string; of fields, lists and tuples of strings and numbers


def _numpy_tag(kind: type[object]) -> _Tag | None:
    """The tag of numpy's types, which are no reason to import numpy: who holds one has."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if issubclass(kind, numpy.ndarray):
        return _NUMPY_ARRAY
    return _NUMPY_SCALAR if issubclass(kind, numpy.generic) else None


_TAGS: Final = (
    _Tag("$int", int, _write_int, lambda content: int(_text(content), 0)),
    _Tag("$float", float, repr, lambda content: float(_text(content))),
    _Tag("$bytes", bytes, _write_bytes, _read_bytes),
    _Tag("$bytearray", bytearray, _write_bytes, lambda content: bytearray(_read_bytes(content))),
    _Tag("$tuple", tuple, _write_items, lambda content: tuple(_items(content))),
    _Tag("$set", set, _write_items, lambda content: set(_items(content))),
    _Tag("$frozenset", frozenset, _write_items, lambda content: frozenset(_items(content))),
    _Tag("$dict", dict, _write_dict, _read_dict),
    _Tag("$datetime", datetime, _write_clock, lambda content: _read_clock(content, datetime.fromisoformat)),
    _Tag("$date", date, date.isoformat, lambda content: date.fromisoformat(_text(content))),
    _Tag("$time", time, _write_clock, lambda content: _read_clock(content, time.fromisoformat)),
    _Tag("$timedelta", timedelta, lambda span: [span.days, span.seconds, span.microseconds], _read_timedelta),
    _Tag("$decimal", Decimal, str, lambda content: Decimal(_text(content))),
    _Tag("$uuid", UUID, str, lambda content: UUID(_text(content))),
    _Tag("$complex", complex, lambda number: [to_json(number.real), to_json(number.imag)], _read_complex),
)
_NUMPY_ARRAY: Final = _Tag("$ndarray", None, _write_array, _read_array)
_NUMPY_SCALAR: Final = _Tag("$numpy", None, _write_scalar, _read_scalar)

_BY_KIND: Final = {tag.kind: tag for tag in _TAGS}
_BY_NAME: Final = {tag.name: tag for tag in (*_TAGS, _NUMPY_ARRAY, _NUMPY_SCALAR)}
