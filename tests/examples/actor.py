"""One process that uses a recipe: `actor.py EXAMPLES WHAT ARGUMENT ...`. A line of input lets it begin."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ringdict import Dict


def say(path: str, line: str) -> None:
    """Append a line to a file, whole, whoever else does so at the same time."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def job_runner(recipe: Any, ledger_path: str, name: str, jobs: str, hold_s: str) -> None:
    locks: Dict[str, object] = Dict.from_name("jobs", create_if_missing=True)
    ledger = recipe.Ledger(ledger_path)

    def job(token: int) -> None:
        ledger.write(token, f"{name} begins")
        print("holds", flush=True)
        time.sleep(float(hold_s))
        ledger.write(token, f"{name} ends")

    for _ in range(int(jobs)):
        print(recipe.run_exclusively(locks, "job", job, ttl_s=0.5), flush=True)


def leader_election(recipe: Any, log: str, name: str, ttl_s: str) -> None:
    elections: Dict[str, object] = Dict.from_name("elections", create_if_missing=True)
    candidate = recipe.Candidate(elections, "office", ttl_s=float(ttl_s))

    def work(token: int) -> bool:
        say(log, f"{time.monotonic()} {name} {token}")
        time.sleep(0.01)
        return True

    recipe.lead(candidate, work, ttl_s=float(ttl_s))


def rate_limiter(recipe: Any, asks: str) -> None:
    counts: Dict[Any, int] = Dict.from_name("rates", create_if_missing=True)
    limiter = recipe.RateLimiter(counts, "api", limit=20, span_s=1_000.0)
    print(sum(limiter.ask("somebody", now_s=1e9).allowed for _ in range(int(asks))))


def webhook(recipe: Any, log: str, events: str) -> None:
    memory: Dict[str, str] = Dict.from_name("events", create_if_missing=True)
    for number in range(int(events)):
        recipe.deliver(memory, f"event {number}", lambda _token, number=number: say(log, str(number)))


def cached(recipe: Any, log: str) -> None:
    cache: Dict[str, Any] = Dict.from_name("cache", create_if_missing=True)

    def compute() -> int:
        say(log, "computed")
        time.sleep(0.2)
        return 42

    print(recipe.cached(cache, "answer", compute, fresh_s=60.0, usable_s=600.0))


ACTORS: dict[str, Callable[..., None]] = {
    each.__name__: each for each in (job_runner, leader_election, rate_limiter, webhook, cached)
}

if __name__ == "__main__":
    examples, what, *arguments = sys.argv[1:]
    sys.path.insert(0, str(Path(examples)))
    recipe_module = importlib.import_module(what)
    print("ready", flush=True)
    sys.stdin.readline()
    ACTORS[what](recipe_module, *arguments)
