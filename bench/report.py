"""A run in words, a block for each scenario and all targets at the end; and as a document for JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import median

from .calibration import PAR_S
from .circumstances import Circumstances
from .figures import RATIO, Sheet, Summary, Unit
from .scenario import Outcome, Scenario
from .target import Verdict

__all__ = ["WIDTH", "Paint", "block", "document", "heading", "listing", "targets"]

WIDTH = 100
"""Columns of the widest line."""

FORMAT = 1
"""Of the JSON document; grows when a reader of an older one would go wrong."""

COLOURS = {"OK": 32, "MISSED": 31, "missing": 33}


class Paint:
    """Colours for a terminal; for anything else, none."""

    def __init__(self, *, on: bool) -> None:
        self._on = on

    def bold(self, text: str) -> str:
        return self._code(1, text)

    def dim(self, text: str) -> str:
        return self._code(2, text)

    def word(self, word: str) -> str:
        """OK, MISSED or missing."""
        return self._code(COLOURS[word], word)

    def _code(self, code: int, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on else text


def heading(circumstances: Circumstances) -> str:
    """What the run is made on and with."""
    machine = ", ".join(circumstances.machine.values())
    versions = ", ".join(f"{name} {version}" for name, version in circumstances.versions.items())
    how = (
        f"{circumstances.effort} effort; medians over interleaved rounds, quartiles in brackets; "
        f"at par: on a machine whose calibration loop takes {PAR_S * 1000:.0f} ms"
    )
    return "\n".join(textwrap.fill(text, WIDTH, subsequent_indent="  ") for text in (machine, versions, how))


def block(outcome: Outcome, paint: Paint) -> str:
    """The figures of one scenario, and its targets."""
    scenario, sheet = outcome.scenario, outcome.sheet
    compared = f"{scenario.subject} is" if scenario.compares and len(scenario.contestants) > 1 else ""
    title = f"{scenario.name}: {scenario.title}"
    lines = [paint.bold(f"{title:<66}{'at par':>12}  {compared}".rstrip())]
    lines += [_row(outcome, name, paint) for name in scenario.contestants]
    lines += [f"    {_verdict_line(verdict, paint)}" for verdict in outcome.verdicts]
    if sheet.calibrations_s:
        lines.append(paint.dim(f"    the calibration loop took {_calibration(sheet)}"))
    return "\n".join(lines)


def targets(outcomes: Sequence[Outcome], paint: Paint) -> str:
    """All targets, a line each, and how many are met."""
    rows = [(outcome.scenario.name, verdict) for outcome in outcomes for verdict in outcome.verdicts]
    lines = [paint.bold(f"{'scenario':<14}{'target':<52}{'measured':>24}")]
    lines += [f"{name:<14}{_verdict_line(verdict, paint)}" for name, verdict in rows]
    words = [verdict.word for _, verdict in rows]
    counted = ", ".join(f"{words.count(word)} {word}" for word in COLOURS if word in words)
    return "\n".join([*lines, counted])


def listing(scenarios: Iterable[Scenario]) -> str:
    """Every scenario with the statements that it times and what it demands."""
    return "\n\n".join(_listed(scenario) for scenario in scenarios)


def document(outcomes: Sequence[Outcome], circumstances: Circumstances) -> dict[str, object]:
    """The run for machines to read: every round's figure, in seconds, bytes, or calls a second."""
    return {
        "format": FORMAT,
        **asdict(circumstances),
        "par_s": PAR_S,
        "scenarios": [_scenario_document(outcome) for outcome in outcomes],
    }


def _row(outcome: Outcome, name: str, paint: Paint) -> str:
    scenario, sheet, unit = outcome.scenario, outcome.sheet, outcome.scenario.unit
    summary = sheet.summary(name)
    if summary is None:
        return f"  {name:<19}{sheet.absences.get(name, 'not measured')!s:.{WIDTH - 21}}"
    par = ""
    if unit.follows_speed and sheet.calibrations_s:
        par = unit.show(unit.at_par(summary.median, median(sheet.calibrations_s)))
    figure = f"{unit.show(summary.median)} {unit.symbol}"
    advantage = outcome.advantage(name)
    compared = "" if advantage is None else f"{RATIO.show(advantage)}x as fast"
    line = f"  {name:<19}{figure:>14}  {_quartiles(summary, unit):<31}{par:>10}  {compared}"
    return paint.bold(line.rstrip()) if name == scenario.subject else line.rstrip()


def _quartiles(summary: Summary, unit: Unit) -> str:
    return "" if summary.low == summary.high else f"({unit.show(summary.low)} to {unit.show(summary.high)})"


def _verdict_line(verdict: Verdict, paint: Paint) -> str:
    measured = ""
    if verdict.measured is not None:
        figure = f"{verdict.unit.show(verdict.measured.median)} {verdict.unit.symbol}".replace(" x", "x")
        measured = f"{figure} {_quartiles(verdict.measured, verdict.unit)}".strip()
    demand = f"{verdict.subject} {verdict.required}"
    return f"{demand:<52}{measured:>24}  {paint.word(verdict.word)}"


def _calibration(sheet: Sheet) -> str:
    summary = Summary.of(sheet.calibrations_s)
    return f"{summary.median * 1000:.1f} ms ({summary.low * 1000:.1f} to {summary.high * 1000:.1f})"


def _listed(scenario: Scenario) -> str:
    lines = [f"{scenario.name}: {scenario.title}"]
    for name, statement in scenario.statements().items():
        first, *others = textwrap.dedent(statement).strip().splitlines()
        lines += [f"  {name:<20}{first}", *(f"  {'':<20}{line}" for line in others)]
    empty = Sheet(scenario.contestants)
    demands = [target.judge(scenario.subject, scenario.unit, empty) for target in scenario.targets]
    return "\n".join([*lines, *(f"  {verdict.subject} {verdict.required}" for verdict in demands)])


def _scenario_document(outcome: Outcome) -> dict[str, object]:
    scenario, sheet = outcome.scenario, outcome.sheet
    return {
        "name": scenario.name,
        "title": scenario.title,
        "subject": scenario.subject,
        "unit": scenario.unit.symbol,
        "unit_scale": scenario.unit.scale,
        "more_is_better": scenario.unit.more_is_better,
        "statements": scenario.statements(),
        "contestants": {name: _contestant_document(outcome, name) for name in scenario.contestants},
        "calibrations_s": sheet.calibrations_s,
        "targets": [_verdict_document(verdict) for verdict in outcome.verdicts],
    }


def _contestant_document(outcome: Outcome, name: str) -> dict[str, object]:
    sheet = outcome.sheet
    summary = sheet.summary(name)
    if summary is None:
        return {"absent": str(sheet.absences.get(name, "not measured"))}
    return {
        **summary._asdict(),
        "subject_is_times_as_fast": outcome.advantage(name),
        "rounds": sheet.figures[name],
    }


def _verdict_document(verdict: Verdict) -> dict[str, object]:
    measured = verdict.measured._asdict() if verdict.measured else None
    return {
        "subject": verdict.subject,
        "required": verdict.required,
        "measured": measured,
        "verdict": verdict.word,
    }
