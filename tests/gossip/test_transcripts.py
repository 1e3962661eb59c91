"""Golden transcripts: the protocol says today what it said when somebody read it."""

from __future__ import annotations

import pytest

from .transcript import FOLDER, SCENARIOS, text_of


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_goes_as_written_down(name: str) -> None:
    """If it is meant to go otherwise now: `python -m tests.gossip.transcript`, and read the difference."""
    assert text_of(name) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_there_is_a_scenario_for_each_file() -> None:
    assert {path.stem for path in FOLDER.glob("gossip-*.txt")} == set(SCENARIOS)
