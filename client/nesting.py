"""A look at the shape of a value's bytes, before anything is made of them.

Those who read MessagePack in C either descend on the stack of the thread, and end the process where that is
small (ormsgpack: 540 bytes a level, to 1,022 levels), or make room for as many items as a header claims, on
every level (msgpack 1.2.0 and older: 3 GB for 400 kB). So nothing reaches them that nests deeper than it may,
or claims more than there is.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from ..node.config import VALUE_DEPTH_MAX

__all__ = ["SHALLOW_BYTES_MAX", "check_nesting", "is_compiled"]

SHALLOW_BYTES_MAX: Final = 256
"""So few bytes nest 256 deep at worst, which takes 140 KiB of stack: need not be looked at."""

COUNTED_BYTES_MAX: Final = 2048
"""Up to here, to count what may be the header of a container is faster than to follow them."""

_CONTAINER_HEADERS: Final = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])

_FOLLOWED_DEPTH_MAX: Final = 1024
"""As deep msgpack follows, without recursion; anything deeper is an error to it."""


def check_nesting(data: bytes | memoryview) -> None:
    """Raise ValueError for bytes that begin a container, and are not one whole object, or nest too deep.

    Too deep is: surely above 256, and above `VALUE_DEPTH_MAX` where that can be told at little cost.
    """
    if data[0] not in _CONTAINER_HEADERS:
        return
    if len(data) <= COUNTED_BYTES_MAX:
        data = bytes(data)
        if len(data) - len(data.translate(None, _CONTAINER_HEADERS)) <= SHALLOW_BYTES_MAX:
            return
    _follow(data)


def _follow(data: bytes | memoryview) -> None:
    import msgpack

    around = _lists_around()
    size = len(around) + len(data)
    unpacker = msgpack.Unpacker(read_size=size, max_buffer_size=size)
    unpacker.feed(around)
    unpacker.feed(data)
    try:
        unpacker.skip()
    except (ValueError, msgpack.OutOfData) as error:
        raise ValueError("it is cut short, malformed, or nests too deep") from error
    if unpacker.tell() != size:
        raise ValueError("something follows after it")


@cache
def _lists_around() -> bytes:
    """Return the beginnings of lists that leave a value no more depth than it may have."""
    return b"\x91" * (_FOLLOWED_DEPTH_MAX - VALUE_DEPTH_MAX) if is_compiled() else b""


@cache
def is_compiled() -> bool:
    """Tell whether msgpack runs in C. If not, it recurses in Python, which sets the limit."""
    import msgpack

    compiled: bool = not msgpack.Unpacker.__module__.endswith("fallback")
    return compiled
