"""What a scenario demands of ringdict, and whether a sheet of figures shows it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from .figures import RATIO, Sheet, Summary, Unit

__all__ = ["AtLeast", "AtMost", "Faster", "Target", "Verdict", "Within"]


@dataclass(frozen=True)
class Verdict:
    """A target, held against figures. ``measured`` is None when a contestant that it needs is absent."""

    subject: str
    required: str
    unit: Unit
    measured: Summary | None
    met: bool

    @property
    def word(self) -> str:
        """What stands in the report."""
        if self.measured is None:
            return "missing"
        return "OK" if self.met else "MISSED"


class Target(ABC):
    """One demand. ``subject`` is the contestant that it is made of."""

    @abstractmethod
    def judge(self, subject: str, unit: Unit, sheet: Sheet) -> Verdict:
        """Hold it against the figures of a sheet, which are in `unit`."""


@dataclass(frozen=True)
class Faster(Target):
    """At least so many times as fast as another, in the median of the rounds."""

    times: float
    than: str

    def judge(self, subject: str, unit: Unit, sheet: Sheet) -> Verdict:
        ratios = sheet.speedups(unit, subject, self.than)
        measured = Summary.of(ratios) if ratios else None
        met = measured is not None and measured.median >= self.times
        return Verdict(subject, f"≥ {self.times:g}x as fast as {self.than}", RATIO, measured, met)


@dataclass(frozen=True)
class Within(Target):
    """At most so many times the time of another, in the median of the rounds."""

    times: float
    of: str

    def judge(self, subject: str, unit: Unit, sheet: Sheet) -> Verdict:
        ratios = sheet.speedups(unit, self.of, subject)
        measured = Summary.of(ratios) if ratios else None
        met = measured is not None and measured.median <= self.times
        return Verdict(subject, f"≤ {self.times:g}x the time of {self.of}", RATIO, measured, met)


@dataclass(frozen=True)
class AtMost(Target):
    """A bound in seconds or bytes; of ``subject``, where that is not the scenario's first contestant."""

    bound: float
    subject: str = ""

    def judge(self, subject: str, unit: Unit, sheet: Sheet) -> Verdict:
        subject = self.subject or subject
        measured = sheet.summary(subject)
        met = measured is not None and measured.median <= self.bound
        return Verdict(subject, f"≤ {self.bound * unit.scale:g} {unit.symbol}", unit, measured, met)


@dataclass(frozen=True)
class AtLeast(Target):
    """The same from below."""

    bound: float

    def judge(self, subject: str, unit: Unit, sheet: Sheet) -> Verdict:
        measured = sheet.summary(subject)
        met = measured is not None and measured.median >= self.bound
        return Verdict(subject, f"≥ {self.bound * unit.scale:g} {unit.symbol}", unit, measured, met)
