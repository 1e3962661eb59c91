"""`ringdict demo --three-nodes`, as it is run."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.deep
def test_three_nodes_one_killed_nothing_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ringdict", "demo", "--three-nodes"],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "node 3 at",
        "killed with SIGKILL",
        "is back",
        "node 4 at",
        "on their way",
        "it has left",
        "keys hold what was acknowledged last",
    ):
        assert words in done.stdout
