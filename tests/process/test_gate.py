"""The gate in front of the writer lock: nobody waits long beside others, and nobody for ever."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import threading
import time
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import UnavailableError
from ringdict.node.disk.gate import lock_holders

from .child import Child, Line, wait_until
from .conftest import MakeCluster

AnyDict = Dict[Any, Any]
BATCH = 10_000
TIMEOUT_S = 0.3
SLACK_S = 1.0


def opened(cluster: Cluster) -> AnyDict:
    return Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()


# -- fairness --------------------------------------------------------------------------------------


def update_back_to_back(line: Line, d: AnyDict) -> list[float]:
    pairs = dict.fromkeys(range(BATCH), "x" * 100)
    d.update(pairs)
    line.send("begun")
    durations_s = []
    while not line.poll():
        begin_s = time.perf_counter()
        d.update(pairs)
        durations_s.append(time.perf_counter() - begin_s)
    return durations_s


def test_a_put_beside_back_to_back_updates(dict_: AnyDict) -> None:
    with Child(update_back_to_back, dict_) as child:
        child.receive()
        waits_s = []
        end_s = (
            time.perf_counter() + 1
        )  # a put takes microseconds: so many of them would fit between two updates
        for number in itertools.count():
            begin_s = time.perf_counter()
            dict_["mine"] = number
            waits_s.append(time.perf_counter() - begin_s)
            if begin_s > end_s:
                break
        child.line.send("stop")
        update_s = statistics.median(child.result())
    assert statistics.quantiles(waits_s, n=100)[98] < 2 * update_s + 0.05, (
        f"beside updates of {update_s:.3f} s"
    )


def hold_and_write_again(line: Line, cluster: Cluster) -> bool:
    """Write twice in a row, as fast as can be; whether the one who waited was let in between."""

    def hold(transaction: object) -> None:
        line.send("held")
        line.recv()

    d = opened(cluster)
    cluster.store.run(hold)
    d["again"] = True
    return "waited" in d


def put_after_waiting(line: Line, d: AnyDict) -> None:
    line.send("begun")
    d["waited"] = True


def test_who_waits_goes_before_who_has_just_written(cluster: Cluster, tmp_path: Path) -> None:
    d = opened(cluster)
    for _ in range(5):
        d.pop("waited", None)
        with Child(hold_and_write_again, cluster) as holder:
            holder.receive()
            with (
                Child(put_after_waiting, d) as waiter,
                (tmp_path / "store" / "gate.queue").open("rb") as queue,
            ):
                waiter.receive()
                wait_until(partial(is_locked, queue), "the other one to wait for its turn")
                holder.line.send("go on")
                assert holder.result()
                waiter.result()


def is_locked(file: IO[bytes]) -> bool:
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return True
    flock(file, LOCK_UN)
    return False


# -- a holder that stands still --------------------------------------------------------------------


def hold_the_gate(line: Line, cluster: Cluster) -> None:
    def hold(transaction: object) -> None:
        line.send("held")
        line.recv()

    cluster.store.run(hold)


@pytest.fixture
def hurried(clusters: MakeCluster) -> Cluster:
    """A cluster whose writes wait no longer than `TIMEOUT_S`."""
    return clusters(timeout_s=TIMEOUT_S)


def test_a_stopped_holder_is_named(hurried: Cluster) -> None:
    d = opened(hurried)
    d["x"] = 1
    with Child(hold_the_gate, hurried) as child:
        child.receive()
        child.stop()
        begin_s = time.monotonic()
        with pytest.raises(UnavailableError, match=rf"process {child.pid} \(stopped\)"):
            d["x"] = 2
        assert TIMEOUT_S * 0.9 < time.monotonic() - begin_s < TIMEOUT_S + SLACK_S
        assert d["x"] == 1  # reads wait for nobody
        child.resume()
        child.line.send("go on")
        child.result()
    d["x"] = 3
    assert d["x"] == 3


def test_killed_while_stopped(hurried: Cluster) -> None:
    d = opened(hurried)
    with Child(hold_the_gate, hurried) as child:
        child.receive()
        child.stop()
        child.kill()
    begin_s = time.monotonic()
    d["x"] = 1
    assert time.monotonic() - begin_s < TIMEOUT_S


def read(line: Line, cluster: Cluster) -> object:
    return opened(cluster).get("x")


def test_a_process_that_only_reads_waits_for_nobody(hurried: Cluster) -> None:
    """Not even when it has yet to open the store."""
    d = opened(hurried)
    d["x"] = 1
    with Child(hold_the_gate, hurried) as holder:
        holder.receive()
        with Child(read, hurried) as reader:
            assert reader.result() == 1


def test_every_kind_of_write_gives_up(hurried: Cluster) -> None:
    d = opened(hurried)
    d["x"] = 1
    with Child(hold_the_gate, hurried) as child:
        child.receive()
        for write in (
            lambda: d.pop("x"),
            lambda: d.incr("n"),
            lambda: d.update({"x": 2}),
            lambda: d.lock("l").acquire(),
            d.clear,
            lambda: Dict.objects.create("e", cluster=hurried),
            lambda: Dict.objects.delete("d", cluster=hurried),
        ):
            with pytest.raises(UnavailableError, match=f"process {child.pid} holds"):
                write()
    assert dict(d.items()) == {"x": 1}


def test_threads_and_tasks_give_up_together(hurried: Cluster) -> None:
    """Ten that wait at once wait for one time limit, or two, but not for ten."""
    d = opened(hurried)
    failed: list[Exception] = []

    def put() -> None:
        try:
            d["x"] = 1
        except UnavailableError as error:
            failed.append(error)

    async def put_all() -> list[BaseException | bool]:
        return await asyncio.gather(*(d.put.aio("x", 1) for _ in range(10)), return_exceptions=True)

    with Child(hold_the_gate, hurried) as child:
        child.receive()
        threads = [threading.Thread(target=put) for _ in range(10)]
        begin_s = time.monotonic()
        for thread in threads:
            thread.start()
        failed += [answer for answer in asyncio.run(put_all()) if isinstance(answer, UnavailableError)]
        for thread in threads:
            thread.join()
        assert time.monotonic() - begin_s < 3 * TIMEOUT_S + SLACK_S
        assert len(failed) == 20
        assert not d
    d["x"] = 2
    assert d["x"] == 2


def wait_in_the_queue(line: Line, cluster: Cluster) -> None:
    line.send("waits")
    opened(cluster)["waited"] = True


def test_a_waiter_that_stands_still_is_named(hurried: Cluster) -> None:
    """Who is next in the queue, and has stopped there, keeps the others out as well."""
    d = opened(hurried)
    patient = Cluster(hurried.url, timeout_s=30)
    with Child(hold_the_gate, hurried) as holder, Child(wait_in_the_queue, patient) as waiter:
        holder.receive()
        waiter.receive()
        wait_until(lambda: waiter.pid in lock_holders(hurried.store.folder / "gate.queue"), "the queue")
        waiter.stop()
        holder.line.send("go on")
        holder.result()
        with pytest.raises(UnavailableError, match=rf"process {waiter.pid} \(stopped\)"):
            d["x"] = 1
        waiter.resume()
        waiter.result()
    d["x"] = 2
    assert dict(d.items()) == {"waited": True, "x": 2}
