"""The plain plane of a real node: what plain puts made of a key, as its replica and those of the other owners
have it.

Rules of this file:
1. An entry that an atomic operation left is the shadow of a record, and no plain value: but where no record
   is (it was written by an embedded store), it counts as one.
2. What cannot be seen (deleted, expired) is absent; stamps are given above it all the same.
3. Of a damaged entry nobody knows: another owner has it whole, or a put-if-absent is refused. Whoever has it
   damaged does not count for one who has nothing, unless there is no other owner.
4. A majority has the newest value before anybody is told of it: those who answered with less get it.
"""

from __future__ import annotations

from collections.abc import Callable

from xxhash import xxh3_64_intdigest

from ...exception import Error
from ...ring.partition import dict_seed
from ..config import RETRY_DELAY_S
from ..network.bus import Bus
from ..network.message import Reason, Refused, Reply
from ..network.peermessage import Applied, AskRows, Replicate, Rows
from ..replicas.rank import beats
from ..replicas.replica import Replica
from ..replicas.stamper import Stamper
from ..ringview import RingView
from ..store import layout
from ..store.entry import DamagedEntryError, body_of, decode, whole_key
from ..store.layout import DICT_ID_BYTES, KEY_SPACE, PARTITION_NAMES
from ..store.table import VALUELESS
from ..store.transaction import DictGoneError
from ..world import NS_PER_S, NodeId, World
from .leaderconfig import PLAIN_READ_S
from .plain import PlainDone, PlainEntry

READ_NS = int(PLAIN_READ_S * NS_PER_S)
RETRY_NS = int(RETRY_DELAY_S * NS_PER_S)
NOTHING = b""
"""In place of an entry: there is none."""


class PlainPlane:
    """One node's. `heard` is told of a node that goes by another ring. None is known before `set_view`."""

    def __init__(
        self,
        world: World,
        bus: Bus,
        replica: Replica,
        stamper: Stamper,
        heard: Callable[[NodeId, tuple[int, bytes]], None],
    ) -> None:
        self._world = world
        self._bus = bus
        self._replica = replica
        self._stamper = stamper
        self._heard = heard
        self._me = world.identity.node
        self.view: RingView | None = None
        #: Told of places of which owners that were read from do not have the same.
        self.on_differ: Callable[[bytes], None] = lambda _: None

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self.view = view

    def peek(self, partition: int, name: bytes) -> PlainEntry | None:
        """What this node has."""
        if not is_shown(name):
            return None
        place = place_of(partition, name)
        raw = self._replica.storage.get(place)
        return None if raw is None else self._judge(place, raw)

    def floor(self, partition: int) -> int:
        """The highest version here."""
        highest = self._replica.highest(partition)
        return self._replica.marks.refused(partition) if highest is None else highest

    def read_majority(self, partition: int, name: bytes, done: PlainDone) -> None:
        """What a majority has, once a majority has it."""
        view = self.view
        if not is_shown(name):
            done(True, None)
        elif view is None:
            done(False, None)
        else:
            _Reading(self, view, partition, name, done).begin()

    def _judge(self, place: bytes, raw: bytes) -> PlainEntry | None:
        """What is to be seen of an entry."""
        dict_id = place[:DICT_ID_BYTES]
        key = whole_key(raw) or place[layout.PREFIX_BYTES :]
        try:
            entry = decode(raw, xxh3_64_intdigest(key, dict_seed(dict_id)))
            cleared_at = self._replica.cleared_at(dict_id)
        except DamagedEntryError:
            return PlainEntry(self._stamper.stamp_at_once(0), NOTHING)
        except DictGoneError:
            return None
        self._stamper.see(entry.version)
        expired = 0 < entry.expires_ms <= self._stamper.now_ms()
        if entry.flags & VALUELESS or expired:
            return None
        if entry.version <= cleared_at and self._replica.clearances.covers(place, entry.version, cleared_at):
            return None
        return PlainEntry(entry.version, body_of(raw))


