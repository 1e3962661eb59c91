"""The contestants of the scenarios of a cluster: three nodes, and what runs beside them.

Whoever takes bytes gets them ready-made, as in `peers.py`. The nodes keep their entries on disk as they do by
default (`interval`); the redis-servers beside them keep nothing, but for the one that syncs each write.
"""

from __future__ import annotations

import json
import socket
import threading
from base64 import b64encode
from contextlib import AsyncExitStack
from http.client import HTTPConnection
from typing import Any, ClassVar

from .load import Load
from .peer import Bytes, Peer, Statements, crew_of, need, port_of
from .place import Crew, Place
from .server import LOOPBACK, redis_info

__all__ = ["CLUSTER_PEERS"]

_REDIS_PIPELINE = """
    pipeline = client.pipeline(transaction=False)
    for key, value in batch.items():
        pipeline.set(key, value)
    pipeline.execute()
"""


class RingdictNodes(Peer):
    """Each get is a message to the node that is the key's primary owner."""

    name = "ringdict nodes"
    server = "nodes"
    reads: ClassVar[str] = "primary"
    statements: ClassVar[Statements] = {
        "get": "result = client.get(key)",
        "put": "client.put(key, value)",
        "absent": "result = client.put(key, value, skip_if_exists=True)",
        "update": "client.update(batch)",
        "get.aio": "result = await client.get.aio(key)",
        "put.aio": "await client.put.aio(key, value)",
    }

    def crew(self, place: Place) -> Crew:
        return crew_of(place.nodes)

    def open(self, place: Place) -> dict[str, object]:
        ringdict = need("ringdict")
        crew = self.crew(place)
        self._cluster = ringdict.Cluster("ringdict://" + ",".join(crew.addresses))
        client = ringdict.Dict.from_name(
            "bench", create_if_missing=True, cluster=self._cluster, reads=self.reads
        )
        return {"client": client.hydrate()}

    def close(self) -> None:
        self._cluster.close()


class RingdictLocal(RingdictNodes):
    """The default: what a node on this host has is read past it, from its memory map."""

    name = "ringdict local"
    reads = "nearest"


class RingdictTrio(RingdictNodes):
    name = "ringdict Trio"
    library = "trio"


class RingdictDurable(RingdictNodes):
    """As above, and entries are synced with each write, too: what a majority accepted for an atomic operation
    is that in any case."""

    name = "ringdict durable"
    server = "durable"

    def crew(self, place: Place) -> Crew:
        return crew_of(place.durable)


class RingdictLoad(Peer):
    """One node, asked by the load program."""

    name = "ringdict node"
    server = "lone"
    statements: ClassVar[Statements] = {
        "load.16": "result = load.run(16, batch)",
        "load.64": "result = load.run(64, batch)",
        "update": "load.prepare(batch); client.update(batch)",
    }

    def open(self, place: Place) -> dict[str, object]:
        ringdict = need("ringdict")
        crew = crew_of(place.lone)
        self._pid = crew.pids[0]
        self._cluster = ringdict.Cluster(f"ringdict://{crew.addresses[0]}")
        client = ringdict.Dict.from_name("bench", create_if_missing=True, cluster=self._cluster).hydrate()
        keys, handle = need("ringdict.client.keys"), need("ringdict.client.handle")
        frames = need("ringdict.node.network.frame")
        messages, wire = need("ringdict.node.network.message"), need("ringdict.node.network.wire")
        inner = self._cluster.client
        route, dict_id = inner.session.route, handle.parse_object_id(client.object_id)

        def connect() -> socket.socket:
            line = inner.blocking.connect(route.contacts[0], 5.0)
            lines.append(line)  # which closes its socket when it is forgotten
            sock: socket.socket = line.sock
            return sock

        def request(key: str) -> bytes:
            asked = messages.Get(1, route.epoch, dict_id, keys.encode_key(key))
            frame: bytes = frames.encode_frame(wire.encode(asked))
            return frame

        present = bytes(wire.encode(messages.Present(1, (1, b"\0" * 16), 0, 0, b"", b"")))[:2]

        def is_whole(data: bytes) -> bool:
            return len(data) - 4 == int.from_bytes(data[:4], "big") and data[4:6] == present

        lines: list[object] = []
        self._load = Load(connect, request, is_whole)
        return {"client": client, "load": self._load}

    def server_pid(self) -> int:
        return self._pid

    def close(self) -> None:
        self._load.close()
        self._cluster.close()


