"""Small nodes in threads of the test's process: they speak the protocol over TCP, keep entries in memory, and
do what a test tells them to. What a real node decides is not here."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from xxhash import xxh3_64_intdigest

from ringdict.node.network.frame import FrameReader, encode_frame
from ringdict.node.network.handshake import Listener
from ringdict.node.network.leadermessage import Wait
from ringdict.node.network.message import (
    Absent,
    AskFolder,
    AskRing,
    Count,
    Counted,
    DictId,
    Dicts,
    Found,
    Get,
    GetMany,
    ListDicts,
    Mark,
    Message,
    PageRead,
    Present,
    Put,
    PutMany,
    ReadPage,
    Reason,
    Refused,
    Request,
    Resolve,
    Resolved,
    ResolveId,
    Stamp,
    TellFolder,
    TellRing,
    Touch,
    Written,
)
from ringdict.node.network.wire import decode, encode
from ringdict.node.ringview import NO_MARK
from ringdict.node.store import layout
from ringdict.node.store.catalogue import Record
from ringdict.node.store.catalogue import dict_id as id_of
from ringdict.ring.codec import digest_of, encode_decree
from ringdict.ring.decree import NO_PARENT, Decree
from ringdict.ring.member import Member, MemberState
from ringdict.ring.table import Table

from .deciders import Deciders

PAGE_ROWS = 50
Hook = Callable[["Node", Request], Message | None]


class Entry:
    """What stands there."""

    def __init__(self, stamp: Stamp, body: bytes, expires_ms: int = 0, operation_id: bytes = b"") -> None:
        self.stamp = stamp
        self.body = body
        self.expires_ms = expires_ms
        self.operation_id = operation_id
        #: Whether an atomic operation made it.
        self.is_chosen = False


class Node:
    """One of them. Settings may be changed at any time."""

    def __init__(self, nodes: Nodes, number: int) -> None:
        self.nodes = nodes
        self.number = number
        self.member_id = bytes([number + 1]) * 16
        self.boot = 1
        self.entries: dict[tuple[bytes, bytes], Entry] = {}
        self.decree: Decree | None = None
        #: Asked before anything else; what it returns is the answer, None: as usual.
        self.hook: Hook = lambda node, request: None
        #: Whether the other nodes reach it.
        self.is_reachable = True
        #: Questions are heard and not answered.
        self.is_mute = False
        self.asked: list[Request] = []
        self.address = ""
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()

    @property
    def is_up(self) -> bool:
        return self._listener is not None

    @property
    def connections(self) -> int:
        return len(self._connections)

    def start(self, *, new_address: bool = False) -> None:
        port = 0 if new_address or not self.address else int(self.address.rpartition(":")[2])
        listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._listener = listener
        self.is_reachable = True
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """As a kill: connections break."""
        listener, self._listener = self._listener, None
        self.is_reachable = False
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def cut(self) -> None:
        """Break the connections."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(Exception), connection:
            listener = Listener(secret=self.nodes.secret, nonce=b"n" * 32, cluster_id=self.nodes.cluster_id)
            reader = FrameReader()
            while data := connection.recv(1 << 16):
                for frame in reader.feed(data):
                    if not listener.done:
                        answer = listener.feed(frame)
                        if answer is not None:
                            connection.sendall(encode_frame(answer))
                    elif (reply := self._answer(frame)) is not None:
                        connection.sendall(encode_frame(encode(reply)))
        self._connections.discard(connection)

    def _answer(self, frame: bytes) -> Message | None:
        request = decode(frame)
        assert isinstance(request, Request)
        self.asked.append(request)
        if self.is_mute:
            return None
        return self.hook(self, request) or self.nodes.answer(self, request)

    def asked_for(self, kind: type[Request]) -> int:
        """How many questions of a kind it has heard."""
        return sum(isinstance(request, kind) for request in self.asked)


