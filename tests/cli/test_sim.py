"""`ringdict sim …`, as a person types it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from ringdict.cli import main

WRONG = str(Path(__file__).resolve().parents[1] / "sim" / "wrong.py")
LIVE = f"{WRONG}:LiveMajority"


def sim(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["sim", *words])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_run_sums_up_and_its_hash_does_not_depend_on_the_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    code, alone = sim(capsys, "run", "--seeds", "4", "--jobs", "1")
    assert code == 0
    assert "4 seeds" in alone
    assert "all checks held" in alone
    code, together = sim(capsys, "run", "--seeds", "4", "--jobs", "2")
    assert code == 0
    hashes = [re.findall(r"hash +([0-9a-f]{32})", text) for text in (alone, together)]
    assert hashes[0] == hashes[1] != []


@pytest.mark.untraced
def test_a_failing_seed_is_shrunk_and_replayed_by_what_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, text = sim(capsys, "run", "--seeds", "2", "--jobs", "1", "--scenario", LIVE)
    assert code == 1
    assert "seed 0: NoFork" in text
    words = shlex.split(next(line for line in text.splitlines() if "sim shrink" in line))
    kept = tmp_path / "case.json"
    code, text = sim(capsys, *words[2:], "--save", str(kept))
    assert code == 0
    words = shlex.split(next(line for line in text.splitlines() if "sim replay" in line))
    for again in (words[2:], ["replay", "--case", str(kept)]):
        code, text = sim(capsys, *again)
        assert code == 1
        assert "NoFork: key" in text


def test_a_report_tells_a_run_and_a_history_lists_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page, history = tmp_path / "run.html", tmp_path / "history.jsonl"
    options = ["--report", str(page), "--history", str(history)]
    code, text = sim(capsys, "replay", "--seed", "0", "--scenario", LIVE, *options)
    assert code == 1
    assert "written to" in text
    html = page.read_text(encoding="utf-8")
    assert "http" not in html.replace("http-equiv", "")  # nothing is loaded from anywhere
    found = re.search(r'application/json">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert data["failed"]
    assert data["nodes"] == ["n0", "n1", "n2", "n3", "n4"]
    assert data["operations"]
    assert any(message["lost"] for message in data["messages"])
    assert any(not message["lost"] for message in data["messages"])
    assert {state["kind"] for state in data["states"]} == {"down", "cut", "slow"}
    assert [line["t"] for line in data["story"]] == sorted(line["t"] for line in data["story"])
    lines = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
    assert {line["type"] for line in lines} == {"invoke", "ok", "info"}


def test_a_run_that_is_not_one_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = sim(
        capsys, "run", "--seeds", "1", "--jobs", "1", "--compare", "--scenario", f"{WRONG}:SetOrder"
    )
    assert code == 1
    assert re.search(r"event \d+ was .*send", text)


def test_shells_replay_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = sim(capsys, "replay", "--seed", "2", "--seconds", "3", "--shells")
    assert code == 0
    assert "all checks held" in text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["replay"], "--seed"),
        (["replay", "--seed", "1", "--keep", "x"], "--keep"),
        (["replay", "--seed", "1", "--keep", "9999"], "faults 0 to"),
        (["run", "--scenario", "nowhere"], "module:Name"),
        (["run", "--scenario", "ringdict.sim.nothing:X"], "no module"),
        (["run", "--scenario", "ringdict.sim.register:Round"], "no scenario"),
        (["run", "--scenario", "nowhere.py:X"], "no file"),
        (["run", "--profile", "nice", "--seeds", "1", "--jobs", "1"], "no profile"),
        (["mutants", "nowhere.py"], "no file"),
        (["replay", "--case", "nowhere.json"], "no case"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = sim(capsys, *words)
    assert code == 2
    assert complaint in text
    assert text.count("\n") == 1


def test_shrinking_what_holds_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = sim(capsys, "shrink", "--seed", "0", "--seconds", "1")
    assert code == 1
    assert "nothing to shrink" in text


def test_the_figures_of_gossip_are_measured_beside_the_best_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "gossip", "--table", "n=30", "blocked for 5 s, n=10"]) == 0
    printed = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed]
    assert rows[0] == ["quantity", "best known", "wanted", "here: p50 / p99", "runs"]
    quantities = [row[0] for row in rows[2:]]
    assert quantities == ["rumour to all, 5 % loss, n=30", "loop blocked for 5 s, n=10"]
    p50_s, p99_s = (float(part.split()[0]) for part in rows[2][3].split(",")[0].split("/"))
    assert 0 < p50_s <= p99_s <= 1.2
    assert rows[3][3] == "0 deaths, 0 accusations"
