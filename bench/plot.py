"""The plot of the README, drawn from the document that `--json` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .figures import three_digits
from .peer import MissingError, need

__all__ = ["DEFAULT_PATH", "SUFFIXES", "draw"]

Document = Mapping[str, Any]
Axes = Any  # of matplotlib, which may be missing

PANELS = {
    "get": "get",
    "get.aio": "get, asyncio",
    "cycle": "take and free a lock",
    "put": "put",
    "put.aio": "put, asyncio, 50 in flight",
    "update": "update of 10,000, per entry",
}
"""Scenario to the panel's title, in reading order."""

TITLE = "Microseconds a call: shorter is better. In brackets: how many times as fast ringdict is"

DEFAULT_PATH = Path(__file__).parent.parent / "docs" / "bench.svg"
SUFFIXES = (".svg", ".png", ".pdf")

COLUMNS = 3

BARS = 5
"""Of one panel, at most."""

# Okabe and Ito's blue against greys: told apart whatever one's colour vision, and in print.
OURS, THEIRS, INK, FAINT = "#0072B2", "#B8B8B8", "#222222", "#6B6B6B"

FLOOR = "(floor)"
"""Bare lmdb is no competitor; it stays out of the picture."""


def draw(document: Document, path: Path) -> None:
    """Draw the scenarios that the document has to `path`, in the format that its name ends in."""
    try:
        matplotlib, figures = need("matplotlib"), need("matplotlib.figure")
    except MissingError as error:
        print(f"no plot: {error}")
        return
    panels = [one for name in PANELS for one in document["scenarios"] if one["name"] == name]
    if not panels:
        print("no plot: none of its scenarios was measured")
        return
    rows = -(-len(panels) // COLUMNS)
    # A fixed salt and no date: the same figures give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "ringdict", "font.family": "DejaVu Sans", "font.size": 9}):
        figure = figures.Figure(figsize=(11, 0.9 + 2.15 * rows), layout="constrained", facecolor="white")
        axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axis, scenario in zip(axes, panels, strict=False):
            _panel(axis, scenario)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        figure.suptitle(TITLE, x=0.01, ha="left", color=INK, fontsize=12)
        figure.supxlabel(_source(document), x=0.01, ha="left", color=FAINT, fontsize=7.5)
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else {})


def _panel(axis: Axes, scenario: Document) -> None:
    """One scenario: a bar for each contestant, ours on top, each with its figure and how we do against it."""
    contestants = {
        name: contestant
        for name, contestant in scenario["contestants"].items()
        if "median" in contestant and FLOOR not in name
    }
    longest = 0.0
    for place, (name, contestant) in enumerate(contestants.items()):
        figure = contestant["median"] * scenario["unit_scale"]
        is_ours = name == scenario["subject"]
        times = contestant["subject_is_times_as_fast"]
        text = f" {three_digits(figure)}" + (f"  ({three_digits(times)}x)" if times else "")
        axis.barh(place, figure, height=0.7, color=OURS if is_ours else THEIRS)
        axis.text(figure, place, text, va="center", color=INK, fontweight="bold" if is_ours else "normal")
        longest = max(longest, figure)
    axis.set_yticks(range(len(contestants)), contestants)
    axis.set_ylim(BARS - 0.4, -0.6)  # the same room in each panel, so that bars are of one thickness
    axis.set_xlim(0, 1.5 * longest or 1.0)  # with room for the longest bar's text
    axis.set_title(PANELS[scenario["name"]], loc="left", color=INK, fontsize=10, fontweight="bold")
    axis.set_xticks([])
    axis.tick_params(length=0, colors=INK)
    for side in ("top", "right", "bottom", "left"):
        axis.spines[side].set_visible(False)


def _source(document: Document) -> str:
    machine, versions = document["machine"], document["versions"]
    peers = ", ".join(
        f"{name} {versions[name]}" for name in ("redis-server", "redis", "memcached", "diskcache")
    )
    where = f"{machine['processor']}, {machine['cores']}, {machine['python']}"
    return f"{where}; {peers}; medians of interleaved rounds"
