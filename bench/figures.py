"""What came out of a scenario: a figure per contestant and round, and how figures are summed up and shown."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import NamedTuple

from .calibration import PAR_S, calibrate
from .peer import MissingError
from .worker import FailedError

__all__ = [
    "MEGABYTES",
    "MICROSECONDS",
    "MILLISECONDS",
    "PERCENT",
    "PER_SECOND",
    "RATIO",
    "Absence",
    "Sheet",
    "Summary",
    "Unit",
    "three_digits",
]


@dataclass(frozen=True)
class Unit:
    """How figures, which are kept in seconds, bytes or per second, are shown and compared."""

    symbol: str
    scale: float
    more_is_better: bool = False
    follows_speed: bool = True
    """Whether a machine that runs Python twice as fast has a figure twice as good."""

    def show(self, figure: float) -> str:
        """The figure's number, in this unit."""
        return three_digits(figure * self.scale)

    def speedup(self, figure: float, other: float) -> float:
        """How many times as good `figure` is as `other`. Files may well grow by nothing at all."""
        above, below = (figure, other) if self.more_is_better else (other, figure)
        if not below:
            return math.inf if above else 1.0
        return above / below

    def at_par(self, figure: float, calibration_s: float) -> float:
        """The figure on a machine whose calibration loop takes `PAR_S`."""
        factor = PAR_S / calibration_s
        return figure / factor if self.more_is_better else figure * factor


MICROSECONDS = Unit("µs", 1e6)
MILLISECONDS = Unit("ms", 1e3)
PER_SECOND = Unit("k/s", 1e-3, more_is_better=True)
MEGABYTES = Unit("MB", 1e-6, follows_speed=False)
PERCENT = Unit("%", 100.0)
RATIO = Unit("x", 1.0, follows_speed=False)


def three_digits(number: float) -> str:
    """Three significant digits from 1 up, never an exponent."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


class Summary(NamedTuple):
    """The median of a list of figures, and its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Summary:
        """Of at least one figure."""
        if len(figures) == 1:
            return cls(figures[0], figures[0], figures[0])
        low, _, high = quantiles(figures, n=4, method="inclusive")
        return cls(median(figures), low, high)


@dataclass(frozen=True)
class Absence:
    """Why a contestant has no figures."""

    failed: bool
    reason: str

    def __str__(self) -> str:
        return f"{'failed' if self.failed else 'missing'}: {self.reason}"


@dataclass
class Sheet:
    """The figures of one scenario. A contestant has one of each round, or an absence and none."""

    contestants: tuple[str, ...]
    figures: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    absences: dict[str, Absence] = field(default_factory=dict[str, Absence])
    calibrations_s: list[float] = field(default_factory=list[float])

    @property
    def present(self) -> list[str]:
        """Who is still in the race."""
        return [name for name in self.contestants if name not in self.absences]

    def calibrate(self) -> None:
        """Take the machine's speed at this moment."""
        self.calibrations_s.append(calibrate())

    def note(self, name: str, figure: float) -> None:
        """The figure of one round."""
        self.figures.setdefault(name, []).append(figure)

    @contextmanager
    def attempt(self, name: str) -> Generator[None]:
        """Whoever is missing or fails in here is out, with all figures: rounds are compared pair by pair."""
        try:
            yield
        except (MissingError, FailedError) as error:
            self.absences[name] = Absence(isinstance(error, FailedError), str(error))
            self.figures.pop(name, None)

    def summary(self, name: str) -> Summary | None:
        """Of a contestant's figures, if it has any."""
        return Summary.of(self.figures[name]) if self.figures.get(name) else None

    def speedups(self, unit: Unit, name: str, other: str) -> list[float]:
        """How many times as good `name` was as `other`, round by round; empty if one of them is absent."""
        ours, theirs = self.figures.get(name, []), self.figures.get(other, [])
        return [unit.speedup(ours[i], theirs[i]) for i in range(min(len(ours), len(theirs)))]
