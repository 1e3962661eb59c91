"""The `.aio` forms, on asyncio and on Trio: every body here runs on both."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
import trio

from ringdict import (
    ClosedError,
    Cluster,
    ConflictError,
    Dict,
    LockTimeoutError,
    NotFoundError,
    UnavailableError,
)
from ringdict.node.gate import WriterGate

Body = Callable[[], Awaitable[Any]]

WAIT_S = 10.0
"""What is waited for takes milliseconds; a test that would wait for ever must fail."""


class Library(Protocol):
    """What the bodies need of an event loop's library."""

    def run(self, main: Body) -> None:
        """Run it in a new loop."""

    async def sleep(self, seconds: float) -> None:
        """Let others run."""

    async def together(self, *bodies: Body) -> None:
        """Run them at the same time, until all are done."""

    async def cancel(self, body: Body, when: Callable[[], bool]) -> None:
        """Run it, and cancel it when that is true."""

    async def timeout(self, seconds: float, body: Body) -> None:
        """Run it for that time at most; `TimeoutError` or `TooSlowError` if it took longer."""


class Asyncio:
    too_slow: type[Exception] = TimeoutError

    def run(self, main: Body) -> None:
        asyncio.run(asyncio.wait_for(main(), 60))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def together(self, *bodies: Body) -> None:
        await asyncio.gather(*(body() for body in bodies))

    async def cancel(self, body: Body, when: Callable[[], bool]) -> None:
        task = asyncio.ensure_future(body())
        await true(self, when)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def timeout(self, seconds: float, body: Body) -> None:
        async with asyncio.timeout(seconds):
            await body()


