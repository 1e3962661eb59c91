"""An exception out of a signal handler (Ctrl-C, a time limit) at any moment leaves nothing locked behind."""

from __future__ import annotations

import fcntl
import random
import signal
import sys
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.node.store.store import Store

from .child import Child, Line

AnyDict = Dict[Any, Any]


pytestmark = pytest.mark.skipif(
    sys.gettrace() is not None,
    reason="the handler's exception leaves coverage's own lock taken, and the child hangs in it",
)


class TimeLimit(BaseException):
    """What a signal handler raises, as KeyboardInterrupt is."""


def raise_time_limit(*_: object) -> None:
    raise TimeLimit


def what_is_left_locked(store: Store) -> list[str]:
    left = []
    environment = store.environment
    if environment.writer.locked():
        left.append("writer lock")
    if environment._active:
        left.append("read transaction")
    for name in ("gate.turn", "gate.queue"):
        with (store.folder / name).open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                left.append(name)
    return left


def interrupted(d: AnyDict, rng: random.Random) -> bool:
    """Use a Dict until the time limit strikes; whether it did."""
    try:
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.000_02, 0.001))
        for number in range(1_000):
            d.get("x")
            d["x"] = number
            d.pop("y", None)
            if number % 20 == 0:
                dict(d.items())
                d.update({"a": number, "b": number})
        signal.setitimer(signal.ITIMER_REAL, 0)
    except TimeLimit:
        return True
    return False


def be_interrupted(line: Line, cluster: Cluster, seed: int, times: int) -> int:
    d: AnyDict = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    d.update({"x": 0, "a": 0, "b": 0})
    signal.signal(signal.SIGALRM, raise_time_limit)
    rng = random.Random(seed)
    for number in range(times):
        interrupted(d, rng)
        left = what_is_left_locked(cluster.store)
        assert not left, f"seed {seed}, after {number} interruptions: {', '.join(left)}"
        values = d.get_many(["a", "b"])
        assert values["a"] == values["b"]
    return times


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(2, 12))]
)
def test_time_limits_at_any_moment(cluster: Cluster, seed: int) -> None:
    with Child(be_interrupted, cluster, seed, 1_000) as child:
        assert child.result() == 1_000
