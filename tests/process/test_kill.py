"""SIGKILL at any moment: what was acknowledged is there, the rest is all or nothing, the others go on."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.client.embedded import EmbeddedDict
from ringdict.client.keys import encode_key
from ringdict.node.config import MIB, STALE_READERS_COMMITS
from ringdict.node.disk.datafile import pages_bytes
from ringdict.node.store import layout
from ringdict.node.store.edit import Edit
from ringdict.node.store.entry import NO_OPERATION
from ringdict.node.store.operation import NEVER, Operation, Pop, Put
from ringdict.node.store.stampcell import StampCell

from ..seeds import seeds
from .audit import Contents, check_consistent
from .child import Child, Line, wait_until
from .conftest import BOTH_MAPS, MakeCluster

BATCH = 10_000
AnyDict = Dict[Any, Any]
Model = dict[Any, Any]

SEEDS = seeds(6, deep=34)


def opened(cluster: Cluster, name: str = "d") -> AnyDict:
    return Dict.from_name(name, create_if_missing=True, cluster=cluster).hydrate()


# -- one process, a list of steps that a plain dict takes as well -----------------------------------


class Step:
    """One write, which a Dict and a plain dict understand."""

    def __init__(self, kind: str, *args: Any) -> None:
        self.kind = kind
        self.args = args

    def take(self, d: AnyDict | Model) -> None:
        match self.kind, self.args:
            case "put", (key, value):
                d[key] = value
            case "pop", (key,):
                d.pop(key, None)
            case "update", (pairs,):
                d.update(pairs)
            case "delete_many", (keys,):
                if isinstance(d, Dict):
                    d.delete_many(keys)
                else:
                    for key in keys:
                        d.pop(key, None)
            case "clear", ():
                d.clear()
            case _:
                raise AssertionError(self.kind)


def steps(seed: int) -> Iterator[Step]:
    """An endless list of writes, the same for each seed; values are as large as overflow pages want them."""
    rng = random.Random(seed)
    keys = range(500)
    for number in itertools.count():
        kind = rng.choices(("put", "pop", "update", "delete_many", "clear"), weights=(70, 10, 10, 8, 2))[0]
        if kind == "put":
            yield Step(kind, rng.choice(keys), (number, "x" * rng.choice((1, 100, 3_000, 20_000))))
        elif kind == "pop":
            yield Step(kind, rng.choice(keys))
        elif kind == "update":
            yield Step(kind, dict.fromkeys(rng.sample(keys, rng.randrange(1, 300)), number))
        elif kind == "delete_many":
            yield Step(kind, rng.sample(keys, rng.randrange(1, 300)))
        else:
            yield Step(kind)


def take_steps(line: Line, d: AnyDict, seed: int) -> None:
    for step in steps(seed):
        step.take(d)
        line.send("done")


def killed_after(child: Child[Any], rng: random.Random, acks_max: int) -> int:
    """Kill a child a moment after so many acknowledgements; how many it had sent by then."""
    expected = rng.randrange(1, acks_max)
    for _ in range(expected):
        child.receive()
    time.sleep(rng.random() * 0.003)  # the moment is what the seed chooses
    child.kill()
    return expected + sum(1 for _ in child.received())


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_acknowledged_outlives_a_kill(cluster: Cluster, seed: int) -> None:
    rng = random.Random(seed)
    d, other = opened(cluster), opened(cluster, "other")
    for life in range(4):
        d.clear()
        with (
            Child(take_steps, d, seed * 10 + life) as child,
            Child(take_steps, other, seed) as bystander,
        ):
            acks = killed_after(child, rng, 200)
            found = dict(d.items())
            for _ in bystander.received():
                break  # it goes on
            bystander.kill()
        expected: Model = {}
        todo = steps(seed * 10 + life)
        for step in itertools.islice(todo, acks):
            step.take(expected)
        if found != expected:
            next(todo).take(expected)  # it was on disk, and the child died before it could say so
        assert found == expected, f"seed {seed}, life {life}, {acks} acknowledged"
        check_consistent(cluster.store)


# -- large things ----------------------------------------------------------------------------------


def update_again_and_again(line: Line, d: AnyDict) -> None:
    for number in itertools.count(1):
        d.update(dict.fromkeys(range(BATCH), number))
        line.send(number)


def test_an_update_of_10_000_is_all_or_nothing(cluster: Cluster, dict_: AnyDict) -> None:
    rng = random.Random(10_000)
    for life in range(5):
        dict_.update(dict.fromkeys(range(BATCH), 0))
        with Child(update_again_and_again, dict_) as child:
            child.receive()
            time.sleep(rng.random() * 0.1)
            child.kill()
            acknowledged = max([1, *child.received()])
        (number,) = set(dict_.values())
        assert number in (acknowledged, acknowledged + 1), f"life {life}"
        assert len(dict_) == BATCH


def clear_again_and_again(line: Line, d: AnyDict) -> None:
    for number in itertools.count():
        d.update({(number, key): "x" * 100 for key in range(1_000)}, ttl=1_000)
        line.send(number)
        d.clear()
        line.send(None)


@pytest.mark.parametrize("seed", seeds(4))
def test_a_clear_is_all_or_nothing_and_its_leftovers_are_swept(
    cluster: Cluster, dict_: AnyDict, seed: int
) -> None:
    with Child(clear_again_and_again, dict_) as child:
        killed_after(child, random.Random(seed), 20)
    assert len(dict_) == sum(1 for _ in dict_) in (0, 1_000)
    assert len({number for number, _ in dict_}) <= 1
    check_consistent(cluster.store)
    dict_.clear()
    sweep_out(cluster)
    assert not Contents(cluster.store).entries


def sweep_out(cluster: Cluster) -> None:
    """Sweep until nothing is left to sweep, whoever else sweeps meanwhile."""
    store = cluster.store
    wait_until(lambda: not store.sweep() and not Contents(store).markers, "the sweeping to end")


def sweep_again_and_again(line: Line, cluster: Cluster) -> None:
    while True:
        cluster.store.sweep()
        line.send("swept")


@pytest.mark.parametrize("seed", seeds(6))
def test_a_sweeper_killed_at_work_is_followed_by_another(clusters: MakeCluster, seed: int) -> None:
    rng = random.Random(seed)
    cluster = clusters(background=False)
    gone, kept = opened(cluster, "gone"), opened(cluster, "kept")
    kept.update(dict.fromkeys(range(2000), "kept"))
    kept.update({-1 - key: "short-lived" for key in range(2_000)}, ttl=0.001)
    gone.update(dict.fromkeys(range(6000), "x" * 300), ttl=1_000)
    Dict.objects.delete("gone", cluster=cluster)
    while not all(is_swept(cluster)):
        with Child(sweep_again_and_again, cluster) as child:
            killed_after(child, rng, 8)
        check_consistent(cluster.store)
        assert len(kept) == 2_000
    assert {len(rows) for rows in Contents(cluster.store).entries.values()} == {2_000}


def is_swept(cluster: Cluster) -> tuple[bool, bool]:
    contents = Contents(cluster.store)
    return not contents.markers, not contents.index


def make_and_delete(line: Line, cluster: Cluster) -> None:
    for number in itertools.count():
        name = f"dict-{number}"
        Dict.objects.create(name, cluster=cluster)
        line.send(("made", name))
        opened(cluster, name).update(dict.fromkeys(range(500), name), ttl=1_000)
        line.send(("filled", name))
        if number % 2:
            Dict.objects.delete(name, cluster=cluster)
            line.send(("deleted", name))


@pytest.mark.parametrize("seed", seeds(4))
def test_making_and_deleting_dicts(cluster: Cluster, seed: int) -> None:
    cluster.store.open()
    with Child(make_and_delete, cluster) as child:
        last = child.receive()
        for _ in range(random.Random(seed).randrange(4, 59)):
            last = child.receive()
        child.kill()
        last = [last, *child.received()][-1]
    names = {handle.name for handle in Dict.objects.list(cluster=cluster)}
    number = int(last[1].removeprefix("dict-"))
    settled = {f"dict-{past}" for past in range(number) if not past % 2}
    assert settled <= names <= settled | {f"dict-{number}", f"dict-{number + 1}"}
    check_consistent(cluster.store)


def join(line: Line, cluster: Cluster, name: str) -> None:
    opened(cluster, name)["me"] = os.getpid()


@pytest.mark.parametrize("seed", seeds(3))
def test_killed_while_the_store_is_made(clusters: MakeCluster, seed: int) -> None:
    rng = random.Random(seed)
    cluster = clusters()
    for life in range(12):
        with Child(join, cluster, f"dict-{life}"), Child(join, cluster, f"dict-{life}"):
            time.sleep(rng.random() * 0.01)
    opened(cluster)["alive"] = True
    check_consistent(cluster.store)


# -- growth of the map -----------------------------------------------------------------------------


def grow(line: Line, cluster: Cluster, name: str) -> None:
    d = opened(cluster, name)
    for number in itertools.count():
        d[number] = bytes(50_000)
        line.send(number)


@BOTH_MAPS
@pytest.mark.parametrize("seed", seeds(4))
def test_killed_while_the_map_grows(clusters: MakeCluster, file_system: str, seed: int) -> None:
    rng = random.Random(seed)
    cluster = clusters(map_bytes=MIB, file_system=file_system)
    d = opened(cluster)
    for life in range(6):
        name = f"dict-{life}"
        with Child(grow, cluster, name) as child, Child(grow, cluster, "other") as other:
            acks = killed_after(child, rng, 200)
            for _ in range(20):
                other.receive()
            other.kill()
        d[life] = "still here"
        found = sorted(opened(cluster, name))
        assert found in (list(range(acks)), list(range(acks + 1))), f"life {life}"
        check_consistent(cluster.store)
    assert len(d) == 6


# -- what a process holds when it dies -------------------------------------------------------------


def hold_the_gate(line: Line, cluster: Cluster) -> None:
    cluster.store.open()
    gate = cluster.store._gate
    assert gate is not None
    gate.enter(5)
    line.send("held")
    line.recv()


def hold_the_writer_lock(line: Line, cluster: Cluster) -> None:
    cluster.store.open()
    transaction = cluster.store.environment.begin_write()
    transaction.put(layout.EXPIRY + b"never committed", b"")
    line.send("held")
    line.recv()


@pytest.mark.parametrize("hold", [hold_the_gate, hold_the_writer_lock])
def test_killed_while_it_holds_up_all_writers(cluster: Cluster, dict_: AnyDict, hold: Any) -> None:
    dict_["before"] = 1
    with Child(hold, cluster) as child:
        child.receive()
        child.kill()
        begin_s = time.monotonic()
        dict_["after"] = 1
        assert time.monotonic() - begin_s < 0.5
    assert dict(dict_.items()) == {"before": 1, "after": 1}


def hold_a_snapshot(line: Line, cluster: Cluster) -> None:
    with cluster.store.reading() as transaction:
        line.send(transaction.id())
        line.recv()


def test_the_snapshot_of_a_dead_reader_pins_no_pages_for_long(cluster: Cluster, dict_: AnyDict) -> None:
    with Child(hold_a_snapshot, cluster) as child:
        child.receive()
        child.kill()
        for number in range(STALE_READERS_COMMITS + 10):
            dict_[number % 10] = bytes(10_000)
        settled_bytes = pages_bytes(cluster.store.environment.open())
        for number in range(500):
            dict_[number % 10] = bytes(10_000)
    assert pages_bytes(cluster.store.environment.open()) <= settled_bytes + MIB


# -- a store that many wrote to at once can be opened by the next -------------------------------------


def in_one_transaction(d: AnyDict, operations: Sequence[Operation[Any]]) -> None:
    """What the writer thread does with the writes of many tasks."""
    bound = d._bound
    assert isinstance(bound, EmbeddedDict)
    table = bound.table
    for operation in operations:
        operation.prepare(table)
    table.store.run(
        lambda transaction: [operation.apply(Edit(transaction, table)) for operation in operations]
    )


def some_operation(rng: random.Random) -> Operation[Any]:
    key = encode_key(rng.randrange(20))
    if rng.random() < 0.4:
        return Pop(key, None, NO_OPERATION)
    return Put(key, rng.choice((10, 3_000, 50_000)) * b"x", NEVER)


def count_anew(line: Line, cluster: Cluster) -> int:
    """A forked child opens the store anew, as any process does that is started now."""
    d = opened(cluster)
    d["atomic"] = 1
    d.incr("atomic")
    return len(d)


@pytest.mark.parametrize("seed", seeds(4))
def test_group_commits_leave_a_store_that_opens(cluster: Cluster, dict_: AnyDict, seed: int) -> None:
    """LMDB may take pages from its file's end and give them back unwritten: a short file is no damage."""
    rng = random.Random(seed)
    data = cluster.store.environment.path / "data.mdb"
    for number in range(400):
        in_one_transaction(dict_, [some_operation(rng) for _ in range(rng.randrange(1, 6))])
        if data.stat().st_size < pages_bytes(cluster.store.environment.open()) or number == 399:
            with Child(count_anew, cluster) as child:
                assert child.result() == len(dict_), f"seed {seed}, transaction {number}"


# -- words that all processes share ------------------------------------------------------------------

FIRST_STAMP = 1 << 50


def write_stamps(line: Line, path: Path) -> None:
    cell = StampCell(path)
    cell.write(FIRST_STAMP)
    line.send("begun")
    for number in itertools.count():
        cell.write(FIRST_STAMP + number)


def test_a_stamp_is_written_at_one_go(tmp_path: Path) -> None:
    """Else a process that is killed while it writes leaves a zero, and stamps begin anew."""
    cell = StampCell(tmp_path / "stamp")
    with Child(write_stamps, tmp_path / "stamp") as child:
        child.receive()
        end_s = time.monotonic() + 0.5
        while time.monotonic() < end_s:
            assert min(cell.read() for _ in range(1000)) >= FIRST_STAMP
