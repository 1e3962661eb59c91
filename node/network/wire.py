"""Messages as bytes: one frame each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Final

import msgspec

from ...exception import ProtocolError
from . import leadermessage, peermessage
from .message import Message

__all__ = ["decode", "encode", "kinds", "leadermessage", "peermessage"]


def kinds(base: type[Message] = Message) -> Iterator[type[Message]]:
    """Every kind of message that there is."""
    for kind in base.__subclasses__():
        if kind.__struct_config__.tag is not None:
            yield kind
        yield from kinds(kind)


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(reduce(or_, kinds())).decode


def encode(message: Message) -> bytes:
    """The bytes of a message, one frame."""
    return _encode(message)


def decode(frame: bytes) -> Message:
    """The message in a frame.

    Raises:
        ProtocolError: the bytes are no message that this version knows.
    """
    try:
        return _decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"no message: {error}") from None
