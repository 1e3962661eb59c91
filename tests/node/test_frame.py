"""Frames on a stream, however its bytes are cut up, and whatever they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.exception import ProtocolError
from ringdict.node.config import FRAME_BYTES_MAX
from ringdict.node.network.frame import FrameReader, encode_frame


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(1, 50)))
def test_frames_come_out_as_they_went_in_however_they_are_cut_up(
    frames: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(map(encode_frame, frames))
    reader = FrameReader()
    got: list[bytes] = []
    for size in cuts:
        got += reader.feed(stream[:size])
        stream = stream[size:]
    assert got + reader.feed(stream) == frames


@given(st.lists(st.binary(max_size=200)))
def test_whatever_comes_is_frames_or_a_protocol_error(chunks: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for chunk in chunks:
            reader.feed(chunk)
    except ProtocolError:
        pass


def test_a_frame_that_says_it_is_too_long_is_refused_before_it_has_come() -> None:
    assert FrameReader().feed(FRAME_BYTES_MAX.to_bytes(4, "big")) == []
    with pytest.raises(ProtocolError):
        FrameReader().feed((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
