"""The bodies of `ringdict sim …`: run seeds, replay one, shrink one, try wrong versions."""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..client.shell.exit_code import ExitCode
from ..exception import InvalidError
from ..node.world import NS_PER_S
from .batch import Batch, Sum, run_batch
from .case import keep_only, load_case, save_case
from .check import Failure, sentence
from .determinism import compare
from .gossipcommand import show_gossip
from .history import to_json_lines
from .mutant import try_mutants
from .plan import Plan
from .run import Record, record
from .scenario import DEFAULT, kinds_of, load, plan_for
from .shrink import Shrinker, Smaller

if TYPE_CHECKING:
    from ..client.shell.arguments import Arguments
    from ..client.shell.terminal import Terminal

FAILURES_SHOWN = 5
ALL = range(1 << 40)


def run_seeds(args: Arguments, terminal: Terminal) -> ExitCode:
    """`sim run`: many seeds, a summary; NO if a check failed in any."""
    load(args.scenario)  # a wrong name is said at once
    live = {"safety": False, "live": True, "both": None}[args.mode]
    started_s = time.monotonic()
    batch = Batch(args.scenario, range(args.first, args.first + args.seeds), args.profile, live, args.shells)
    total = Sum()
    with terminal.progress("seeds") as progress:
        for outcome in run_batch(batch, args.jobs or os.cpu_count() or 1):
            total.add(outcome)
            progress.update(total.runs_count, args.seeds)
    elapsed_s = time.monotonic() - started_s
    _tell_sum(total, elapsed_s, args, terminal)
    if args.compare:
        difference = compare(plan_for(args.scenario, args.first, args.profile, live=live))
        same = "the same run in two processes with different hash seeds"
        terminal.tell(f"seed {args.first}: {difference.what if difference else same}")
        if difference is not None:
            return ExitCode.NO
    if args.report:
        seed = total.failures[0].plan.seed if total.failures else args.first
        _report(plan_for(args.scenario, seed, args.profile, live=live), args, terminal)
    return ExitCode.NO if total.failures else ExitCode.OK


def _tell_sum(total: Sum, elapsed_s: float, args: Arguments, terminal: Terminal) -> None:
    terminal.tell(f"{total.runs_count:,} seeds of {args.scenario}, profile {args.profile}")
    terminal.tell(
        f"  virtual time  {total.virtual_hours:.2f} hours, {total.live_count:,} runs ended in liveness mode"
    )
    rate = f"{total.messages_count / elapsed_s:,.0f} a second"
    terminal.tell(
        f"  messages      {total.messages_count:,} delivered ({rate}), {total.events_count:,} events hashed"
    )
    terminal.tell(f"  operations    {_counts(total.statuses)}")
    terminal.tell(f"  faults        {_counts(total.faults) or 'none'}")
    unresolved = f", {total.unresolved_count:,} keys unresolved" if total.unresolved_count else ""
    terminal.tell(f"  checks        {total.checks_count:,} made{unresolved}")
    terminal.tell(f"  hash          {total.hash}")
    if not total.failures:
        terminal.tell(terminal.paint("all checks held", "green"))
    for outcome in total.failures[:FAILURES_SHOWN]:
        assert outcome.failure is not None
        terminal.tell(terminal.paint(f"seed {outcome.plan.seed}: {outcome.failure.check}", "red"))
        terminal.tell(f"  {outcome.failure.what}")
        terminal.tell(f"  {command('shrink', outcome.plan)}")
    if len(total.failures) > FAILURES_SHOWN:
        terminal.tell(f"and {len(total.failures) - FAILURES_SHOWN:,} seeds more")


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counter.items()))


def replay(args: Arguments, terminal: Terminal) -> ExitCode:
    """`sim replay`: one run, told in words; NO if a check failed."""
    plan = _plan(args)
    run = _record(plan, args)
    terminal.tell(f"seed {plan.seed} of {plan.scenario}, profile {plan.profile}: {_size(plan)}")
    _tell_faults(plan, terminal)
    terminal.tell(f"  hash {run.outcome.hash}, {run.outcome.messages_count:,} messages")
    terminal.tell(f"  operations {_counts(run.outcome.statuses)}")
    _tell_failure(run.outcome.failure, terminal)
    if args.history:
        Path(args.history).write_text("\n".join([*to_json_lines(run.operations), ""]), encoding="utf-8")
        terminal.tell(f"history written to {args.history}")
    if args.report:
        _report(plan, args, terminal, run)
    return ExitCode.NO if run.outcome.failure else ExitCode.OK


def _record(plan: Plan, args: Arguments) -> Record:
    if args.shells:
        from .shellrun import record_shells

        return record_shells(plan, ALL)
    return record(plan, ALL)


