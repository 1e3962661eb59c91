"""docs/simulation.md, followed literally."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ringdict.sim.batch import Batch, Sum, run_batch
from ringdict.sim.scenario import load, plan_for

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "simulation.md"


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def test_a_new_check_and_a_new_fault_work_as_written(tmp_path: Path) -> None:
    check, fault, _ = snippets()
    mine = tmp_path / "mine.py"
    mine.write_text(check + fault, encoding="utf-8")
    total = Sum()
    for outcome in run_batch(Batch(f"{mine}:Deafened", range(12)), jobs=1):
        total.add(outcome)
    assert [(one.plan.seed, one.failure) for one in total.failures] == []
    assert total.faults["deaf"] > 5
    assert "deaf" not in {fault.kind for fault in plan_for(f"{mine}:Mine", 0).faults}
    mine = tmp_path / "hasty.py"
    mine.write_text((check + fault).replace("2_500_000_000", "200_000_000"), encoding="utf-8")
    assert "nobody_waits_for_long" in {
        outcome.failure.check
        for outcome in run_batch(Batch(f"{mine}:Mine", range(5)), jobs=1)
        if outcome.failure is not None
    }
    assert load(f"{mine}:Mine").__name__ == "Mine"


def test_one_particular_story_works_as_written() -> None:
    subprocess.run([sys.executable, "-c", snippets()[2]], check=True)