class Nodes:
    """A cluster of them. Each node has all partitions that the table gives it."""

    def __init__(
        self, count: int = 3, replicas: int = 3, secret: bytes = b"", *, listening: bool = True
    ) -> None:
        self.secret = secret
        self.cluster_id = b"c" * 16
        self.replicas = min(replicas, count)
        self.partitions = layout.PARTITIONS
        self.names: dict[bytes, bytes] = {}
        self.nodes = [Node(self, number) for number in range(count)]
        self.lives: dict[tuple[str, str], int] = {}
        self.version = 1 << 40
        self.deciders = Deciders(self)
        self._lock = threading.Lock()
        for node in self.nodes:
            if listening:
                node.start()
            else:
                node.address = f"node{node.number}:7600"
        self.decide(range(count))

    def __getitem__(self, number: int) -> Node:
        return self.nodes[number]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @property
    def url(self) -> str:
        return "ringdict://" + ",".join(node.address for node in self.nodes)

    def newest(self) -> dict[tuple[bytes, bytes], Entry]:
        """A copy of what the node with the most entries has: for one that comes back, as if repaired."""
        return dict(max((node for node in self.nodes), key=lambda node: len(node.entries)).entries)

    def close(self) -> None:
        for node in self.nodes:
            node.stop()

    def decide(self, members: range | list[int], told: list[int] | None = None) -> Decree:
        """A next ring of these nodes, told to all, or to some of them."""
        before = max((n.decree for n in self.nodes if n.decree), key=lambda d: d.epoch, default=None)
        chosen = [self.nodes[number] for number in members]
        width = min(self.replicas, len(chosen))
        rows = [
            [(partition + place) % len(chosen) for place in range(width)]
            for partition in range(self.partitions)
        ]
        epoch = before.epoch + 1 if before else 1
        decree = Decree(
            self.cluster_id,
            epoch,
            digest_of(before) if before else NO_PARENT,
            tuple(Member(node.member_id, MemberState.ACTIVE, address=node.address) for node in chosen),
            Table.of(rows, width),
            None,
            (1,) * self.partitions,
            ((),) * self.partitions,
        )
        for number, node in enumerate(self.nodes):
            if told is None or number in told:
                node.decree = decree
        return decree

    def partition(self, dict_id: bytes, key: bytes) -> int:
        return xxh3_64_intdigest(key, int.from_bytes(dict_id, "big")) & (self.partitions - 1)

    def owners(self, dict_id: bytes, key: bytes, decree: Decree | None = None) -> list[Node]:
        decree = decree or next(node.decree for node in self.nodes if node.decree is not None)
        by_id = {node.member_id: node for node in self.nodes}
        return [
            by_id[decree.members[number].member_id] for number in decree.owners(self.partition(dict_id, key))
        ]

    # -- answers -----------------------------------------------------------------------------------

    def answer(self, node: Node, request: Request) -> Message | None:
        if isinstance(request, Wait):
            return self.deciders.answer(node, request)
        with self._lock:
            return self.deciders.answer(node, request) or self._answered(node, request)

    def _answered(self, node: Node, request: Request) -> Message:  # noqa: PLR0911
        number = request.number
        decree = node.decree
        mark: Mark = NO_MARK if decree is None else (decree.epoch, digest_of(decree))
        match request:
            case AskRing():
                told = b"" if decree is None or request.epoch == decree.epoch else encode_decree(decree)
                known = [(n.member_id, n.address, n.is_reachable) for n in self.nodes]
                return TellRing(number, told, known)
            case AskFolder():
                return TellFolder(number, "")
            case Resolve():
                return self._resolve(request)
            case ResolveId():
                record = self.names.get(request.dict_id)
                return Resolved(number, request.dict_id if record else b"", record or b"")
            case ListDicts():
                return Dicts(number, sorted(self.names.items()), more=False)
            case _:
                pass
        if decree is None:
            return Refused(number, Reason.NOT_SERVING, "in no ring", mark)
        epoch = getattr(request, "epoch", decree.epoch)
        if epoch != decree.epoch:
            reason = Reason.WRONG_EPOCH if epoch < decree.epoch else Reason.BEHIND
            return Refused(number, reason, reason.name, mark)
        if request.dict_id not in self.names:  # type: ignore[attr-defined]
            return Refused(number, Reason.NO_DICT, "no such Dict", mark)
        return self._entries(node, request, decree, mark)

    def _entries(  # noqa: PLR0911
        self, node: Node, request: Request, decree: Decree, mark: Mark
    ) -> Message:
        number = request.number
        match request:
            case Get():
                if node not in self.owners(request.dict_id, request.key, decree):
                    return Refused(number, Reason.NOT_OWNER, "not mine", mark)
                entry = node.entries.get((request.dict_id, request.key))
                if entry is None:
                    return Absent(number, (0, 0, 0))
                return Present(number, entry.stamp, 0, entry.expires_ms, entry.operation_id, entry.body)
            case GetMany():
                found = [node.entries.get((request.dict_id, key)) for key in request.keys]
                return Found(number, [(e.stamp, e.body) if e else ((0, 0, 0), None) for e in found])
            case Put():
                copies = self._store(node, request.dict_id, request.key, request.body, request.operation_id)
                return Written(number, self._stamp(), copies, self.replicas)
            case PutMany():
                for key, body in request.items:
                    self._store(node, request.dict_id, key, body, request.operation_id)
                return Written(number, self._stamp(), self.replicas, self.replicas)
            case Touch():
                return self._touch(node, request, mark)
            case ReadPage():
                return self._page(node, request)
            case Count():
                rows = self._rows(node, request.dict_id, request.partitions, request.start)
                size_bytes = sum(len(key) + len(entry.body) for _, key, entry in rows)
                return Counted(number, len(rows), size_bytes, b"")
            case _:
                pass
        raise AssertionError(request)

    def _stamp(self) -> Stamp:
        return (self.version, 1, self.version)

    def _store(self, node: Node, dict_id: DictId, key: bytes, body: bytes, operation_id: bytes) -> int:
        self.version += 1
        owners = [owner for owner in self.owners(dict_id, key, node.decree) if owner.is_reachable]
        for owner in owners:
            owner.entries[dict_id, key] = Entry(self._stamp(), body, 0, operation_id)
        return len(owners)

    def show(self, dict_id: bytes, key: bytes, version: int, body: bytes | None, operation_id: bytes) -> None:
        """What an atomic operation made of a key, for readers."""
        for owner in self.owners(dict_id, key):
            if body is None:
                owner.entries.pop((dict_id, key), None)
            elif key[:1] != layout.LOCK_SPACE:
                entry = owner.entries[dict_id, key] = Entry((version, 0, 0), body, 0, operation_id)
                entry.is_chosen = True

    def clear_entries(self, dict_id: bytes, partitions: set[int]) -> None:
        """All of a Dict in these partitions is gone."""
        for node in self.nodes:
            for owner, key in list(node.entries):
                if owner == dict_id and self.partition(owner, key) in partitions:
                    del node.entries[owner, key]

    def end_dict(self, dict_id: bytes) -> None:
        """A Dict's life is over."""
        raw = self.names.pop(dict_id, None)
        if raw is not None:
            record = Record.decode(raw)
            name = record.environment, record.name or ""
            self.lives[name] = self.lives.get(name, 0) + 1

    def _touch(self, node: Node, request: Touch, mark: Mark) -> Message:
        entry = node.entries.get((request.dict_id, request.key))
        if entry is None:
            return Written(request.number, (0, 0, 0), 0, 0)
        if request.if_version and request.if_version != entry.stamp[0]:
            return Refused(request.number, Reason.MISMATCH, "", mark, entry.stamp[0])
        self.version += 1
        entry.stamp = (entry.stamp[0], entry.stamp[1], self.version)
        return Written(request.number, entry.stamp, 1, 1)

    def _resolve(self, request: Resolve) -> Message:
        life = self.lives.get((request.environment, request.name), 0)
        dict_id = id_of(request.environment, request.name, life)
        if request.record:
            self.names.setdefault(dict_id, request.record)
        record = self.names.get(dict_id)
        return Resolved(request.number, dict_id if record else b"", record or b"", life)

    def _rows(
        self, node: Node, dict_id: bytes, partitions: bytes, start: bytes, prefix: bytes = b""
    ) -> list[tuple[bytes, bytes, Entry]]:
        rows = []
        for (owner, key), entry in node.entries.items():
            number = self.partition(owner, key)
            place = number.to_bytes(2, "big") + layout.stored_key(key)
            wanted = partitions[number // 8] >> (number % 8) & 1
            if owner == dict_id and wanted and place >= start and key.startswith(prefix):
                rows.append((place, key, entry))
        return sorted(rows, key=lambda row: row[0])

    def _page(self, node: Node, request: ReadPage) -> Message:
        rows = self._rows(node, request.dict_id, request.partitions, request.start, request.prefix)
        page: list[tuple[bytes, bytes | None]] = [(key, entry.body) for _, key, entry in rows[:PAGE_ROWS]]
        following = rows[PAGE_ROWS][0] if len(rows) > PAGE_ROWS else b""
        return PageRead(request.number, page, following)


def without_address(decree: Decree) -> Decree:
    """The decree, as of members that said no address."""
    return replace(decree, members=tuple(replace(member, address="") for member in decree.members))
