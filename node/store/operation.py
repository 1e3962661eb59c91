"""The write operations, as data: what they decide, written once, applied where the writer lock is held.

Rules of this file:
1. `apply` decides first and writes last: an operation that raises has written nothing.
2. An operation holds keys and values as bytes and times as durations, so that it means the same wherever
   it is applied; instants come from the transaction's clock.
3. `atomic` operations decide on what they find, and are refused by a damaged store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from ...exception import ValueTooLargeError
from .edit import ABSENT, BatchRow, Edit
from .entry import ATOMIC, Stored
from .table import Located, Table

R_co = TypeVar("R_co", covariant=True)

NEVER = 0
"""Time to live: the entry does not expire."""
KEEP = -1
"""Time to live: an existing entry keeps its expiry; a new one does not expire."""


class MissingKeyError(Exception):
    """The key is absent, and the operation needs it."""


class MismatchError(Exception):
    """The entry is at version `args[0]` (None: absent), and the operation wants another."""


class NotANumberError(Exception):
    """The value is not a number, and the operation adds to it."""


class Operation(Generic[R_co]):
    """One write of one Dict."""

    __slots__ = ()
    atomic: ClassVar[bool] = True

    def prepare(self, table: Table) -> None:
        """Do what needs no lock: called once, before `apply`."""

    def apply(self, edit: Edit) -> R_co:
        """Carry it out. May be called again, when the transaction of an earlier call was aborted."""
        raise NotImplementedError


class KeyOperation(Operation[R_co]):
    """One write of one key."""

    __slots__ = ("key", "located", "operation_id")
    located: Located

    def __init__(self, key: bytes, operation_id: bytes) -> None:
        self.key = key
        self.operation_id = operation_id

    def prepare(self, table: Table) -> None:
        self.located = table.locate(self.key)


def expiry(edit: Edit, ttl_ms: int, standing: Stored | None = None) -> int:
    """The instant at which an entry with that time to live expires, 0 for never."""
    if ttl_ms == KEEP:
        return standing.expires_ms if standing else NEVER
    return edit.transaction.now_ms + ttl_ms if ttl_ms else NEVER


class ValueOperation(KeyOperation[R_co]):
    """One write of one key that brings a value."""

    __slots__ = ("body", "ttl_ms")

    def __init__(self, key: bytes, body: bytes, ttl_ms: int, operation_id: bytes) -> None:
        self.key = key
        self.operation_id = operation_id
        self.body = body
        self.ttl_ms = ttl_ms

    def store_if_absent(self, edit: Edit) -> Stored | None:
        """Store the value unless the key is present: then the entry that stands there."""
        found, entry = edit.visible(self.located)
        if entry is None:
            edit.write(
                self.located,
                self.body,
                expiry(edit, self.ttl_ms),
                found,
                flags=ATOMIC,
                operation_id=self.operation_id,
            )
        return entry


class Put(Operation[bool]):
    """Store a value, whatever stands there. True. `ack`: how many replicas must have it; a store is one."""

    __slots__ = ("ack", "body", "key", "located", "ttl_ms")
    atomic: ClassVar[bool] = False
    located: Located

    def __init__(self, key: bytes, body: bytes, ttl_ms: int, ack: str = "all") -> None:
        self.key = key
        self.body = body
        self.ttl_ms = ttl_ms
        self.ack = ack

    def prepare(self, table: Table) -> None:
        self.located = table.locate(self.key)

    def apply(self, edit: Edit) -> bool:
        edit.overwrite(self.located, self.body, expiry(edit, self.ttl_ms))
        return True


class PutIfAbsent(ValueOperation[bool]):
    """Store a value unless the key is present. Whether it was stored."""

    __slots__ = ()

    def apply(self, edit: Edit) -> bool:
        return self.store_if_absent(edit) is None


class SetDefault(ValueOperation[bytes]):
    """Store a value unless the key is present. The value's bytes that stand there then."""

    __slots__ = ()

    def apply(self, edit: Edit) -> bytes:
        entry = self.store_if_absent(edit)
        return self.body if entry is None else entry.body


class Replace(KeyOperation[int]):
    """Store a value if the entry is at `if_version` (None: if it is absent). Its new version.

    A present entry keeps its expiry; a new one gets `ttl_ms`.
    """

    __slots__ = ("body", "if_version", "ttl_ms")

    def __init__(
        self, key: bytes, body: bytes, if_version: int | None, ttl_ms: int, operation_id: bytes
    ) -> None:
        super().__init__(key, operation_id)
        self.body = body
        self.if_version = if_version
        self.ttl_ms = ttl_ms

    def apply(self, edit: Edit) -> int:
        found, entry = edit.visible(self.located)
        if self.if_version is None:
            if entry is not None:
                raise MismatchError(entry.version)
        elif entry is None:
            raise MissingKeyError
        elif entry.version != self.if_version:
            raise MismatchError(entry.version)
        return edit.write(
            self.located,
            self.body,
            expiry(edit, KEEP if entry else self.ttl_ms, entry),
            found,
            flags=ATOMIC,
            operation_id=self.operation_id,
        )


