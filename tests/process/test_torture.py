"""Everything at once: processes with threads do all that a Dict can, are killed and followed by others.

Nothing is expected of any single answer here. Between two kills the store is audited, as it is.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import ConflictError, LockLostError, LockTimeoutError, NotFoundError

from .audit import Contents, check_consistent
from .child import Child, Line, wait_until

AnyDict = Dict[Any, Any]
NAMES = ("a", "b", "c")
KEYS = [*range(40), *(f"key {number}" * 60 for number in range(10)), ("tuple", 1), ("tuple", 2)]
EXPECTED = (KeyError, TypeError, ConflictError, LockLostError, LockTimeoutError, NotFoundError)
"""What another process may bring about at any time."""


def some_write(d: AnyDict, cluster: Cluster, rng: random.Random) -> Callable[[], object]:
    key = rng.choice(KEYS)
    value = rng.choice((1, "x" * 10, "x" * 3_000, "x" * 20_000))
    ttl = rng.choice((None, None, 0.001, 0.05, 100))
    pairs = dict.fromkeys(rng.sample(KEYS, rng.randrange(len(KEYS))), value)
    writes: list[Callable[[], object]] = [
        lambda: d.put(key, value, ttl=ttl),
        lambda: d.put(key, value, ttl=ttl),
        lambda: d.put(key, value, skip_if_exists=True, ttl=ttl),
        lambda: d.setdefault(key, value, ttl=ttl),
        lambda: d.replace(key, value, if_version=None),
        lambda: d.touch(key, ttl),
        lambda: d.incr(key),
        lambda: d.pop(key),
        lambda: d.update(pairs, ttl=ttl),
        lambda: d.delete_many(pairs),
        d.popitem,
        lambda: use_a_lock(d, key),
        lambda: asyncio.run(put_all(d, pairs)),
        lambda: dict(d.items()),
        lambda: len(d),
    ]
    seldom: list[Callable[[], object]] = [
        d.clear,
        lambda: Dict.objects.delete(rng.choice(NAMES), cluster=cluster),
        lambda: use_ephemeral(cluster, pairs),
    ]
    return rng.choice(seldom if rng.random() < 0.03 else writes)


def use_a_lock(d: AnyDict, key: object) -> None:
    with d.lock(key, ttl=0.02, wait_s=0):
        d[key] = "locked"


def use_ephemeral(cluster: Cluster, pairs: dict[Any, Any]) -> None:
    with Dict.ephemeral(cluster=cluster) as d:
        d.update(pairs)


async def put_all(d: AnyDict, pairs: dict[Any, Any]) -> None:
    await asyncio.gather(*(d.put.aio(key, value) for key, value in pairs.items()))


def write_at_random(line: Line, cluster: Cluster, seed: int) -> None:
    def serve(number: int) -> None:
        rng = random.Random(seed * 10 + number)
        for count in itertools.count():
            d: AnyDict = Dict.from_name(rng.choice(NAMES), create_if_missing=True, cluster=cluster)
            with suppress(*EXPECTED):
                some_write(d, cluster, rng)()
            if number == 0 and count % 50 == 0:
                line.send(count)

    threads = [threading.Thread(target=fail_loudly, args=(serve, number, line)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fail_loudly(serve: Callable[[int], None], number: int, line: Line) -> None:
    try:
        serve(number)
    except BaseException as error:
        line.send(error)
        raise


def kill_and_follow(cluster: Cluster, seed: int, kills: int) -> None:
    rng = random.Random(seed)
    children = [Child(write_at_random, cluster, seed * 1_000 + number) for number in range(2)]
    try:
        for number in range(kills):
            victim = rng.randrange(2)
            for _ in range(rng.randrange(1, 4)):
                message = children[victim].receive()
                assert isinstance(message, int), f"seed {seed}, kill {number}: {message!r}"
            time.sleep(rng.random() * 0.01)  # the moment is what the seed chooses
            children[victim].kill()
            check_consistent(cluster.store)
            children[victim].line.close()
            children[victim] = Child(write_at_random, cluster, seed * 1_000 + 100 + number)
    finally:
        for child in children:
            child.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("seed", "kills"), [(0, 12), *(pytest.param(seed, 60, marks=pytest.mark.deep) for seed in range(1, 5))]
)
def test_everything_at_once(cluster: Cluster, seed: int, kills: int) -> None:
    cluster.store.open()
    kill_and_follow(cluster, seed, kills)
    check_consistent(cluster.store)
    for name in NAMES:
        with suppress(NotFoundError):
            Dict.objects.delete(name, cluster=cluster)
    wait_until(lambda: not cluster.store.sweep() and not Contents(cluster.store).markers, "the sweeping")
    contents = Contents(cluster.store)
    left = set(contents.entries) | {key[8:16] for key in contents.index}
    assert left <= set(contents.records), "a Dict is gone, and something is left of it"
    assert all(record.name is None for record in contents.records.values())
