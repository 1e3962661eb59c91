"""One contestant on its track: opened in this process, it runs what it is told to, and how long is noted."""

from __future__ import annotations

import gc
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import NamedTuple

from .events import Events, events_of
from .loop import AsyncLoop, Loop, Row, Timed, compile_async_loop, compile_loop
from .operation import OPERATIONS, Operation
from .peers import PEERS
from .place import Place
from .proc import cpu_s
from .stock import Stock

__all__ = ["Pace", "Runner", "WrongAnswerError"]

CALLS_MAX = 2_000_000
"""Of one round: their rows are held in memory."""

WARM_PART = 20
"""One call in so many goes before the timed ones, uncounted: the process has slept while others ran."""

PLENTY = 4
"""So many rounds' time for one call: its first is telling enough, cold as it is."""

SLICE_CALLS = 200
"""Between two looks at the clock where a time is given rather than a number of calls."""


class WrongAnswerError(Exception):
    """A contestant answered something else than what was stored."""


class Pace(NamedTuple):
    """How many calls make a round, and how long that takes."""

    calls: int
    seconds: float


class Runner:
    """Owns the opened contestant, its rows, its compiled loops and its event loop."""

    def __init__(self, name: str, place: Place, *, stored: bool) -> None:
        self._peer = PEERS[name]()
        self._names = self._peer.open(place)
        self._stock = Stock(self._peer, self._store, stored=stored)
        self._loops: dict[str, Loop] = {}
        self._async_loops: dict[str, AsyncLoop] = {}
        self._events: Events | None = None
        self._threads: ThreadPoolExecutor | None = None

    def close(self) -> None:
        if self._events is not None:
            self._events.close(self._peer)
        if self._threads is not None:
            self._threads.shutdown()
        self._peer.close()

    def pace(self, name: str, seconds: float) -> Pace:
        """So many calls as take about so many seconds, once those that connect and store are done."""
        operation = OPERATIONS[name]
        calls = operation.in_flight or operation.threads or 1
        spent = self._time(operation, operation.rows(self._stock, calls)).seconds
        if spent >= PLENTY * seconds:
            return Pace(calls, spent)
        while True:
            spent = self._time(operation, operation.rows(self._stock, calls)).seconds
            if spent >= seconds / 4 or calls >= CALLS_MAX:
                enough = max(1, min(CALLS_MAX, round(calls * seconds / spent)))
                return Pace(enough, spent * enough / calls)
            calls *= 2

    def mean(self, name: str, calls: int) -> float:
        """Seconds a call, on average over so many."""
        operation = OPERATIONS[name]
        warm = calls // WARM_PART
        rows = operation.rows(self._stock, warm + calls)
        self._time(operation, rows[:warm])
        _settle_heap()
        return self._time(operation, rows[warm:]).seconds / calls

    def middle(self, name: str, calls: int) -> float:
        """Seconds a call, the median of so many, each timed by itself."""
        operation = OPERATIONS[name]
        rows = operation.rows(self._stock, calls)
        _settle_heap()
        return median(self._time(operation, [row]).seconds for row in rows)

    def server_cpu(self, name: str, calls: int) -> float:
        """Seconds of its server's processor time a call."""
        pid = self._peer.server_pid()
        operation = OPERATIONS[name]
        rows = operation.rows(self._stock, calls)
        _settle_heap()
        before_s = cpu_s(pid)
        self._time(operation, rows)
        return (cpu_s(pid) - before_s) / calls

    def steadily(self, name: str, seconds: float, start_s: float) -> float:
        """Calls a second, one after the other, for so many seconds from `start_s` of the monotonic clock."""
        operation = OPERATIONS[name]
        size = 1 if operation.row.startswith("batch") else SLICE_CALLS
        slices = [operation.rows(self._stock, size) for _ in range(10 if size == 1 else 500)]
        _settle_heap()
        start = _wait_for(start_s)
        turns = 0
        while (spent := time.monotonic() - start) < seconds:
            self._time(operation, slices[turns % len(slices)])
            turns += 1
        return turns * size / spent

    def now_and_then(self, name: str, seconds: float, start_s: float, interval_s: float) -> list[float]:
        """Seconds of each call, one every `interval_s`; a late one is not made up for."""
        operation = OPERATIONS[name]
        rows = operation.rows(self._stock, int(seconds / interval_s) + 1)
        _settle_heap()
        taken: list[float] = []
        start = _wait_for(start_s)
        for row in rows:
            taken.append(self._time(operation, [row]).seconds)
            if (spent := time.monotonic() - start) >= seconds:
                break
            time.sleep(interval_s - spent % interval_s)
        return taken

    def longest(self, name: str, seconds: float) -> float:
        """Seconds of the longest call, of one after the other for so many seconds."""
        operation = OPERATIONS[name]
        rows = operation.rows(self._stock, SLICE_CALLS)
        _settle_heap()
        longest, turns = 0.0, 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            longest = max(longest, self._time(operation, [rows[turns % len(rows)]]).seconds)
            turns += 1
        return longest

    def memory(self, name: str) -> int:
        """The most bytes of Python objects that one call held at a time."""
        operation = OPERATIONS[name]
        rows = operation.rows(self._stock, 1)
        self._time(operation, rows)  # what is made once, at first use, is no growth
        tracemalloc.start()
        try:
            self._time(operation, rows)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def store_plain(self, entries: int, value_bytes: int) -> None:
        """Store so many entries of random bytes in place of the usual ones, in batches of 10,000."""
        self._stock.store_plain(entries, value_bytes)

    def _store(self, batch: dict[object, object]) -> None:
        self._time(OPERATIONS["update"], [(batch, None)])

    def _time(self, operation: Operation, rows: list[Row]) -> Timed:
        if not rows:
            return Timed(0.0, None)
        if operation.in_flight:
            return self._time_async(operation, rows)
        if operation.threads:
            return self._time_threads(operation, rows)
        timed = self._loop(operation)(rows)
        self._check(operation, rows[-1], timed)
        return timed

    def _time_async(self, operation: Operation, rows: list[Row]) -> Timed:
        if self._events is None:
            self._events = events_of(self._peer.library)
            self._names |= self._events.open(self._peer)
        lanes = _lanes(rows, operation.in_flight)
        loop = self._async_loop(operation)
        start = time.perf_counter()
        timed = self._events.together([partial(loop, lane) for lane in lanes])
        spent = time.perf_counter() - start
        for lane, one in zip(lanes, timed, strict=True):
            self._check(operation, lane[-1], one)
        # One lane is timed by itself, so that the way into the loop and out of it does not count.
        return timed[0] if len(lanes) == 1 else Timed(spent, None)

    def _time_threads(self, operation: Operation, rows: list[Row]) -> Timed:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(operation.threads)
        lanes = _lanes(rows, operation.threads)
        loop = self._loop(operation)
        start = time.perf_counter()
        timed = list(self._threads.map(loop, lanes))
        spent = time.perf_counter() - start
        for lane, one in zip(lanes, timed, strict=True):
            self._check(operation, lane[-1], one)
        return Timed(spent, None)

    def _check(self, operation: Operation, row: Row, timed: Timed) -> None:
        if not operation.right(self._peer, row, timed.result):
            raise WrongAnswerError(f"{operation.statement} of {row[0]!r} answered {timed.result!s:.80}")

    def _loop(self, operation: Operation) -> Loop:
        statement = operation.statement
        if statement not in self._loops:
            self._loops[statement] = compile_loop(
                self._peer.statements[statement], operation.row, self._names
            )
        return self._loops[statement]

    def _async_loop(self, operation: Operation) -> AsyncLoop:
        statement = operation.statement
        if statement not in self._async_loops:
            source = self._peer.statements[statement]
            self._async_loops[statement] = compile_async_loop(source, operation.row, self._names)
        return self._async_loops[statement]


def _lanes(rows: list[Row], width: int) -> list[list[Row]]:
    return [lane for lane in (rows[number::width] for number in range(width)) if lane]


def _settle_heap() -> None:
    """Spare the timed calls the collector's walks over the bench's own rows; it walks what they make."""
    gc.collect()
    gc.freeze()


def _wait_for(start_s: float) -> float:
    """Sleep until the monotonic clock, which all processes share, shows `start_s`; what it shows then."""
    time.sleep(max(0.0, start_s - time.monotonic()))
    return time.monotonic()
