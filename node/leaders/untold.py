"""What an acceptor accepted and never heard of again: it may be chosen, and no reader may know.

A leader shows what is chosen to its own readers at once and tells the others a moment later. If it dies in
between, the next one finds that all acceptors have the same, and has nothing to decide again. So it shows
what it was not told of, once that is known to be chosen.
"""

from __future__ import annotations

from collections.abc import Callable

from .leaderconfig import UNTOLD_NAMES_MAX
from .record import bucket_of


class Untold:
    """One node's, of the time since its process began. What is from before is shown anew by its leader
    (node/leaders/reshowing.py).

    What nobody told in a long while was told and that was lost, mostly, and is shown since replicas compare:
    the oldest names give way to new ones."""

    def __init__(self, names_max: int = UNTOLD_NAMES_MAX) -> None:
        self._max = names_max
        self._names: dict[int, dict[bytes, None]] = {}
        #: All of them, the oldest first.
        self._order: dict[tuple[int, bytes], None] = {}

    def accepted(self, partition: int, name: bytes) -> None:
        """That was accepted."""
        self._order.pop((partition, name), None)
        self._order[partition, name] = None
        self._names.setdefault(partition, {})[name] = None
        if len(self._order) > self._max:
            self.told(*next(iter(self._order)))

    def told(self, partition: int, name: bytes) -> None:
        """What is there now is known to be chosen, and was shown."""
        names = self._names.get(partition)
        if names is not None and name in names:
            del names[name], self._order[partition, name]
            if not names:
                del self._names[partition]

    def names(self, partition: int, is_wanted: Callable[[int], bool]) -> list[bytes]:
        """Those in some buckets."""
        return [name for name in self._names.get(partition, ()) if is_wanted(bucket_of(name))]
