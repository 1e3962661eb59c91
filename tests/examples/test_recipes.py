"""The recipes do what they say, also when the processes that use them are stopped or killed."""

from __future__ import annotations

import importlib.util
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any
from uuid import uuid4

import pytest

from ringdict import Dict
from ringdict.testing import isolated_home

HERE = Path(__file__).parent


class Actor:
    """A process that uses a recipe."""

    def __init__(self, examples: Path, what: str, *arguments: object) -> None:
        command = [sys.executable, str(HERE / "actor.py"), str(examples), what, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.line() == "ready"

    def begin(self) -> None:
        self._pipe(self.process.stdin).write("\n")
        self._pipe(self.process.stdin).flush()

    def line(self) -> str:
        """What it says next."""
        return self._pipe(self.process.stdout).readline().strip()

    def lines(self) -> list[str]:
        """What else it says until its end, which must be a good one."""
        told = self._pipe(self.process.stdout).read().split()
        assert self.process.wait(30) == 0
        return told

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            self._pipe(pipe).close()


@pytest.fixture
def home(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store of its own, or an environment of its own on the nodes that the tests are run on."""
    with isolated_home(tmp_path / "home") as folder:
        url: str | None = request.config.getoption("--on-nodes")
        if url is not None:
            monkeypatch.setenv("RINGDICT_URL", url)
            monkeypatch.setenv("RINGDICT_ENVIRONMENT", f"t{uuid4().hex[:16]}")
        yield folder


@pytest.fixture
def examples(root: Path) -> Path:
    return root / "examples"


@pytest.fixture
def start(examples: Path, home: Path) -> Iterator[Callable[..., Actor]]:
    """Makes actors, which are gone behind the test."""
    actors: list[Actor] = []

    def make(what: str, *arguments: object) -> Actor:
        actors.append(Actor(examples, what, *arguments))
        return actors[-1]

    yield make
    for actor in actors:
        actor.kill()


@pytest.fixture
def load(examples: Path) -> Callable[[str], ModuleType]:
    def load_module(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"recipe_{name}", examples / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_module


def wait_until(true: Callable[[], bool], within_s: float) -> None:
    ends_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends_s
        time.sleep(0.005)


# -- job_runner.py ---------------------------------------------------------------------------------


def test_jobs_run_one_after_the_other(start: Callable[..., Actor], tmp_path: Path, load: Any) -> None:
    path = str(tmp_path / "ledger.db")
    actors = [start("job_runner", path, name, 5, 0.001) for name in "abcd"]
    for actor in actors:
        actor.begin()
    assert {line for actor in actors for line in actor.lines()} == {"holds", "True"}
    ledger = load("job_runner").Ledger(path)
    rows = ledger.entries()
    ledger.close()
    assert len(rows) == 2 * 4 * 5
    for begun, ended in zip(rows[::2], rows[1::2], strict=True):
        assert begun == (ended[0], ended[1].replace("ends", "begins"))
    assert [token for token, _ in rows] == sorted(token for token, _ in rows)


def test_a_stopped_worker_is_refused_by_the_resource(
    start: Callable[..., Actor], tmp_path: Path, load: Any
) -> None:
    path = str(tmp_path / "ledger.db")
    paused, other = start("job_runner", path, "paused", 1, 0.2), start("job_runner", path, "other", 1, 0.001)
    paused.begin()
    assert paused.line() == "holds"
    os.kill(paused.process.pid, signal.SIGSTOP)
    try:
        other.begin()
        assert other.lines() == ["holds", "True"]  # once the ttl is over
    finally:
        os.kill(paused.process.pid, signal.SIGCONT)
    assert paused.lines() == ["False"]
    ledger = load("job_runner").Ledger(path)
    assert [text for _, text in ledger.entries()] == ["paused begins", "other begins", "other ends"]
    ledger.close()


# -- leader_election.py ----------------------------------------------------------------------------


def test_another_leads_when_the_leader_dies(start: Callable[..., Actor], tmp_path: Path) -> None:
    log = tmp_path / "log"
    ttl_s = 0.6
    names = "abc"
    actors = {name: start("leader_election", log, name, ttl_s) for name in names}

    def reigns() -> list[tuple[str, int, float, float]]:
        """Who led, by which token, from when to when."""
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        told: list[tuple[str, int, float, float]] = []
        for (name, token), group in itertools.groupby(lines, key=lambda line: (line[1], int(line[2]))):
            times = [float(line[0]) for line in group]
            told.append((name, token, min(times), max(times)))
        return told

    for actor in actors.values():
        actor.begin()
    wait_until(lambda: len(reigns()) == 1, 10)
    for count in (2, 3):
        killed_s = time.monotonic()
        actors[reigns()[-1][0]].kill()
        actors[reigns()[-1][0]] = start("leader_election", log, reigns()[-1][0], ttl_s)
        while len(reigns()) < count:
            assert time.monotonic() < killed_s + ttl_s + 10
        assert reigns()[-1][2] - killed_s > 0
    found = reigns()
    assert [token for _, token, _, _ in found] == sorted({token for _, token, _, _ in found})
    for before, after in itertools.pairwise(found):
        assert before[3] < after[2]


def test_who_cannot_renew_steps_down(home: Path, load: Any) -> None:
    elections: Dict[str, Any] = Dict.from_name("elections", create_if_missing=True)
    recipe = load("leader_election")
    candidate = recipe.Candidate(elections, "office", ttl_s=5.0)
    assert candidate.campaign()
    first = candidate.token
    elections.clear()
    assert not candidate.renew()
    assert candidate.token is None
    assert candidate.campaign()
    assert candidate.token > first
    candidate.resign()
    assert not candidate.leads()


# -- rate_limiter.py -------------------------------------------------------------------------------


def test_no_more_calls_than_the_limit_over_all_processes(start: Callable[..., Actor]) -> None:
    actors = [start("rate_limiter", 30) for _ in range(4)]
    for actor in actors:
        actor.begin()
    allowed = sum(int(actor.lines()[0]) for actor in actors)
    assert 15 <= allowed <= 20  # who is refused may for a moment stand in another one's way


def test_the_turn_of_a_span_gives_nobody_twice_as_much(home: Path, load: Any) -> None:
    counts: Dict[Any, int] = Dict.from_name("rates", create_if_missing=True)
    limiter = load("rate_limiter").RateLimiter(counts, "api", limit=10, span_s=60.0)
    assert [limiter.ask("a", 59.9).allowed for _ in range(12)] == [True] * 10 + [False] * 2
    assert not limiter.ask("a", 60.0).allowed
    assert limiter.ask("b", 60.0).allowed
    assert [limiter.ask("a", 90.0).allowed for _ in range(6)] == [True] * 5 + [False]
    assert limiter.ask("a", 90.0).retry_s == pytest.approx(30.0)


# -- webhook.py ------------------------------------------------------------------------------------


def test_an_event_is_carried_out_once(start: Callable[..., Actor], tmp_path: Path) -> None:
    log = tmp_path / "log"
    actors = [start("webhook", log, 40) for _ in range(4)]
    for actor in actors:
        actor.begin()
    for actor in actors:
        actor.lines()
    assert Counter(log.read_text().split()) == {str(number): 1 for number in range(40)}


def test_what_was_not_carried_out_is_carried_out_by_the_next_delivery(home: Path, load: Any) -> None:
    events: Dict[str, str] = Dict.from_name("events", create_if_missing=True)
    recipe = load("webhook")
    tokens: list[int] = []

    def fail(token: int) -> None:
        tokens.append(token)
        raise RuntimeError("the card cannot be charged")

    with pytest.raises(RuntimeError):
        recipe.deliver(events, "event", fail)
    assert recipe.deliver(events, "event", tokens.append) is recipe.Delivery.CARRIED_OUT
    assert recipe.deliver(events, "event", fail) is recipe.Delivery.DONE_BEFORE
    assert len(tokens) == 2
    assert tokens[0] < tokens[1]


def test_a_claim_of_a_dead_process_ends(home: Path, load: Any) -> None:
    events: Dict[str, str] = Dict.from_name("events", create_if_missing=True)
    recipe = load("webhook")
    assert events.put("event", "claim of one who died", skip_if_exists=True, ttl=0.2)
    assert recipe.deliver(events, "event", lambda _: None) is recipe.Delivery.UNDER_WAY
    wait_until(lambda: recipe.deliver(events, "event", lambda _: None) is recipe.Delivery.CARRIED_OUT, 5)


def test_who_took_too_long_is_told(home: Path, load: Any) -> None:
    events: Dict[str, str] = Dict.from_name("events", create_if_missing=True)
    recipe = load("webhook")

    def take_long(_token: int) -> None:
        # On nodes a claim ends for others a tenth of its time after it can be seen no more.
        wait_until(lambda: recipe.deliver(events, "event", lambda _: None) is recipe.Delivery.CARRIED_OUT, 5)

    assert recipe.deliver(events, "event", take_long, claim_s=0.1) is recipe.Delivery.LOST


# -- cached.py -------------------------------------------------------------------------------------


def test_many_readers_compute_once(start: Callable[..., Actor], tmp_path: Path) -> None:
    log = tmp_path / "log"
    actors = [start("cached", log) for _ in range(5)]
    for actor in actors:
        actor.begin()
    assert [actor.lines() for actor in actors] == [["42"]] * 5
    assert log.read_text() == "computed\n"


def test_the_old_value_serves_while_a_new_one_is_computed(home: Path, load: Any) -> None:
    cache: Dict[str, Any] = Dict.from_name("cache", create_if_missing=True)
    cached = load("cached").cached
    now_s = [1_000.0]
    times = {"fresh_s": 10.0, "usable_s": 100.0, "now_s": lambda: now_s[0]}
    assert cached(cache, "k", lambda: "first", **times) == "first"
    assert cached(cache, "k", lambda: "never", **times) == "first"
    now_s[0] += 11

    def compute() -> str:
        assert cached(cache, "k", lambda: "never", **times) == "first"  # another reader, meanwhile
        return "second"

    assert cached(cache, "k", compute, **times) == "second"
    assert cached(cache, "k", lambda: "never", **times) == "second"


def test_a_computation_that_fails_is_begun_by_the_next(home: Path, load: Any) -> None:
    cache: Dict[str, Any] = Dict.from_name("cache", create_if_missing=True)
    cached = load("cached").cached

    def fail() -> str:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cached(cache, "k", fail, fresh_s=10.0, usable_s=100.0)
    assert cached(cache, "k", lambda: "value", fresh_s=10.0, usable_s=100.0) == "value"
