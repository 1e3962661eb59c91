"""What scenarios play on: the opened contestants, and how much is measured."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Self

from .peer import MissingError
from .peers import PEERS
from .place import Place
from .worker import FailedError, Worker

__all__ = ["FULL", "QUICK", "Effort", "Stage"]


ROUNDS_MIN = 3
"""Of which a median can be taken."""


@dataclass(frozen=True)
class Effort:
    """How much is measured. Where a machine's speed wanders, many short rounds tell more than few long."""

    name: str
    rounds: int
    round_s: float
    """Of one contestant."""

    race_s: float
    """About, of all rounds of a scenario together. Where calls are slow there are fewer rounds."""

    crowd_rounds: int
    crowd_s: float
    beside_rounds: int
    beside_s: float
    fresh_processes: int
    idle_rounds: int
    idle_s: float

    def rounds_of(self, round_s: float) -> int:
        """How many rounds of so many seconds, all contestants together, there are."""
        return min(self.rounds, max(ROUNDS_MIN, int(self.race_s / round_s))) if round_s else self.rounds


FULL = Effort(
    name="full",
    rounds=25,
    round_s=0.1,
    race_s=30.0,
    crowd_rounds=7,
    crowd_s=0.5,
    beside_rounds=3,
    beside_s=4.0,
    fresh_processes=15,
    idle_rounds=3,
    idle_s=10.0,
)

QUICK = Effort(
    name="quick",
    rounds=5,
    round_s=0.03,
    race_s=2.0,
    crowd_rounds=3,
    crowd_s=0.15,
    beside_rounds=1,
    beside_s=0.8,
    fresh_processes=7,
    idle_rounds=1,
    idle_s=3.0,
)


class Stage:
    """Owns the workers. Each contestant has one, opened at its first scenario and kept for the others."""

    def __init__(self, place: Place, effort: Effort, say: Callable[[str], None]) -> None:
        self.place = place
        self.effort = effort
        self.say = say
        self._workers: dict[str, Worker] = {}
        self._absences: dict[str, MissingError | FailedError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def worker(self, name: str) -> Worker:
        """The contestant's process. Raises `MissingError` or `FailedError`."""
        if name in self._absences:
            raise self._absences[name]
        if name in self._workers and not self._workers[name].usable:
            self._workers.pop(name).close()
        if name not in self._workers:
            try:
                self._workers[name] = Worker(name, self.place).ready()
            except (MissingError, FailedError) as error:
                self._absences[name] = error
                raise
        return self._workers[name]

    def leave(self, servers: AbstractSet[str]) -> None:
        """Close the workers whose contestants talk to these servers, which are about to be stopped."""
        for name in [name for name in self._workers if PEERS[name].server in servers]:
            self._workers.pop(name).close()

    def settle(self) -> None:
        """Have the system write what was left to be written, so that it does not weigh on what comes next."""
        os.sync()

    def another(self, name: str) -> Worker:
        """One more process with that contestant, on the same data. The caller makes sure that it is
        ready, and closes it."""
        return Worker(name, self.place, stored=True)