class Increment(KeyOperation["int | float"]):
    """Add to a number. The sum.

    An absent key starts at `initial`, with `ttl_ms`; None: `MissingKeyError`.
    """

    __slots__ = ("body_bytes_max", "delta", "initial", "ttl_ms")

    def __init__(
        self,
        key: bytes,
        delta: float,
        initial: float | None,
        ttl_ms: int,
        operation_id: bytes,
        body_bytes_max: int,
    ) -> None:
        super().__init__(key, operation_id)
        self.delta = delta
        self.initial = initial
        self.ttl_ms = ttl_ms
        self.body_bytes_max = body_bytes_max

    def apply(self, edit: Edit) -> int | float:
        from .number import decode_number, encode_number  # the codec is loaded with the first value

        found, entry = edit.visible(self.located)
        start = self.initial if entry is None else decode_number(entry.body)
        if start is None:
            raise MissingKeyError if entry is None else NotANumberError
        total = start + self.delta
        body = encode_number(total)
        if len(body) > self.body_bytes_max:
            raise ValueTooLargeError(
                f"the sum would take {len(body)} bytes of {self.body_bytes_max} at the most"
            )
        edit.write(
            self.located,
            body,
            expiry(edit, KEEP if entry else self.ttl_ms, entry),
            found,
            flags=ATOMIC,
            operation_id=self.operation_id,
        )
        return total


class Pop(KeyOperation["bytes | None"]):
    """Remove an entry, if it is at `if_version` where one is named. Its value's bytes, None if absent."""

    __slots__ = ("if_version",)

    def __init__(self, key: bytes, if_version: int | None, operation_id: bytes) -> None:
        super().__init__(key, operation_id)
        self.if_version = if_version

    def apply(self, edit: Edit) -> bytes | None:
        found, entry = edit.visible(self.located)
        if entry is None:
            return None
        if self.if_version is not None and entry.version != self.if_version:
            raise MismatchError(entry.version)
        edit.remove(self.located, found)
        return entry.body


class Touch(KeyOperation[bool]):
    """Give an entry another time to live. Whether the key was there."""

    __slots__ = ("if_version", "ttl_ms")

    def __init__(self, key: bytes, ttl_ms: int, if_version: int | None, operation_id: bytes) -> None:
        super().__init__(key, operation_id)
        self.ttl_ms = ttl_ms
        self.if_version = if_version

    def apply(self, edit: Edit) -> bool:
        found, entry = edit.visible(self.located)
        if entry is None:
            return False
        if self.if_version is not None and entry.version != self.if_version:
            raise MismatchError(entry.version)
        edit.touch(self.located, found, entry, expiry(edit, self.ttl_ms, entry))
        return True


class PutMany(Operation[None]):
    """Store many values, all or none. Keys must differ from each other."""

    __slots__ = ("items", "rows", "size_bytes", "ttl_ms")
    atomic: ClassVar[bool] = False
    rows: list[BatchRow]

    def __init__(self, items: Sequence[tuple[bytes, bytes]], ttl_ms: int) -> None:
        self.items = items
        self.ttl_ms = ttl_ms

    def prepare(self, table: Table) -> None:
        self.rows = table.batch_rows(self.items)
        self.size_bytes = sum(len(key) + len(body) for key, body in self.items)

    def apply(self, edit: Edit) -> None:
        edit.write_many(self.rows, self.size_bytes, expiry(edit, self.ttl_ms))


class DeleteMany(Operation[int]):
    """Remove many entries, damaged ones too, all in one transaction. How many there were."""

    __slots__ = ("keys", "located")
    located: list[Located]

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = keys

    def prepare(self, table: Table) -> None:
        self.located = sorted(map(table.locate, self.keys))

    def apply(self, edit: Edit) -> int:
        return sum(self._remove(edit, located) for located in self.located)

    def _remove(self, edit: Edit, located: Located) -> bool:
        found = edit.look(located)
        if found == ABSENT:
            return False
        present = found.entry is not None or found.damaged
        if present:
            edit.remove(located, found)
        return present


class Clear(Operation[None]):
    """Make every entry absent and release every lock, at once and whatever their number."""

    __slots__ = ()

    def apply(self, edit: Edit) -> None:
        edit.clear()
