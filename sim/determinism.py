"""The proof that a seed is one run: it is repeated in two processes whose sets are in different orders.

`compare` runs a plan in two fresh interpreters under different PYTHONHASHSEED. Where the hashes differ, the
first chunk of events whose digests differ is asked for again, and the first event that differs is named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from .check import Failure
from .config import CHUNK_EVENTS, SUBPROCESS_TIMEOUT_S
from .journal import Event
from .plan import Plan
from .run import record

ONE_RUN = "one seed is one run"
"""The name of this check."""
HASH_SEEDS = ("1", "2")


def compare(plan: Plan) -> Failure | None:
    """None if a plan gives the same run twice; else what differed first."""
    one, two = (_elsewhere(plan, hash_seed, range(0)) for hash_seed in HASH_SEEDS)
    if one["hash"] == two["hash"]:
        return None
    chunk = next(
        (number for number, (a, b) in enumerate(zip(one["chunks"], two["chunks"], strict=False)) if a != b),
        min(len(one["chunks"]), len(two["chunks"])),
    )
    keep = range(chunk * CHUNK_EVENTS, (chunk + 1) * CHUNK_EVENTS)
    one, two = (_elsewhere(plan, hash_seed, keep) for hash_seed in HASH_SEEDS)
    return Failure(ONE_RUN, first_difference(one["events"], two["events"], keep.start))


def first_difference(one: Sequence[Any], two: Sequence[Any], start: int = 0) -> str:
    """In words, the first event in which two lists differ; their first has the number `start`."""
    for number, (a, b) in enumerate(zip(one, two, strict=False)):
        if a != b:
            return f"event {start + number:,} was {_short(a)} in one process and {_short(b)} in another"
    if len(one) != len(two):
        number = start + min(len(one), len(two))
        return f"from event {number:,} on, one process had {abs(len(one) - len(two))} events more"
    return "the events are the same, and their bytes are not"


def _short(event: object) -> str:
    text = json.dumps(event)
    return text if len(text) <= 200 else text[:200] + "…"


def plain(event: Event) -> list[Any]:
    """An event as JSON can write it."""
    return cast("list[Any]", json.loads(json.dumps(event, default=_as_text)))


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)


def _elsewhere(plan: Plan, hash_seed: str, keep: range) -> dict[str, Any]:
    """Run a plan in a fresh interpreter: its hash, chunks, and the events asked for."""
    parts = __name__.split(".")
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
    paths = [str(Path(entry).resolve()) for entry in sys.path]
    environ["PYTHONPATH"] = os.pathsep.join(paths)
    asked = {"plan": plan.to_json(), "start": keep.start, "stop": keep.stop}
    done = subprocess.run(  # noqa: S603 - this interpreter, this module
        [sys.executable, "-m", ".".join(parts)],
        input=json.dumps(asked).encode(),
        stdout=subprocess.PIPE,
        env=environ,
        timeout=SUBPROCESS_TIMEOUT_S,
        check=True,
    )
    return cast("dict[str, Any]", json.loads(done.stdout))


def main() -> None:
    """Answer `_elsewhere`, which asks through standard input."""
    asked = json.load(sys.stdin)
    kept = record(Plan.from_json(asked["plan"]), range(asked["start"], asked["stop"]))
    outcome = kept.outcome
    answer = {
        "hash": outcome.hash,
        "chunks": outcome.chunks,
        "events": [plain(event) for event in kept.events],
    }
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
