"""The ways to peers: a line is made when there is something to send, kept, and made anew when it breaks."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from ..config import PEERS_MAX, RECONNECT_DELAY_S_MAX, RECONNECT_DELAY_S_MIN
from ..world import Address
from .line import Line
from .switchboard import Switchboard

log = logging.getLogger(__name__)

Dial = Callable[[Line], Awaitable[None]]
"""Connects a line and carries it until it ends; OSError if that cannot be."""


class Peers:
    """Whom this node calls."""

    def __init__(self, board: Switchboard, nursery: trio.Nursery, dial: Dial) -> None:
        self._board = board
        self._nursery = nursery
        self._dial = dial
        self._busy: set[Address] = set()
        #: Of peers that could not be reached at the last attempt: how long nobody tries again after it.
        self._delays_s: dict[Address, float] = {}

    def call(self, to: Address) -> bool:
        """Begin a line to a peer that has none; False: not now, what was to be sent is lost."""
        if to in self._busy or len(self._busy) >= PEERS_MAX:
            return False
        self._busy.add(to)
        self._nursery.start_soon(self._carry, self._board.call(to), to)
        return True

    async def _carry(self, line: Line, to: Address) -> None:
        begun_s = trio.current_time()
        try:
            await self._dial(line)
        except OSError as error:
            log.debug("%s cannot be reached: %s", to, error)
            self._board.ended(line)
        if line.open and trio.current_time() - begun_s > RECONNECT_DELAY_S_MAX:
            self._delays_s.pop(to, None)
        else:
            await self._rest(to, reached=line.open)
        self._busy.discard(to)

    async def _rest(self, to: Address, *, reached: bool) -> None:
        """Leave it alone for a while: longer each time, unless it was reached."""
        before_s = 0.0 if reached else self._delays_s.pop(to, 0.0)
        if len(self._delays_s) >= PEERS_MAX:
            del self._delays_s[next(iter(self._delays_s))]
        delay_s = min(RECONNECT_DELAY_S_MAX, 2 * before_s or RECONNECT_DELAY_S_MIN)
        self._delays_s[to] = delay_s
        await trio.sleep(delay_s)
