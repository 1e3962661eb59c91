"""Many seeds, side by side in several processes, and the sum of what came of them."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import islice

from ..node.world import NS_PER_S
from .config import HASH_BYTES
from .run import Outcome, run
from .scenario import plan_for


@dataclass(frozen=True, slots=True)
class Batch:
    """What to run."""

    scenario: str
    seeds: Sequence[int]
    profile: str = "default"
    live: bool | None = None
    shells: bool = False


@dataclass(slots=True)
class Sum:
    """What came of all runs so far."""

    runs_count: int = 0
    live_count: int = 0
    virtual_ns: int = 0
    messages_count: int = 0
    events_count: int = 0
    checks_count: int = 0
    unresolved_count: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Take one more run in."""
        self.runs_count += 1
        self.live_count += outcome.plan.heal_ns is not None
        self.virtual_ns += outcome.virtual_ns
        self.messages_count += outcome.messages_count
        self.events_count += outcome.events_count
        self.checks_count += outcome.checks_count
        self.unresolved_count += outcome.unresolved_count
        self.faults += outcome.faults
        self.statuses += outcome.statuses
        self.hashes[outcome.plan.seed] = outcome.hash
        if outcome.failure is not None:
            self.failures.append(outcome)
            self.failures.sort(key=lambda failed: failed.plan.seed)

    @property
    def virtual_hours(self) -> float:
        """How much time passed in all worlds together."""
        return self.virtual_ns / NS_PER_S / 3600

    @property
    def hash(self) -> str:
        """One hash over the hashes of all runs, in the order of their seeds."""
        whole = "".join(self.hashes[seed] for seed in sorted(self.hashes))
        return blake2b(whole.encode(), digest_size=HASH_BYTES).hexdigest()


def run_batch(batch: Batch, jobs: int) -> Iterator[Outcome]:
    """Run all seeds in `jobs` processes; each outcome as soon as it is there, in no particular order."""
    one = partial(run_seed, batch)
    if jobs == 1:
        yield from map(one, batch.seeds)
        return
    # Spawned, not forked: whatever threads this process has, a worker must not inherit their locks.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        seeds = iter(batch.seeds)
        running: set[Future[Outcome]] = {pool.submit(one, seed) for seed in islice(seeds, 4 * jobs)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(one, seed) for seed in islice(seeds, len(done))}
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def run_seed(batch: Batch, seed: int) -> Outcome:
    """Run one seed of a batch."""
    plan = plan_for(batch.scenario, seed, batch.profile, live=batch.live)
    if batch.shells:
        from .shellrun import run_shells

        return run_shells(plan)
    return run(plan)
