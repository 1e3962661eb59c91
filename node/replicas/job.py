"""A request to write, or a part of one, until it is answered; and what there is to say of any request."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.msgpack import encode as encode_keys
from xxhash import xxh3_128_digest

from ..network.message import Put, PutMany, Refused, Reply, Touch, Unknown, Written
from ..store.operation import KEEP
from ..world import NodeId
from .draft import Located
from .rank import NO_STAMP
from .write import Ended

Writing = Put | PutMany | Touch


class Job:
    """A request, or a part of one, until it is answered."""

    __slots__ = ("avoided", "ended", "located", "overtaken_count", "request", "tainted", "until_ns")

    def __init__(self, request: Writing, until_ns: int, ended: Ended, rows: Sequence[Located] = ()) -> None:
        self.request = request
        #: Its keys and where they belong, once somebody has looked.
        self.located = rows
        self.until_ns = until_ns
        self.ended = ended
        #: Whether an attempt may have been carried out.
        self.tainted = False
        #: Owners that it was passed on to in vain.
        self.avoided: list[NodeId] = []
        #: How often something newer stood there than what it went by.
        self.overtaken_count = 0

    @property
    def goes_by_what_stands(self) -> bool:
        """Whether what is to be written depends on what stands there."""
        return isinstance(self.request, Touch) or self.request.ttl_ms == KEEP

    def end(self, reply: Reply) -> None:
        """Answer it."""
        if self.tainted and isinstance(reply, Refused):
            reply = Unknown(0, f"it may have been written before this: {reply.text}")
        self.ended(reply)


def items_of(request: Writing) -> Sequence[tuple[bytes, bytes]]:
    """Its keys, and the bytes of the values that they are to have."""
    if isinstance(request, PutMany):
        return request.items
    return [(request.key, request.body if isinstance(request, Put) else b"")]


def size_of(request: Writing) -> int:
    """How many bytes it holds."""
    return sum([len(key) + len(body) for key, body in items_of(request)])


def name_of(request: Writing) -> tuple[object, ...]:
    """What makes a request known when it comes again. The pieces of a batch share the operation's id, and may
    be cut anew before they come again: a piece is the same only if all its keys are."""
    if not request.operation_id:
        return (type(request), b"", object())
    keys = xxh3_128_digest(encode_keys([key for key, _ in items_of(request)]))
    return (type(request), request.operation_id, request.dict_id, keys)


def summed_up(replies: Sequence[Reply]) -> Reply:
    """The answer to a batch, of those to its parts."""
    written = [reply for reply in replies if isinstance(reply, Written)]
    if len(written) == len(replies):
        stamp = max([reply.stamp for reply in written], default=NO_STAMP)
        copies = min([reply.copies for reply in written], default=0)
        return Written(0, stamp, copies, max([reply.wanted for reply in written], default=0))
    failed = next(reply for reply in replies if not isinstance(reply, Written))
    if not written and all(isinstance(reply, Refused) for reply in replies):
        return failed
    text = failed.text if isinstance(failed, (Refused, Unknown)) else ""
    return Unknown(0, f"a part of it was not written, or nobody knows: {text}")
