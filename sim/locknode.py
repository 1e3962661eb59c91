"""A node of the scenario of atomic operations: the real core of leaders, a small plain plane, and a ring that
somebody else decides.

What only this scenario says travels as a zero byte and a packed list: decrees, plain puts and their answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import ormsgpack

from ..exception import Error, ProtocolError, StoreDamagedError
from ..node.clock import COUNTER_BITS
from ..node.leaders.leader import Leaders
from ..node.leaders.plain import PlainDone, PlainEntry
from ..node.leaders.purge import Purger
from ..node.leaders.shelf import Chosen
from ..node.network.bus import Bus
from ..node.network.leadermessage import Act, Clear, Greet
from ..node.network.message import Mark, Reply
from ..node.network.wire import decode
from ..node.ringview import RingView
from ..node.world import NS_PER_MS, NS_PER_S, Address, NodeId, Storage, World
from ..ring.codec import decode_decree
from ..ring.partition import dict_seed, partition_of
from ..ring.succession import is_newer
from .lockdisk import WatchedStorage

HELLO_NS = 300 * NS_PER_MS
"""Between two reports to whoever decides the ring."""
PLAIN_NS = 500 * NS_PER_MS
"""For a majority's plain values."""
DECREE = b"decree"
GONE = b""
"""In the plain plane of this scenario: what was there was removed. No client puts an empty value."""


def pack(*parts: object) -> bytes:
    """The bytes of what only this scenario says."""
    return b"\0" + ormsgpack.packb(parts)


def unpack(frame: bytes) -> list[Any] | None:
    """What such bytes say; None: they are a message of nodes."""
    return ormsgpack.unpackb(frame[1:]) if frame[:1] == b"\0" else None