class _Reading:
    """One key, read from a majority of its owners."""

    def __init__(
        self, plane: PlainPlane, view: RingView, partition: int, name: bytes, done: PlainDone
    ) -> None:
        self._plane = plane
        self._view = view
        self._place = place_of(partition, name)
        self._owners = view.owners(partition)
        self._done = done
        self._until_ns = plane._world.now_ns() + READ_NS
        #: What each owner that has answered has.
        self._told: dict[NodeId, bytes] = {}
        #: Who has the newest entry, once it is known.
        self._have: list[NodeId] | None = None
        self._newest = NOTHING
        self._given: list[NodeId] = []
        self._over = False

    def begin(self) -> None:
        """Ask all."""
        plane = self._plane
        for node in self._owners:
            if node == plane._me:
                self._tell_own(node)
            else:
                self._ask(node)
        self._judge()
        plane._world.call_after(READ_NS, self._give_up)

    def _tell_own(self, node: NodeId) -> None:
        """What this node has; nothing is told of an entry that is damaged, or too large to travel."""
        replica = self._plane._replica
        mine = replica.rows([self._place])
        if mine or len(self._owners) == 1 or replica.storage.get(self._place) is None:
            self._told[node] = mine[0][1] if mine else NOTHING

    def _give_up(self) -> None:
        if not self._over:
            self._over = True
            self._done(False, None)

    def _ask(self, node: NodeId) -> None:
        plane, question = self._plane, AskRows(0, self._view.mark, [self._place])

        def answered(reply: Reply | None) -> None:
            if isinstance(reply, Rows):
                found = [raw for place, raw in reply.rows if place == self._place]
                if not found or not plane._replica.fault_of(self._place, found[0]):
                    self._hear(node, found[0] if found else NOTHING)
            else:
                self._again(node, reply, lambda: self._ask(node))

        plane._bus.ask(node, question, answered, READ_NS)

    def _hear(self, node: NodeId, raw: bytes) -> None:
        self._told[node] = raw
        if self._have is None:
            self._judge()
        elif raw == self._newest:
            self._has(node)
        else:
            self._mend()

    def _again(self, node: NodeId, reply: Reply | None, call: Callable[[], None]) -> None:
        """Somebody goes by another ring for the moment, or did not answer: ask once more, while there is
        time."""
        plane = self._plane
        if isinstance(reply, Refused) and reply.reason in (Reason.BEHIND, Reason.WRONG_EPOCH):
            plane._heard(node, reply.mark)
        if not self._over and plane._world.now_ns() + RETRY_NS < self._until_ns:
            plane._world.call_after(RETRY_NS, lambda: None if self._over else call())

    def _judge(self) -> None:
        """Go on, if a majority has answered."""
        if self._over or self._have is not None or 2 * len(self._told) <= len(self._owners):
            return
        for raw in self._told.values():
            if raw and (not self._newest or beats(raw, self._newest)):
                self._newest = raw
        self._have = [node for node, raw in self._told.items() if raw == self._newest]
        if len(self._have) < len(self._told):
            self._plane.on_differ(self._place)
        if self._newest:
            self._mend()
        self._finish()

    def _mend(self) -> None:
        """Let those have it who answered, and have less."""
        assert self._have is not None
        if 2 * len(self._have) > len(self._owners):
            return
        for node in self._told:
            if node not in self._have and node not in self._given:
                self._given.append(node)
                self._give(node)

    def _give(self, node: NodeId) -> None:
        plane, rows = self._plane, [(self._place, self._newest)]

        def applied(error: Error | None, _newer: int) -> None:
            if error is None:
                self._has(node)

        def answered(reply: Reply | None) -> None:
            if isinstance(reply, Applied):
                self._has(node)
            else:
                self._again(node, reply, lambda: self._give(node))

        if node == plane._me:
            plane._replica.apply(rows, applied)
        else:
            plane._bus.ask(node, Replicate(0, self._view.mark, rows), answered, READ_NS)

    def _has(self, node: NodeId) -> None:
        assert self._have is not None
        if node not in self._have:
            self._have.append(node)
            self._finish()

    def _finish(self) -> None:
        """Tell it, if a majority has it."""
        assert self._have is not None
        if not self._over and 2 * len(self._have) > len(self._owners):
            self._over = True
            entry = self._plane._judge(self._place, self._newest) if self._newest else None
            self._done(True, entry)


def is_shown(name: bytes) -> bool:
    """Whether what stands under a name is an entry that readers see: locks are not, nor the catalogue."""
    return name[DICT_ID_BYTES:][:1] >= KEY_SPACE and name >= layout.FIRST_DICT


def place_of(partition: int, name: bytes) -> bytes:
    """Where the entry of a name stands."""
    return name[:DICT_ID_BYTES] + PARTITION_NAMES[partition] + name[DICT_ID_BYTES:]
