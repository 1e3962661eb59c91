"""The plain plane as leaders see it: what plain puts made of a key (docs/atomics.md).

Plain values decide no lock. They can make a put-if-absent say no, they are what a pop takes away, and they
are shown by a fresh get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol


class PlainEntry(NamedTuple):
    """What a plain put left."""

    version: int
    body: bytes


PlainDone = Callable[[bool, PlainEntry | None], None]
"""Whether a majority answered, and the newest that it has."""


class Plain(Protocol):
    """One node's way to it."""

    def peek(self, partition: int, name: bytes, /) -> PlainEntry | None:
        """What this node has, at once."""
        ...

    def floor(self, partition: int, /) -> int:
        """A version that no entry of this node's is above, nor what it has purged: what is chosen is above
        it, or nobody would be shown it."""
        ...

    def read_majority(self, partition: int, name: bytes, done: PlainDone, /) -> None:
        """The newest that a majority of the partition's owners has, and, before `done` is called, that a
        majority of them has it. From memory, while this node is the partition's one coordinator of plain puts
        in an unbroken tenure."""
        ...
