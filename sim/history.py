"""What clients asked for and what they were told: the only thing that users of the system ever see.

An operation is *invoked*; then it is *ok* with a result, *failed* (it did not happen, and never will), or
*unknown* for ever, as of a call that timed out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any

from .config import OPERATIONS_MAX
from .journal import Journal
from .loop import Loop


class Status(StrEnum):
    """How an operation ended."""

    OPEN = "open"
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Operation:
    """One call of one client."""

    serial: int
    client: str
    kind: str
    key: Any
    argument: Any
    invoked_ns: int
    returned_ns: int | None = None
    """None: it never returned, or nobody knows what came of it: it may take effect at any later time."""
    status: Status = Status.OPEN
    result: Any = None
    ended_ns: int | None = None
    """When its client waited no longer, whatever came of it; None: it waits."""


class History:
    """The operations of one run, in the order in which they were invoked."""

    def __init__(self, loop: Loop, journal: Journal) -> None:
        self._loop = loop
        self._journal = journal
        self.operations: list[Operation] = []

    def invoke(self, client: str, kind: str, key: object, argument: object = None) -> Operation:
        """A client begins a call."""
        serial = len(self.operations)
        assert serial < OPERATIONS_MAX
        operation = Operation(serial, client, kind, key, argument, self._loop.now_ns)
        self.operations.append(operation)
        self._journal.add((self._loop.now_ns, "call", client, serial, kind, key, argument))
        return operation

    def ok(self, operation: Operation, result: object = None) -> None:
        """It happened, with that result."""
        self._end(operation, Status.OK, result)
        operation.returned_ns = self._loop.now_ns

    def fail(self, operation: Operation, why: object = None) -> None:
        """It did not happen, and never will."""
        self._end(operation, Status.FAILED, why)
        operation.returned_ns = self._loop.now_ns

    def give_up(self, operation: Operation, why: object = None) -> None:
        """It may have happened, or may happen yet."""
        self._end(operation, Status.UNKNOWN, why)

    def _end(self, operation: Operation, status: Status, result: object) -> None:
        assert operation.status is Status.OPEN
        operation.status = status
        operation.result = result
        operation.ended_ns = self._loop.now_ns
        self._journal.add((self._loop.now_ns, "return", operation.client, operation.serial, status, result))


def by_key(operations: Iterable[Operation]) -> dict[Any, list[Operation]]:
    """The operations on each key, in order of first use."""
    keys: dict[Any, list[Operation]] = {}
    for operation in operations:
        keys.setdefault(operation.key, []).append(operation)
    return keys


def to_json_lines(operations: Iterable[Operation]) -> Iterator[str]:
    """Calls and returns in the order of time, one JSON object a line, as checkers elsewhere want them.

    Each has `process` (one number a client and unknown outcome: a process whose call never returned makes
    no other), `type` (invoke, ok, fail, info), `f`, `key`, `value`, `time` in nanoseconds and `index`. It is
    the form of Jepsen's histories; tests/judge hands them to porcupine.
    """
    events: list[tuple[int, int, dict[str, Any]]] = []
    processes: dict[str, int] = {}
    numbers = count()
    for operation in operations:
        if operation.client not in processes:
            processes[operation.client] = next(numbers)
        process = processes[operation.client]
        head = {"process": process, "f": operation.kind, "key": operation.key}
        invoke = head | {"type": "invoke", "value": operation.argument, "time": operation.invoked_ns}
        events.append((operation.invoked_ns, 2 * operation.serial, invoke))
        if operation.status in {Status.OK, Status.FAILED}:
            assert operation.returned_ns is not None
            kind = "ok" if operation.status is Status.OK else "fail"
            end = head | {"type": kind, "value": operation.result, "time": operation.returned_ns}
            events.append((operation.returned_ns, 2 * operation.serial + 1, end))
        else:
            del processes[operation.client]
            info = head | {"type": "info", "value": None, "time": operation.invoked_ns}
            events.append((1 << 62, 2 * operation.serial + 1, info))
    events.sort(key=lambda event: event[:2])
    for index, (_, _, event) in enumerate(events):
        yield json.dumps({"index": index, **event}, default=repr)
