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

    def after_flush(self, call: Callable[[], None], /) -> None:
        """The same, once all that the process sent in this turn has left: for what takes long enough that
        others had better begin with theirs meanwhile."""
        ...


class Turns(Protocol):
    """What a carrier that looks after a whole turn is given of its world."""

    def end_turn(self) -> None:
        """The process was told of all that has come."""
        ...

    def due_ns(self) -> int:
        """How long it is until a timer is due; 0 or less: one is."""
        ...

    def hear_datagrams(self) -> None:
        """Hear those that have come: part of a turn."""
        ...

    def has_posted(self) -> bool:
        """Whether other threads want something called."""
        ...

    def run_posted(self) -> None:
        """Call it, a turn each."""
        ...


class Turn:
    """What is put off until the present turn ends."""

    __slots__ = ("_calls", "_late")

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._late: deque[Callable[[], None]] = deque()

    def at_end(self, call: Callable[[], None]) -> None:
        """Put something off."""
        self._calls.append(call)

    def after_flush(self, call: Callable[[], None]) -> None:
        """Put something off until frames have left."""
        self._late.append(call)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is put off."""
        return not self._calls and not self._late

    def forget(self) -> None:
        """Let nothing of it be done."""
        self._calls.clear()
        self._late.clear()

    def end(self) -> None:
        """Do all that was put off, and what that puts off."""
        while self._calls:
            self._calls.popleft()()

    def go_on(self) -> None:
        """Frames have left: do what waited for that, until there are new ones."""
        while self._late and not self._calls:
            self._late.popleft()()
