"""A fork with an open Dict, whatever is under way: parent and child both go on reading and writing."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from operator import methodcaller
from pathlib import Path
from typing import Any, Self

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import Error
from ringdict.node.disk import environment

from .audit import check_consistent
from .child import Child, Line, at_once, wait_until
from .conftest import MakeCluster

AnyDict = Dict[Any, Any]


TRACED = pytest.mark.skipif(
    sys.gettrace() is not None, reason="a child forked beside busy threads hangs in coverage's own lock"
)


def use(line: Line, d: AnyDict, name: str) -> int:
    """A bit of everything."""
    d[name, 0] = 0
    d.update({(name, key): key for key in range(20)})
    assert d.incr((name, 0), 5) == 5
    assert d.pop((name, 1)) == 1
    with d.lock(name, wait_s=0):
        assert dict(d.items((name,))) == {(name, 0): 5} | {(name, key): key for key in range(2, 20)}
    d.delete_many([(name, key) for key in range(10)])
    return sum(1 for key in d if key[0] == name)


def test_parent_and_child_both_go_on(dict_: AnyDict) -> None:
    assert use(None, dict_, "before") == 10  # type: ignore[arg-type]
    for number in range(10):
        with Child(use, dict_, f"child {number}") as child:
            assert use(None, dict_, f"parent {number}") == 10  # type: ignore[arg-type]
            assert child.result() == 10
    assert len(dict_) == 10 + 20 * 10


def fork_on(line: Line, d: AnyDict, depth: int) -> int:
    d[depth] = os.getpid()
    if not depth:
        return 1
    with Child(fork_on, d, depth - 1) as child:
        return 1 + child.result()


def test_children_of_children(dict_: AnyDict) -> None:
    with Child(fork_on, dict_, 5) as child:
        assert child.result() == 6
    assert len({*dict_.values()}) == 6


def test_a_fork_before_first_use(clusters: MakeCluster) -> None:
    cluster = clusters()
    d: AnyDict = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    with Child(use, d, "a") as one, Child(use, d, "b") as other:
        assert (one.result(), other.result()) == (10, 10)
    assert len(d) == 20
    check_consistent(cluster.store)


def test_in_the_midst_of_an_iteration(dict_: AnyDict) -> None:
    dict_.update({key: key for key in range(2_000)})
    walk = iter(dict_.items())
    seen = [next(walk) for _ in range(300)]

    def finish(line: Line) -> list[tuple[int, int]]:
        return [*seen, *walk]

    with Child(finish) as child:
        assert dict([*seen, *walk]) == dict(child.result()) == {key: key for key in range(2_000)}


# -- beside busy threads ---------------------------------------------------------------------------


class Threads:
    """Threads that call functions again and again, until the block ends; what they raise is raised there."""

    def __init__(self, *functions: Callable[[], object]) -> None:
        self.rounds = [0] * len(functions)
        self._errors: list[BaseException] = []
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, args=(number, function), daemon=True)
            for number, function in enumerate(functions)
        ]

    def _serve(self, number: int, function: Callable[[], object]) -> None:
        try:
            while not self._over.is_set():
                function()
                self.rounds[number] += 1
        except BaseException as error:
            self._errors.append(error)
            raise

    @property
    def failed(self) -> bool:
        return bool(self._errors)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: all(self.rounds) or self.failed, "every thread to begin")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)
        if self._errors:
            raise self._errors[0]


def busy(d: AnyDict) -> Threads:
    numbers = iter(range(10**9))
    return Threads(
        lambda: d.put(("put", next(numbers) % 100), bytes(1_000)),
        lambda: d.get(("put", next(numbers) % 100)),
        lambda: sum(1 for _ in d.items()),
        lambda: d.update({("update", key): bytes(300) for key in range(500)}),
    )


@TRACED
def test_again_and_again_beside_busy_threads(cluster: Cluster, dict_: AnyDict) -> None:
    with busy(dict_):
        for number in range(40):
            with Child(use, dict_, f"child {number}") as child:
                assert child.result() == 10
    check_consistent(cluster.store)


@pytest.mark.campaign
def test_hundreds_of_times_beside_busy_threads(cluster: Cluster, dict_: AnyDict) -> None:
    with busy(dict_):
        for number in range(400):
            with Child(use, dict_, f"child {number % 50}") as child:
                assert child.result() == 10


def work(d: AnyDict, name: str, count: int) -> int:
    for number in range(count):
        d[name, number] = number
    return sum(d[name, number] for number in range(count))


@TRACED
def test_multiprocessing_by_fork_beside_busy_threads(dict_: AnyDict) -> None:
    context = multiprocessing.get_context("fork")
    with busy(dict_):
        processes = [context.Process(target=work, args=(dict_, f"p{number}", 50)) for number in range(10)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
    assert [process.exitcode for process in processes] == [0] * 10
    assert sum(1 for _ in dict_.keys(("p3",))) == 50


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_process_pool_with_pickled_handles(dict_: AnyDict, method: str) -> None:
    calls = range(10)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        puts = [pool.submit(methodcaller("put", ("p", number), number), dict_) for number in calls]
        sums = [pool.submit(methodcaller("incr", "sum", number), dict_) for number in calls]
        assert all(put.result(30) for put in puts)
        totals = sorted(future.result(30) for future in sums)
    assert dict(dict_.items(("p",))) == {("p", number): number for number in calls}
    assert totals[-1] == dict_["sum"] == sum(calls)


# -- beside threads that open and close --------------------------------------------------------------


def open_use_close(url: str) -> None:
    with Cluster(url) as cluster:
        d: AnyDict = Dict.from_name("d", create_if_missing=True, cluster=cluster)
        d["used"] = True
        assert d["used"]


def test_threads_that_open_and_close_one_store(tmp_path: Path) -> None:
    url = f"file://{tmp_path}?durability=none"
    with Threads(*[lambda: open_use_close(url)] * 3) as threads:
        wait_until(lambda: sum(threads.rounds) > 1_000 or threads.failed, "1,000 openings")


@pytest.mark.untraced
def test_a_fork_beside_threads_that_open_and_close(tmp_path: Path) -> None:
    url = f"file://{tmp_path}?durability=none"

    def go(line: Line) -> None:
        open_use_close(url)

    with Threads(lambda: open_use_close(url)):
        for number in range(100):
            with Child(go) as child:
                assert child.result(10) is None, f"fork {number}"


# -- a fork that cannot wait -------------------------------------------------------------------------


def test_a_fork_beside_a_transaction_that_does_not_end(
    clusters: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes ahead with a warning. The child may get an error then; what it must not do is hang."""
    monkeypatch.setattr(environment, "FORK_WAIT_S_MAX", 0.1)
    cluster = clusters()
    d: AnyDict = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    d["x"] = 1
    begun, over = threading.Event(), threading.Event()

    def long_job(transaction: Any) -> None:
        begun.set()
        over.wait(20)

    thread = threading.Thread(target=cluster.store.run, args=(long_job,))
    thread.start()
    begun.wait(10)

    def look(line: Line) -> object:
        try:
            return d.get("x")
        except Error as error:
            return str(error)

    try:
        with pytest.warns(RuntimeWarning, match="forked while"):
            child = Child(look)
        with child:
            answer = child.result(5)
    finally:
        over.set()
        thread.join()
    assert answer == 1 or "fork" in str(answer)
    d["x"] = 2
    with Child(use, d, "later") as later:
        assert later.result() == 10


