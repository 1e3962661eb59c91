"""Many `.aio` calls at once: they do not hold each other up, and the cancelled ones disturb nobody."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
import trio

from ringdict import ClosedError, Cluster, Dict, NotFoundError, UnavailableError
from ringdict.node.disk.gate import WriterGate

from .library import WAIT_S, Asyncio, Library, begun, gate_held, true

# -- not in each other's way ---------------------------------------------------------------------


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


def test_a_block_cancelled_again_while_it_ends_releases_its_lock(d: Dict[Any, Any], cluster: Cluster) -> None:
    """On asyncio, where a cancellation strikes once; on Trio it holds on, and is shielded from."""
    inside = False

    async def hold() -> None:
        nonlocal inside
        async with d.lock("k"):
            inside = True
            await asyncio.sleep(WAIT_S)

    async def main() -> None:
        task = asyncio.ensure_future(hold())
        await true(Asyncio(), lambda: inside)
        with gate_held(cluster.store.folder) as gate:
            task.cancel()
            await true(Asyncio(), begun(cluster))
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0)
            gate.leave()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with d.lock("k", wait_s=0):
            pass

    asyncio.run(main())


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