class Stamps:
    """Version stamps: each above all before, and above what it is told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last = 0

    def next(self, floor: int) -> int:
        """The next one."""
        self._last = max(self._last, floor, self._world.wall_ns() // NS_PER_MS << COUNTER_BITS) + 1
        return self._last


class PlainPlane:
    """Plain values on all owners of a partition, the highest version wins; written through."""

    def __init__(self, node: LockNode) -> None:
        self.node = node
        self.storage = node.world.storage("plain")
        self.number = 0
        self.open: dict[int, Callable[[NodeId, PlainEntry | None], None]] = {}

    def there(self, name: bytes) -> PlainEntry | None:
        """What this node keeps."""
        raw = self.storage.get(name)
        return None if raw is None else PlainEntry(*ormsgpack.unpackb(raw))

    def peek(self, _partition: int, name: bytes) -> PlainEntry | None:
        found = self.there(name)
        return None if found is None or found.body == GONE else found

    def store(self, name: bytes, entry: PlainEntry, then: Callable[[], None]) -> None:
        """Keep the newer one."""
        there = self.there(name)
        kept = entry if there is None or entry.version > there.version else there

        def done(error: Error | None) -> None:
            if error is None:
                then()

        self.storage.commit({name: ormsgpack.packb(list(kept))}, done)

    def ask(
        self, partition: int, question: list[object], done: Callable[[bool, PlainEntry | None], None]
    ) -> None:
        """Ask all owners; done with the newest once a majority has answered."""
        view = self.node.leaders.view
        if view is None:
            done(False, None)
            return
        owners = view.owners(partition)
        self.number += 1
        number = self.number
        answers: dict[NodeId, PlainEntry | None] = {}

        def answered(node: NodeId, entry: PlainEntry | None) -> None:
            answers[node] = entry
            if node in owners and 2 * len(answers) > len(owners) and self.open.pop(number, None) is not None:
                found = [one for one in answers.values() if one is not None]
                done(True, max(found) if found else None)

        def missed() -> None:
            if self.open.pop(number, None) is not None:
                done(False, None)

        self.open[number] = answered
        for owner in owners:
            address = self.node.address_of(owner)
            if address is not None:
                self.node.world.send(address, pack("plain", number, *question))
        self.node.leaders.later(PLAIN_NS, missed)

    def floor(self, _partition: int) -> int:
        """Nothing is ever purged here."""
        return 0

    def read_majority(self, partition: int, name: bytes, done: PlainDone) -> None:
        def read(known: bool, entry: PlainEntry | None) -> None:  # noqa: FBT001 - as `PlainDone` has it
            if not known or entry is None or entry.body == GONE:
                done(known, None)
            else:  # a majority must have it before anybody is told
                self.ask(partition, ["store", name, list(entry)], lambda kept, _newest: done(kept, entry))

        self.ask(partition, ["read", name], read)

    def on_question(self, source: Address, number: int, verb: str, name: bytes, *rest: Any) -> None:  # noqa: ANN401 - unpacked
        """An owner is asked."""
        me = self.node.world.identity.node

        def tell() -> None:
            entry = self.there(name)
            told = None if entry is None else list(entry)
            self.node.world.send(source, pack("told", number, me, told))

        if verb == "read":
            tell()
        else:
            self.store(name, PlainEntry(*rest[0]), tell)


class EagerPurger(Purger):
    """Forgets whatever may be forgotten at once, so that it is in the way of everything else."""

    age_ms: ClassVar[int] = 0
    look_ns: ClassVar[int] = 15 * NS_PER_MS


class EagerLeaders(Leaders):
    """Leaders as they are, of nodes that forget eagerly."""

    purger_class: ClassVar[type[Purger]] = EagerPurger


class LockNode:
    """One node. Wrong versions of it have other classes of parts."""

    leaders_class: ClassVar[type[Leaders]] = EagerLeaders

    def __init__(self, world: World, mayor: Address, puts: set[tuple[Address, int]] | None = None) -> None:
        self.world = world
        self.mayor = mayor
        self.storage: Storage = WatchedStorage(world, world.storage("consensus"))
        self.addresses: dict[NodeId, Address] = {}
        self.bus = Bus(world, self)
        self.plain = PlainPlane(self)
        #: Plain puts that were coordinated. They outlive processes: a connection, and with it a frame that
        #: comes late or twice, ends with the process that it leads to.
        self.puts: set[tuple[Address, int]] = set() if puts is None else puts
        self.shown: dict[bytes, int] = {}
        self.leaders = self.leaders_class(
            world, self.storage, self, self.bus, self.plain,
            stamp=Stamps(world).next, apply=self.apply, hear_mark=self.hear_mark,
        )  # fmt: skip
        try:
            raw = self.storage.get(DECREE)
            if raw is not None:
                self._go_by(raw)
        except StoreDamagedError as error:
            world.halt(str(error))
        self._hello()

    def address_of(self, node: NodeId) -> Address | None:
        return self.addresses.get(node)

    def apply(self, chosen: list[Chosen], then: Callable[[], None]) -> None:
        """What readers of this node see: an absent key stays absent when its record is forgotten."""
        waiting = [name for _, name, record in chosen if record.token and record.body is None]

        def stored() -> None:
            waiting.pop()
            if not waiting:
                then()

        gone = list(waiting)
        for _, name, record in chosen:
            self.shown[name] = max(record.token, self.shown.get(name, 0))
            if name in gone:
                self.plain.store(name, PlainEntry(record.token, GONE), stored)
        if not gone:
            then()

    def hear_mark(self, _node: NodeId, _mark: Mark) -> None:
        """The ring comes from the mayor here."""

    def validate(self) -> None:
        """What must always hold."""
        self.leaders.validate()

    def _hello(self) -> None:
        self.world.call_after(HELLO_NS, self._hello)
        view = self.leaders.view
        epoch = 0 if view is None else view.epoch
        settled = self.leaders.settled_partitions()
        self.world.send(self.mayor, pack("hello", self.world.identity.node, epoch, settled))

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.on_frame(source, datagram)

    def on_frame(self, source: Address, frame: bytes) -> None:
        try:
            parts = unpack(frame)
            if parts is None:
                self._on_message(source, frame)
            else:
                self._on_parts(source, *parts)
        except StoreDamagedError as error:
            self.world.halt(str(error))

    def _on_message(self, source: Address, frame: bytes) -> None:
        try:
            message = decode(frame)
        except ProtocolError as error:
            raise AssertionError(str(error)) from error
        if isinstance(message, Greet):
            self.leaders.desk.on_greet(source, message)
        elif isinstance(message, Act):
            self.leaders.desk.on_act(source, message)
        elif isinstance(message, Clear):
            self.leaders.desk.on_clear(source, message)
        elif isinstance(message, Reply):
            self.bus.hear(source, message)
        else:
            self.leaders.on_message(message)

    def _on_parts(self, source: Address, kind: str, *rest: Any) -> None:  # noqa: ANN401 - unpacked
        if kind == "decree":
            self._on_decree(*rest)
        elif kind == "plain":
            self.plain.on_question(source, *rest)
        elif kind == "told":
            number, node, told = rest
            answered = self.plain.open.get(number)
            if answered is not None:
                answered(NodeId(node), None if told is None else PlainEntry(*told))
        elif kind == "put":
            self._on_put(source, *rest)

    def _on_put(self, source: Address, number: int, dict_id: bytes, key: bytes, body: bytes) -> None:
        """A client's plain put: any node coordinates it, once."""
        view = self.leaders.view
        if view is None or (source, number) in self.puts:
            return  # a double of a request would be a second write, which may be popped as well
        self.puts.add((source, number))
        partition = partition_of(dict_seed(dict_id), key, view.decree.partitions)
        name = dict_id + key
        there = self.plain.there(name)
        version = self.leaders.stamp(0 if there is None else there.version)

        def done(kept: bool, _newest: PlainEntry | None) -> None:  # noqa: FBT001 - as `PlainDone` has it
            if kept:
                self.world.send(source, pack("put", number))

        self.plain.ask(partition, ["store", name, [version, body]], done)

    def _on_decree(self, raw: bytes) -> None:
        view = self.leaders.view
        if view is None or is_newer(view.decree, decode_decree(raw)):
            self.storage.commit({DECREE: raw}, self._kept)
            self._go_by(raw)

    def _kept(self, error: Error | None) -> None:
        """A decree that is not on disk comes again."""

    def _go_by(self, raw: bytes) -> None:
        decree = decode_decree(raw)
        self.addresses = {NodeId(one.member_id): Address(one.address) for one in decree.members}
        self.leaders.set_view(RingView(decree, self.world.identity.node))


MAYOR_TURN_NS = NS_PER_S // 4
"""Between two looks of whoever decides the ring."""
