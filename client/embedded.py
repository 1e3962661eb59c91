"""A Dict in an embedded store: what a handle is bound to once it has found its Dict.

The cluster's counterpart will have the same methods; a handle does not know which of them it talks to.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from ..exception import ClosedError
from ..node import catalogue
from ..node.catalogue import Record
from ..node.entry import Stored
from ..node.operation import Operation
from ..node.table import Page, Table
from ..node.transaction import DictGoneError, DictState, WriteTransaction
from .cluster import Cluster
from .transport import Transport

R = TypeVar("R")
CLOSED = "the cluster of this handle was closed"


class EmbeddedDict:
    """One Dict of an embedded store. Every call raises `DictGoneError` once it was deleted, and
    `ClosedError` once its cluster was closed."""

    __slots__ = ("cluster", "record", "store", "table")

    def __init__(self, cluster: Cluster, dict_id: bytes, record: Record) -> None:
        self.cluster = cluster
        self.store = cluster.store
        self.record = record
        self.table = Table(self.store, dict_id)

    @property
    def dict_id(self) -> bytes:
        return self.table.dict_id

    async def read(self, io: Transport, key: bytes) -> bytes | None:
        """The value's bytes of a key, None if absent."""
        if self.cluster.closed:
            raise ClosedError(CLOSED)
        body = self.table.read(key)
        if io.breathes:
            await io.breathe()
        return body

    async def look(self, io: Transport, read: Callable[[Table], R]) -> R:
        """Any other read: what `read` makes of the Dict."""
        if self.cluster.closed:
            raise ClosedError(CLOSED)
        found = read(self.table)
        if io.breathes:
            await io.breathe()
        return found

    def find(self, io: Transport, key: bytes) -> Coroutine[Any, Any, Stored | None]:
        """The entry of a key, None if absent."""
        return self.look(io, lambda table: table.find(key))

    def read_many(self, io: Transport, keys: Sequence[bytes]) -> Coroutine[Any, Any, list[bytes | None]]:
        """The values' bytes of many keys, in their order."""
        return self.look(io, lambda table: table.read_many(keys))

    def page(self, io: Transport, start: bytes | None, prefix: bytes) -> Coroutine[Any, Any, Page]:
        """A stretch of the Dict; see `Table.page`."""
        return self.look(io, lambda table: table.page(start, prefix))

    def count(self, io: Transport) -> Coroutine[Any, Any, int]:
        """How many entries there are."""
        return self.look(io, Table.count)

    def state(self, io: Transport) -> Coroutine[Any, Any, DictState]:
        """The Dict's counters."""
        return self.look(io, Table.state)

    def write(self, io: Transport, operation: Operation[R]) -> Coroutine[Any, Any, R]:
        """Carry out an operation."""
        if self.cluster.closed:
            raise ClosedError(CLOSED)
        return io.write(self.table, operation, self.cluster.timeout_s)


async def find_dict(
    io: Transport, cluster: Cluster, environment: str, name: str, create: Record | None = None
) -> EmbeddedDict:
    """The Dict of a name, made as `create` says if there is none.

    Raises:
        DictGoneError: there is none, and `create` is None.
    """
    await ensure_open(io, cluster)
    with cluster.store.reading() as transaction:
        dict_id = catalogue.resolve(transaction, environment, name)
    if dict_id is None:
        if create is None:
            raise DictGoneError
        new = create

        def make(transaction: WriteTransaction) -> bytes:
            return catalogue.create(transaction, new, allow_existing=True)

        dict_id = await io.run(cluster.store, make, cluster.timeout_s)
    return await by_id(io, cluster, dict_id)


async def by_id(io: Transport, cluster: Cluster, dict_id: bytes) -> EmbeddedDict:
    """The Dict of an id; `DictGoneError` if there is none."""
    await ensure_open(io, cluster)
    with cluster.store.reading() as transaction:
        record = catalogue.record(transaction, dict_id)
    return EmbeddedDict(cluster, dict_id, record)


async def ensure_open(io: Transport, cluster: Cluster) -> None:
    """Open the store where that may be waited for: it may have to be made first."""
    if not cluster.store.opened:
        await io.in_thread(cluster.store.open)