# -- event loops -----------------------------------------------------------------------------------


def test_a_fork_of_an_asyncio_program(cluster: Cluster, dict_: AnyDict) -> None:
    async def fill(name: str) -> int:
        await asyncio.gather(*(dict_.put.aio((name, number), number) for number in range(50)))
        return len([key async for key in dict_.keys.aio((name,))])

    def anew(line: Line, name: str) -> int:
        asyncio._set_running_loop(None)  # what asyncio itself does in a child
        return asyncio.run(fill(name))

    async def program() -> list[int]:
        counts = [await fill("parent")]
        under_way = asyncio.gather(*(dict_.put.aio(("more", number), number) for number in range(500)))
        await asyncio.sleep(0)
        with Child(anew, "child") as child:
            await under_way
            counts.append(await asyncio.to_thread(child.result))
        counts.append(await fill("parent again"))
        return counts

    assert asyncio.run(program()) == [50, 50, 50]
    assert len(dict_) == 650


# -- many threads, many processes ------------------------------------------------------------------


def mixed(d: AnyDict, number: int, rounds: int) -> Counter[str]:
    """Work on keys of its own and on shared ones; what must be true of the shared ones afterwards."""
    rng = random.Random(number)
    mine: dict[Any, Any] = {}
    won: Counter[str] = Counter()
    for turn in range(rounds):
        key = (number, rng.randrange(20))
        match rng.randrange(8):
            case 0 | 1:
                mine[key] = d[key] = turn
            case 2:
                assert d.pop(key, None) == mine.pop(key, None)
            case 3:
                pairs = {(number, other): turn for other in range(10)}
                d.update(pairs)
                mine.update(pairs)
            case 4:
                assert d.get_many([(number, other) for other in range(20)]) == mine
            case 5:
                d.incr("sum", number)
                won["sum"] += number
            case 6:
                won["first"] += d.put(("first", turn), number, skip_if_exists=True)
            case _:
                assert d.get(key, None) == mine.get(key)
    assert dict(d.items((number,))) == mine
    return won


def test_32_threads_on_one_handle(cluster: Cluster, dict_: AnyDict) -> None:
    won: list[Counter[str]] = []
    failed: list[BaseException] = []

    def serve(number: int) -> None:
        try:
            won.append(mixed(dict_, number, 60))
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    total = sum(won, Counter())
    assert total["sum"] == dict_["sum"]
    assert total["first"] == sum(1 for _ in dict_.keys(("first",)))


PROGRAM = """
import sys
from ringdict import Dict
d = Dict.from_name("d", create_if_missing=True, cluster=sys.argv[1])
d[int(sys.argv[2])] = d.object_id
d.incr("sum")
"""


def test_50_processes_open_one_new_store_at_once(clusters: MakeCluster, tmp_path: Path) -> None:
    cluster = clusters()
    begin_s = time.monotonic()
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(cluster.url), str(number)], stderr=subprocess.PIPE
        )
        for number in range(50)
    ]
    for program in programs:
        _, complaint = program.communicate(timeout=60)
        assert program.returncode == 0, complaint.decode()
    elapsed_s = time.monotonic() - begin_s
    d: AnyDict = Dict.from_name("d", cluster=cluster)
    assert d.pop("sum") == len(d) == 50
    assert {*d.values()} == {d.object_id}
    assert elapsed_s < 20
    check_consistent(cluster.store)


@pytest.mark.untraced
def test_50_forks_open_one_new_store_at_once(clusters: MakeCluster) -> None:
    cluster = clusters()

    def join() -> str:
        d: AnyDict = Dict.from_name("d", create_if_missing=True, cluster=cluster)
        d.incr("sum")
        return d.object_id

    assert len({*at_once([join] * 50)}) == 1
    assert Dict.from_name("d", cluster=cluster)["sum"] == 50
    check_consistent(cluster.store)
