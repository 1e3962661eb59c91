"""One node as this client sees it: where it is reached, and whether it answered lately.

ROUTABLE is what this file knows. It is neither what gossip says (who is alive) nor what the ring says (who
owns what): a node that is not routable is asked last, and not never.
"""

from __future__ import annotations

from .config import AVOID_S_MAX, AVOID_S_MIN, PROBE_PATIENCE_S


class Contact:
    """A node's address with what became of the last questions to it. Threads may share it: what two of them
    write over each other is a guess in either case."""

    __slots__ = ("address", "avoid_until_s", "is_near", "misses")

    def __init__(self, address: str) -> None:
        self.address = address
        #: Questions in a row that it did not answer.
        self.misses = 0
        #: Until then it is asked last.
        self.avoid_until_s = 0.0
        #: Whether it is on this host, as its connection showed.
        self.is_near = False

    def is_routable(self, now_s: float) -> bool:
        """Whether to ask it in its turn."""
        return not self.misses or now_s >= self.avoid_until_s

    def begin(self, now_s: float, patience_s: float, *, others: bool) -> float:
        """How long to wait for its answer, now that it is asked. Of a node that missed its last question one
        caller finds out whether it is back, and quickly if there are `others`."""
        if not self.misses:
            return patience_s
        patience_s = min(patience_s, PROBE_PATIENCE_S) if others else patience_s
        self.avoid_until_s = now_s + patience_s
        return patience_s

    def hit(self) -> None:
        """It answered."""
        self.misses = 0

    def miss(self, now_s: float) -> None:
        """It did not."""
        self.misses += 1
        self.avoid_until_s = now_s + min(AVOID_S_MIN * 2 ** min(self.misses - 1, 8), AVOID_S_MAX)

    def __repr__(self) -> str:
        return f"<{self.address}{f', {self.misses} misses' if self.misses else ''}>"
