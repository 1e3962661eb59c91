"""`ringdict demo`: what it shows really happens, and its verdict is one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pytest

if TYPE_CHECKING:
    from .conftest import Shell

OK, STORE, INTERRUPTED = 0, 4, 130
WAIT_S_MAX = 90
PROMISES = {"puts", "batches", "counter", "races", "computation", "takeover", "survivors"}


class Event(TypedDict):
    """One line of `demo --json`; each kind of event has some of these."""

    event: str
    text: str
    folder: str
    pids: dict[str, int]
    winners: list[str]
    losers: list[str]
    who: str
    victim: str
    exit_code: int
    name: str
    holds: bool


@pytest.fixture
def temporary(shell: Shell, tmp_path: Path) -> Path:
    """Where the demo makes its folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    shell.environ["TMPDIR"] = str(folder)
    return folder


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_story_is_true_and_ends_well(shell: Shell, temporary: Path) -> None:
    outcome = shell.run("demo", "--json", "--processes", "3", "--seconds", "5", "--seed", "7", "--keep")
    assert outcome.code == OK, outcome.err
    assert outcome.err == ""
    events: list[Event] = [json.loads(line) for line in outcome.out.splitlines()]
    told = {event["event"]: event for event in events}
    checks = {event["name"]: event["holds"] for event in events if event["event"] == "check"}
    assert checks == dict.fromkeys(PROMISES, True)
    assert events[-1]["event"] == "verdict"
    assert events[-1]["holds"]
    assert told["killed"]["exit_code"] == -signal.SIGKILL
    first, heir = [event["who"] for event in events if event["event"] == "lock"]
    assert first == told["killed"]["victim"] != heir
    for event in events:
        if event["event"] == "race":
            assert len(event["winners"]) == 1
            assert sorted(event["winners"] + event["losers"]) == ["ada", "bob", "cleo"]
    assert not any(is_running(pid) for pid in told["started"]["pids"].values())
    (folder,) = temporary.iterdir()
    assert told["folder"]["folder"] == str(folder)
    assert int(shell("get", "demo", "count", "--cluster", folder.as_uri())) > 0


def test_it_is_told_in_plain_words_and_leaves_nothing_behind(shell: Shell, temporary: Path) -> None:
    outcome = shell.run("demo", "--processes", "2", "--seconds", "5")
    assert outcome.code == OK, outcome.out + outcome.err
    assert "Nothing was lost." in outcome.out.splitlines()
    assert "kill -9" in outcome.out
    assert "\x1b" not in outcome.out
    assert list(temporary.iterdir()) == []


def test_an_interrupt_ends_all_of_it(shell: Shell, temporary: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ringdict", "demo", "--json"],
        env=shell.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    lines = (json.loads(line) for line in process.stdout)
    started: Event = next(event for event in lines if event["event"] == "started")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the demo
    _, errors = process.communicate(timeout=WAIT_S_MAX)
    assert process.returncode == INTERRUPTED
    assert errors == b"ringdict: interrupted\n"
    assert not any(is_running(pid) for pid in started["pids"].values())
    assert list(temporary.iterdir()) == []


def test_workers_end_when_their_parent_is_gone(shell: Shell, temporary: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ringdict", "demo", "--json"], env=shell.environ, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    lines = (json.loads(line) for line in process.stdout)
    started: Event = next(event for event in lines if event["event"] == "started")
    process.kill()
    process.wait(WAIT_S_MAX)
    process.stdout.close()
    deadline_s = time.monotonic() + WAIT_S_MAX
    while any(is_running(pid) for pid in started["pids"].values()):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_worker_that_fails_ends_the_demo(shell: Shell, temporary: Path) -> None:
    process = shell.start("demo", "--json")
    assert process.stdout is not None
    lines = (json.loads(line) for line in process.stdout)
    started: Event = next(event for event in lines if event["event"] == "started")
    os.kill(started["pids"]["eve"], signal.SIGKILL)  # by somebody else: not part of the story
    _, errors = process.communicate(timeout=WAIT_S_MAX)
    assert process.returncode == STORE
    assert errors == b"ringdict: gave up: eve ended by itself\n"
    assert list(temporary.iterdir()) == []
