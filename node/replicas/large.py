"""Fetching an entry that fits into no frame: piece by piece. Only entries that an embedded store brought
along are as large.

Rules of this file:
1. One piece is asked for at a time. What does not fit together in the end, since it was written anew
   meanwhile, is not taken: the checksum tells.
"""

from __future__ import annotations

from collections.abc import Callable

from ..config import STORAGE_VALUE_BYTES_MAX
from ..network.message import Mark, Reply, Request
from ..network.peermessage import AskPiece, Piece
from .replica import TRAVEL_BYTES_MAX

Ask = Callable[[Request, type[Reply], Callable[[Reply], None]], None]
"""Asks a question, whose answer is to be of that type, and tells it; else the talk is over."""


class LargeEntry:
    """The entry at one place. `told` gets its bytes, empty if there is none there that is as large."""

    def __init__(self, mark: Mark, place: bytes, ask: Ask, told: Callable[[bytes], None]) -> None:
        self._mark = mark
        self._place = place
        self._ask = ask
        self._told = told
        self._pieces = bytearray()

    def fetch(self) -> None:
        """Ask for the next piece."""
        self._ask(AskPiece(0, self._mark, self._place, len(self._pieces)), Piece, self._take)

    def _take(self, reply: Reply) -> None:
        assert isinstance(reply, Piece)
        size_bytes = reply.size_bytes
        if not reply.data or not TRAVEL_BYTES_MAX < size_bytes <= STORAGE_VALUE_BYTES_MAX:
            self._told(b"")
            return
        self._pieces += reply.data
        if len(self._pieces) < size_bytes:
            self.fetch()
        else:
            self._told(bytes(self._pieces))
