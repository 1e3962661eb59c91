"""What can befall a made-up world: a fault is data, made before the run; its kind knows how to carry it out.

To add one: write a class with `name`, `rate`, `draw`, `begin`, `end` and `words`, and put it into a list of
kinds (sim/cuts.py, sim/breakdowns.py). docs/simulation.md does it step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from .config import S
from .host import Host
from .simulation import Simulation


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, when, for how long, where, how much."""

    kind: str
    at_ns: int
    for_ns: int
    """0: it is over as soon as it has happened."""
    nodes: tuple[int, ...]
    """Numbers of nodes; what they mean, the kind says."""
    amount: int = 0
    """What it means, the kind says."""

    @property
    def end_ns(self) -> int:
        """When it is over."""
        return self.at_ns + self.for_ns

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "kind": self.kind,
            "at_ns": self.at_ns,
            "for_ns": self.for_ns,
            "nodes": list(self.nodes),
            "amount": self.amount,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Fault:
        """From what `to_json` gave."""
        return cls(data["kind"], data["at_ns"], data["for_ns"], tuple(data["nodes"]), data["amount"])


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a kind draws; when it happens is drawn by the schedule."""

    nodes: tuple[int, ...]
    for_ns: int = 0
    amount: int = 0


@dataclass(slots=True)
class Field:
    """Where faults are carried out: the simulation, its nodes by number, and its clients."""

    simulation: Simulation
    nodes: Sequence[Host]
    clients: Sequence[Host]


class Kind:
    """One kind of fault. One object of it serves one run, so `begin` may keep what `end` needs, by fault."""

    name: ClassVar[str]
    rate: ClassVar[tuple[float, float]]
    """Of such faults a second, at least and at most, in a run that has them."""
    lasting: ClassVar[bool] = False
    """Whether what it hits never serves again: only a minority may be hit so."""

    def draw(self, dice: Random, count: int) -> Drawn:
        """Draw one for a system of `count` nodes."""
        raise NotImplementedError

    def begin(self, field: Field, fault: Fault) -> None:
        """Let it happen."""
        raise NotImplementedError

    def end(self, field: Field, fault: Fault) -> None:
        """Undo it, if that is how it ends."""

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        """What happens, as a sentence without its full stop; `names` are those of all nodes."""
        raise NotImplementedError


def hit(fault: Fault, names: Sequence[str]) -> str:
    """The names of what a fault hits, for a sentence."""
    return ", ".join(names[number] for number in fault.nodes)


def one(dice: Random, count: int) -> tuple[int, ...]:
    """One node."""
    return (dice.randrange(count),)


def span(dice: Random, mean_s: float, most_s: float = 10.0) -> int:
    """An exponential span in nanoseconds, at least a millisecond."""
    return max(S // 1000, int(min(dice.expovariate(1 / mean_s), most_s) * S))


def log_uniform(dice: Random, low: float, high: float) -> float:
    """A number from a range of several magnitudes, each magnitude as likely as the others."""
    return float(low * (high / low) ** dice.random())
