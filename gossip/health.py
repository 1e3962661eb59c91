"""How well this node itself keeps up: what it holds of others counts for less when it does badly
(Lifeguard)."""

from __future__ import annotations

from .config import HEALTH_POINTS_MAX


class Health:
    """Points from 0 (well) to `HEALTH_POINTS_MAX`. Own lateness, unanswered probes, missing nacks and having
    been suspected add points; an answered probe takes one."""

    __slots__ = ("points",)

    def __init__(self) -> None:
        self.points = 0

    @property
    def factor(self) -> int:
        """By how much rounds and timeouts of probes are stretched."""
        return self.points + 1

    def add(self, points: int) -> None:
        """Add or take points, within the bounds."""
        self.points = min(HEALTH_POINTS_MAX, max(0, self.points + points))
