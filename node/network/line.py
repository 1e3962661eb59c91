"""One connection without its socket: bytes that came become frames, frames to send become bytes.

Rules of this file:
1. Before the handshake is over no frame comes out, and none goes out but those of the handshake.
2. What waits to be sent counts until it has been sent, not until somebody took it to send it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from ...exception import ProtocolError
from ..config import FRAME_BYTES_MAX, HANDSHAKE_BYTES_MAX, SEND_BYTES
from ..world import Address
from .frame import HEAD_BYTES, FrameReader, encode_frame
from .handshake import Caller, Listener, Role


class Carrier(Protocol):
    """What moves the bytes of one line."""

    def flush(self) -> None:
        """There are bytes to send."""
        ...

    def resume(self) -> None:
        """Read again, after the line was paused."""
        ...

    def abort(self) -> None:
        """Close at once. The switchboard is told of it as of any other end, later or from within."""
        ...


class Line:
    """A connection, from either side."""

    __slots__ = (
        "_behind", "_out", "_reader", "_side", "aborted", "carrier", "counted_held_bytes",
        "counted_unsent_bytes", "dirty", "held", "is_accepted", "moved_ns", "on_open", "open", "paused",
        "queued_bytes", "role", "source", "watched",
    )  # fmt: skip

    def __init__(self, side: Caller | Listener, source: Address = Address("")) -> None:  # noqa: B008 - a str
        self._side = side
        self._reader = FrameReader(HANDSHAKE_BYTES_MAX)
        self._out: deque[bytes | memoryview] = deque()
        self._behind: list[bytes] = []
        #: Whether the handshake is over.
        self.open = False
        #: Whether the other side connected.
        self.is_accepted = isinstance(side, Listener)
        #: What the other side is; known once it is open.
        self.role = Role.PEER
        #: Whom its frames come from, and where what is sent to them goes; "": not known yet.
        self.source = source
        #: Of what is not sent yet, heads included.
        self.queued_bytes = 0
        self.carrier: Carrier | None = None
        #: Frames that came, and wait until answers to earlier ones have been taken.
        self.held: deque[bytes] = deque()
        #: Not to be read from at present, since answers are not taken.
        self.paused = False
        #: There is something to send when the turn ends.
        self.dirty = False
        #: It has ended, or ends now: nothing of it counts any more.
        self.aborted = False
        #: Its progress is looked after, and when it last made some, as far as that is known.
        self.watched = False
        self.moved_ns = 0
        #: What the switchboard's sums hold of it.
        self.counted_held_bytes = 0
        self.counted_unsent_bytes = 0
        #: Called once the handshake is over, before `open` is set.
        self.on_open: Callable[[Line], None] = _nothing
        if isinstance(side, Caller):
            self._emit(side.hello)

    @property
    def secret(self) -> bytes:
        """The secret that both sides have proved to know; empty before."""
        return self._side.secret

    @property
    def held_bytes(self) -> int:
        """What has come and was not given to anybody."""
        held = self._reader.held_bytes
        return held + sum(map(len, self.held)) if self.held else held

    def whole(self, data: bytes | bytearray) -> bytes:
        """The one frame that these bytes are; empty where they are anything else, which is for `feed`."""
        size = len(data) - HEAD_BYTES
        reader = self._reader
        is_plain = self.open and not self.held and not reader.held_bytes and not self.counted_held_bytes
        if (
            is_plain
            and 0 < size <= reader.frame_bytes_max
            and int.from_bytes(data[:HEAD_BYTES], "big") == size
        ):
            return bytes(data[HEAD_BYTES:])
        return b""

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """Bytes that came; the frames that they complete.

        Raises:
            AuthError, ProtocolError: it is to be closed, once what it has to say is said.
        """
        if self.open:
            return self._reader.feed(data)
        frames = self._reader.feed(data, 1)
        while frames:
            if self._shake(frames[0]):
                return self._reader.feed(b"")
            frames = self._reader.feed(b"", 1)
        return frames

    def _shake(self, frame: bytes) -> bool:
        """One frame of the handshake; whether it is the last."""
        side = self._side
        answer = side.feed(frame)
        if answer is not None:
            self._emit(answer)
        if isinstance(side, Listener):
            if side.refused:
                raise ProtocolError(f"refused: {side.refused}")
            if not side.done:
                return False
            self.role, self.source = side.role, side.address
        self.on_open(self)
        self.open = True
        self._reader.frame_bytes_max = FRAME_BYTES_MAX
        self._out += self._behind
        self._behind.clear()
        return True

    # -- what goes out -----------------------------------------------------------------------------

    def _emit(self, frame: bytes) -> None:
        data = encode_frame(frame)
        self.queued_bytes += len(data)
        self._out.append(data)

    def put(self, frame: bytes) -> None:
        """A frame to send, once the handshake is over."""
        data = len(frame).to_bytes(HEAD_BYTES, "big") + frame
        self.queued_bytes += len(data)
        (self._out if self.open else self._behind).append(data)

    @property
    def has_output(self) -> bool:
        """Whether there is something to send now."""
        return bool(self._out)

    def take(self) -> bytes | memoryview:
        """Bytes to send next, about SEND_BYTES unless a frame is larger; empty: nothing."""
        out = self._out
        if not out:
            return b""
        first = out.popleft()
        if not out or len(first) >= SEND_BYTES:
            return first
        parts, size = [first], len(first)
        while out and size < SEND_BYTES:
            parts.append(out.popleft())
            size += len(parts[-1])
        return b"".join(parts)

    def put_back(self, rest: memoryview) -> None:
        """The end of what was taken, which was not sent."""
        self._out.appendleft(rest)

    def drop(self) -> None:
        """Forget all that has come and all that is to be sent."""
        self._out.clear()
        self._behind.clear()
        self.held.clear()
        self.queued_bytes = 0
        self._reader = FrameReader(0)


def _nothing(_line: Line) -> None:
    pass
