"""The walk from a table to the next: who sees to it that pending partitions flip once they are ready.

Rules of this file:
1. Any voter may flip: what was found ready in an epoch is proposed on top of that epoch or not at all. The
   senior voter does it. The others look after a while whether those above them live, and go on if none does,
   or if nothing has happened for long.
2. A partition is ready once its new owner has all data (`ready`), and knows of every old owner that it goes
   by an epoch in which the partition is pending: until then an old owner may take a write that it sends to
   old owners only. A member that was removed is not waited for: that is what its removal says.
3. All that became ready in an interval flips in one epoch.
4. A row that gets no new owner is ready at once.
5. Former sets are dropped where an owner says that they are settled (`settled`). A partition with as many as
   there may be flips no further until then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...ring.config import FORMER_SETS_MAX
from ...ring.decree import Decree
from ...ring.member import MemberState
from ...ring.table import Move, moves
from ..config import EPOCH_STEP_S, FLIP_INTERVAL_S, FLIP_PATIENCE_S, FLIP_STALL_S
from ..network.bus import Bus
from ..network.message import Mark, Reply
from ..network.peermessage import AskDecree, AskReady, Ready, TellDecree
from ..ringview import RingView
from ..world import NS_PER_S, NodeId, Timer, World
from .changes import Changes, Flip


def bits_of(numbers: list[int], count: int) -> bytes:
    """Bit n of byte n // 8, from the lowest, set for each of these numbers below `count`."""
    bits = bytearray((count + 7) // 8)
    for number in numbers:
        bits[number // 8] |= 1 << number % 8
    return bytes(bits)


def numbers_of(bits: bytes) -> list[int]:
    """The numbers whose bits are set."""
    return [number for number in range(8 * len(bits)) if bits[number // 8] >> number % 8 & 1]


class Mover:
    """One node's part in the walk: it answers what is ready here, and flips if it is its turn."""

    interval_s = FLIP_INTERVAL_S
    patience_s = FLIP_PATIENCE_S
    stall_s = FLIP_STALL_S

    def __init__(
        self,
        world: World,
        bus: Bus,
        changes: Changes,
        ready: Callable[[int], bool],
        settled: Callable[[int], bool],
    ) -> None:
        self._world = world
        self._bus = bus
        self._changes = changes
        self._ready = ready
        self._settled = settled
        self._dice = world.dice("mover")
        self._view: RingView | None = None
        #: What is pending, and for each such partition since which epoch, as far as this node saw.
        self._moves: list[Move] = []
        self._since: dict[int, int] = {}
        #: The newest epoch that each member was heard to go by.
        self._heard: dict[NodeId, int] = {}
        self._timer: Timer | None = None
        self._turned_ns = 0
        self._looked_ns = 0
        self._found: set[int] = set()
        self._found_settled: set[int] = set()
        self._waits_for: set[NodeId] = set()

    # -- the ring ----------------------------------------------------------------------------------

    def turned(self, view: RingView) -> None:
        """The node goes by another ring."""
        before, self._view = self._view, view
        self._moves = [] if view.decree.pending is None else moves(view.decree.table, view.decree.pending)
        self._since = _pending_since(before, view, self._since)
        self._heard = {node: epoch for node, epoch in self._heard.items() if node in view.members}
        self._turned_ns = self._looked_ns = self._world.now_ns()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wait()

    def hear(self, node: NodeId, mark: Mark) -> None:
        """A node goes by that ring."""
        if self._view is not None and node in self._view.members:
            self._heard[node] = max(mark[0], self._heard.get(node, 0))

    def owners_behind(self, partition: int) -> list[NodeId]:
        """Old owners of a pending partition that may not know yet that it is."""
        view = self._view
        found = [move for move in self._moves if move.partition == partition]
        return [] if view is None else [node for move in found for node in self._owners_behind(view, move)]

    # -- answering ---------------------------------------------------------------------------------

    def on_ask_ready(self, asked: AskReady) -> Ready:
        """Which partitions could flip to this node; old owners that were not heard of are asked meanwhile."""
        view = self._view
        assert view is not None
        ready: list[int] = []
        unheard: set[NodeId] = set()
        for move in self._moves:
            if view.me is None or view.me not in move.added:
                continue
            behind = self._owners_behind(view, move)
            unheard.update(behind)
            if not behind and self._ready(move.partition):
                ready.append(move.partition)
        for node in sorted(unheard):
            self._ask_mark(view, node)
        settled = [number for number, sets in enumerate(view.decree.former) if sets and self._settled(number)]
        count = view.decree.partitions
        return Ready(asked.number, view.mark, bits_of(ready, count), bits_of(settled, count))

    def _owners_behind(self, view: RingView, move: Move) -> list[NodeId]:
        """Old owners that may not know yet that the partition is pending."""
        since = self._since[move.partition]
        return [
            view.members[number]
            for number in move.sources
            if number != view.me
            and view.decree.members[number].state not in (MemberState.REMOVED, MemberState.FORMER)
            and self._heard.get(view.members[number], 0) < since
        ]

    def _ask_mark(self, view: RingView, node: NodeId) -> None:
        def answered(reply: Reply | None) -> None:
            if isinstance(reply, TellDecree):
                self.hear(node, reply.mark)

        asked = AskDecree(0, self._world.identity.node, view.decree.cluster_id, view.mark)
        self._bus.ask(node, asked, answered, int(EPOCH_STEP_S * NS_PER_S))

    # -- whose turn it is --------------------------------------------------------------------------

    def _wait(self) -> None:
        view = self._view
        if view is None or self._timer is not None or not self._has_work(view.decree):
            return
        delay_s = self.interval_s * (0.75 + 0.5 * self._dice.random())
        self._timer = self._world.call_after(int(delay_s * NS_PER_S), self._look)

    def _has_work(self, decree: Decree) -> bool:
        return decree.pending is not None or any(decree.former)

    def _look(self) -> None:
        self._timer = None
        view = self._view
        if view is None or view.me is None or not view.decree.members[view.me].votes:
            return
        self._wait()
        if self._changes.busy:
            return
        rank = view.decree.voters().index(view.me)
        now_ns = self._world.now_ns()
        if rank == 0 or now_ns - self._turned_ns > rank * self.stall_s * NS_PER_S:
            self._gather(view)
        elif now_ns - self._looked_ns > rank * self.patience_s * NS_PER_S:
            self._looked_ns = now_ns
            self._ask_seniors(view, rank)

    def _ask_seniors(self, view: RingView, rank: int) -> None:
        """Go on if no voter above this one answers."""
        waiting = [view.members[number] for number in view.decree.voters()[:rank]]
        lives = False

        def answered(reply: Reply | None, node: NodeId) -> None:
            nonlocal lives
            waiting.remove(node)
            lives |= reply is not None
            if not waiting and not lives and self._view is view:
                self._looked_ns = 0
                self._gather(view)

        asked = AskDecree(0, self._world.identity.node, view.decree.cluster_id, view.mark)
        for node in list(waiting):
            self._bus.ask(node, asked, partial(answered, node=node), int(EPOCH_STEP_S * NS_PER_S))

    # -- flipping ----------------------------------------------------------------------------------

    def _gather(self, view: RingView) -> None:
        """Ask all pending owners what is ready, and all who may lead what is settled; flip it once they
        answered."""
        owners = {view.members[number] for move in self._moves for number in move.added}
        for partition, sets in enumerate(view.decree.former):
            owners.update(view.owners(partition) if sets else ())
        self._found_settled = set()
        self._found = {move.partition for move in self._moves if not move.added}
        if view.decree.pending is not None:
            self._found.update(_reordered(view.decree))
        self._waits_for = set(owners)
        me = self._world.identity.node
        asked = AskReady(0, me, view.mark)
        for node in sorted(owners):
            if node == me:
                self._on_ready(view, node, self.on_ask_ready(asked))
            else:
                heard = partial(self._on_ready, view, node)
                self._bus.ask(node, asked, heard, int(EPOCH_STEP_S * NS_PER_S))
        if not owners:
            self._flip(view)

    def _on_ready(self, view: RingView, node: NodeId, reply: Reply | None) -> None:
        if self._view is not view or node not in self._waits_for:
            return
        self._waits_for.discard(node)
        if isinstance(reply, Ready) and reply.mark == view.mark:
            told = set(numbers_of(reply.partitions))
            self._found_settled.update(numbers_of(reply.settled))
            self._found.update(
                move.partition
                for move in self._moves
                if move.partition in told and [view.members[number] for number in move.added] == [node]
            )
        if not self._waits_for:
            self._flip(view)

    def _flip(self, view: RingView) -> None:
        decree = view.decree
        settled = tuple(
            partition
            for partition, sets in enumerate(decree.former)
            if sets and partition in self._found_settled
        )
        blocked = {
            partition
            for partition in self._found
            if len(decree.former[partition]) >= FORMER_SETS_MAX and partition not in settled
        }
        ready = tuple(sorted(self._found - blocked))
        if ready or settled:
            self._changes.ask(Flip(view.epoch, ready, settled), lambda _reply: None)


def _reordered(decree: Decree) -> list[int]:
    """Partitions whose pending row differs from the present one in its order only."""
    assert decree.pending is not None
    rows = enumerate(zip(decree.table.rows(), decree.pending.rows(), strict=True))
    return [partition for partition, (now, then) in rows if now != then and sorted(now) == sorted(then)]


def _pending_since(before: RingView | None, view: RingView, since: dict[int, int]) -> dict[int, int]:
    """For each partition that is pending, the first epoch known in which it was, from and to the same."""
    found: dict[int, int] = {}
    for move in moves(view.decree.table, view.decree.pending) if view.decree.pending else []:
        partition = move.partition
        same = before is not None and _ways(before, partition) == _ways(view, partition)
        found[partition] = since.get(partition, view.epoch) if same else view.epoch
    return found


def _ways(view: RingView, partition: int) -> tuple[tuple[NodeId, ...], tuple[NodeId, ...]]:
    return view.owners(partition), view.writers(partition)
