"""The command: ``python -m bench``, from the repository's root."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from . import plot, report
from .machine import describe_machine, describe_versions
from .place import file_system, scratch_folder
from .report import Paint
from .scenario import Outcome, Scenario
from .scenarios import SCENARIOS
from .server import place_with
from .stage import FULL, QUICK, Effort, Stage

__all__ = ["main"]

INTERRUPTED = 128 + signal.SIGINT

DEFAULT_FOLDER = Path(__file__).parent.parent / ".bench"
"""Beside the code rather than in /tmp, which often is memory: there a sync costs nothing and says nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and show. 0: all that is installed was measured, whatever came out; 1: something failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    chosen = [
        one for one in SCENARIOS if not options.only or any(fnmatchcase(one.name, o) for o in options.only)
    ]
    if not chosen:
        parser.error(f"no scenario is called {' or '.join(options.only)}; --list names them")
    if options.list:
        print(report.listing(chosen))
        return 0
    if options.redraw:
        plot.draw(
            json.loads(options.redraw.read_text(encoding="utf-8")),
            options.plot or parser.error("--plot FILE?"),
        )
        return 0
    outcomes: list[Outcome] = []
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _measure(chosen, QUICK if options.quick else FULL, options, outcomes)
    except KeyboardInterrupt:
        print("interrupted: what was started is stopped, what was written is removed", file=sys.stderr)
        return INTERRUPTED
    return (
        1 if any(absence.failed for outcome in outcomes for absence in outcome.sheet.absences.values()) else 0
    )


def _measure(
    chosen: Sequence[Scenario], effort: Effort, options: argparse.Namespace, outcomes: list[Outcome]
) -> None:
    paint = Paint(on=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    with scratch_folder(options.folder) as folder:
        machine, versions = describe_machine(folder), describe_versions()
        print(report.heading(machine, versions, effort.name))
        if file_system(folder) in {"tmpfs", "ramfs"}:
            print(
                f"{folder} is memory: its syncs cost nothing; --folder takes one on a disk", file=sys.stderr
            )
        servers = set[str]().union(*(scenario.servers for scenario in chosen))
        with (
            place_with(folder, servers) as place,
            Stage(place, effort, _say) as stage,
        ):
            for scenario in chosen:
                outcomes.append(Outcome(scenario, scenario.run(stage)))
                _say("")
                print(f"\n{report.block(outcomes[-1], paint)}", flush=True)
    if any(outcome.verdicts for outcome in outcomes):
        print(f"\n{report.targets(outcomes, paint)}")
    document = report.document(outcomes, machine, versions, effort.name)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot.draw(document, options.plot)


def _interrupt(*_: object) -> None:
    """Ends the run by an exception, so that all is cleaned up; a second signal must not end the cleaning."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _say(text: str) -> None:
    """What is going on, in one line that the next takes the place of; only where a person looks on."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="ringdict beside what its users use today"
    )
    parser.add_argument("--quick", action="store_true", help="under a minute, instead of a few")
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="this scenario (or pattern, get*); repeatable"
    )
    parser.add_argument(
        "--list", action="store_true", help="what is measured and what is demanded, and no more"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure there")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw the plot there (.svg, .png)")
    parser.add_argument(
        "--redraw", metavar="JSON", type=Path, help="draw --plot from an earlier --json; measure nothing"
    )
    parser.add_argument(
        "--folder", type=Path, default=DEFAULT_FOLDER, help="for the stores, on a disk (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
