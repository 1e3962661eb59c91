"""A Dict of a cluster of nodes: what a handle is bound to once it has found its Dict there.

Its counterpart for embedded stores is embedded.py; a handle does not know which of them it talks to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from xxhash import xxh3_64_intdigest

from ..exception import ClosedError
from ..node.network.message import Absent, Present
from ..node.served.localstore import NOT_HERE
from ..node.store.catalogue import EPHEMERAL, Record
from ..node.store.entry import Stored
from ..node.store.operation import Operation, Put, PutMany, Touch
from ..node.store.table import Page
from ..node.store.transaction import DictGoneError
from ..ring.partition import dict_seed, key_hash
from . import atomic, batching, founding, locking, naming, reading, removing, scanning, writing
from .instruction import Plan
from .reading import Reads
from .transport import Transport

if TYPE_CHECKING:
    from .cluster import Cluster
    from .finder import BoundDict

R = TypeVar("R")
CLOSED = "the cluster of this handle was closed"


class RemoteDict:
    """One Dict of a cluster of nodes. Every call raises `DictGoneError` once it was deleted, and
    `ClosedError` once its cluster was closed."""

    __slots__ = (
        "_blocking",
        "_client",
        "_local",
        "_reads",
        "_seed",
        "_session",
        "cluster",
        "dict_id",
        "record",
    )

    def __init__(self, cluster: Cluster, dict_id: bytes, record: Record, reads: str) -> None:
        self.cluster = cluster
        self.dict_id = dict_id
        self.record = record
        self._client = client = cluster.client
        self._session = client.session
        self._blocking = client.blocking
        self._local = client.local
        self._seed = dict_seed(dict_id)
        self._reads = Reads(reads)

    @property
    def value_bytes_max(self) -> int:
        return self._client.seeds.value_bytes_max

    def now_ms(self) -> int:
        """This host's clock; nodes judge expiry by their own, which is near it."""
        return self._session.wall_ms()

    @property
    def is_one_copy(self) -> bool:
        """Replicas are several, and a read may be of one that is behind."""
        return False

    # -- reads -------------------------------------------------------------------------------------

    def read_now(self, key: bytes) -> bytes | None:
        """The value's bytes of a key, None if absent, blocking."""
        hashed = xxh3_64_intdigest(key, self._seed)
        local = self._local.read(self.dict_id, key, hashed, self._reads)
        if local is not NOT_HERE:
            return local
        if self._local.is_due:
            self._blocking.run(self._local.seek())
        found = self._blocking.run(reading.get(self._session, self.dict_id, key, hashed, self._reads))
        return found.body if type(found) is Present else None

    async def read(self, io: Transport, key: bytes, *, fresh: bool = False) -> bytes | None:
        """The value's bytes of a key, None if absent."""
        if not fresh and not self.cluster.closed:
            hashed = xxh3_64_intdigest(key, self._seed)
            local = self._local.read(self.dict_id, key, hashed, self._reads)
            if local is not NOT_HERE:
                if io.breathes:
                    await io.breathe()
                return local
            if self._local.is_due:
                await self._carry(io, self._local.seek())
        if fresh:
            return (await self._carry(io, atomic.get(self._session, self.dict_id, key))).body
        found = await self._carry(io, self._get(key))
        return found.body if type(found) is Present else None

    async def find(self, io: Transport, key: bytes, *, fresh: bool = False) -> Stored | None:
        """The entry of a key, None if absent."""
        if fresh:
            return await self._carry(io, atomic.find(self._session, self.dict_id, key))
        found = await self._carry(io, self._get(key))
        if type(found) is not Present:
            return None
        version, node, touch = found.stamp
        return Stored(
            found.flags, version, node, touch, found.expires_ms, found.operation_id, b"", found.body
        )

    def _get(self, key: bytes) -> Plan[Present | Absent]:
        hashed = key_hash(self._seed, key)
        return reading.get(self._session, self.dict_id, key, hashed, self._reads)

    async def read_many(
        self, io: Transport, keys: Sequence[bytes], *, fresh: bool = False
    ) -> list[bytes | None]:
        """The values' bytes of many keys, in their order."""
        hashed = [(key, key_hash(self._seed, key)) for key in keys]
        if fresh or self.cluster.closed:
            plan = removing.get_many if fresh else batching.get_many
            return await self._carry(io, plan(self._session, self.dict_id, hashed, self._reads))
        bodies = self._local.read_many(self.dict_id, hashed, self._reads)
        rest = [pair for pair, body in zip(hashed, bodies, strict=True) if body is NOT_HERE]
        asked: list[bytes | None] = []
        if rest:
            if self._local.is_due:
                await self._carry(io, self._local.seek())
            asked = await self._carry(io, batching.get_many(self._session, self.dict_id, rest, self._reads))
        elif io.breathes:
            await io.breathe()
        others = iter(asked)
        return [next(others) if body is NOT_HERE else body for body in bodies]

    async def page(self, io: Transport, start: bytes | None, prefix: bytes) -> Page:
        """A stretch of the Dict, from `start` (None: the beginning; else a page's `next`)."""
        plan = scanning.page(self._session, self.dict_id, start, prefix, self._reads)
        return Page(*await self._carry(io, plan))

    def somewhere(self) -> bytes | None:
        """The beginning of some partition."""
        return scanning.somewhere(self._session)

    async def count(self, io: Transport) -> int:
        """How many entries there are."""
        return (await self.measure(io))[0]

    def measure(self, io: Transport) -> Awaitable[tuple[int, int]]:
        """How many entries there are, and how many bytes their keys and values have."""
        return self._carry(io, scanning.count(self._session, self.dict_id, self._reads))

    # -- writes ------------------------------------------------------------------------------------

    def write_now(self, operation: Operation[R]) -> R:
        """Carry out an operation, blocking."""
        return cast("R", self._blocking.run(self._plan(operation)))

    def write(self, io: Transport, operation: Operation[R]) -> Coroutine[Any, Any, R]:
        """Carry out an operation."""
        return cast("Coroutine[Any, Any, R]", self._carry(io, self._plan(operation)))

    def _plan(self, operation: Operation[Any]) -> Plan[Any]:
        session, dict_id = self._session, self.dict_id
        if isinstance(operation, Put):
            return self._put(operation)
        if isinstance(operation, PutMany):
            items = [(key, key_hash(self._seed, key), body) for key, body in operation.items]
            return batching.put_many(session, dict_id, items, ttl_ms=operation.ttl_ms)
        if isinstance(operation, Touch):
            hashed = key_hash(self._seed, operation.key)
            return writing.touch(
                session, dict_id, operation.key, hashed, operation.ttl_ms, operation.if_version or 0
            )
        plan = atomic.plan_of(session, dict_id, operation) or locking.plan_of(session, dict_id, operation)
        assert plan is not None, operation
        return plan

    def _put(self, put: Put) -> Plan[bool]:
        hashed = key_hash(self._seed, put.key)
        ack = writing.ACKS[put.ack]
        yield from writing.put(
            self._session, self.dict_id, put.key, hashed, put.body, ttl_ms=put.ttl_ms, ack=ack
        )
        return True

    # -- locks -------------------------------------------------------------------------------------

    async def is_free(self, io: Transport, lock: bytes) -> bool:
        """Whether nobody holds a lock, as far as need be known before it is asked for: its leader says so."""
        del io, lock
        return True

    def holds(self, io: Transport, lock: bytes, token: int) -> Coroutine[Any, Any, bool]:
        """Whether a lock is held with that token."""
        return self._carry(io, locking.holds(self._session, self.dict_id, lock, token))

    async def wait_for(
        self, io: Transport, lock: bytes, holder: bytes, seconds: float, pause_s: float
    ) -> None:
        """Let time pass until a lock may be free that `holder` was refused; so long at the most."""
        del pause_s  # the leader tells
        await self._carry(io, locking.wait_for(self._session, self.dict_id, lock, holder, seconds))

    def _carry(self, io: Transport, plan: Plan[R]) -> Coroutine[Any, Any, R]:
        if self.cluster.closed:
            plan.close()
            raise ClosedError(CLOSED)
        return io.carry(self._client, plan)


