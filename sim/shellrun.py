"""One run in tier 2: the same plans and checks, with every process under its Trio shell."""

from __future__ import annotations

import trio

from ..node.world import NS_PER_S, Address, Factory
from .check import Failure
from .config import EVENTS_MAX, SLICE_NS
from .host import Host
from .plan import Plan
from .run import CRASHED, Outcome, Record, Run, described
from .shellhost import ShellHost, shell_host
from .shellnetwork import ShellNetwork
from .trioclock import SimClock
from .triodeterminism import deterministic_trio


class ShellRun(Run):
    """Builds the world of a plan around Trio shells."""

    def __init__(self, plan: Plan, keep: range = range(0)) -> None:
        self.shells: list[ShellHost] = []
        super().__init__(plan, keep)
        self.clock = SimClock(self.simulation.loop)
        self.network = ShellNetwork(self.simulation, self.clock)

    def _make_host(self, address: Address, factory: Factory) -> Host:
        host = shell_host(self.simulation, address, factory)
        self.shells.append(host)
        return host

    def _pass_time(self) -> None:
        with deterministic_trio(self.plan.seed):
            trio.run(self._main, clock=self.clock)

    async def _main(self) -> None:
        simulation = self.simulation
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver_mail)
            for host in self.shells:
                host.nursery, host.network_of_shells, host.on_error = nursery, self.network, self._failed
                simulation.loop.call_after(0, host.start)
            while simulation.loop.now_ns < self.plan.span_ns and not simulation.loop.stopped:
                await trio.sleep(SLICE_NS / NS_PER_S)
                simulation.journal.fold()
                assert simulation.loop.steps_count < EVENTS_MAX, "a run that has no end"
            for host in self.shells:
                host.down_count += 1
                host.crash()
            self.clock.ended = True
            nursery.cancel_scope.cancel()

    async def _deliver_mail(self) -> None:
        try:
            await self.network.deliver_mail()
        except Exception as error:  # noqa: BLE001 - whatever a process raises is a finding
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = Failure(CRASHED, described(error))
        self.simulation.loop.stopped = True

    @property
    def frames_count(self) -> int:
        """Frames and datagrams that processes were told of."""
        return sum(host.frames_count for host in self.shells)


def run_shells(plan: Plan) -> Outcome:
    """Carry out a plan in tier 2."""
    return record_shells(plan, range(0)).outcome


def record_shells(plan: Plan, keep: range) -> Record:
    """Carry out a plan in tier 2, keeping the events with these numbers."""
    run = ShellRun(plan, keep)
    record = run.finish()
    record.outcome.messages_count = run.frames_count
    return record
