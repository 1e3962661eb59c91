"""Extended values: what holds more than MessagePack's own types, as bytes and back.

Writing *lowers* a value first: every part is looked at here and becomes a tuple, a dict, a scalar or an
extension, which msgpack then writes as they are. In the bytes an array is a tuple; a list, set or
frozenset is an array whose first item is a marker. (Not the other way round: rows of a table, the usual
heavy data, are tuples, and those are then read and written in C.)
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import Final

import msgpack
from msgpack import ExtType

from ..exception import DeserializationError, InvalidError
from ..node.config import VALUE_DEPTH_MAX
from ..node.store.number import BIG_INT, EXTENDED, big_int_payload
from .extension import FROZENSET, LIST, PICKLE, READERS, SET, WRITERS, RefusedError
from .ndarray import NUMPY_READERS, is_ndarray, is_scalar, write_ndarray, write_scalar
from .nesting import SHALLOW_BYTES_MAX, check_nesting, is_compiled
from .size import too_large

__all__ = ["read_extended", "write_extended"]

_PREFIX: Final = bytes([EXTENDED])
_FIXED: Final = frozenset({type(None), bool, int, float})
_KEYS_AS_THEY_ARE: Final = _FIXED | {str, bytes}
_MARKERS: Final[dict[type, ExtType]] = {
    list: ExtType(LIST, b""),
    set: ExtType(SET, b""),
    frozenset: ExtType(FROZENSET, b""),
}


def write_extended(
    value: object, bytes_max: int, pickled: Callable[[object, int], bytes] | None = None
) -> bytes:
    """Return `value` as bytes; they may be somewhat more than `bytes_max`.

    What has no exact encoding, or nests deeper than `VALUE_DEPTH_MAX`, goes as a whole to `pickled`, which
    returns its pickle of at most `bytes_max` bytes. Without that, TypeError names the part at fault, or
    InvalidError is raised. ValueTooLargeError is, when the parts alone exceed `bytes_max`.
    """
    try:
        lowered = _Lowering(bytes_max).lower(value, 0)
    except InvalidError:
        if pickled is None:
            raise
        lowered = ExtType(PICKLE, pickled(value, bytes_max))
    except RefusedError:
        if pickled is None:
            raise _explained(value, bytes_max) from None
        lowered = ExtType(PICKLE, pickled(value, bytes_max))
    packer = msgpack.Packer(default=_big_int, unicode_errors="surrogatepass")
    packed: bytes = packer.pack(lowered)
    return _PREFIX + packed


def read_extended(data: bytes, unpickle: Callable[[bytes], object]) -> object:
    """Return the value of `data`, whose first byte is known to be `EXTENDED`.

    A pickle goes to `unpickle`. Malformed data raises an Exception of any class.
    """
    return _Reader(unpickle).read(data)


# -- writing -------------------------------------------------------------------------------------------


class _Lowering:
    """Lowers one value, and counts its parts: they take a byte each, or more."""

    __slots__ = ("_bytes_max", "_parts_left")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._parts_left = bytes_max

    def lower(self, value: object, depth: int) -> object:
        """Return the lowered `value`, which lies `depth` containers deep."""
        if type(value) is tuple:
            return self._tuple(value, depth)
        if type(value) is str or type(value) is bytes:
            self._check_size(len(value))
            return value
        if type(value) in _FIXED:
            return value
        if type(value) is dict:
            return self._mapping(value, depth)
        if type(value) is list or type(value) is set or type(value) is frozenset:
            return (_MARKERS[type(value)], *self._items(value, depth))
        return self._extension(value)

    def _tuple(self, items: tuple[object, ...], depth: int) -> tuple[object, ...]:
        for item in items:
            if type(item) not in _FIXED and (type(item) is not str or len(item) > self._bytes_max):
                return tuple(self._items(items, depth))
        self._enter(len(items), depth)
        return items  # of scalars only, as the rows of a table are: not copied

    def _items(self, items: Collection[object], depth: int) -> list[object]:
        self._enter(len(items), depth)
        below = depth + 1
        return [item if type(item) in _FIXED else self.lower(item, below) for item in items]

    def _enter(self, count: int, depth: int) -> None:
        if depth >= VALUE_DEPTH_MAX:
            raise InvalidError(f"the value nests deeper than {VALUE_DEPTH_MAX} containers")
        self._parts_left -= count
        if self._parts_left < 0:
            raise too_large(self._bytes_max - self._parts_left, self._bytes_max)

    def _mapping(self, mapping: dict[object, object], depth: int) -> dict[object, object]:
        self._enter(2 * len(mapping), depth)
        lower, below = self.lower, depth + 1
        if _KEYS_AS_THEY_ARE.issuperset(map(type, mapping)):
            return {
                key: item if type(item) in _FIXED else lower(item, below) for key, item in mapping.items()
            }
        lowered = {lower(key, below): lower(item, below) for key, item in mapping.items()}
        if len(lowered) != len(mapping):  # Decimal("NaN") twice, say
            raise RefusedError("which has keys that cannot be told apart once they are bytes")
        return lowered

    def _extension(self, value: object) -> ExtType:
        code, writer = WRITERS.get(type(value), (0, None))
        if writer is not None:
            if type(value) is bytearray:
                self._check_size(len(value))
            return ExtType(code, writer(value))
        if is_ndarray(value):
            self._check_size(value.nbytes)
            return ExtType(*write_ndarray(value))
        if is_scalar(value):
            return ExtType(*write_scalar(value))
        raise RefusedError("which is not exactly one of the supported types")

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._bytes_max:
            raise too_large(size_bytes, self._bytes_max)


def _big_int(number: int) -> ExtType:
    """Stand in for what msgpack cannot write: after lowering, only an int of more than 64 bits."""
    return ExtType(BIG_INT, big_int_payload(number))


# -- reading -------------------------------------------------------------------------------------------


class _Marker:
    """What a marker is read as; it knows what becomes of the array that it begins."""

    __slots__ = ("build",)

    def __init__(self, build: Callable[[Sequence[object]], object]) -> None:
        self.build = build


_MARKER_OF_CODE: Final = {LIST: _Marker(list), SET: _Marker(set), FROZENSET: _Marker(frozenset)}
_READERS: Final = READERS | NUMPY_READERS


class _Reader:
    """Reads one extended value, and counts markers: one outside of its place must not get out."""

    __slots__ = ("_markers_open", "_unpickle")

    def __init__(self, unpickle: Callable[[bytes], object]) -> None:
        self._unpickle = unpickle
        self._markers_open = 0

    def read(self, data: bytes) -> object:
        body = memoryview(data)[1:]
        if len(body) > SHALLOW_BYTES_MAX:
            check_nesting(body)
        value = msgpack.unpackb(
            body,
            use_list=not is_compiled(),  # written in Python, msgpack makes tuples also of what a hook returns
            strict_map_key=False,
            unicode_errors="surrogatepass",
            timestamp=3,  # the one code that msgpack keeps for itself: a datetime in UTC, never written here
            ext_hook=self._extension,
            list_hook=self._array,
        )
        if self._markers_open:
            raise ValueError("a marker stands elsewhere than at the beginning of an array")
        return value

    def _extension(self, code: int, payload: bytes) -> object:
        marker = _MARKER_OF_CODE.get(code)
        if marker is not None and not payload:
            self._markers_open += 1
            return marker
        if code == PICKLE:
            return self._unpickle(payload)
        reader = _READERS.get(code)
        if reader is None:
            raise DeserializationError(f"extension code {code} is unknown to this version")
        return reader(payload)

    def _array(self, items: Sequence[object]) -> object:
        if items and type(items[0]) is _Marker:
            self._markers_open -= 1
            return items[0].build(items[1:])
        return tuple(items)


# -- refusing ------------------------------------------------------------------------------------------


def _explained(value: object, bytes_max: int) -> TypeError:
    """Say which part of a refused value is at fault, why, and what to do."""
    where = "value"
    while True:
        reason = _refusal(value, bytes_max)
        for step, part in _parts(value):
            if _refusal(part, bytes_max):
                where, value = where + step, part
                break
        else:
            break
    return TypeError(
        f"{where} is a {type(value).__name__}, {reason}: convert it, or open the Dict with allow_pickle=True"
    )


def _refusal(value: object, bytes_max: int) -> str:
    try:
        _Lowering(bytes_max).lower(value, 0)
    except RefusedError as refused:
        return str(refused)
    return ""


def _parts(value: object) -> Iterable[tuple[str, object]]:
    """Return the parts of a container, each with its place as a reader would write it."""
    if type(value) is dict:
        pairs = (((f" key {reprlib.repr(k)}", k), (f"[{reprlib.repr(k)}]", v)) for k, v in value.items())
        return chain.from_iterable(pairs)
    if type(value) is set or type(value) is frozenset:
        return ((" item", item) for item in value)
    if type(value) is list or type(value) is tuple:
        return ((f"[{index}]", item) for index, item in enumerate(value))
    return ()
