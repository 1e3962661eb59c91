"""Broadcasts of the application: a few bytes to everybody, with what room rumours leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .codec import encode
from .config import BROADCAST_BYTES_MAX, BROADCAST_WINDOW_MESSAGES
from .instruction import BroadcastHeard
from .message import Broadcast

if TYPE_CHECKING:
    from .desk import Desk

_WINDOW = (1 << BROADCAST_WINDOW_MESSAGES) - 1


class Broadcasts:
    """Sends broadcasts, and hears each of others at most once.

    Each is numbered within its sender's generation, and each member has a window of the numbers that were
    heard: what is sent again, however late, is not heard again.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._number = 0

    def send(self, payload: bytes) -> None:
        """Send to all; ValueError if it is too long."""
        if len(payload) > BROADCAST_BYTES_MAX:
            raise ValueError(f"a broadcast of {len(payload)} bytes: at most {BROADCAST_BYTES_MAX}")
        self._number += 1
        desk = self._desk
        self._spread(Broadcast(desk.node_id, desk.me.generation, self._number, payload))

    def hear(self, message: Broadcast) -> None:
        """Tell the application, and others, if it is news from a member that is here."""
        desk = self._desk
        member = desk.table.live(message.origin)
        if member is None or message.origin == desk.node_id or member.generation != message.generation:
            return
        ahead = message.number - member.broadcast_number
        if ahead > 0:
            shifted = member.broadcast_window << ahead if ahead < BROADCAST_WINDOW_MESSAGES else 0
            member.broadcast_window = (shifted | 1) & _WINDOW
            member.broadcast_number = message.number
        else:
            if -ahead >= BROADCAST_WINDOW_MESSAGES or member.broadcast_window >> -ahead & 1:
                return
            member.broadcast_window |= 1 << -ahead
        desk.out.append(BroadcastHeard(message.origin, message.payload))
        self._spread(message)

    def _spread(self, message: Broadcast) -> None:
        self._desk.rumours.put_broadcast(message.origin, message.number, encode(message))
        self._desk.stir()
