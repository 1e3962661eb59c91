"""What must hold of a run. A check is one function, one property, and its docstring is the sentence that says
it.

It gets the finished run and returns None if the property holds, or what is wrong, in words. What must be
caught at the moment it happens is a `Watcher` instead: made anew for each run, it is told of every trace of
every process, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeAlias

from ..node.world import NS_PER_S, Address
from .history import Operation, Status, by_key
from .linearizability import Model, Verdict, check_key

if TYPE_CHECKING:
    from .plan import Plan
    from .simulation import Simulation


@dataclass(slots=True)
class Finished:
    """A run that has come to its end."""

    plan: Plan
    simulation: Simulation
    operations: Sequence[Operation]
    watchers: Sequence[Watcher]
    checks_count: int = 0
    unresolved: list[object] = field(default_factory=list)
    """Keys that a search gave up on: to be judged elsewhere (docs/simulation.md)."""


Check: TypeAlias = Callable[[Finished], str | None]


class Watcher(Protocol):
    """Looks on while a run goes on."""

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> str | None:
        """A process traced something; what is wrong, in words, which ends the run; or None."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """What was wrong, and by which check: two failures are of one class if the check is the same."""

    check: str
    what: str


def linearizable(model: Model) -> Check:
    """A check that every key behaves as one copy of `model` would."""

    def every_key_is_linearizable(run: Finished) -> str | None:
        """The answers on each key are those of one copy that serves one client at a time."""
        for key, operations in by_key(run.operations).items():
            answer = check_key(model, operations)
            run.checks_count += 1
            if answer.verdict is Verdict.NO:
                stuck = [one for one in operations if one.serial not in answer.longest]
                ok = next(one for one in stuck if one.status is Status.OK)
                return (
                    f"key {key!r}: {ok.client} was told {ok.result!r} for {ok.kind} {ok.argument!r} at "
                    f"{(ok.returned_ns or 0) / NS_PER_S:.3f} s, which no order of the {len(operations)} "
                    "operations allows"
                )
            if answer.verdict is Verdict.UNRESOLVED:
                run.unresolved.append(key)
        return None

    return every_key_is_linearizable


def progress(bound_s: float) -> Check:
    """A check that the system serves again within `bound_s` once a core is healed for good."""
    bound_ns = int(bound_s * NS_PER_S)

    def a_healed_core_serves(run: Finished) -> str | None:
        """Once a majority is healed for good, every client is served within the bound, again and again."""
        heal_ns, end_ns = run.plan.heal_ns, run.simulation.loop.now_ns
        if heal_ns is None:
            return None
        for client in run.simulation.hosts:
            mine = [one for one in run.operations if one.client == client]
            if not mine:
                continue
            served = [one.returned_ns or 0 for one in mine if one.status is Status.OK]
            served = [at_ns for at_ns in served if at_ns > heal_ns]
            run.checks_count += 1
            instants = [heal_ns, *served, end_ns]
            for before, after in pairwise(instants):
                if after - before > bound_ns:
                    return (
                        f"healed at {heal_ns / NS_PER_S:.3f} s, and {client} was served nothing from "
                        f"{before / NS_PER_S:.3f} to {after / NS_PER_S:.3f} s"
                    )
        return None

    return a_healed_core_serves


def sentence(check: Check) -> str:
    """What a check demands, in words."""
    return (check.__doc__ or check.__name__).strip().splitlines()[0]
