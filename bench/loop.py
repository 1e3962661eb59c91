"""The timing loop: a statement as a user writes it, inlined in a bare `for` over prepared rows.

The standard library's `timeit` compiles its loop from source for the same reason: a function call around the
statement would cost more than some of the statements do. Two clock readings a loop, not two a call.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from textwrap import dedent, indent
from typing import NamedTuple, cast

__all__ = ["AsyncLoop", "Loop", "Row", "Timed", "compile_async_loop", "compile_loop"]

Row = tuple[object, object]
"""What one turn of a loop is given, mostly a key and a value."""


class Timed(NamedTuple):
    """How long a loop took, in seconds, and what its last turn left in `result`."""

    seconds: float
    result: object


Loop = Callable[[Sequence[Row]], Timed]
AsyncLoop = Callable[[Sequence[Row]], Awaitable[Timed]]

_SOURCE = """\
{define} loop(rows):
    result = None
    start = clock()
    for {row} in rows:
{statement}
    return Timed(clock() - start, result)
"""


def compile_loop(statement: str, row: str, names: Mapping[str, object]) -> Loop:
    """The loop that runs `statement` once for each of its rows, unpacked into the variables `row`."""
    return cast("Loop", _compile("def", statement, row, names))


def compile_async_loop(statement: str, row: str, names: Mapping[str, object]) -> AsyncLoop:
    """The same for a statement that awaits."""
    return cast("AsyncLoop", _compile("async def", statement, row, names))


def _compile(define: str, statement: str, row: str, names: Mapping[str, object]) -> object:
    body = indent(dedent(statement).strip(), " " * 8)
    source = _SOURCE.format(define=define, row=row, statement=body)
    namespace: dict[str, object] = {**names, "clock": time.perf_counter, "Timed": Timed}
    exec(compile(source, f"<{statement.strip()}>", "exec"), namespace)
    return namespace["loop"]