class Trio:
    too_slow: type[Exception] = trio.TooSlowError

    def run(self, main: Body) -> None:
        async def bounded() -> None:
            with trio.fail_after(60):
                await main()

        trio.run(bounded)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def together(self, *bodies: Body) -> None:
        async with trio.open_nursery() as nursery:
            for body in bodies:
                nursery.start_soon(body)

    async def cancel(self, body: Body, when: Callable[[], bool]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(body)
            await true(self, when)
            nursery.cancel_scope.cancel()

    async def timeout(self, seconds: float, body: Body) -> None:
        with trio.fail_after(seconds):
            await body()


async def true(library: Library, condition: Callable[[], bool]) -> None:
    """Wait until it is."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        await library.sleep(0.001)


@pytest.fixture(params=[Asyncio(), Trio()], ids=lambda library: type(library).__name__.lower())
def on(request: pytest.FixtureRequest) -> Any:
    """The library that the test runs on."""
    return request.param


# -- every method --------------------------------------------------------------------------------


def test_one_key(on: Library, d: Dict[Any, Any]) -> None:
    async def main() -> None:
        assert await d.put.aio("k", {"a": (1, 2)}) is True
        assert await d.get.aio("k") == {"a": (1, 2)}
        assert await d.get.aio("missing") is None
        assert await d.get.aio("missing", 5) == await d.get.aio("missing", default=5, fresh=True) == 5
        assert await d.contains.aio("k") is True
        assert await d.put.aio("k", 1, skip_if_exists=True) is False
        assert await d.setdefault.aio("s", 1) == 1
        assert await d.pop.aio("k") == {"a": (1, 2)}
        assert await d.pop.aio("k", None) is None
        with pytest.raises(KeyError, match="'k'"):
            await d.pop.aio("k")

    on.run(main)
    assert d == {"s": 1}


def test_atomic_operations(on: Library, d: Dict[Any, Any]) -> None:
    async def main() -> None:
        assert await d.incr.aio("n", 5, initial=10) == 15
        version = await d.replace.aio("k", 1, if_version=None)
        entry = await d.get_entry.aio("k")
        assert entry is not None
        assert entry.version == version
        with pytest.raises(ConflictError):
            await d.replace.aio("k", 2, if_version=version - 1)
        assert await d.touch.aio("k", 60) is True
        assert 50 < (await d.ttl.aio("k") or 0) <= 60
        assert await d.ttl.aio("n") is None

    on.run(main)


def test_many_keys(on: Library, d: Dict[Any, Any]) -> None:
    async def main() -> None:
        await d.update.aio({n: n for n in range(12_000)}, k="v")
        assert await d.len.aio() == 12_001
        assert await d.get_many.aio([1, "k", "missing"]) == {1: 1, "k": "v"}
        assert await d.delete_many.aio(range(11_999)) == 11_999
        left = dict([await d.popitem.aio(), await d.popitem.aio()])
        assert left == {11_999: 11_999, "k": "v"}
        await d.put.aio("k", 1)
        await d.clear.aio()
        assert await d.len.aio() == 0

    on.run(main)


def test_the_dict_as_a_whole(on: Library, cluster: Cluster) -> None:
    async def main() -> None:
        d: Dict[Any, Any] = Dict.from_name("d", cluster=cluster)
        with pytest.raises(NotFoundError):
            await d.hydrate.aio()
        await Dict.objects.create.aio("d", cluster=cluster)
        assert await d.hydrate.aio() is d
        assert (await d.info.aio()).name == "d"
        assert [each.name for each in await Dict.objects.list.aio(cluster=cluster)] == ["d"]
        await Dict.objects.delete.aio("d", cluster=cluster)
        with pytest.raises(NotFoundError):
            await d.put.aio("k", 1)

    on.run(main)


def test_the_first_use_of_a_store(on: Library, url: str) -> None:
    async def main() -> None:
        async with Cluster(url) as cluster:
            d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
            assert await d.incr.aio("n") == 1

    on.run(main)


def test_an_ephemeral_dict(on: Library, cluster: Cluster) -> None:
    async def main() -> None:
        async with Dict.ephemeral(cluster=cluster) as d:
            await d.put.aio("k", 1)
            assert await d.get.aio("k") == 1
        with pytest.raises(NotFoundError):
            await d.get.aio("k")

    on.run(main)


def test_a_lock(on: Library, d: Dict[Any, Any]) -> None:
    async def main() -> None:
        async with d.lock("k") as lock:
            assert await lock.owned.aio()
            await lock.extend.aio(60)
            with pytest.raises(LockTimeoutError):
                await d.lock("k", wait_s=0.01).acquire.aio()
        assert not await lock.owned.aio()
        token = await lock.acquire.aio()
        assert token == lock.token
        await lock.release.aio()

    on.run(main)


def test_tasks_exclude_each_other(on: Library, d: Dict[Any, Any]) -> None:
    inside = 0

    async def work() -> None:
        nonlocal inside
        for _ in range(3):
            async with d.lock("k"):
                inside += 1
                assert inside == 1
                await on.sleep(0)
                await d.put.aio("n", await d.get.aio("n", 0) + 1)
                inside -= 1

    async def main() -> None:
        await on.together(*[work] * 8)

    on.run(main)
    assert d["n"] == 24


# -- iteration -----------------------------------------------------------------------------------


def test_iterators(on: Library, d: Dict[Any, Any]) -> None:
    expected = {f"{n % 3}:{n}": n for n in range(1_000)}
    d.update(expected)

    async def main() -> None:
        assert {key async for key in d.keys.aio()} == set(expected)
        assert sorted([value async for value in d.values.aio()]) == list(range(1_000))
        assert {key: value async for key, value in d.items.aio()} == expected
        assert [key async for key in d.keys.aio("1:")].count("1:1") == 1
        assert {value % 3 async for value in d.values.aio(prefix="2:")} == {2}
        assert [key async for key in d.keys.aio("missing")] == []

    on.run(main)


def test_a_loop_broken_off_leaves_nothing_open(on: Library, d: Dict[Any, Any], cluster: Cluster) -> None:
    d.update({n: n for n in range(1_000)})

    async def main() -> None:
        async for _ in d.items.aio():
            break
        seen = 0
        async for _ in d.keys.aio():
            seen += 1
            if seen == 600:
                break
        with pytest.raises(ZeroDivisionError):
            async for _ in d.values.aio():
                raise ZeroDivisionError
        gc.collect()  # an async generator that was not closed would complain here, and that is an error
        assert not cluster.store.environment._active

    on.run(main)
    gc.collect()


def test_a_loop_may_write_to_what_it_goes_over(on: Library, d: Dict[Any, Any]) -> None:
    d.update({n: n for n in range(600)})

    async def main() -> None:
        async for key in d.keys.aio():
            assert await d.pop.aio(key) == key

    on.run(main)
    assert not d


def test_a_dict_deleted_under_a_loop(on: Library, d: Dict[Any, Any], cluster: Cluster) -> None:
    d.update({n: n for n in range(1_000)})

    async def main() -> None:
        with pytest.raises(NotFoundError, match="during the iteration"):
            async for _ in d.keys.aio():
                await Dict.objects.delete.aio("d", allow_missing=True, cluster=cluster)

    on.run(main)


# -- not in each other's way ---------------------------------------------------------------------


@contextmanager
def gate_held(folder: Path) -> Iterator[WriterGate]:
    """Somebody else writes, and does not come to an end."""
    gate = WriterGate(folder)
    gate.enter(WAIT_S)
    try:
        yield gate
    finally:
        gate.leave()
        gate.close()


def begun(cluster: Cluster) -> Callable[[], bool]:
    """Whether the writer thread has taken up all that was handed to it."""
    writer = cluster.store._writer
    return lambda: not writer.idle and not writer._queue


def test_a_put_that_waits_for_others_does_not_hold_up_the_loop(
    on: Library, d: Dict[Any, Any], cluster: Cluster
) -> None:
    ticks = 0

    async def main() -> None:
        nonlocal ticks
        with gate_held(cluster.store.folder) as gate:

            async def tick() -> None:
                nonlocal ticks
                for _ in range(50):
                    ticks += 1
                    await on.sleep(0)
                gate.leave()

            async def put() -> None:
                await d.put.aio("k", 1)
                assert ticks == 50

            await on.together(put, tick)

    on.run(main)
    assert d["k"] == 1


def test_reads_let_others_run(on: Library, d: Dict[Any, Any]) -> None:
    d["k"] = 1
    done = False

    async def other() -> None:
        nonlocal done
        for _ in range(5):
            await on.sleep(0)
        done = True

    async def read() -> None:
        for _ in range(1_000_000):
            if done:
                return
            await d.get.aio("k")
        raise AssertionError("a loop of reads kept the event loop to itself")

    async def main() -> None:
        await on.together(read, other)

    on.run(main)


def test_many_in_flight_share_few_transactions(on: Library, d: Dict[Any, Any], cluster: Cluster) -> None:
    before = cluster.store._commits

    async def main() -> None:
        async def put(n: int) -> None:
            assert await d.put.aio(n, n * n) is True

        await on.together(*(partial(put, n) for n in range(500)))

    on.run(main)
    assert d == {n: n * n for n in range(500)}
    assert cluster.store._commits - before < 100


def test_increments_in_flight_are_each_counted(on: Library, d: Dict[Any, Any]) -> None:
    sums: list[float] = []

    async def main() -> None:
        async def count() -> None:
            sums.append(await d.incr.aio("n"))

        await on.together(*[count] * 200)

    on.run(main)
    assert sorted(sums) == list(range(1, 201))


def test_an_error_in_flight_is_its_callers_alone(on: Library, d: Dict[Any, Any]) -> None:
    d["text"] = "no number"

    async def main() -> None:
        async def fail() -> None:
            with pytest.raises(TypeError, match="not a number"):
                await d.incr.aio("text")

        async def count() -> None:
            await d.incr.aio("n")

        await on.together(*[fail, count] * 20)

    on.run(main)
    assert d["n"] == 20


def test_a_deadline_passes_while_others_write(on: Library, url: str) -> None:
    async def main() -> None:
        async with Cluster(url, timeout_s=0.05) as cluster:
            d = await Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate.aio()
            with (
                gate_held(cluster.store.folder),
                pytest.raises(UnavailableError, match="Nothing was written"),
            ):
                await d.put.aio("k", 1)
            assert await d.get.aio("k") is None
            await d.put.aio("k", 2)

    on.run(main)


# -- several loops -------------------------------------------------------------------------------


def test_one_handle_in_several_loops_at_once(d: Dict[Any, Any]) -> None:
    errors: list[BaseException] = []

    def serve(library: Library) -> None:
        async def main() -> None:
            for _ in range(50):
                await d.incr.aio("n")
                await d.get.aio("n")

        try:
            library.run(main)
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    libraries: list[Library] = [Asyncio(), Trio()] * 2
    threads = [threading.Thread(target=serve, args=[library]) for library in libraries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert d["n"] == 200


def test_one_handle_in_one_loop_after_the_other(d: Dict[Any, Any]) -> None:
    for library in (Asyncio(), Trio(), Asyncio(), Trio()):

        async def main() -> None:
            await d.incr.aio("n")
            async for key in d.keys.aio():
                assert key == "n"

        library.run(main)
    assert d["n"] == 4


def test_outside_of_a_loop_it_says_so(d: Dict[Any, Any]) -> None:
    awaitables = (d.get.aio("k"), d.put.aio("k", 1), d.keys.aio().__anext__(), d.lock("k").acquire.aio())
    for awaitable in awaitables:
        with pytest.raises(RuntimeError, match="asyncio or Trio event loop"):
            next(awaitable.__await__())
    assert not d


# -- cancellation --------------------------------------------------------------------------------


def test_cancelled_before_it_began_it_never_happens(on: Library, d: Dict[Any, Any], cluster: Cluster) -> None:
    async def main() -> None:
        with gate_held(cluster.store.folder) as gate:

            async def first() -> None:
                await d.put.aio("first", 1)

            async def second() -> None:
                await d.put.aio("second", 1)

            async def cancel_the_second() -> None:
                await true(on, begun(cluster))
                await on.cancel(second, when=lambda: bool(cluster.store._writer._queue))
                gate.leave()

            await on.together(first, cancel_the_second)
        await d.put.aio("third", 1)

    on.run(main)
    assert set(d) == {"first", "third"}


def test_cancelled_after_it_began_it_goes_on(on: Library, d: Dict[Any, Any], cluster: Cluster) -> None:
    async def main() -> None:
        with gate_held(cluster.store.folder):
            await on.cancel(lambda: d.put.aio("first", 1), when=begun(cluster))
            assert "first" not in [key async for key in d.keys.aio()]
        await d.put.aio("second", 1)

    on.run(main)
    assert set(d) == {"first", "second"}


def test_cancelling_some_disturbs_no_other(on: Library, d: Dict[Any, Any], cluster: Cluster) -> None:
    cancelled = 0

    async def main() -> None:
        with gate_held(cluster.store.folder) as gate:
            queue = cluster.store._writer._queue

            async def put(n: int) -> None:
                assert await d.put.aio(n, n) is True

            async def cancel() -> None:
                nonlocal cancelled
                await on.cancel(lambda: d.put.aio("cancelled", 1), when=lambda: len(queue) == 10)
                cancelled += 1
                if cancelled == 5:
                    gate.leave()

            async def behind_the_first() -> None:
                await true(on, begun(cluster))
                await on.together(*[cancel] * 5, *(partial(put, n) for n in range(1, 6)))

            await on.together(partial(put, 0), behind_the_first)

    on.run(main)
    assert cancelled == 5
    assert set(d) == set(range(6))


def test_a_timeout_of_the_loop_ends_the_wait(on: Any, d: Dict[Any, Any], cluster: Cluster) -> None:
    async def main() -> None:
        with gate_held(cluster.store.folder), pytest.raises(on.too_slow):
            await on.timeout(0.02, lambda: d.put.aio("k", 1))
        await d.len.aio()

    on.run(main)


def test_a_loop_that_ended_hears_no_more(on: Library, d: Dict[Any, Any], cluster: Cluster) -> None:
    """The write that was under way goes on, and the next loop is none the wiser."""
    gate = WriterGate(cluster.store.folder)
    gate.enter(WAIT_S)

    async def main() -> None:
        await on.cancel(lambda: d.put.aio("k", 1), when=begun(cluster))

    on.run(main)
    assert "k" not in d
    gate.leave()
    gate.close()
    assert d.incr("n") == 1  # behind the write that was left under way
    assert d["k"] == 1


def test_a_scope_that_was_cancelled_before_writes_nothing(d: Dict[Any, Any]) -> None:
    async def on_trio() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await d.put.aio("k", 1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await d.get.aio("k")
            raise AssertionError("a read is a checkpoint of Trio's")

    async def on_asyncio() -> None:
        task = asyncio.ensure_future(d.put.aio("k", 1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    trio.run(on_trio)
    asyncio.run(on_asyncio())
    assert not d


def test_a_cancelled_block_releases_its_lock(on: Library, d: Dict[Any, Any]) -> None:
    inside = False

    async def hold() -> None:
        nonlocal inside
        async with d.lock("k"):
            inside = True
            await on.sleep(WAIT_S)

    async def main() -> None:
        await on.cancel(hold, when=lambda: inside)
        async with d.lock("k", wait_s=0):
            pass

    on.run(main)


def test_a_cancelled_wait_for_a_lock_leaves_no_lock(on: Library, d: Dict[Any, Any]) -> None:
    async def main() -> None:
        looks = 0

        async def wait() -> None:
            nonlocal looks
            waiting = d.lock("k")
            looks += 1
            await waiting.acquire.aio()

        async with d.lock("k"):
            await on.cancel(wait, when=lambda: looks == 1)
        async with d.lock("k", wait_s=0):
            pass

    on.run(main)


def test_an_acquisition_cancelled_under_way_leaves_no_lock(
    on: Library, d: Dict[Any, Any], cluster: Cluster
) -> None:
    async def main() -> None:
        with gate_held(cluster.store.folder) as gate:

            async def acquire() -> None:
                await on.cancel(d.lock("k").acquire.aio, when=begun(cluster))

            async def leave() -> None:
                await true(on, begun(cluster))
                await true(on, lambda: bool(cluster.store._writer._queue))  # its own undoing waits there
                gate.leave()

            await on.together(acquire, leave)
        async with d.lock("k", wait_s=0):
            pass

    on.run(main)


def test_a_cancelled_block_deletes_its_ephemeral_dict(on: Library, cluster: Cluster) -> None:
    handles: list[Dict[Any, Any]] = []

    async def use() -> None:
        async with Dict.ephemeral(cluster=cluster) as d:
            handles.append(d)
            await on.sleep(WAIT_S)

    async def main() -> None:
        await on.cancel(use, when=lambda: bool(handles))
        with pytest.raises(NotFoundError):
            await handles[0].len.aio()

    on.run(main)


def test_a_cancelled_block_closes_its_cluster(on: Library, url: str) -> None:
    inside = False

    async def use() -> None:
        nonlocal inside
        async with Cluster(url) as cluster:
            handles.append(await Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate.aio())
            inside = True
            await on.sleep(WAIT_S)

    handles: list[Dict[Any, Any]] = []

    async def main() -> None:
        await on.cancel(use, when=lambda: inside)
        with pytest.raises(ClosedError):
            await handles[0].len.aio()

    on.run(main)