async def find_dict(
    io: Transport,
    cluster: Cluster,
    environment: str,
    name: str,
    create: Record | None = None,
    *,
    reads: str = "nearest",
) -> RemoteDict:
    """The Dict of a name, made as `create` says if there is none.

    Raises:
        DictGoneError: there is none, and `create` is None.
    """
    session = cluster.client.session
    found = await io.carry(cluster.client, naming.resolve(session, environment, name))
    if found is None and create is not None:
        found = await io.carry(cluster.client, naming.resolve(session, environment, name, create.encode()))
    if found is None:
        raise DictGoneError
    return RemoteDict(cluster, found[0], Record.decode(found[1]), reads)


async def by_id(io: Transport, cluster: Cluster, dict_id: bytes, *, reads: str = "nearest") -> RemoteDict:
    """The Dict of an id; `DictGoneError` if there is none."""
    found = await io.carry(cluster.client, naming.resolve_id(cluster.client.session, dict_id))
    if found is None:
        raise DictGoneError
    return RemoteDict(cluster, found[0], founding.shown(Record.decode(found[1])), reads)


async def list_dicts(io: Transport, cluster: Cluster, environment: str) -> list[BoundDict]:
    """The named Dicts of an environment."""
    rows = await io.carry(cluster.client, naming.dicts(cluster.client.session, environment))
    records = [(dict_id, Record.decode(record)) for dict_id, record in rows]
    return [RemoteDict(cluster, dict_id, record, "nearest") for dict_id, record in records]


async def create_dict(io: Transport, cluster: Cluster, new: Record, *, allow_existing: bool) -> None:
    """Make the Dict of a name; `TakenError` if there is one, and `allow_existing` is off."""
    assert new.name is not None
    session = cluster.client.session
    if allow_existing:
        await io.carry(cluster.client, naming.resolve(session, new.environment, new.name, new.encode()))
    else:
        await io.carry(cluster.client, founding.create(session, new))


async def delete_dict(io: Transport, cluster: Cluster, environment: str, name: str) -> None:
    """End the Dict of a name; `DictGoneError` if there is none."""
    await io.carry(cluster.client, founding.delete(cluster.client.session, environment, name))


async def create_ephemeral(io: Transport, cluster: Cluster, record: Record) -> RemoteDict:
    """Make a Dict without a name: under one that nobody can ask for."""
    client = cluster.client
    hidden = founding.hidden(record, client.session.leads.session_id)
    found = await io.carry(
        client, naming.resolve(client.session, EPHEMERAL, hidden.name or "", hidden.encode())
    )
    if found is None:
        raise DictGoneError
    return RemoteDict(cluster, found[0], record, "nearest")


async def delete_ephemeral(io: Transport, cluster: Cluster, dict_id: bytes) -> None:
    """End it; `DictGoneError` if it is ended already."""
    await io.carry(cluster.client, founding.end(cluster.client.session, dict_id))


def beat(cluster: Cluster, dict_id: bytes) -> None:
    """Say that whoever made it is alive; `DictGoneError` if it is ended."""
    client = cluster.client
    if client.blocking.run(naming.beat(client.session, dict_id)) is None:
        raise DictGoneError