def shrink(args: Arguments, terminal: Terminal) -> ExitCode:
    """`sim shrink`: the smallest plan that still fails; OK if it was found, NO if the seed does not fail."""
    plan = _plan(args)
    failure = record(plan, range(0)).outcome.failure
    if failure is None:
        terminal.tell(f"seed {plan.seed} holds: there is nothing to shrink")
        return ExitCode.NO
    with terminal.progress("runs") as progress:
        smaller = Shrinker(plan, failure, lambda runs, _faults: progress.update(runs, 0)).shrink()
    terminal.tell(
        f"seed {plan.seed}: from {len(plan.faults)} faults to {len(smaller.keep)} "
        f"in {smaller.runs_count} runs; {_size(smaller.plan)}"
    )
    _tell_faults(smaller.plan, terminal)
    _tell_failure(smaller.failure, terminal)
    terminal.tell(command("replay", plan, smaller))
    if args.save:
        save_case(Path(args.save), smaller.plan, smaller.failure.check, smaller.failure.what)
        terminal.tell(f"kept in {args.save}")
    return ExitCode.OK


def mutants(args: Arguments, terminal: Terminal) -> ExitCode:
    """`sim mutants FILE`: try every wrong version; NO if one was not caught as expected."""
    rows: list[tuple[str, ...]] = []
    missed = False
    for caught in try_mutants(Path(args.file)):
        missed |= not caught.as_expected
        seeds = f"{caught.seeds_count} of {caught.mutant.seeds_max}"
        how = caught.failure.check if caught.failure else "not caught"
        rows.append((caught.name, caught.mutant.profile, seeds, how, "" if caught.as_expected else "MISSED"))
        terminal.status(f"{caught.name}: {how}")
    terminal.tell("")
    terminal.write_table(("wrong version", "profile", "seeds", "caught by", ""), rows, right=frozenset())
    return ExitCode.NO if missed else ExitCode.OK


COMMANDS: Mapping[str, Callable[[Arguments, Terminal], ExitCode]] = {
    "run": run_seeds,
    "replay": replay,
    "shrink": shrink,
    "mutants": mutants,
    "gossip": show_gossip,
}
"""By the word behind `ringdict sim`."""


# -- what several of them need -------------------------------------------------------------------


def _plan(args: Arguments) -> Plan:
    if args.case:
        return load_case(Path(args.case))[0]
    if args.seed is None:
        raise InvalidError("say which run: --seed N, or --case FILE")
    live = {"safety": False, "live": True, "both": None}[args.mode]
    whole = plan_for(args.scenario, args.seed, args.profile, live=live)
    return keep_only(
        whole, _indexes(args.faults, len(whole.faults)), nodes=args.nodes, clients=args.clients,
        seconds=args.seconds or None, quiet=args.quiet, skip=args.skip, luck=args.luck,
    )  # fmt: skip


def _indexes(text: str | None, count: int) -> frozenset[int] | None:
    if text is None:
        return None
    if text == "none":
        return frozenset()
    try:
        indexes = frozenset(int(word) for word in text.split(","))
    except ValueError:
        raise InvalidError(f"--keep {text}: write the numbers of faults, as 3,7, or none") from None
    if not all(0 <= index < count for index in indexes):
        raise InvalidError(f"--keep {text}: the plan has the faults 0 to {count - 1}")
    return indexes


def command(verb: str, plan: Plan, smaller: Smaller | None = None) -> str:
    """The command line that does that with a plan, or with a smaller one made of it."""
    words = ["ringdict", "sim", verb, "--seed", str(plan.seed)]
    if plan.scenario != DEFAULT:
        words += ["--scenario", plan.scenario]
    if plan.profile != "default":
        words += ["--profile", plan.profile]
    if smaller is not None:
        words += ["--keep", ",".join(map(str, smaller.keep)) or "none"]
        for name in ("nodes", "clients", "seconds", "skip", "luck"):
            if getattr(smaller, name):
                words += [f"--{name}", f"{getattr(smaller, name):g}"]
        words += ["--quiet"] if smaller.quiet else []
    return shlex.join(words)


def _size(plan: Plan) -> str:
    return (
        f"{plan.nodes_count} nodes, {plan.clients_count} clients, {plan.span_ns / NS_PER_S:g} virtual seconds"
    )


def _tell_faults(plan: Plan, terminal: Terminal) -> None:
    names = [f"n{number}" for number in range(plan.nodes_count)]
    kinds = kinds_of(plan.scenario)
    for index, fault in enumerate(plan.faults):
        until = f", until {fault.end_ns / NS_PER_S:.3f} s" if fault.for_ns else ""
        words = kinds[fault.kind]().words(fault, names)
        terminal.tell(f"  {fault.at_ns / NS_PER_S:7.3f} s  fault {index}: {words}{until}")
    if plan.heal_ns is not None:
        core = ", ".join(names[number] for number in plan.core)
        terminal.tell(f"  {plan.heal_ns / NS_PER_S:7.3f} s  {core} are healed for good")


def _tell_failure(failure: Failure | None, terminal: Terminal) -> None:
    if failure is None:
        terminal.tell(terminal.paint("all checks held", "green"))
    else:
        terminal.tell(terminal.paint(f"{failure.check}: {failure.what}", "red"))


def _report(plan: Plan, args: Arguments, terminal: Terminal, run: Record | None = None) -> None:
    from .report import write_report

    kept = run or _record(plan, args)
    write_report(
        Path(args.report or "run.html"), kept, [sentence(check) for check in kept.scenario.checks], args.key
    )
    terminal.tell(f"report of seed {plan.seed} written to {args.report}")
