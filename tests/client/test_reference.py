"""Every code block of docs/reference.md, run as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import trio

import ringdict
from ringdict.testing import isolated_home

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Run(Protocol):
    """Runs the blocks under a heading, as one program with these variables; gives all it has in the end."""

    def __call__(self, heading: str, **variables: Any) -> dict[str, Any]: ...


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Iterator[Run]:
    """In a store of its own."""
    page = (root / "docs" / "reference.md").read_text(encoding="utf-8")

    def run(heading: str, **variables: Any) -> dict[str, Any]:
        _, _, section = page.partition(f"# {heading}\n")
        blocks = BLOCK.findall(section.partition("\n##")[0])
        assert blocks, f"no code under {heading!r}"
        program = {"ringdict": ringdict, **variables}
        for block in blocks:
            exec(compile(block, f"docs/reference.md, {heading}", "exec"), program)
        return program

    with isolated_home(tmp_path):
        yield run


@pytest.fixture
def cache(run: Run) -> ringdict.Dict[str, Any]:
    """The Dict that the reference calls so."""
    return ringdict.Dict.from_name("cache", create_if_missing=True)


def test_quick_start(run: Run) -> None:
    program = run("Quick start")
    assert program["value"] == {"data": [1, 2, 3]}
    assert ringdict.Dict.from_name("my-cache") == {"key": {"data": [1, 2, 3]}}


def test_basic_operations(
    run: Run, cache: ringdict.Dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cache["left over"] = 1
    program = run("Basic operations")
    assert program["user"] is None
    assert capsys.readouterr().out == "exists\n"
    assert program["value"] is None
    assert program["cache"] == cache == {}


def test_basic_operations_one_by_one(cache: ringdict.Dict[str, Any], root: Path) -> None:
    """What the block does before it clears all away."""
    page = (root / "docs" / "reference.md").read_text(encoding="utf-8")
    (block,) = (block for block in BLOCK.findall(page) if "cache.clear()" in block)
    program = {"ringdict": ringdict}
    exec(block.replace("cache.clear()", "").replace("del cache", "#"), program)
    assert cache == {"user:123": {"name": "Alice", "score": 100}, "key1": "val1", "key2": "val2"}


def test_atomic_operations_and_locks(run: Run, cache: ringdict.Dict[str, Any]) -> None:
    assert run("Atomic operations and locks", cache=cache)["was_added"] is True
    assert "lock:resource" not in cache
    cache["lock:resource"] = "held by another"
    assert run("Atomic operations and locks", cache=cache)["was_added"] is False
    assert cache["lock:resource"] == "held by another"


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_async_operations(library: str, run: Run, cache: ringdict.Dict[str, Any]) -> None:
    async_ops = run("Async operations")["async_ops"]
    if library == "trio":
        trio.run(async_ops)
    else:
        import asyncio

        asyncio.run(async_ops())
    assert cache == {"key": "value"}


def test_caching(run: Run, cache: ringdict.Dict[str, Any]) -> None:
    computed: list[str] = []

    def expensive_computation(key: str) -> str:
        computed.append(key)
        return key.upper()

    cached_compute = run("Caching", cache=cache, expensive_computation=expensive_computation)[
        "cached_compute"
    ]
    assert [cached_compute("a"), cached_compute("a"), cached_compute("b")] == ["A", "A", "B"]
    assert computed == ["a", "b"]
    assert cache == {"a": "A", "b": "B"}


def test_session_state(run: Run) -> None:
    program = run("Session state")
    handle_request, sessions = program["handle_request"], program["sessions"]
    assert handle_request("s", {"page": 1}) == {"last_request": {"page": 1}}
    sessions["s"] = {"user": "ada"}
    assert handle_request("s", {"page": 2}) == {"user": "ada", "last_request": {"page": 2}}
    assert sessions == {"s": {"user": "ada", "last_request": {"page": 2}}}


def test_every_block_was_run(root: Path) -> None:
    page = (root / "docs" / "reference.md").read_text(encoding="utf-8")
    assert len(BLOCK.findall(page)) == 6
