"""A Dict in an embedded store: what a handle is bound to once it has found its Dict.

Its counterpart for clusters of nodes is remote.py; a handle does not know which of them it talks to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..exception import ClosedError
from ..node.store import catalogue, layout
from ..node.store.catalogue import Record
from ..node.store.entry import Stored
from ..node.store.grant import Grant
from ..node.store.operation import Operation
from ..node.store.table import Page, Table
from ..node.store.transaction import DictGoneError, WriteTransaction
from .cluster import Cluster
from .transport import Transport

if TYPE_CHECKING:
    from .finder import BoundDict

R = TypeVar("R")
CLOSED = "the cluster of this handle was closed"


class EmbeddedDict:
    """One Dict of an embedded store. Every call raises `DictGoneError` once it was deleted, and
    `ClosedError` once its cluster was closed."""

    __slots__ = ("cluster", "read_now", "record", "store", "table")

    def __init__(self, cluster: Cluster, dict_id: bytes, record: Record) -> None:
        self.cluster = cluster
        self.store = cluster.store
        self.record = record
        self.table = Table(self.store, dict_id)
        self.read_now = self.table.read

    @property
    def dict_id(self) -> bytes:
        return self.table.dict_id

    @property
    def value_bytes_max(self) -> int:
        return self.store.value_bytes_max

    def now_ms(self) -> int:
        """The clock that expiry is judged by."""
        return self.store.now_ms()

    @property
    def is_one_copy(self) -> bool:
        """A store is the one copy."""
        return True

    async def read(self, io: Transport, key: bytes, *, fresh: bool = False) -> bytes | None:
        """The value's bytes of a key, None if absent. A store is always fresh."""
        del fresh
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

    def find(self, io: Transport, key: bytes, *, fresh: bool = False) -> Coroutine[Any, Any, Stored | None]:
        """The entry of a key, None if absent."""
        del fresh
        return self.look(io, lambda table: table.find(key))

    def read_many(
        self, io: Transport, keys: Sequence[bytes], *, fresh: bool = False
    ) -> Coroutine[Any, Any, list[bytes | None]]:
        """The values' bytes of many keys, in their order."""
        del fresh
        return self.look(io, lambda table: table.read_many(keys))

    def page(self, io: Transport, start: bytes | None, prefix: bytes) -> Coroutine[Any, Any, Page]:
        """A stretch of the Dict; see `Table.page`."""
        return self.look(io, lambda table: table.page(start, prefix))

    def somewhere(self) -> bytes:
        """The beginning of some partition."""
        number = int.from_bytes(os.urandom(layout.PARTITION_BYTES), "big") & layout.PARTITION_MASK
        return self.dict_id + layout.PARTITION_NAMES[number]

    def count(self, io: Transport) -> Coroutine[Any, Any, int]:
        """How many entries there are."""
        return self.look(io, Table.count)

    def measure(self, io: Transport) -> Coroutine[Any, Any, tuple[int, int]]:
        """How many entries there are, and how many bytes their keys and values have."""
        return self.look(io, lambda table: (table.count(), table.state().bytes))

    def write(self, io: Transport, operation: Operation[R]) -> Coroutine[Any, Any, R]:
        """Carry out an operation."""
        if self.cluster.closed:
            raise ClosedError(CLOSED)
        return io.write(self.table, operation, self.cluster.timeout_s)

    def write_now(self, operation: Operation[R]) -> R:
        """Carry out an operation, blocking."""
        return self.store.write(self.table, operation, self.cluster.timeout_s)

    async def is_free(self, io: Transport, lock: bytes) -> bool:
        """Whether nobody holds a lock."""
        body = await self.read(io, lock)
        return body is None or Grant.decode(body).over(self.store.host)

    async def holds(self, io: Transport, lock: bytes, token: int) -> bool:
        """Whether a lock is held with that token."""
        entry = await self.find(io, lock)
        if entry is None or entry.version != token:
            return False
        return not Grant.decode(entry.body).over(self.store.host)

    async def wait_for(
        self, io: Transport, lock: bytes, holder: bytes, seconds: float, pause_s: float
    ) -> None:
        """Let time pass: nobody tells, so a lock is looked at again after a pause."""
        del lock, holder
        await io.sleep(min(pause_s, seconds))


