"""A second opinion: porcupine, which has nothing in common with our checker, judges the same histories.

It needs Go and a clone of porcupine, whose place PORCUPINE names (docs/simulation.md); without them it is
skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ringdict.sim.history import by_key, to_json_lines
from ringdict.sim.linearizability import Verdict, check_key
from ringdict.sim.register import RegisterModel
from ringdict.sim.run import Run
from ringdict.sim.scenario import DEFAULT, plan_for

HERE = Path(__file__).parent
MEMORY = f"{HERE / 'wrong.py'}:FromMemory"


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The program of tests/judge, built."""
    porcupine = os.environ.get("PORCUPINE")
    if porcupine is None or shutil.which("go") is None:
        pytest.skip("needs Go, and PORCUPINE=<a clone of github.com/anishathalye/porcupine>")
    folder = tmp_path_factory.mktemp("judge")
    for file in (root / "tests" / "judge").iterdir():
        shutil.copy(file, folder)
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOCACHE": str(folder / "cache")}
    replaced = f"github.com/anishathalye/porcupine={porcupine}"
    for command in (["go", "mod", "edit", "-replace", replaced], ["go", "build", "-o", "judge", "."]):
        subprocess.run(command, cwd=folder, env=environment, check=True)
    return folder / "judge"


@pytest.mark.parametrize(("scenario", "wrong_min"), [(DEFAULT, 0), (MEMORY, 10)])
def test_both_judges_agree(judge: Path, tmp_path: Path, scenario: str, wrong_min: int) -> None:
    ours: list[str] = []
    for seed in range(30):
        run = Run(plan_for(scenario, seed))
        run.finish()
        operations = run.history.operations
        (tmp_path / f"{seed:03}.jsonl").write_text("\n".join(to_json_lines(operations)))
        for key, of_key in sorted(by_key(operations).items()):
            answer = check_key(RegisterModel(), of_key)
            assert answer.verdict is not Verdict.UNRESOLVED
            ours.append(f"{seed:03} {key} {'Ok' if answer.verdict is Verdict.YES else 'Illegal'}")
    judged = subprocess.run(
        [judge, *sorted(tmp_path.glob("*.jsonl"))], capture_output=True, text=True, check=False
    )
    theirs = []
    for line in judged.stdout.splitlines():
        name, key, _, verdict = line.split("\t")
        theirs.append(f"{Path(name).stem} {key.strip(chr(34))} {verdict}")
    assert theirs == ours
    assert sum(line.endswith("Illegal") for line in ours) >= wrong_min
    assert judged.returncode == (1 if wrong_min else 0)
