"""The command: ``python -m bench``, from the repository's root."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from . import interrupt, plot, report
from .circumstances import Circumstances
from .place import Place, scratch_folder
from .scenario import Outcome, Scenario
from .scenarios import SCENARIOS
from .servers import Servers
from .stage import FULL, QUICK, Effort, Stage

__all__ = ["main"]

FOLDER = Path(__file__).parent.parent / ".bench"
"""Beside the code rather than in /tmp, which often is memory: there a sync costs nothing and says nothing."""

MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and show. 0: all that is installed was measured, whatever came out; 1: something failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    chosen = [one for one in SCENARIOS if _is_chosen(one, options.only)]
    if not chosen:
        parser.error(f"no scenario is called {' or '.join(options.only)}; --list names them")
    if options.list:
        print(report.listing(chosen))
        return 0
    if options.redraw:
        plot.draw(json.loads(options.redraw.read_text(encoding="utf-8")), options.plot or plot.DEFAULT_PATH)
        return 0
    interrupt.raise_interrupts()
    try:
        outcomes = _measure(chosen, QUICK if options.quick else FULL, options)
    except KeyboardInterrupt:
        print("interrupted: what was started is stopped, what was written is removed", file=sys.stderr)
        return interrupt.EXIT_CODE
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def _measure(chosen: Sequence[Scenario], effort: Effort, options: argparse.Namespace) -> list[Outcome]:
    paint = report.Paint(on=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    outcomes: list[Outcome] = []
    with scratch_folder(options.folder) as folder:
        circumstances = Circumstances.now(folder, effort.name)
        print(report.heading(circumstances), flush=True)
        if circumstances.machine["file system"] in MEMORY_FILE_SYSTEMS:
            print(f"{folder} is memory: syncs cost nothing there. --folder takes another", file=sys.stderr)
        with Servers(folder) as servers, Stage(Place(folder), effort, _say) as stage:
            for number, scenario in enumerate(chosen):
                stage.place = servers.start(scenario.servers)
                outcomes.append(Outcome(scenario, scenario.run(stage)))
                needed = {server for later in chosen[number + 1 :] for server in later.servers}
                stage.leave(scenario.servers - needed)
                servers.stop(scenario.servers - needed)
                _say("")
                print(f"\n{report.block(outcomes[-1], paint)}", flush=True)
    if any(outcome.verdicts for outcome in outcomes):
        print(f"\n{report.targets(outcomes, paint)}")
    document = report.document(outcomes, circumstances)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot.draw(document, options.plot)
    return outcomes


def _is_chosen(scenario: Scenario, patterns: Sequence[str] | None) -> bool:
    return not patterns or any(fnmatchcase(scenario.name, pattern) for pattern in patterns)


def _say(text: str) -> None:
    """What is going on, in one line that the next takes the place of; only where a person looks on."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="ringdict beside what is used today")
    add = parser.add_argument
    add("--quick", action="store_true", help="under a minute, instead of a few")
    add("--only", metavar="NAME", action="append", help="this scenario, or those of a pattern; repeatable")
    add("--list", action="store_true", help="show what is timed and what is demanded, and no more")
    add("--json", metavar="FILE", type=_new_file, help="write every figure there")
    add("--plot", metavar="FILE", type=_new_picture, help="draw the plot there: .svg, .png or .pdf")
    add("--redraw", metavar="JSON", type=Path, help="draw the plot of an earlier --json, measure nothing")
    add(
        "--folder",
        metavar="FOLDER",
        type=Path,
        default=FOLDER,
        help="for the stores, on a disk (%(default)s)",
    )
    return parser


def _new_file(text: str) -> Path:
    """What can be found out before minutes of measuring rather than after them."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def _new_picture(text: str) -> Path:
    path = _new_file(text)
    if path.suffix not in plot.SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text} ends in none of {', '.join(plot.SUFFIXES)}")
    return path


if __name__ == "__main__":
    sys.exit(main())
