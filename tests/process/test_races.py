"""Races between real processes: exactly one winner, every time."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import AlreadyExistsError, ConflictError, LockTimeoutError, NotFoundError

from .child import at_once
from .conftest import MakeCluster

AnyDict = Dict[Any, Any]
R = TypeVar("R")
Contest = Callable[[int, int], R]
"""What a process does in a round: takes the round's number and its own."""

PROCESSES = 4
ROUNDS = [1_000, pytest.param(10_000, marks=pytest.mark.deep)]
MISSING = "missing"


def race(contest: Contest[R], rounds: int, prepare: Contest[Any] | None = None) -> list[list[R]]:
    """For each round what each process got. All of them begin a round at the same moment.

    `prepare` is what each does beforehand; all have done it when the round begins.
    """
    barrier = multiprocessing.get_context("fork").Barrier(PROCESSES, timeout=30)

    def compete(me: int) -> list[R]:
        results = []
        for number in range(rounds):
            if prepare is not None:
                barrier.wait()
                prepare(number, me)
            barrier.wait()
            results.append(contest(number, me))
        return results

    by_process = at_once([partial(compete, me) for me in range(PROCESSES)])
    return [list(results) for results in zip(*by_process, strict=True)]


# -- one key ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", ROUNDS)
def test_put_if_absent_has_one_winner(dict_: AnyDict, rounds: int) -> None:
    results = race(lambda number, me: dict_.put(number, me, skip_if_exists=True), rounds)
    for number, won in enumerate(results):
        assert won.count(True) == 1, f"round {number}"
        assert dict_[number] == won.index(True)


@pytest.mark.parametrize("rounds", [500, pytest.param(4_000, marks=pytest.mark.deep)])
def test_an_expired_key_has_one_winner(dict_: AnyDict, rounds: int) -> None:
    """Also when the sweeper is at work, and when another process judges expiry by a clock of its own."""

    def prepare(number: int, me: int) -> None:
        if me == 0:
            dict_.put(number, "old", ttl=0.001)
            while number in dict_:
                pass

    results = race(lambda number, me: dict_.put(number, me, skip_if_exists=True, ttl=1_000), rounds, prepare)
    assert [won.count(True) for won in results] == [1] * rounds
    assert [dict_[number] for number in range(rounds)] == [won.index(True) for won in results]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_setdefault_gives_everybody_the_same(dict_: AnyDict, rounds: int) -> None:
    results = race(dict_.setdefault, rounds)
    assert [len({*values}) for values in results] == [1] * rounds


@pytest.mark.parametrize("rounds", ROUNDS)
def test_pop_gives_a_value_to_one(dict_: AnyDict, rounds: int) -> None:
    dict_.update({number: f"value {number}" for number in range(rounds)})
    results = race(lambda number, me: dict_.pop(number, MISSING), rounds)
    for number, values in enumerate(results):
        assert sorted(values) == [MISSING] * (PROCESSES - 1) + [f"value {number}"]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_incr_loses_nothing(dict_: AnyDict, rounds: int) -> None:
    results = race(lambda number, me: dict_.incr("n"), rounds)
    assert sorted(itertools.chain(*results)) == list(range(1, rounds * PROCESSES + 1))


@pytest.mark.parametrize("rounds", ROUNDS)
def test_replace_by_version_has_one_winner(dict_: AnyDict, rounds: int) -> None:
    dict_["x"] = "nobody"
    versions: dict[int, int] = {}

    def prepare(number: int, me: int) -> None:
        entry = dict_.get_entry("x")
        assert entry is not None
        versions[me] = entry.version

    def replace(number: int, me: int) -> int | None:
        try:
            return dict_.replace("x", me, if_version=versions[me])
        except ConflictError as conflict:
            assert conflict.current is not None  # noqa: PT017 - for all but one
            assert conflict.current > versions[me]  # noqa: PT017
            return None

    winners = [[version for version in each if version] for each in race(replace, rounds, prepare)]
    assert [len(each) for each in winners] == [1] * rounds
    assert winners == sorted(winners), "versions grow from process to process"


@pytest.mark.parametrize("rounds", ROUNDS)
def test_replace_of_an_absent_key_has_one_winner(dict_: AnyDict, rounds: int) -> None:
    def replace(number: int, me: int) -> bool:
        try:
            return bool(dict_.replace(number, me, if_version=None))
        except ConflictError:
            return False

    assert [won.count(True) for won in race(replace, rounds)] == [1] * rounds


