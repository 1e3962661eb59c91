"""What a node has to complain of: each thing once, however often it happens."""

from __future__ import annotations

from .config import COMPLAINTS_MAX
from .world import World


class Complaints:
    """The last things that were wrong, in words, for logs and for people who ask for the status."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made: dict[str, None] = {}

    def make(self, text: str) -> None:
        """Complain, unless in the same words before."""
        if text in self._made:
            return
        if len(self._made) >= COMPLAINTS_MAX:
            del self._made[next(iter(self._made))]
        self._made[text] = None
        self._world.trace("complaint", text=text)

    @property
    def texts(self) -> list[str]:
        """All that are kept, oldest first."""
        return list(self._made)
