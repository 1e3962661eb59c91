"""How long a suspect has to refute: the longer, the fewer others suspect it too (Lifeguard,
arXiv:1707.00788)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .config import SUSPICION_SCALE_RATIO_MIN
from .member import NOBODY, NodeId

if TYPE_CHECKING:
    from .agenda import Appointment
    from .config import Settings


class Suspicion:
    """One suspicion of one incarnation of a member.

    `reporters` are those who got no answer themselves. The first does not count as a confirmation, and
    neither does `NOBODY`, which stands for what was learnt by a sync: anti-entropy carries one opinion to
    everybody.
    """

    __slots__ = ("_confirmations_max", "began", "expiry", "least_s", "most_s", "own", "reporters")

    def __init__(self, settings: Settings, live_count: int, reporter: NodeId, now: float) -> None:
        scale = max(SUSPICION_SCALE_RATIO_MIN, math.log10(max(1, live_count)))
        self.least_s = settings.suspicion_rounds * scale * settings.probe_interval_s
        self.most_s = self.least_s * settings.suspicion_ratio_max
        # Somebody has to be there to confirm: all but this node and the suspect.
        self._confirmations_max = min(settings.suspicion_confirmations, max(0, live_count - 2))
        self.began = now
        self.reporters: set[NodeId] = set() if reporter == NOBODY else {reporter}
        self.own = False  # whether this node accused it itself
        self.expiry: Appointment | None = None

    @property
    def due(self) -> float:
        """When it ends in a death, by what is known now."""
        return self.began + self.timeout_s

    @property
    def timeout_s(self) -> float:
        """Return how long it lasts in all."""
        confirmed = max(0, len(self.reporters) - 1)
        if not self.reporters:
            return self.most_s
        if not self._confirmations_max:
            return self.least_s
        share = math.log(confirmed + 1) / math.log(self._confirmations_max + 1)
        return max(self.least_s, self.most_s - (self.most_s - self.least_s) * share)

    @property
    def open(self) -> bool:
        """Whether one more reporter would count."""
        return len(self.reporters) <= self._confirmations_max

    def confirm(self, reporter: NodeId) -> bool:
        """Count one more reporter; return whether that was news."""
        if reporter == NOBODY or reporter in self.reporters or not self.open:
            return False
        self.reporters.add(reporter)
        return True
