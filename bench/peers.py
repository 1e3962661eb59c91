"""The contestants, and what each of them stores.

The value is a small dict that msgpack encodes in 100 bytes. Whoever takes Python values gets the dict, and
its time includes encoding and decoding. redis-py and pymemcache take bytes: they get the 100 bytes ready-made
and give them back as they are, so they are *spared* the serialisation that their users pay for. The floor,
bare lmdb, gets key and value as ready-made bytes and decodes what it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

from .clusterpeers import CLUSTER_PEERS
from .peer import Bytes, MissingError, Peer, Statements, need, pack, port_of
from .place import Place
from .server import LOOPBACK

__all__ = ["PEERS"]

LMDB_MAP_BYTES = 16 << 30


class Ringdict(Peer):
    name = "ringdict"
    durability: ClassVar[str] = "none"
    statements: ClassVar[Statements] = {
        "get": "result = client.get(key)",
        "put": "client.put(key, value)",
        "contains": "result = key in client",
        "pop": "result = client.pop(key)",
        "cycle": "result = client.put(key, value, skip_if_exists=True); client.pop(key)",
        "incr": "result = client.incr(key)",
        "update": "client.update(batch)",
        "items": "for result, _ in enumerate(client.items(), 1): pass",
        "len": "result = len(client)",
        "get.aio": "result = await client.get.aio(key)",
        "put.aio": "await client.put.aio(key, value)",
    }

    def open(self, place: Place) -> dict[str, object]:
        ringdict = need("ringdict")
        self._cluster = ringdict.Cluster(f"file://{place.of(self.name)}?durability={self.durability}")
        client = ringdict.Dict.from_name("bench", create_if_missing=True, cluster=self._cluster)
        return {"client": client.hydrate()}

    def close(self) -> None:
        self._cluster.close()


class RingdictFsync(Ringdict):
    name = "ringdict fsync"
    durability = "fsync"


class RingdictInterval(Ringdict):
    name = "ringdict interval"
    durability = "interval"


class RingdictMillion(Ringdict):
    """A store of its own for the million entries whose size on disk is taken."""

    name = "ringdict 1M"


class Redis(Bytes):
    name = "redis-py"
    server = "redis"
    statements: ClassVar[Statements] = {
        "get": "result = client.get(key)",
        "put": "client.set(key, value)",
        "contains": "result = client.exists(key)",
        "pop": "result = client.getdel(key)",
        "cycle": "result = client.set(key, value, nx=True); client.delete(key)",
        "incr": "result = client.incr(key)",
        "update": """
            pipeline = client.pipeline(transaction=False)
            for key, value in batch.items():
                pipeline.set(key, value)
            pipeline.execute()
        """,
        "items": """
            cursor, keys = client.scan(count=1000)
            result = len(client.mget(keys))
            while cursor:
                cursor, keys = client.scan(cursor, count=1000)
                result += len(client.mget(keys)) if keys else 0
        """,
    }

    def open(self, place: Place) -> dict[str, object]:
        redis = need("redis")
        return {"client": redis.Redis(host=LOOPBACK, port=port_of(place.redis))}


class RedisAsyncio(Redis):
    name = "redis.asyncio"
    statements: ClassVar[Statements] = {
        **Redis.statements,
        "get.aio": "result = await aclient.get(key)",
        "put.aio": "await aclient.set(key, value)",
    }

    def open(self, place: Place) -> dict[str, object]:
        self._port = port_of(place.redis)
        return super().open(place)

    async def aopen(self) -> dict[str, object]:
        self._aclient = need("redis.asyncio").Redis(host=LOOPBACK, port=self._port)
        return {"aclient": self._aclient}

    async def aclose(self) -> None:
        await self._aclient.aclose()


class Pymemcache(Bytes):
    name = "pymemcache"
    server = "memcached"
    statements: ClassVar[Statements] = {
        "get": "result = client.get(key)",
        "put": "client.set(key, value)",
        "cycle": "result = client.add(key, value); client.delete(key)",
        "incr": "result = client.incr(key, 1)",
        "update": "client.set_many(batch)",
    }

    def open(self, place: Place) -> dict[str, object]:
        pymemcache = need("pymemcache")
        client = pymemcache.Client((LOOPBACK, port_of(place.memcached)), default_noreply=False)
        client.set("counter", "0")  # memcached counts only what is there
        return {"client": client}


class Diskcache(Peer):
    name = "diskcache"
    statements: ClassVar[Statements] = {
        "get": "result = client.get(key)",
        "put": "client.set(key, value)",
        "contains": "result = key in client",
        "pop": "result = client.pop(key)",
        "cycle": "result = client.add(key, value); client.delete(key)",
        "incr": "result = client.incr(key)",
        "update": """
            with client.transact():
                for key, value in batch.items():
                    client.set(key, value)
        """,
    }

    def open(self, place: Place) -> dict[str, object]:
        return {"client": need("diskcache").Cache(str(place.of(self.name)))}


class Manager(Peer):
    name = "Manager().dict()"
    server = "manager"
    statements: ClassVar[Statements] = {
        "get": "result = client.get(key)",
        "put": "client[key] = value",
        "contains": "result = key in client",
        "pop": "result = client.pop(key)",
        "update": "client.update(batch)",
        "items": "for result, _ in enumerate(client.items(), 1): pass",
    }

    def open(self, place: Place) -> dict[str, object]:
        if place.manager is None:
            raise MissingError("the manager was not started")
        return {"client": place.manager}


class Lmdb(Peer):
    """The floor: what any dict on LMDB must at least do."""

    name = "lmdb (floor)"
    sync: ClassVar[bool] = False
    statements: ClassVar[Statements] = {
        "get": """
            with client.begin() as transaction:
                result = unpack(transaction.get(key))
        """,
        "put": """
            with client.begin(write=True) as transaction:
                transaction.put(key, value)
        """,
        "update": """
            with client.begin(write=True) as transaction:
                transaction.cursor().putmulti(batch.items())
        """,
        "items": """
            with client.begin() as transaction:
                for result, (_, packed) in enumerate(transaction.cursor(), 1):
                    unpack(packed)
        """,
    }

    def open(self, place: Place) -> dict[str, object]:
        environment = need("lmdb").open(str(place.of(self.name)), map_size=LMDB_MAP_BYTES, sync=self.sync)
        return {"client": environment, "unpack": need("msgpack").unpackb}

    def key(self, text: str) -> object:
        return text.encode()

    def value(self, plain: object) -> object:
        return pack(plain)

    def read(self, value: object) -> object:
        return cast("Callable[[object], object]", need("msgpack").unpackb)(value)


class LmdbSync(Lmdb):
    name = "lmdb sync (floor)"
    sync = True


_EMBEDDED: tuple[type[Peer], ...] = (
    *(Ringdict, RingdictInterval, RingdictFsync, RingdictMillion),
    *(Redis, RedisAsyncio, Pymemcache, Diskcache, Manager),
    *(Lmdb, LmdbSync),
)

PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (*_EMBEDDED, *CLUSTER_PEERS)}
"""By name. A worker process makes its contestant from this table."""
