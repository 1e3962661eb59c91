"""Who is told how one node's talk with another about what both keep goes on (comparison.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..network.message import Mark
from ..world import NodeId


class Listener(NamedTuple):
    """Who is told how a talk goes."""

    merged: Callable[[int], None]
    """A partition became equal."""
    told_time: Callable[[int], None]
    """What time it is for the peer, in ms since 1970."""
    answered: Callable[[], None]
    """The peer answered something: it lives."""
    heard: Callable[[NodeId, Mark], None]
    """The peer goes by another ring."""
    ended: Callable[[bool], None]
    """It is over, and whether it came to its end."""