class RedisLoad(Bytes):
    """One redis-server, asked by the same load program."""

    name = "redis-server"
    server = "redis"
    statements: ClassVar[Statements] = {
        **RingdictLoad.statements,
        "update": "load.prepare(batch)" + _REDIS_PIPELINE.replace("\n    ", "\n"),
    }

    def open(self, place: Place) -> dict[str, object]:
        port = port_of(place.redis)
        self._pid = redis_pid(port)

        def connect() -> socket.socket:
            sock = socket.create_connection((LOOPBACK, port), timeout=5.0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock

        def request(key: str) -> bytes:
            return b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode())

        def is_whole(data: bytes) -> bool:
            # 100 bytes, the text of that number, a dollar, and the end of a line twice
            return len(data) == 108 and data[:1] == b"$"

        self._load = Load(connect, request, is_whole)
        return {"client": need("redis").Redis(host=LOOPBACK, port=port), "load": self._load}

    def server_pid(self) -> int:
        return self._pid

    def close(self) -> None:
        self._load.close()


class RedisReplicated(Bytes):
    """Two calls: the write, then the wait until both replicas have it."""

    name = "redis-py +2"
    server = "replicated"
    statements: ClassVar[Statements] = {
        "get": "result = client.get(key)",
        "put": "client.set(key, value); client.wait(2, 0)",
        "update": _REDIS_PIPELINE,
    }

    def open(self, place: Place) -> dict[str, object]:
        redis = need("redis")
        return {"client": redis.Redis(host=LOOPBACK, port=port_of(place.replicated))}


class RedisOneTrip(RedisReplicated):
    """The same in one pipeline, and a batch in one command."""

    name = "redis-py +2, 1 trip"
    statements: ClassVar[Statements] = {
        "put": "client.pipeline(transaction=False).set(key, value).execute_command('WAIT', 2, 0).execute()",
        "update": "client.mset(batch)",
    }


class RedisReplicatedAsyncio(RedisReplicated):
    name = "redis.asyncio +2"
    statements: ClassVar[Statements] = {
        **RedisReplicated.statements,
        "get.aio": "result = await aclient.get(key)",
    }

    def open(self, place: Place) -> dict[str, object]:
        self._port = port_of(place.replicated)
        return super().open(place)

    async def aopen(self) -> dict[str, object]:
        self._aclient = need("redis.asyncio").Redis(host=LOOPBACK, port=self._port)
        return {"aclient": self._aclient}

    async def aclose(self) -> None:
        await self._aclient.aclose()


class CoredisTrio(RedisReplicatedAsyncio):
    name = "coredis on Trio"
    library = "trio"

    def open(self, place: Place) -> dict[str, object]:
        need("trio")
        need("coredis")
        return super().open(place)

    async def aopen(self) -> dict[str, object]:
        self._stack = AsyncExitStack()
        client = need("coredis").Redis(host=LOOPBACK, port=self._port)
        return {"aclient": await self._stack.enter_async_context(client)}

    async def aclose(self) -> None:
        await self._stack.aclose()


class RedisCareful(Bytes):
    """Each write is on disk before it is answered."""

    name = "redis-py, always"
    server = "careful"
    statements: ClassVar[Statements] = {"absent": "result = client.set(key, value, nx=True)"}

    def open(self, place: Place) -> dict[str, object]:
        return {"client": need("redis").Redis(host=LOOPBACK, port=port_of(place.careful))}


