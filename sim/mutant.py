"""Wrong versions of a system, to see that the simulator catches them: a green run of a blind checker is worth
nothing.

A file of wrong versions has scenarios, and a mapping MUTANTS from their names to what is expected of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..exception import InvalidError
from .check import Failure
from .determinism import ONE_RUN, compare
from .run import run
from .scenario import module_of, plan_for


@dataclass(frozen=True, slots=True)
class Mutant:
    """How a wrong version is caught."""

    seeds_max: int
    """Within so many seeds, the first being 0."""
    check: str
    """By this check."""
    profile: str = "default"


@dataclass(frozen=True, slots=True)
class Caught:
    """What came of trying one."""

    name: str
    mutant: Mutant
    seeds_count: int
    """Tried."""
    failure: Failure | None

    @property
    def as_expected(self) -> bool:
        """Whether the right check caught it in time."""
        return self.failure is not None and self.failure.check == self.mutant.check


def try_mutants(path: Path) -> Iterator[Caught]:
    """Try every wrong version of a file.

    Raises:
        InvalidError: the file has no MUTANTS.
    """
    mutants = getattr(module_of(str(path)), "MUTANTS", None)
    if not mutants:
        raise InvalidError(f"{path} has no MUTANTS")
    for name, mutant in mutants.items():
        yield try_mutant(f"{path}:{name}", name, mutant)


def try_mutant(place: str, name: str, mutant: Mutant) -> Caught:
    """Try seeds from 0 on until one fails."""
    for seed in range(mutant.seeds_max):
        plan = plan_for(place, seed, mutant.profile)
        failure = run(plan).failure
        if failure is None and mutant.check == ONE_RUN:
            failure = compare(plan)
        if failure is not None:
            return Caught(name, mutant, seed + 1, failure)
    return Caught(name, mutant, mutant.seeds_max, None)
