"""A failing plan made as small as it still fails: by the same check, though perhaps in another way.

Taking anything away shifts the instants of all that follows, and what had to meet misses by a millisecond. So
each smaller plan is tried with a few rolls of the dice, and one that fails by any of them is smaller all the
same.

Kinds of faults first, then time, then faults by halves and then one by one (Zeller and Hildebrandt,
"Simplifying and Isolating Failure-Inducing Input", 2002), then noise, time, clients, nodes; then the faults
again, for what has become needless.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..node.world import NS_PER_S
from .case import keep_only
from .check import Failure
from .config import SHRINK_LUCKS_MAX, SHRINK_LUCKS_MIN, SHRINK_RUNS_MAX
from .plan import Plan
from .run import Outcome, run


@dataclass(slots=True)
class Smaller:
    """What is left. The options are those of `keep_only`, and of the command that replays it."""

    plan: Plan
    failure: Failure
    keep: tuple[int, ...]
    runs_count: int = 0
    nodes: int | None = None
    clients: int | None = None
    seconds: float | None = None
    quiet: bool = False
    skip: float | None = None
    luck: int = 0


class Shrinker:
    """Shrinks one plan. `told` hears how many runs were made and how many faults are left."""

    def __init__(
        self, plan: Plan, failure: Failure, told: Callable[[int, int], None] = lambda _runs, _faults: None
    ) -> None:
        self._whole = plan
        self._told = told
        self.best = Smaller(plan, failure, tuple(range(len(plan.faults))))

    def shrink(self) -> Smaller:
        """The smallest plan that was found."""
        self._shrink_kinds()
        self._shrink_window()
        self._shrink_faults()
        self._try(replace(self.best, quiet=True))
        self._shrink_clients()
        self._shrink_nodes()
        self._shrink_window()
        self._shrink_faults()
        return self.best

    def _try(self, candidate: Smaller) -> bool:
        """Whether a smaller plan fails by the same check; it is the best then."""
        count = SHRINK_LUCKS_MIN * self._whole.span_ns // max(1, self._plan_of(candidate).span_ns)
        lucks = [self.best.luck, *range(min(count, SHRINK_LUCKS_MAX))]
        return any(self._try_once(replace(candidate, luck=luck)) for luck in lucks)

    def _try_once(self, candidate: Smaller) -> bool:
        if self.best.runs_count >= SHRINK_RUNS_MAX:
            return False
        plan = self._plan_of(candidate)
        outcome: Outcome = run(plan)
        self.best.runs_count += 1
        self._told(self.best.runs_count, len(self.best.keep))
        if outcome.failure is None or outcome.failure.check != self.best.failure.check:
            return False
        kept = tuple(index for index in candidate.keep if self._is_in(index, candidate))
        self.best = replace(
            candidate, plan=plan, failure=outcome.failure, keep=kept, runs_count=self.best.runs_count
        )
        return True

    def _is_in(self, index: int, candidate: Smaller) -> bool:
        return bool(self._plan_of(replace(candidate, keep=(index,))).faults)

    def _plan_of(self, candidate: Smaller) -> Plan:
        return keep_only(
            self._whole, frozenset(candidate.keep), nodes=candidate.nodes, clients=candidate.clients,
            seconds=candidate.seconds, quiet=candidate.quiet, skip=candidate.skip, luck=candidate.luck,
        )  # fmt: skip

    def _shrink_kinds(self) -> None:
        """No fault at all, else those of one kind, else without this kind or that."""
        kinds = {index: fault.kind for index, fault in enumerate(self._whole.faults)}
        names = sorted(set(kinds.values()))
        alone = [tuple(index for index in kinds if kinds[index] == name) for name in names]
        if any(self._try(replace(self.best, keep=keep)) for keep in [(), *alone]):
            return
        for name in names:
            kept = tuple(index for index in self.best.keep if kinds[index] != name)
            self._try(replace(self.best, keep=kept))

    def _shrink_faults(self) -> None:
        size = max(1, len(self.best.keep) // 2)
        while self.best.keep:
            place = 0
            while place < len(self.best.keep):
                keep = self.best.keep
                if not self._try(replace(self.best, keep=keep[:place] + keep[place + size :])):
                    place += size
            if size == 1:
                return
            size = size // 2

    def _shrink_clients(self) -> None:
        while self.best.plan.clients_count > 1:
            if not self._try(replace(self.best, clients=self.best.plan.clients_count - 1)):
                return

    def _shrink_nodes(self) -> None:
        while self.best.plan.nodes_count > 1:
            if not self._try(replace(self.best, nodes=self.best.plan.nodes_count - 1)):
                return

    def _shrink_window(self) -> None:
        """Half the time, the first or the last, as long as that will do: short runs are quick to try."""
        while self._try(replace(self.best, seconds=self._seconds(0.5))) or self._try(
            replace(self.best, skip=round((self.best.skip or 0.0) + self._seconds(0.5), 3))
        ):
            pass

    def _seconds(self, share: float) -> float:
        return round(self.best.plan.span_ns * share / NS_PER_S, 3)