class EtcdGrpc(Bytes):
    """A transaction through grpcio's channel. Its request is joined from ready-made bytes, of its answer no
    more is looked at than whether it was carried out: the time is the channel's and the server's."""

    name = "etcd, gRPC"
    server = "etcd"
    statements: ClassVar[Statements] = {
        "absent": "result = won(transact(b''.join((before, key, between, key, after, value))))"
    }

    def open(self, place: Place) -> dict[str, object]:
        grpc = need("grpc")
        self._channel = grpc.insecure_channel(crew_of(place.etcd).addresses[0])
        before, between, after = transaction(len("new:0000000"), 100)
        return {
            "transact": self._channel.unary_unary("/etcdserverpb.KV/Txn"),
            "won": won,
            "before": before,
            "between": between,
            "after": after,
        }

    def key(self, text: str) -> object:
        return text.encode()

    def close(self) -> None:
        self._channel.close()


def transaction(key_bytes: int, value_bytes: int) -> tuple[bytes, bytes, bytes]:
    """etcd's TxnRequest "put the key if nobody has it" in three pieces, with key, key and value to go between
    and after them: of so many bytes, below 128."""
    compare_bytes = 2 + 2 + 2 + key_bytes + 2
    put_bytes = 2 + key_bytes + 2 + value_bytes
    # compare: its result is EQUAL, its target CREATE, key, revision 0; success: request_put: key, value
    before = bytes((0x0A, compare_bytes, 0x08, 0, 0x10, 1, 0x1A, key_bytes))
    between = b"\x28\x00\x12" + _varint(put_bytes + 1 + len(_varint(put_bytes)))
    between += b"\x12" + _varint(put_bytes) + bytes((0x0A, key_bytes))
    return before, between, bytes((0x12, value_bytes))


def _varint(number: int) -> bytes:
    return bytes((number,)) if number < 128 else bytes((number & 127 | 128, number >> 7))


def won(response: bytes) -> bool:
    """Whether a TxnResponse, header first, says that the transaction was carried out."""
    end = 2 + response[1]
    return response[end : end + 2] == b"\x10\x01"


class EtcdJson(EtcdGrpc):
    """The same through the gateway, over a connection that each thread keeps."""

    name = "etcd, JSON"
    statements: ClassVar[Statements] = {
        "absent": "result = won(transact(b''.join((before, key, between, key, after, value, end))))"
    }

    def open(self, place: Place) -> dict[str, object]:
        host, _, port = crew_of(place.etcd).addresses[0].partition(":")
        local = threading.local()

        def transact(body: bytes) -> bytes:
            connection: HTTPConnection | None = getattr(local, "connection", None)
            if connection is None:
                connection = local.connection = HTTPConnection(host, int(port))
                connection.connect()
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.request("POST", "/v3/kv/txn", body)
            return connection.getresponse().read()

        compare = {"result": "EQUAL", "target": "CREATE", "key": "<>", "create_revision": "0"}
        put = {"request_put": {"key": "<>", "value": "<>"}}
        text = json.dumps({"compare": [compare], "success": [put]}, separators=(",", ":"))
        before, between, after, end = text.encode().split(b"<>")
        return {
            "transact": transact,
            "won": lambda answer: b'"succeeded":true' in answer,
            "before": before,
            "between": between,
            "after": after,
            "end": end,
        }

    def key(self, text: str) -> object:
        # Of the same length, and other keys than the other channel's: they ask the same servers.
        return b64encode(text.replace("new:", "web:").encode())

    def value(self, plain: object) -> object:
        packed: Any = super().value(plain)
        return b64encode(packed)

    def close(self) -> None:
        pass


def redis_pid(port: int) -> int:
    """The process of a redis-server."""
    lines = redis_info(port, "server").splitlines()
    return next(int(line.partition(":")[2]) for line in lines if line.startswith("process_id:"))


CLUSTER_PEERS: tuple[type[Peer], ...] = (
    *(RingdictNodes, RingdictLocal, RingdictTrio, RingdictDurable, RingdictLoad),
    *(RedisReplicated, RedisOneTrip, RedisReplicatedAsyncio, CoredisTrio, RedisLoad, RedisCareful),
    *(EtcdGrpc, EtcdJson),
)
