"""Values as bytes, each coming back as the exact type it went in.

Rules of this codec (tables and golden bytes: ``docs/format.md``):
1. A *plain* value (None, bool, int, float, str, bytes, list and dict of these) is bare MessagePack.
   Both directions are one call into C: this is the hot path, and nothing is added to it lightly.
2. Any other value is *extended*: the byte 0xC1, which MessagePack never uses, then MessagePack with
   extension types (``extended.py``, ``extension.py``).
3. C encoders take some types for others without a word (a bytearray for bytes, a str subclass for a str,
   their own extension objects for ours). So each part of a value is looked at before one of them sees it.
4. The exact class decides whether a part is supported: a subclass would come back as something else.
5. Pickle is written by, and read by, only those who said ``allow_pickle``. It covers the value as a whole,
   so that references shared inside of it survive.
6. Reading costs no more than the bytes are worth, whoever wrote them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import ormsgpack

from ..exception import DeserializationError, ValueTooLargeError
from ..node.config import VALUE_DEPTH_MAX
from ..node.store.number import EXTENDED
from .nesting import SHALLOW_BYTES_MAX, check_nesting
from .size import too_large

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ValueCodec"]

_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
_FIXED: Final = _SCALARS - {str, bytes}
_OPTIONS: Final = ormsgpack.OPT_NON_STR_KEYS

_pack: Final = ormsgpack.packb
_unpack: Final = ormsgpack.unpackb


class ValueCodec:
    """Encodes and decodes the values of one Dict handle. Without state: threads may share it."""

    __slots__ = ("_bytes_max", "_pickled", "_unpickled")

    def __init__(self, *, allow_pickle: bool, value_bytes_max: int) -> None:
        self._bytes_max = value_bytes_max
        self._pickled = _pickled if allow_pickle else None
        self._unpickled = _unpickled if allow_pickle else _unpickling_refused

    def encode(self, value: object) -> bytes:
        """Return `value` as bytes.

        Raises TypeError for a value with an unsupported part (unless pickle is allowed),
        ValueTooLargeError above `value_bytes_max`, InvalidError for nesting deeper than
        `VALUE_DEPTH_MAX`.
        """
        bytes_max = self._bytes_max
        data = None
        if _parts_left(value, bytes_max, 0, bytes_max) >= 0:
            try:
                data = _pack(value)
            except TypeError:  # keys that are no str, an int of over 64 bits, a str with lone surrogates
                data = _packed_with_other_keys(value)
        if data is None:
            data = _extended_writer()(value, bytes_max, self._pickled)
        if len(data) > bytes_max:
            raise too_large(len(data), bytes_max)
        return data

    def decode(self, data: bytes) -> object:
        """Return the value that `encode` made `data` of.

        Raises DeserializationError for pickled data (unless pickle is allowed), for extensions that this
        version does not know, for what cannot be rebuilt here, and for malformed bytes.
        """
        try:
            if data[0] != EXTENDED:
                if len(data) > SHALLOW_BYTES_MAX:
                    check_nesting(data)
                return _unpack(data, option=_OPTIONS)
            return _extended_reader()(data, self._unpickled)
        except DeserializationError:
            raise
        except Exception as error:
            # Anything may come here: constructors of many types meet bytes that anybody may have written,
            # and unpickling runs the application's own code.
            raise DeserializationError(f"cannot read the value: {type(error).__name__}: {error}") from error


@cache
def _extended_writer() -> Callable[[object, int, Callable[[object, int], bytes] | None], bytes]:
    from .extended import write_extended

    return write_extended


@cache
def _extended_reader() -> Callable[[bytes, Callable[[bytes], object]], object]:
    """Return the reader of extended values; it is loaded with the first of them, since most have none."""
    from .extended import read_extended

    return read_extended


# -- plain values ----------------------------------------------------------------------------------------

_NOT_PLAIN: Final = -1


def _parts_left(value: Any, parts_left: int, depth: int, bytes_max: int) -> int:  # noqa: ANN401 - whatever it is
    """Return what a plain `value`, `depth` containers deep, leaves of `parts_left`; else `_NOT_PLAIN`.

    A part takes a byte or more. So no more of them are looked at than may fit, also where a few lists inside
    each other stand for astronomically many; and a huge string raises ValueTooLargeError before it is bytes.
    """
    parts: Collection[Any]
    kind = type(value)
    if kind is dict:
        parts = value.values()
    elif kind is list:
        parts = value
    else:
        if (kind is str or kind is bytes) and len(value) > bytes_max:
            raise too_large(len(value), bytes_max)
        return parts_left if kind in _SCALARS else _NOT_PLAIN
    parts_left -= len(parts)
    if parts_left < 0 or depth == VALUE_DEPTH_MAX:
        return _NOT_PLAIN  # who writes it as an extended value will refuse it
    for part in parts:
        kind = type(part)
        if kind is str:  # the most common ones without a call
            if len(part) > bytes_max:
                raise too_large(len(part), bytes_max)
        elif kind not in _FIXED:
            parts_left = _parts_left(part, parts_left, depth + 1, bytes_max)
            if parts_left < 0:
                return _NOT_PLAIN
    return parts_left


def _packed_with_other_keys(value: object) -> bytes | None:
    """Return a `value` of plain parts as bytes, None if a key is not plain or MessagePack cannot hold a part.

    Of keys, the encoder takes exact strings only, unless it is told to take too many types.
    """
    if not _plain_keys(value):
        return None
    try:
        return _pack(value, None, _OPTIONS)
    except TypeError:
        return None


def _plain_keys(value: object) -> bool:
    """Return whether every key inside `value` is a plain scalar."""
    if type(value) is dict:
        return _SCALARS.issuperset(map(type, value)) and all(map(_plain_keys, value.values()))
    return type(value) is not list or all(map(_plain_keys, value))


# -- pickle --------------------------------------------------------------------------------------------


class _BoundedBuffer(io.BytesIO):
    """Takes no more than `bytes_max`, so that a huge object is not pickled to its end in vain."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        self._bytes_max = bytes_max

    def write(self, chunk: Buffer, /) -> int:
        written = super().write(chunk)
        if self.tell() > self._bytes_max:
            raise too_large(self.tell(), self._bytes_max)
        return written


def _pickled(value: object, bytes_max: int) -> bytes:
    import cloudpickle

    buffer = _BoundedBuffer(bytes_max)
    try:
        cloudpickle.dump(value, buffer)
    except ValueTooLargeError:
        raise
    except Exception as error:  # the application's own code runs here
        raise TypeError(f"the value cannot be pickled: {type(error).__name__}: {error}") from error
    return buffer.getvalue()


def _unpickled(payload: bytes) -> object:
    import pickle

    return pickle.loads(payload)


def _unpickling_refused(_payload: bytes) -> object:
    raise DeserializationError(
        "the value was pickled, and this handle does not unpickle: open the Dict with allow_pickle=True"
        " if everybody who writes to it is to be trusted"
    )
