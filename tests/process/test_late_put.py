"""A put that a client has given up, and put through another node since, is not carried out late."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringdict import Dict

from .nodes import RealCluster, wait_until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RealCluster]:
    with RealCluster(tmp_path) as nodes:
        nodes.wait_ready()
        yield nodes


@pytest.mark.deep
def test_a_node_that_was_stopped_does_not_do_what_was_given_up_meanwhile(cluster: RealCluster) -> None:
    """Found by chaos with seed 1: the late put got the higher stamp, and was read by its own client."""
    clients = [cluster.client() for _ in range(6)]
    numbers = [Dict[str, int].from_name("n", create_if_missing=True, cluster=one) for one in clients]
    for number in numbers:
        number["begin"] = 0  # knows the ring, and is connected to whoever is asked first
        for place in range(20):
            number[f"{place}"] = 0
    stopped = cluster.nodes[1]
    stopped.signal(signal.SIGSTOP)
    given_up: dict[int, str] = {}
    for place, number in enumerate(numbers):
        for key in [f"{place}-{n}" for n in range(20)]:
            begun_s = time.monotonic()
            number[key] = 1
            if time.monotonic() - begun_s > 0.2:
                given_up[place] = key
                break
    assert given_up
    for place, key in given_up.items():
        numbers[place][key] = 2
    stopped.signal(signal.SIGCONT)
    wait_until(lambda: cluster.command("status", code=None).count(" yes ") == 3)
    time.sleep(1.0)
    assert {place: numbers[place].get_many([key], fresh=True)[key] for place, key in given_up.items()} == (
        dict.fromkeys(given_up, 2)
    )
    for one in clients:
        one.close()
