"""Two containers that share a folder, but not the numbers of their processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

import pytest

from ringdict import Cluster, Dict

from .audit import check_consistent
from .conftest import MakeCluster

PROGRAM = """
import os, sys
from ringdict import Dict
from ringdict.exception import Error
d = Dict.from_name("d", create_if_missing=True, cluster=sys.argv[1])
for line in sys.stdin:
    try:
        print(os.getpid(), "says", eval(line), flush=True)
    except Error as error:
        print(os.getpid(), type(error).__name__, error, flush=True)
"""
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


class Container:
    """A process with process numbers of its own, in which it is number 1."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, expression: str) -> str:
        """What an expression gives there, with `d` for the Dict."""
        stdin, stdout = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        stdin.write(f"{expression}\n")
        stdin.flush()
        return stdout.readline().strip()

    def end(self) -> None:
        self._process.communicate()


@contextmanager
def container(cluster: Cluster) -> Iterator[Container]:
    process = subprocess.Popen(
        [*UNSHARE, sys.executable, "-c", PROGRAM, str(cluster.url)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Container(process)
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def may_unshare() -> None:
    """Skip where this user may not make a container."""
    try:
        done = subprocess.run([*UNSHARE, "true"], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare(1)")
    if done.returncode:
        pytest.skip(f"this user may not make a namespace for processes: {done.stderr.strip()}")


def test_two_with_the_same_number(clusters: MakeCluster) -> None:
    cluster = clusters()
    with container(cluster) as one, container(cluster) as other:
        assert one.ask("d.put('x', 1)") == "1 says True"
        for _ in range(2):
            complaint = other.ask("d.put('x', 2)")
            assert complaint.startswith("1 UnavailableError")
            assert "pid (1)" in complaint
            assert "two containers" in complaint
            assert "Start a node" in complaint
        assert one.ask("d.incr('x')") == "1 says 2"
        assert one.ask("list(d.items())") == "1 says [('x', 2)]"
        one.end()
        assert other.ask("d.incr('x')") == "1 says 3"
    d: Dict[str, int] = Dict.from_name("d", cluster=cluster)
    assert d["x"] == 3
    check_consistent(cluster.store)


def test_one_beside_a_process_of_the_host(clusters: MakeCluster) -> None:
    """Their numbers differ, so that they can share the store, and go on sharing it when one was killed."""
    cluster = clusters()
    d: Dict[str, int] = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    for number in range(3):
        with container(cluster) as guest:
            for turn in range(10):
                assert guest.ask("d.incr('x')") == f"1 says {number * 20 + turn * 2 + 1}"
                assert d.incr("x") == number * 20 + turn * 2 + 2
    check_consistent(cluster.store)
