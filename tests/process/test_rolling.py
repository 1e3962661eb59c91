"""Every node of a real cluster is restarted under load, by SIGTERM and by SIGKILL: nothing that was
acknowledged is lost, and no call fails for longer than two seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from ringdict import Dict
from ringdict.exception import Error

from .nodes import RealCluster, RealNode, wait_until

FAILING_S_MAX = 2.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RealCluster]:
    with RealCluster(tmp_path) as nodes:
        nodes.wait_ready()
        yield nodes


class Caller:
    """Makes one kind of call without a pause, and notes for how long at a time none succeeded."""

    def __init__(self, cluster: RealCluster, call: Callable[[Dict[Any, Any], int], None]) -> None:
        self._cluster = cluster.client(timeout_s=2.0)
        self._dict = Dict[Any, Any].from_name("rolling", cluster=self._cluster)
        self._call = call
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0
        self.errors: list[str] = []
        #: The longest time from the first of some failures in a row to their last.
        self.failing_s = 0.0
        self.broken: BaseException | None = None

    def _run(self) -> None:
        failing_since_s = None
        while not self._stop.is_set():
            begun_s = time.monotonic()
            try:
                self._call(self._dict, self.count)
                self.count += 1
                failing_since_s = None
            except Error as error:
                self.errors.append(f"{begun_s:.2f}+{time.monotonic() - begun_s:.2f} {error!r}")
                failing_since_s = failing_since_s or begun_s
                self.failing_s = max(self.failing_s, time.monotonic() - failing_since_s)
            except BaseException as error:  # noqa: BLE001 - belongs to the test
                self.broken = error
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._cluster.close()

    def runs_on(self, count: int = 20) -> None:
        goal = self.count + count
        wait_until(lambda: self.count >= goal or self.broken is not None, lambda: str(self.errors[-5:]))

    def check(self) -> None:
        assert self.broken is None, self.broken
        assert self.failing_s <= FAILING_S_MAX, (self.failing_s, self.errors)


acknowledged: dict[str, int] = {}


def put(d: Dict[Any, Any], number: int) -> None:
    key = f"k{number % 300}"
    d[key] = number
    acknowledged[key] = number


def get(d: Dict[Any, Any], number: int) -> None:
    key = f"k{number % 300}"
    known = acknowledged.get(key, -1)
    there = d.get(key, -1, fresh=True)
    assert there >= known, f"{key} was {known}, and is {there}"


def restart(node: RealNode, *, politely: bool) -> None:
    if politely:
        assert node.stop() == 0
    else:
        node.kill()
    node.start()
    wait_until(lambda: node.is_ready, lambda: node.log[-2_000:])


@pytest.mark.parametrize("politely", [True, False], ids=["SIGTERM", "SIGKILL"])
def test_every_node_is_restarted_under_load(cluster: RealCluster, politely: bool) -> None:
    acknowledged.clear()
    with cluster.client() as maker:
        Dict.from_name("rolling", create_if_missing=True, cluster=maker).hydrate()
    callers = [Caller(cluster, put), Caller(cluster, get)]
    with callers[0], callers[1]:
        for caller in callers:
            caller.runs_on()
        for node in cluster.nodes:
            restart(node, politely=politely)
            for caller in callers:
                caller.runs_on()
    for caller in callers:
        caller.check()
    with cluster.client() as other:
        d = Dict[Any, Any].from_name("rolling", cluster=other)
        there = d.get_many(list(acknowledged), fresh=True)
    assert not {key for key, number in acknowledged.items() if there.get(key, -1) < number}
    if politely:
        assert [caller.errors for caller in callers] == [[], []], "a drained node harms nobody"
