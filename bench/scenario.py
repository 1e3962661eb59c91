"""One thing that is measured: of whom, in which unit, what is demanded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from .figures import MICROSECONDS, Sheet, Unit
from .operation import OPERATIONS
from .peers import PEERS
from .runner import Pace, Runner
from .stage import Stage
from .target import Target, Verdict
from .worker import Worker

__all__ = ["Outcome", "Race", "Scenario"]


@dataclass(frozen=True, kw_only=True)
class Scenario(ABC):
    """The first contestant is the one that the targets are about."""

    name: str
    title: str
    contestants: tuple[str, ...]
    targets: tuple[Target, ...] = ()
    unit: Unit = MICROSECONDS
    compares: ClassVar[bool] = True
    """Whether the report says how many times as good the first contestant is as each other."""

    @property
    def subject(self) -> str:
        return self.contestants[0]

    @property
    def servers(self) -> set[str]:
        """What its contestants talk to: fields of `Place`."""
        return {PEERS[name].server for name in self.contestants if name in PEERS} - {""}

    def statements(self) -> dict[str, str]:
        """What is timed of each contestant, where that is a statement."""
        return {}

    @abstractmethod
    def run(self, stage: Stage) -> Sheet:
        """Measure it, all rounds."""


@dataclass(frozen=True)
class Outcome:
    """A scenario that was run."""

    scenario: Scenario
    sheet: Sheet

    @property
    def verdicts(self) -> list[Verdict]:
        scenario = self.scenario
        return [target.judge(scenario.subject, scenario.unit, self.sheet) for target in scenario.targets]

    @property
    def failed(self) -> bool:
        """Whether a contestant did: that is a fault, of the contestant or of the bench."""
        return any(absence.failed for absence in self.sheet.absences.values())

    def advantage(self, name: str) -> float | None:
        """How many times as fast the first contestant is as another, where that can be said."""
        scenario = self.scenario
        ratios = self.sheet.speedups(scenario.unit, scenario.subject, name)
        return median(ratios) if scenario.compares and ratios and name != scenario.subject else None


@dataclass(frozen=True, kw_only=True)
class Race(Scenario):
    """One operation, by one contestant at a time, in interleaved rounds.

    ``entries`` of one call share its time. ``timed`` says what a round's figure is: the mean of its calls, or
    with `Runner.middle` their median. ``rounds`` and ``round_s`` take the place of the effort's.
    """

    operation: str
    entries: int = 1
    timed: Callable[[Runner, str, int], float] = Runner.mean
    rounds: int | None = None
    round_s: float | None = None

    def statements(self) -> dict[str, str]:
        statement = OPERATIONS[self.operation].statement
        return {name: PEERS[name].statements[statement] for name in self.contestants}

    def run(self, stage: Stage) -> Sheet:
        sheet = Sheet(self.contestants)
        paces: dict[str, Pace] = {}
        for name in self.contestants:
            stage.say(f"{self.name}: {name} gets ready")
            with sheet.attempt(name):
                worker = stage.worker(name)
                paces[name] = worker.call(Runner.pace, self.operation, self.round_s or stage.effort.round_s)
        stage.settle()
        rounds = self.rounds or stage.effort.rounds_of(sum(pace.seconds for pace in paces.values()))
        for number in range(rounds):
            stage.say(f"{self.name}: round {number + 1} of {rounds}")
            sheet.calibrate()
            for name in sheet.present:
                with sheet.attempt(name):
                    sheet.note(name, self._figure(stage.worker(name), paces[name].calls))
        return sheet

    def _figure(self, worker: Worker, calls: int) -> float:
        entry_s = worker.call(self.timed, self.operation, calls) / self.entries
        return 1 / entry_s if self.unit.more_is_better else entry_s
