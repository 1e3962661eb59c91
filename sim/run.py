"""One run: a plan is carried out, and what came of it is judged."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..node.world import Address, Factory
from .check import Failure, Finished, Watcher
from .fault import Fault, Field, Kind
from .history import History, Operation, Status
from .host import Host
from .journal import Event
from .network import Noise
from .plan import Plan
from .scenario import Scenario, kinds_of, load
from .simulation import Simulation
from .tripwire import tripwires

CRASHED = "no process ends by an exception"
"""The check that every scenario has."""


@dataclass(slots=True)
class Outcome:
    """What came of one run."""

    plan: Plan
    hash: str
    failure: Failure | None
    chunks: list[str]
    virtual_ns: int
    messages_count: int
    """Delivered."""
    events_count: int
    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    checks_count: int = 0
    unresolved_count: int = 0


@dataclass(slots=True)
class Record:
    """A run with all that was kept of it."""

    outcome: Outcome
    scenario: Scenario
    operations: Sequence[Operation]
    events: Sequence[Event]


class Run:
    """Builds the world of a plan, lets its time pass, and judges."""

    def __init__(self, plan: Plan, keep: range = range(0)) -> None:
        self.plan = plan
        seed = f"{plan.seed}/{plan.luck}" if plan.luck else plan.seed
        self.simulation = simulation = Simulation(seed, plan.noise, keep)
        self.history = History(simulation.loop, simulation.journal)
        self.failure: Failure | None = None
        nodes = tuple(Address(f"n{number}") for number in range(plan.nodes_count))
        clients = tuple(Address(f"c{number}") for number in range(plan.clients_count))
        self.scenario = load(plan.scenario)(nodes, clients, self.history)
        self.watchers: Sequence[Watcher] = self.scenario.watchers()
        self.field = Field(
            simulation,
            [self._host(address, number, client=False) for number, address in enumerate(nodes)],
            [self._host(address, number, client=True) for number, address in enumerate(clients)],
        )
        self.faults_count: Counter[str] = Counter()
        kinds = kinds_of(plan.scenario)
        for index, fault in enumerate(plan.faults):
            simulation.loop.call_at(fault.at_ns, self._begin, index, fault, kinds[fault.kind]())
        if plan.heal_ns is not None:
            simulation.loop.call_at(plan.heal_ns, self._heal)

    def _host(self, address: Address, number: int, *, client: bool) -> Host:
        factory = self.scenario.client(number) if client else self.scenario.node(number)
        host = self._make_host(address, factory)
        host.validates = True
        host.watch = self._watch
        return host

    def _make_host(self, address: Address, factory: Factory) -> Host:
        return self.simulation.host(address, factory)

    def _pass_time(self) -> None:
        self.simulation.run_until(self.plan.span_ns)

    def _begin(self, index: int, fault: Fault, kind: Kind) -> None:
        simulation = self.simulation
        simulation.journal.add((simulation.loop.now_ns, "fault", index, "begin"))
        self.faults_count[fault.kind] += 1
        kind.begin(self.field, fault)
        if fault.for_ns:
            simulation.loop.call_at(fault.end_ns, self._end, index, fault, kind)

    def _end(self, index: int, fault: Fault, kind: Kind) -> None:
        simulation = self.simulation
        simulation.journal.add((simulation.loop.now_ns, "fault", index, "end"))
        kind.end(self.field, fault)

    def _heal(self) -> None:
        self.simulation.journal.add((self.simulation.loop.now_ns, "fault", -1, "heal"))
        self.simulation.network.noise = Noise()

    def _watch(self, address: Address, event: str, facts: dict[str, object]) -> None:
        for watcher in self.watchers:
            what = watcher.watch(self.simulation.loop.now_ns, address, event, facts)
            if what is not None and self.failure is None:
                self.failure = Failure(type(watcher).__name__, what)
                self.simulation.loop.stopped = True

    def finish(self) -> Record:
        """Let all of its time pass, and judge."""
        try:
            with tripwires():
                self._pass_time()
        except Exception as error:  # noqa: BLE001 - whatever a process raises is a finding
            self.failure = Failure(CRASHED, described(error))
        for operation in self.history.operations:
            if operation.status is Status.OPEN:
                self.history.give_up(operation, "the run ended")
        outcome = self._judge()
        return Record(outcome, self.scenario, self.history.operations, self.simulation.journal.kept)

    def _judge(self) -> Outcome:
        simulation = self.simulation
        run_hash = simulation.journal.finish()
        finished = Finished(self.plan, simulation, self.history.operations, self.watchers, 1)
        for check in self.scenario.checks:
            if self.failure is not None:
                break
            finished.checks_count += 1
            what = check(finished)
            if what is not None and self.failure is None:  # a check may let time pass, with those who look on
                self.failure = Failure(check.__name__, what)
        return Outcome(
            plan=self.plan,
            hash=run_hash,
            failure=self.failure,
            chunks=simulation.journal.chunks,
            virtual_ns=simulation.loop.now_ns,
            messages_count=simulation.network.delivered_count,
            events_count=simulation.journal.count,
            faults=self.faults_count,
            statuses=Counter(operation.status.value for operation in self.history.operations),
            checks_count=finished.checks_count,
            unresolved_count=len(finished.unresolved),
        )


def described(error: BaseException) -> str:
    """What an exception says, and where it came from; of a group, the first in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"


def run(plan: Plan) -> Outcome:
    """Carry out a plan, keeping nothing but what came of it."""
    return Run(plan).finish().outcome


def record(plan: Plan, keep: range) -> Record:
    """Carry out a plan, keeping the events with these numbers."""
    return Run(plan, keep).finish()
