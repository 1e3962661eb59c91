"""Frames on a stream of bytes: four bytes of length, big-endian, then as many bytes."""

from __future__ import annotations

from ...exception import ProtocolError
from ..config import FRAME_BYTES_MAX

HEAD_BYTES = 4


def encode_frame(payload: bytes) -> bytes:
    """One frame as it goes over the line."""
    return len(payload).to_bytes(HEAD_BYTES, "big") + payload


class FrameReader:
    """Takes bytes as they come, gives frames as they are whole. Nothing is set aside for a frame before its
    bytes have come."""

    __slots__ = ("_buffer", "frame_bytes_max")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        #: What a frame may be at the most. It may be changed: then for those that were not given yet.
        self.frame_bytes_max = frame_bytes_max

    @property
    def held_bytes(self) -> int:
        """What has come, and is in no frame that was given."""
        return len(self._buffer)

    def feed(self, data: bytes | bytearray, count_max: int | None = None) -> list[bytes]:
        """The frames that these bytes complete, at most `count_max`: the others come with the next call.

        Raises:
            ProtocolError: a frame says that it is longer than any may be. The stream is of no more use.
        """
        buffer = self._buffer
        if not buffer and len(data) >= HEAD_BYTES:  # what most calls are: one frame, whole
            size = int.from_bytes(data[:HEAD_BYTES], "big")
            if size == len(data) - HEAD_BYTES and size <= self.frame_bytes_max:
                return [bytes(data[HEAD_BYTES:])]
        buffer += data
        frames: list[bytes] = []
        place = 0
        while len(buffer) - place >= HEAD_BYTES and len(frames) != count_max:
            size = int.from_bytes(buffer[place : place + HEAD_BYTES], "big")
            if size > self.frame_bytes_max:
                raise ProtocolError(f"a frame of {size} bytes, where {self.frame_bytes_max} is the limit")
            end = place + HEAD_BYTES + size
            if len(buffer) < end:
                break
            frames.append(bytes(buffer[place + HEAD_BYTES : end]))
            place = end
        if place:
            del buffer[:place]
        return frames
