"""Frames on a stream of bytes: four bytes of length, big-endian, then as many bytes."""

from __future__ import annotations

from ..exception import ProtocolError
from .config import FRAME_BYTES_MAX

HEAD_BYTES = 4


def encode_frame(payload: bytes) -> bytes:
    """One frame as it goes over the line."""
    return len(payload).to_bytes(HEAD_BYTES, "big") + payload


class FrameReader:
    """Takes bytes as they come, gives frames as they are whole. Holds at most one frame that is not."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """The frames that these bytes complete.

        Raises:
            ProtocolError: a frame says that it is longer than any may be. The stream is of no more use.
        """
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        place = 0
        while len(buffer) - place >= HEAD_BYTES:
            size = int.from_bytes(buffer[place : place + HEAD_BYTES], "big")
            if size > FRAME_BYTES_MAX:
                raise ProtocolError(f"a frame of {size} bytes, where {FRAME_BYTES_MAX} is the limit")
            end = place + HEAD_BYTES + size
            if len(buffer) < end:
                break
            frames.append(bytes(buffer[place + HEAD_BYTES : end]))
            place = end
        if place:
            del buffer[:place]
        return frames
