"""The `.aio` forms, on asyncio and on Trio: every body here runs on both."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from ringdict import Cluster, ConflictError, Dict, LockLostError, LockTimeoutError, NotFoundError

from .library import Asyncio, Library, Trio

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


def test_a_lock_that_was_lost_in_its_block(on: Library, d: Dict[Any, Any]) -> None:
    async def main() -> None:
        with pytest.raises(LockLostError):
            async with d.lock("k"):
                await d.clear.aio()
        with pytest.raises(ZeroDivisionError):
            async with d.lock("k"):
                await d.clear.aio()
                raise ZeroDivisionError

    on.run(main)


def test_a_lock_of_a_dict_that_was_deleted_in_its_block(
    on: Library, d: Dict[Any, Any], cluster: Cluster
) -> None:
    async def main() -> None:
        with pytest.raises(NotFoundError):
            async with d.lock("k"):
                await Dict.objects.delete.aio("d", cluster=cluster)

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


@pytest.mark.embedded
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