# -- locks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_lock_is_granted_to_one(dict_: AnyDict, rounds: int) -> None:
    def acquire(number: int, me: int) -> int | None:
        try:
            return dict_.lock(number, wait_s=0).acquire()
        except LockTimeoutError:
            return None

    for tokens in race(acquire, rounds):
        assert tokens.count(None) == PROCESSES - 1


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_lock_excludes(dict_: AnyDict, rounds: int) -> None:
    """A counter that is read and written in two steps, which only a lock makes one."""
    dict_["n"] = 0
    turns = rounds // 3

    def count() -> list[Any]:
        tokens: list[Any] = []
        for _ in range(turns):
            with dict_.lock("l") as lock:
                tokens.append(lock.token)
                dict_["n"] = dict_["n"] + 1
        return tokens

    tokens = at_once([count] * PROCESSES)
    assert dict_["n"] == turns * PROCESSES
    assert all(mine == sorted(mine) for mine in tokens)
    assert len({*itertools.chain(*tokens)}) == turns * PROCESSES


# -- any key ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1_500, pytest.param(20_000, marks=pytest.mark.deep)])
def test_popitem_gives_every_item_once(dict_: AnyDict, count: int) -> None:
    dict_.update({number: -number for number in range(count)})

    def drain() -> list[tuple[int, int]]:
        items = []
        while True:
            try:
                items.append(dict_.popitem())
            except KeyError:
                return items

    items = [item for mine in at_once([drain] * PROCESSES) for item in mine]
    assert sorted(items) == [(number, -number) for number in range(count)]
    assert len(dict_) == 0


@pytest.mark.parametrize("count", [1_500, pytest.param(20_000, marks=pytest.mark.deep)])
def test_a_queue_of_pops_gives_every_item_once(dict_: AnyDict, count: int) -> None:
    """All of them walk over the same keys, and take what is there."""
    dict_.update({number: -number for number in range(count)})

    def drain() -> list[Any]:
        return [value for key in dict_ if (value := dict_.pop(key, MISSING)) != MISSING]

    values = [value for mine in at_once([drain] * PROCESSES) for value in mine]
    assert sorted(values) == sorted(-number for number in range(count))


# -- Dicts themselves ------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [200, pytest.param(2_000, marks=pytest.mark.deep)])
def test_first_use_by_many_makes_one_dict(cluster: Cluster, rounds: int) -> None:
    def join(number: int, me: int) -> str:
        d: AnyDict = Dict.from_name(f"dict-{number}", create_if_missing=True, cluster=cluster)
        d[me] = number
        return d.object_id

    for number, ids in enumerate(race(join, rounds)):
        assert len({*ids}) == 1
        d: AnyDict = Dict.from_id(ids[0], cluster=cluster)
        assert dict(d.items()) == dict.fromkeys(range(PROCESSES), number)
    assert len(Dict.objects.list(cluster=cluster)) == rounds


@pytest.mark.parametrize("rounds", [200, pytest.param(2_000, marks=pytest.mark.deep)])
def test_objects_create_succeeds_once(cluster: Cluster, rounds: int) -> None:
    def create(number: int, me: int) -> bool:
        try:
            Dict.objects.create(f"dict-{number}", cluster=cluster)
        except AlreadyExistsError:
            return False
        return True

    assert [made.count(True) for made in race(create, rounds)] == [1] * rounds


@pytest.mark.parametrize("rounds", [200, pytest.param(2_000, marks=pytest.mark.deep)])
def test_objects_delete_succeeds_once(cluster: Cluster, rounds: int) -> None:
    for number in range(rounds):
        Dict.objects.create(f"dict-{number}", cluster=cluster)

    def delete(number: int, me: int) -> bool:
        try:
            Dict.objects.delete(f"dict-{number}", cluster=cluster)
        except NotFoundError:
            return False
        return True

    assert [deleted.count(True) for deleted in race(delete, rounds)] == [1] * rounds
    assert Dict.objects.list(cluster=cluster) == []


# -- durable stores --------------------------------------------------------------------------------


def test_races_in_a_durable_store(clusters: MakeCluster) -> None:
    d: AnyDict = Dict.from_name("d", create_if_missing=True, cluster=clusters(durability="fsync"))
    d.hydrate()

    def contest(number: int, me: int) -> tuple[bool, int]:
        return d.put(("first", number), me, skip_if_exists=True), int(d.incr("n"))

    results = race(contest, 100)
    assert [sum(won for won, _ in each) for each in results] == [1] * 100
    assert sorted(sum_ for each in results for _, sum_ in each) == list(range(1, 100 * PROCESSES + 1))
