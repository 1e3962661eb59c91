"""The way back from the writer thread into an event loop: outcomes by the batch, one wake-up for many.

Waking a loop costs a system call, and the writer thread finishes many requests at once (group commit).
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

Settle = Callable[[Any], None]
"""Takes an outcome in the loop's thread. Must not raise."""
Wake = Callable[[Callable[[], None]], object]
"""Has an event loop call something soon; raises RuntimeError if the loop is over."""


class Mailbox:
    """What waits to be delivered in one event loop. It lives as long as requests of the loop do."""

    __slots__ = ("__weakref__", "_awake", "_letters")

    def __init__(self) -> None:
        self._letters: deque[tuple[Settle, Any, Wake]] = deque()
        self._awake = False

    def post(self, settle: Settle, outcome: object, wake: Wake) -> None:
        """Have the loop call `settle(outcome)`, once somebody has rung. From any thread."""
        self._letters.append((settle, outcome, wake))

    def ring(self) -> None:
        """Have the loop look into the mailbox. From any thread."""
        if self._awake or not self._letters:
            return
        self._awake = True
        try:
            self._letters[0][2](self._deliver)
        except IndexError:  # the loop was faster than this look
            self._awake = False
        except RuntimeError:  # the loop is over: nobody waits
            self._awake = False
            self._letters.clear()

    def _deliver(self) -> None:
        self._awake = False  # first: what comes after the last look wakes the loop again
        letters = self._letters
        while letters:
            settle, outcome, _ = letters.popleft()
            settle(outcome)


class Mailboxes:
    """The mailbox of each event loop that waits for something.

    Letters hold on to their loop, so a mailbox that were held on to here would keep a closed loop for ever.
    While a mailbox lives its loop does, and no other has the same `id`.
    """

    def __init__(self) -> None:
        self._of: weakref.WeakValueDictionary[int, Mailbox] = weakref.WeakValueDictionary()

    def of(self, loop: object) -> Mailbox:
        """The loop's mailbox."""
        mailbox = self._of.get(id(loop))
        if mailbox is None:
            mailbox = self._of[id(loop)] = Mailbox()
        return mailbox
