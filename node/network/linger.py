"""Whether it pays to look again for a moment before going to sleep, learnt from what looking found."""

from __future__ import annotations

from ..config import LINGER_MEMORY_TRIES, LINGER_RATIO_MIN, LINGER_TRIES


class Linger:
    """It pays while it finds something more often than not."""

    __slots__ = ("_found", "_turns")

    def __init__(self) -> None:
        #: The part of late lingers that found something.
        self._found = 1.0
        self._turns = 0

    def pays(self) -> bool:
        """Whether to linger this time."""
        if self._found >= LINGER_RATIO_MIN:
            return True
        self._turns += 1
        return self._turns % LINGER_TRIES == 0

    def note(self, *, found: bool) -> None:
        """Whether something came while lingering."""
        self._found += (found - self._found) / LINGER_MEMORY_TRIES