async def find_dict(
    io: Transport,
    cluster: Cluster,
    environment: str,
    name: str,
    create: Record | None = None,
    *,
    reads: str = "nearest",
) -> EmbeddedDict:
    """The Dict of a name, made as `create` says if there is none.

    Raises:
        DictGoneError: there is none, and `create` is None.
    """
    del reads  # there is one replica
    await ensure_open(io, cluster)
    with cluster.store.reading() as transaction:
        dict_id = catalogue.resolve(transaction, environment, name)
    if dict_id is None:
        if create is None:
            raise DictGoneError
        dict_id = await _create(io, cluster, create, allow_existing=True)
    return await by_id(io, cluster, dict_id)


async def by_id(io: Transport, cluster: Cluster, dict_id: bytes, *, reads: str = "nearest") -> EmbeddedDict:
    """The Dict of an id; `DictGoneError` if there is none."""
    del reads
    await ensure_open(io, cluster)
    with cluster.store.reading() as transaction:
        record = catalogue.record(transaction, dict_id)
    return EmbeddedDict(cluster, dict_id, record)


async def list_dicts(io: Transport, cluster: Cluster, environment: str) -> list[BoundDict]:
    """The named Dicts of an environment."""
    await ensure_open(io, cluster)
    with cluster.store.reading() as transaction:
        found = [
            (dict_id, record)
            for dict_id, record in catalogue.records(transaction)
            if record.name is not None and record.environment == environment
        ]
    return [EmbeddedDict(cluster, dict_id, record) for dict_id, record in found]


async def create_dict(io: Transport, cluster: Cluster, new: Record, *, allow_existing: bool) -> None:
    """Make the Dict of a name; `TakenError` if there is one, and `allow_existing` is off."""
    await _create(io, cluster, new, allow_existing=allow_existing)


async def delete_dict(io: Transport, cluster: Cluster, environment: str, name: str) -> None:
    """End the Dict of a name; `DictGoneError` if there is none."""
    await io.run(
        cluster.store,
        lambda transaction: catalogue.delete_name(transaction, environment, name),
        cluster.timeout_s,
    )


async def create_ephemeral(io: Transport, cluster: Cluster, record: Record) -> EmbeddedDict:
    """Make a Dict without a name."""
    store = cluster.store
    dict_id = store.random(8)
    await io.run(
        store,
        lambda transaction: catalogue.create_ephemeral(transaction, record, dict_id),
        cluster.timeout_s,
    )
    return EmbeddedDict(cluster, dict_id, record)


async def delete_ephemeral(io: Transport, cluster: Cluster, dict_id: bytes) -> None:
    """End it; `DictGoneError` if it is ended already."""
    await io.run(cluster.store, lambda transaction: catalogue.delete(transaction, dict_id), cluster.timeout_s)


def beat(cluster: Cluster, dict_id: bytes) -> None:
    """Say that whoever made it is alive; `DictGoneError` if it is ended."""
    cluster.store.run(lambda transaction: catalogue.beat(transaction, dict_id))


async def _create(io: Transport, cluster: Cluster, new: Record, *, allow_existing: bool) -> bytes:
    def make(transaction: WriteTransaction) -> bytes:
        return catalogue.create(transaction, new, allow_existing=allow_existing)

    return await io.run(cluster.store, make, cluster.timeout_s)


async def ensure_open(io: Transport, cluster: Cluster) -> None:
    """Open the store where that may be waited for: it may have to be made first."""
    if not cluster.store.opened:
        await io.in_thread(cluster.store.open)
