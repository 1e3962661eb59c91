"""Forks of a process that has stores open: all of them stand still while it is copied.

A transaction, or an environment half-way through opening or closing, must not be copied: the child would
have it without the thread that was to end it.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What must know of forks."""

    def before_fork(self) -> None:
        """Wait until nothing is under way, and let nothing begin."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        ...

    def after_fork_in_child(self) -> None:
        """Forget what belongs to the parent."""
        ...


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()
_forking: list[Forkable] = []
"""Those that `before_fork` was called of: others may be made while it waits."""


def watch(each: Forkable) -> None:
    """Tell it of every fork, as long as it lives."""
    _watched.add(each)


def forget(each: Forkable) -> None:
    """Tell it of no fork any more."""
    _watched.discard(each)


def _before() -> None:
    _forking[:] = list(_watched)
    for each in _forking:
        each.before_fork()


def _after_in_parent() -> None:
    while _forking:
        _forking.pop().after_fork_in_parent()


def _after_in_child() -> None:
    _forking.clear()
    for each in list(_watched):
        each.after_fork_in_child()


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
