"""The rows that loops run over: the same for every contestant, in its own types of key and value."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import count, cycle, islice, repeat

from .loop import Row
from .peer import Peer

__all__ = ["BATCH_ENTRIES", "ENTRIES", "Stock", "plain_key", "plain_value"]

ENTRIES = 100_000
"""What is stored before anything is timed."""

BATCH_ENTRIES = 10_000
"""Of one `update`."""

VALUES = 1_000
"""Different values, used in turn."""

LARGE_ENTRIES = 20
"""Of each large size: more than a processor's cache holds, and no load for the disk."""

Batch = dict[object, object]


def plain_key(number: int) -> str:
    return f"key:{number:07d}"


def plain_value(number: int) -> dict[str, object]:
    """A small record, 100 bytes in msgpack."""
    return {
        "name": f"user-{number:06d}",
        "email": f"user-{number:06d}@example.com",
        "score": 100_000 + number,
        "active": True,
        "tags": ["alpha", "beta", "gamma"],
        "visits": 700,
    }


class Stock:
    """Rows for one contestant. Each method gives so many rows, and sees to it that what they need is stored.

    Keys come in one random order, the same for all, and none comes twice before each has come once.
    """

    def __init__(self, peer: Peer, store: Callable[[Batch], None], *, stored: bool = False) -> None:
        self._peer = peer
        self._store = store
        self._stored = stored  # another process has stored the entries
        self._numbers = count()  # for keys that nobody has used yet

    def entries(self, calls: int) -> list[Row]:
        """Keys that are stored, with values to put."""
        self._store_entries()
        return list(islice(self._deck, calls))

    def batches(self, calls: int) -> list[Row]:
        """Dicts of 10,000 of those."""
        return [(dict(self.entries(BATCH_ENTRIES)), None) for _ in range(calls)]

    def whole(self, calls: int) -> list[Row]:
        """Nothing: the operation is about all that is stored."""
        self._store_entries()
        return list(repeat((None, None), calls))

    def absent(self, calls: int) -> list[Row]:
        """Keys that were never stored."""
        numbers = islice(self._numbers, calls)
        return [(self._peer.key(f"new:{n:07d}"), self._values[n % VALUES]) for n in numbers]

    def fresh(self, calls: int) -> list[Row]:
        """Keys that are stored and come only once."""
        rows = self.absent(calls)
        self._put(rows)
        return rows

    def counter(self, calls: int) -> list[Row]:
        """One key, over and over."""
        return list(repeat((self._peer.key("counter"), None), calls))

    def large(self, calls: int, size_bytes: int) -> list[Row]:
        """Keys of entries whose value is so many bytes."""
        random_bytes = random.Random(size_bytes).randbytes
        rows = [
            (self._peer.key(f"large:{size_bytes}:{n}"), self._peer.value(random_bytes(size_bytes)))
            for n in range(LARGE_ENTRIES)
        ]
        self._put(rows)
        return list(islice(cycle(rows), calls))

    def store_plain(self, entries: int, value_bytes: int) -> None:
        """Store so many entries of random bytes, in batches, unless that was done before."""
        if self._stored:
            return
        self._stored = True
        random_bytes = random.Random(value_bytes).randbytes
        for start in range(0, entries, BATCH_ENTRIES):
            numbers = range(start, min(start + BATCH_ENTRIES, entries))
            self._store(
                {self._peer.key(plain_key(n)): self._peer.value(random_bytes(value_bytes)) for n in numbers}
            )

    @cached_property
    def _values(self) -> list[object]:
        return [self._peer.value(plain_value(number)) for number in range(VALUES)]

    @cached_property
    def _deck(self) -> Iterator[Row]:
        numbers = list(range(ENTRIES))
        random.Random(1).shuffle(numbers)
        return cycle([(self._peer.key(plain_key(n)), self._values[n % VALUES]) for n in numbers])

    def _store_entries(self) -> None:
        if not self._stored:
            self._stored = True
            self._put(self.entries(ENTRIES))

    def _put(self, rows: list[Row]) -> None:
        for start in range(0, len(rows), BATCH_ENTRIES):
            self._store(dict(rows[start : start + BATCH_ENTRIES]))
