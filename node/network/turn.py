"""A turn of a process: it is told of all that has come, and then of nothing for a moment.

What a real storage or connection has gathered in a turn it does once, at the turn's end: one transaction, one
write to each socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol


class Home(Protocol):
    """What a real storage is given of its world, besides its name. Not part of what processes see."""

    def post(self, call: Callable[[], None], /) -> None:
        """Have something called soon, in the process's thread; from any thread."""
        ...

    def at_turn_end(self, call: Callable[[], None], /) -> None:
        """Have something called once, when this turn ends, and before anything leaves that the process sent
        in it. It may tell the process of what it did (`done`), and what is put off by that is done, too. Only
        in the process's thread; outside of a turn it is the next one's end, which comes at once."""
        ...


class Turn:
    """What is put off until the present turn ends."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()

    def at_end(self, call: Callable[[], None]) -> None:
        """Put something off."""
        self._calls.append(call)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is put off."""
        return not self._calls

    def forget(self) -> None:
        """Let nothing of it be done."""
        self._calls.clear()

    def end(self) -> None:
        """Do all that was put off, and what that puts off."""
        while self._calls:
            self._calls.popleft()()
