"""Writes for nodes that could not be reached: kept on disk, delivered when they are back.

Rules of this file:
1. A hint is an entry and for whom. Of two for one node and key the one that beats the other is kept.
2. It is kept until the node it is for has acknowledged it. Delivering it again changes nothing.
3. Hints go to nodes that keep the entry's partition in the present ring. One for a node that does not any
   more goes to those who do, this node included.
4. One delivery a node is under way at a time, in order of keys; who does not answer is asked less and for
   less. What cannot be delivered now, though the node answers, is left behind until the next time round: it
   keeps nothing else from being delivered.
5. They are bounded for each node in bytes, and in age where this node keeps the entry itself: the comparison
   of partitions delivers that. Where it does not, the hint may be all that is left of an acknowledged write:
   then it is refused rather than dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...exception import Error, StoreDamagedError, StoreFullError
from ..beat import until_beat_ns
from ..config import (
    HINT_AGE_S_MAX,
    HINT_BYTES_MAX,
    HINT_PAUSE_S,
    HINT_RETRY_S_MAX,
    HINT_RETRY_S_MIN,
    HINT_ROWS_MAX,
    HINT_TICK_S,
    HINT_TIMEOUT_S,
    HINTS_BYTES_MAX,
    SCAN_ROWS_MAX,
    SCAN_ROWS_MIN,
)
from ..network.bus import Bus
from ..network.message import Mark, Reason, Refused, Reply
from ..network.peermessage import Applied, Replicate
from ..ringview import RingView
from ..world import NS_PER_MS, NS_PER_S, Changes, NodeId, Storage, World
from .rank import beats
from .replica import Replica
from .stretch import Row, partition_at, scan

Stored = Callable[[Error | None], None]
"""Told that hints are on disk, or why not."""

NODE_BYTES = 16
CREATED_BYTES = 8
TICK_NS = int(HINT_TICK_S * NS_PER_S)
PAUSE_NS = int(HINT_PAUSE_S * NS_PER_S)
TIMEOUT_NS = int(HINT_TIMEOUT_S * NS_PER_S)
RETRY_NS_MIN = int(HINT_RETRY_S_MIN * NS_PER_S)
RETRY_NS_MAX = int(HINT_RETRY_S_MAX * NS_PER_S)
ODD = (Reason.INVALID, Reason.NOT_OWNER, Reason.TOO_LARGE)
"""Why a node would not take one hint, and others perhaps all the same."""
AGE_MS_MAX = HINT_AGE_S_MAX * 1_000


class _Stream:
    """What waits for one node."""

    __slots__ = ("after", "busy", "bytes", "count", "due_ns", "retry_ns", "rows_max")

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        #: The key of the last hint that was looked at in this round; empty: none yet.
        self.after = b""
        #: Whether a delivery is under way.
        self.busy = False
        self.due_ns = 0
        self.retry_ns = RETRY_NS_MIN
        self.rows_max = HINT_ROWS_MAX


class Hints:
    """One node's hints. Delivers nothing until `set_view`. `heard(node, mark)` is told of a node that goes by
    another ring."""

    def __init__(
        self,
        world: World,
        storage: Storage,
        bus: Bus,
        replica: Replica,
        heard: Callable[[NodeId, Mark], None],
    ) -> None:
        self._world = world
        self._storage = storage
        self._bus = bus
        self._replica = replica
        self._heard = heard
        self._view: RingView | None = None
        self._streams: dict[NodeId, _Stream] = {}
        #: Hints not taken, for want of room; and dropped, for age or damage.
        self.refused_count = 0
        self.dropped_count = 0
        #: How often one was left behind, since the node that it is for would not have it.
        self.stuck_count = 0
        self._count_all()
        world.call_after(until_beat_ns(world, TICK_NS), self._tick)

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self._view = view

    @property
    def count(self) -> int:
        """How many hints wait."""
        return sum(stream.count for stream in self._streams.values())

    @property
    def size_bytes(self) -> int:
        """How large they are."""
        return sum(stream.bytes for stream in self._streams.values())

    def waiting(self) -> dict[NodeId, tuple[int, int]]:
        """For each node that something waits for: how many hints, how many bytes."""
        return {node: (each.count, each.bytes) for node, each in self._streams.items() if each.count}

    # -- taking ---------------------------------------------------------------------------------------

    def add(self, node: NodeId, rows: Sequence[Row], done: Stored) -> None:
        """Keep entries for a node. `done` is called later: with StoreFullError nothing of it is kept."""
        stream = self._streams.setdefault(node, _Stream())
        created = (self._world.wall_ns() // NS_PER_MS).to_bytes(CREATED_BYTES, "big")
        changes: Changes = {}
        for place, raw in rows:
            standing = self._value(node + place, changes)
            if standing is None or beats(raw, standing[CREATED_BYTES:]):
                changes[node + place] = created + raw
        count, size_bytes = self._growth(changes)
        if stream.bytes + size_bytes > HINTS_BYTES_MAX:
            self.refused_count += len(rows)
            error = StoreFullError(f"hints for node {node.hex()} have reached {HINTS_BYTES_MAX} bytes")
            self._world.call_after(0, lambda: done(error))
            return
        stream.count += count
        stream.bytes += size_bytes
        self._storage.commit(changes, lambda error: self._stored(error, done))

    def _value(self, key: bytes, changes: Changes) -> bytes | None:
        return changes[key] if key in changes else self._get(key)

    def _get(self, key: bytes) -> bytes | None:
        """A hint; empty if it is damaged."""
        try:
            return self._storage.get(key)
        except StoreDamagedError:
            return b""

    def _growth(self, changes: Changes) -> tuple[int, int]:
        """By how many hints, and bytes, changes make a stream grow."""
        count = size_bytes = 0
        for key, value in changes.items():
            before = self._get(key)
            count += (value is not None) - (before is not None)
            size_bytes += _size(key, value) - _size(key, before)
        return count, size_bytes

    def _stored(self, error: Error | None, done: Stored) -> None:
        if error is not None and not isinstance(error, StoreFullError):
            self._world.halt(f"the hints: {error}")
            return
        if error is not None:
            self._count_all()
        done(error)

    def _count_all(self) -> None:
        """Find what is there: after a start, or when the disk took something back."""
        for stream in self._streams.values():
            stream.count = stream.bytes = 0
        first = b"\0"
        while rows := scan(self._storage, first, b"\xff" * (NODE_BYTES + 1), SCAN_ROWS_MAX):
            for key, value in rows:
                stream = self._streams.setdefault(NodeId(key[:NODE_BYTES]), _Stream())
                stream.count += 1
                stream.bytes += _size(key, value)
            first = rows[-1][0] + b"\0"

    # -- delivering -------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._world.call_after(until_beat_ns(self._world, TICK_NS), self._tick)
        if self._view is None:
            return
        now_ns = self._world.now_ns()
        for node in sorted(self._streams):
            stream = self._streams[node]
            if stream.count and not stream.busy and stream.due_ns <= now_ns:
                self._deliver(node, stream)

    def _deliver(self, node: NodeId, stream: _Stream) -> None:
        """One delivery, of the first hints in the order of keys."""
        view = self._view
        assert view is not None
        found = self._first(node, stream.after, stream.rows_max)
        last = b""
        rows: list[Row] = []
        size_bytes = 0
        for key, value in found:
            place, raw = key[NODE_BYTES:], value[CREATED_BYTES:]
            if self._replica.fault_of(place, raw) or self._is_old(view, place, value):
                self.dropped_count += 1
                self._forget([(key, value)])
            elif node not in view.writers(partition_at(place)):
                self._redirect(view, key, value)
            elif not rows or size_bytes + len(raw) <= HINT_BYTES_MAX:
                rows.append((place, raw))
                size_bytes += len(raw)
            else:
                break
            last = key
        if not rows and last:
            self._pass_over(node, stream, last)
        elif not rows:  # the round is over; what was left behind is tried again later
            stream.after = b""
            stream.due_ns = self._world.now_ns() + RETRY_NS_MAX
        if not rows:
            return
        stream.busy = True
        values = dict(found)
        sent = [(node + place, values[node + place]) for place, _ in rows]
        self._bus.ask(
            node,
            Replicate(0, view.mark, rows),
            lambda reply: self._answered(node, stream, sent, last, reply),
            TIMEOUT_NS,
        )

    def _pass_over(self, node: NodeId, stream: _Stream, last: bytes) -> None:
        """Go on behind that hint."""
        stream.after = last
        self._world.call_after(PAUSE_NS, lambda: self._go_on(node, stream))

    def _first(self, node: NodeId, after: bytes, count_max: int) -> list[Row]:
        """The first hints for a node behind another one, of not much more bytes than one delivery has."""
        found: list[Row] = []
        size_bytes = 0
        first = (after or node) + b"\0"
        while len(found) < count_max and size_bytes < HINT_BYTES_MAX:
            count = min(SCAN_ROWS_MIN, count_max - len(found))
            rows = scan(self._storage, first, node + b"\xff" * (NODE_BYTES + 1), count)
            found += rows
            size_bytes += sum([len(value) for _, value in rows])
            if len(rows) < count:
                break
            first = rows[-1][0] + b"\0"
        return found

    def _answered(
        self, node: NodeId, stream: _Stream, sent: Sequence[Row], last: bytes, reply: Reply | None
    ) -> None:
        stream.busy = False
        now_ns = self._world.now_ns()
        if isinstance(reply, Refused) and reply.reason in ODD:  # one of them; which one is found by halving
            stream.rows_max = max(len(sent) // 2, 1)
            self.stuck_count += len(sent) == 1
            self._pass_over(node, stream, last if len(sent) == 1 else stream.after)
            return
        if isinstance(reply, Applied):
            stream.after = last
            stream.retry_ns = RETRY_NS_MIN
            stream.rows_max = min(stream.rows_max * 2, HINT_ROWS_MAX)
            self._forget(sent)
            self._world.call_after(PAUSE_NS, lambda: self._go_on(node, stream))
            return
        stream.due_ns = now_ns + stream.retry_ns
        stream.retry_ns = min(stream.retry_ns * 2, RETRY_NS_MAX)
        if isinstance(reply, Refused):
            self._heard(node, reply.mark)
        else:
            stream.rows_max = max(stream.rows_max // 2, 1)

    def _go_on(self, node: NodeId, stream: _Stream) -> None:
        if stream.count and not stream.busy and stream.due_ns <= self._world.now_ns():
            self._deliver(node, stream)

    def _forget(self, hints: Sequence[Row]) -> None:
        """Remove hints, those aside that were replaced meanwhile."""
        changes: Changes = {key: None for key, value in hints if self._get(key) == value}
        for key in changes:
            stream = self._streams[NodeId(key[:NODE_BYTES])]
            stream.count -= 1
            stream.bytes -= _size(key, self._get(key))
        self._storage.commit(changes, lambda error: self._stored(error, lambda _: None))

    def _is_old(self, view: RingView, place: bytes, value: bytes) -> bool:
        age_ms = self._world.wall_ns() // NS_PER_MS - int.from_bytes(value[:CREATED_BYTES], "big")
        if age_ms <= AGE_MS_MAX or not view.keeps(partition_at(place)):
            return False
        standing = self._replica.rows([place])  # it may keep the partition, and not have got this entry yet
        return bool(standing) and not beats(value[CREATED_BYTES:], standing[0][1])

    def _redirect(self, view: RingView, key: bytes, value: bytes) -> None:
        """A hint for a node that does not keep the partition any more: to those who do."""
        row = key[NODE_BYTES:], value[CREATED_BYTES:]
        me = self._world.identity.node
        keepers = view.writers(partition_at(row[0]))
        left = len(keepers)

        def done(error: Error | None) -> None:
            nonlocal left
            left -= error is None
            if not left:
                self._forget([(key, value)])

        for node in keepers:
            if node == me:
                self._replica.apply([row], lambda error, _: done(error))
            else:
                self.add(node, [row], done)


def _size(key: bytes, value: bytes | None) -> int:
    return 0 if value is None else len(key) + len(value)
