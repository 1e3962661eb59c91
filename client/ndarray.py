"""NumPy arrays and scalars as payloads of extensions: dtype, shape, order and raw bytes, never pickle.

NumPy is not imported here until a value needs it: who writes an array has imported it already, and a
reader imports it when an array arrives.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeGuard, Union, cast

import msgpack

from .extension import NDARRAY, SCALAR, RefusedError
from .nesting import check_nesting

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]

__all__ = ["NUMPY_READERS", "is_ndarray", "is_scalar", "write_ndarray", "write_scalar"]

DTYPE_DEPTH_MAX: Final = 16
"""Of structured and sub-array dtypes inside each other: far from any in use, bounds the recursion."""

# A dtype as plain data: its name with byte order ("<f8"), a sub-array's base and shape, or the fields.
Form: TypeAlias = Union[str, "tuple[Form, tuple[int, ...]]", "dict[str, object]"]


def is_ndarray(value: object) -> TypeGuard[Array]:
    """Tell whether `value` is a NumPy array, and of no subclass."""
    # The attribute is missing while another thread is importing NumPy.
    return type(value) is getattr(sys.modules.get("numpy"), "ndarray", None)


def is_scalar(value: object) -> TypeGuard[np.generic]:
    """Tell whether `value` is a NumPy scalar."""
    return isinstance(value, getattr(sys.modules.get("numpy"), "generic", ()))


def write_ndarray(array: Array) -> tuple[int, bytes]:
    """Return code and payload. Raises RefusedError for dtypes that would not come back as they are."""
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    raw = array.tobytes("F" if fortran else "C")
    return NDARRAY, _pack((_checked_form(array.dtype), array.shape, fortran, raw))


def write_scalar(scalar: np.generic) -> tuple[int, bytes]:
    """Return code and payload. Raises RefusedError for dtypes that would not come back as they are."""
    if scalar.dtype.type is not type(scalar):
        raise RefusedError("which NumPy cannot rebuild from its dtype")
    if isinstance(scalar, str | bytes):  # as text: an array would drop trailing NULs
        text = str(scalar) if isinstance(scalar, str) else bytes(cast("bytes", scalar))
        return SCALAR, _pack((scalar.dtype.kind, text))
    return SCALAR, _pack((_checked_form(scalar.dtype), scalar.tobytes()))


def _read_ndarray(payload: bytes) -> object:
    import numpy as np

    form, shape, fortran, raw = _unpack(payload)
    dtype = _dtype(form)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError("malformed array: its shape does not fit its size")
    order: Literal["C", "F"] = "F" if fortran else "C"
    # Over a bytearray, since nobody can write to bytes; a copy would leave out what is between the fields.
    return np.ndarray(shape, dtype, buffer=bytearray(raw), order=order)


def _read_scalar(payload: bytes) -> object:
    import numpy as np

    form, raw = _unpack(payload)
    if form == "U" and type(raw) is str:
        return np.str_(raw)
    if form == "S" and type(raw) is bytes:
        return np.bytes_(raw)
    return np.ndarray((), _dtype(form), buffer=bytearray(raw))[()]


NUMPY_READERS: Final[dict[int, Callable[[bytes], object]]] = {NDARRAY: _read_ndarray, SCALAR: _read_scalar}
"""By code: what makes the array or scalar of a payload."""


# -- dtypes ---------------------------------------------------------------------------------------------


def _checked_form(dtype: np.dtype[Any]) -> Form:
    """Return `dtype` as plain data, if the same dtype can be made from that."""
    form = _form(dtype, 0)
    try:
        if (rebuilt := _dtype(form)) == dtype and rebuilt.type is dtype.type:
            return form
    except (TypeError, ValueError):
        pass
    raise RefusedError(f"whose dtype {dtype} cannot be rebuilt without pickle")


def _form(dtype: np.dtype[Any], depth: int) -> Form:
    if depth > DTYPE_DEPTH_MAX:
        raise RefusedError(f"whose dtype nests deeper than {DTYPE_DEPTH_MAX}")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return _form(base, depth + 1), shape
    if dtype.names is None or dtype.fields is None:
        return dtype.str
    fields: list[Any] = [dtype.fields[name] for name in cast("tuple[Any, ...]", dtype.names)]
    return {
        "names": dtype.names,
        "formats": tuple(_form(field[0], depth + 1) for field in fields),
        "offsets": tuple(field[1] for field in fields),
        "itemsize": dtype.itemsize,
    }


def _dtype(form: Form) -> np.dtype[Any]:
    import numpy as np

    dtype: np.dtype[Any] = np.dtype(cast("Any", _spec(form, 0)))
    if dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"the dtype {dtype} cannot be stored")
    return dtype


def _spec(form: Form, depth: int) -> object:
    """Turn a form into what `numpy.dtype` takes, so that only the expected kinds of it pass."""
    if depth > DTYPE_DEPTH_MAX:
        raise ValueError("malformed dtype: nested too deep")
    if isinstance(form, str):
        return form
    if isinstance(form, tuple):
        base, shape = form
        return _spec(base, depth + 1), shape
    formats = [_spec(each, depth + 1) for each in cast("tuple[Form, ...]", form["formats"])]
    names, offsets = cast("Any", form["names"]), cast("Any", form["offsets"])
    return {"names": [*names], "formats": formats, "offsets": [*offsets], "itemsize": form["itemsize"]}


# -- payloads -------------------------------------------------------------------------------------------


def _pack(parts: tuple[object, ...]) -> bytes:
    packed: bytes = msgpack.Packer(unicode_errors="surrogatepass").pack(parts)
    return packed


def _unpack(payload: bytes) -> tuple[Any, ...]:
    check_nesting(payload)
    parts: tuple[Any, ...] = msgpack.unpackb(payload, use_list=False, unicode_errors="surrogatepass")
    return parts
