"""A Dict in an embedded store: what a handle is bound to once it has found its Dict.

The cluster's counterpart will have the same methods; a handle does not know which of them it talks to.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from ..node import catalogue
from ..node.catalogue import Record
from ..node.entry import Stored
from ..node.operation import Operation
from ..node.store import Store
from ..node.table import Page, Table
from ..node.transaction import DictGoneError, DictState, WriteTransaction
from .transport import Transport

R = TypeVar("R")


class EmbeddedDict:
    """One Dict of an embedded store. Every call raises `DictGoneError` once it was deleted."""

    __slots__ = ("record", "store", "table", "timeout_s")

    def __init__(self, store: Store, dict_id: bytes, record: Record, timeout_s: float) -> None:
        self.store = store
        self.record = record
        self.table = Table(store, dict_id)
        self.timeout_s = timeout_s

    @property
    def dict_id(self) -> bytes:
        return self.table.dict_id

    async def read(self, io: Transport, key: bytes) -> bytes | None:
        """The value's bytes of a key, None if absent."""
        body = self.table.read(key)
        if io.breathes:
            await io.breathe()
        return body

    async def find(self, io: Transport, key: bytes) -> Stored | None:
        """The entry of a key, None if absent."""
        entry = self.table.find(key)
        if io.breathes:
            await io.breathe()
        return entry

    async def read_many(self, io: Transport, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values' bytes of many keys, in their order."""
        bodies = self.table.read_many(keys)
        if io.breathes:
            await io.breathe()
        return bodies

    async def page(self, io: Transport, start: bytes | None, prefix: bytes) -> Page:
        """A stretch of the Dict; see `Table.page`."""
        page = self.table.page(start, prefix)
        if io.breathes:
            await io.breathe()
        return page

    async def count(self, io: Transport) -> int:
        """How many entries there are."""
        count = self.table.count()
        if io.breathes:
            await io.breathe()
        return count

    async def state(self, io: Transport) -> DictState:
        """The Dict's counters."""
        state = self.table.state()
        if io.breathes:
            await io.breathe()
        return state

    def write(self, io: Transport, operation: Operation[R]) -> Coroutine[Any, Any, R]:
        """Carry out an operation."""
        return io.write(self.table, operation, self.timeout_s)


async def find_dict(
    io: Transport,
    store: Store,
    environment: str,
    name: str,
    timeout_s: float,
    create: Record | None = None,
) -> EmbeddedDict:
    """The Dict of a name, made as `create` says if there is none.

    Raises:
        DictGoneError: there is none, and `create` is None.
    """
    await ensure_open(io, store, timeout_s)
    with store.reading() as transaction:
        dict_id = catalogue.resolve(transaction, environment, name)
    if dict_id is None:
        if create is None:
            raise DictGoneError
        new = create

        def make(transaction: WriteTransaction) -> bytes:
            return catalogue.create(transaction, new, allow_existing=True)

        dict_id = await io.run(store, make, timeout_s)
    return await by_id(io, store, dict_id, timeout_s)


async def by_id(io: Transport, store: Store, dict_id: bytes, timeout_s: float) -> EmbeddedDict:
    """The Dict of an id; `DictGoneError` if there is none."""
    await ensure_open(io, store, timeout_s)
    with store.reading() as transaction:
        record = catalogue.record(transaction, dict_id)
    return EmbeddedDict(store, dict_id, record, timeout_s)


async def ensure_open(io: Transport, store: Store, timeout_s: float) -> None:
    """Open the store where that may be waited for: it may have to be made first."""
    if not store.opened:
        await io.run(store, lambda _: None, timeout_s)
