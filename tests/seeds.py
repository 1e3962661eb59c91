"""Seeds as parameters of tests: some for each run, more for a deep one, the rest for a campaign."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet


def seeds(often: int, deep: int = 0, campaign: int = 0) -> list[int | ParameterSet]:
    """So many of each, from 0 on. The first alone is run under coverage: the others go the same ways."""
    marks = [pytest.mark.untraced] * often + [pytest.mark.deep] * deep + [pytest.mark.campaign] * campaign
    return [0, *(pytest.param(seed, marks=marks[seed]) for seed in range(1, len(marks)))]
