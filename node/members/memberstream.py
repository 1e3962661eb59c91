"""Events about members as a stream, for code on Trio beside a node.

async with member_events(gossiping) as events:
    async for event in events:
        print(event.change.value, event.member.profile.address)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ...gossip.instruction import MemberChanged
from ..config import MEMBER_EVENTS_MAX
from .gossiping import Gossiping


class EventsLostError(trio.BrokenResourceError):
    """More than MEMBER_EVENTS_MAX events waited: look at `Gossiping.members()`, and begin again."""


class MemberEvents:
    """The events of one node since this was opened, in order, each once. One task iterates over it."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[MemberChanged](MEMBER_EVENTS_MAX)
        self._overflowed = False

    def put(self, event: MemberChanged) -> None:
        """One more; never waits. After the first that finds no room nothing is taken any more."""
        if self._overflowed:
            return
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            self._overflowed = True
            self._send.close()

    def close(self) -> None:
        """No more will come: whoever iterates gets to the end."""
        self._send.close()

    def __aiter__(self) -> AsyncIterator[MemberChanged]:
        return self

    async def __anext__(self) -> MemberChanged:
        """The next event; waits for it.

        Raises:
            EventsLostError: nobody took them for too long, and what follows is lost.
        """
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            if self._overflowed:
                raise EventsLostError("events came faster than they were taken") from None
            raise StopAsyncIteration from None


@asynccontextmanager
async def member_events(gossiping: Gossiping) -> AsyncIterator[MemberEvents]:
    """The events from now on until the end of the `with`."""
    events = MemberEvents()
    end = gossiping.listen(events.put)
    try:
        yield events
    finally:
        end()
        events.close()
