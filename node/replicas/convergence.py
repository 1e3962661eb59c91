"""Making replicas equal again, whatever was lost on the way: when to compare, and with whom.

Rules of this file:
1. Every node that keeps something with this one is compared with: at once in a new ring, after a start and
   when it is back; then every few seconds.
2. A new ring begins anew: what was equal under an older one has to be found equal again, by answers under
   this one.
3. An owner that has been silent for `OWNER_SILENCE_S` is not waited for; whoever is waited for is tried again
   and again, so silence is never a lack of questions.
4. A peer's answers say what time it is there: what a value's expiry is judged by, before the value is
   dropped for good, is the clock that is furthest behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from ...exception import StoreDamagedError
from ..beat import until_beat_ns
from ..config import (
    COMPARISON_INTERVAL_S,
    COMPARISON_RETRY_S_MAX,
    COMPARISON_RETRY_S_MIN,
    COMPARISON_TICK_S,
    COMPARISONS_MAX,
    MISSED_LOOK_S,
    MOVE_RATE_BYTES_S,
    OWNER_SILENCE_S,
)
from ..network.bus import Bus
from ..network.message import Mark, Reply
from ..network.peermessage import AskRows, Rows
from ..ringview import RingView
from ..store.layout import PARTITION_NAMES
from ..world import NS_PER_MS, NS_PER_S, NodeId, World
from .comparison import Comparison
from .leftovers import Leftovers
from .listener import Listener
from .pacing import Pacing
from .rank import beats
from .replica import Replica
from .stretch import partition_at

INTERVAL_NS = int(COMPARISON_INTERVAL_S * NS_PER_S)
RETRY_NS_MIN = int(COMPARISON_RETRY_S_MIN * NS_PER_S)
RETRY_NS_MAX = int(COMPARISON_RETRY_S_MAX * NS_PER_S)
TICK_NS = int(COMPARISON_TICK_S * NS_PER_S)
LOOK_NS = int(MISSED_LOOK_S * NS_PER_S)
SILENCE_NS = int(OWNER_SILENCE_S * NS_PER_S)


class ConvergenceStatus(NamedTuple):
    """For people."""

    waiting_partitions: int
    """That this node owns, and is not yet fit to serve."""
    unequal_partitions: dict[str, int]
    """For each peer, in hex: how many of those that we share were not found equal in this epoch yet."""
    ages_s: dict[str, float | None]
    """For each peer: since when everything was equal; None: never since this node started."""
    pulled_count: int
    """Entries that this node got from others by comparing."""
    pushed_count: int
    removed_count: int
    """Entries removed because others had purged them, or more that was as old."""
    lost_count: int
    """Those of them that were neither deleted nor expired: this node had kept them to itself for too long."""
    leftover_partitions: int
    """Of which something stands here, though others keep them now."""
    wiped_partitions: int
    """That were handed over, and then removed here."""


class _Peer:
    """What is known of one other node that keeps something with this one, in the present ring."""

    __slots__ = (
        "begun_ns", "due_ns", "equal_ns", "lead_ns", "merged", "retry_ns", "shared", "silent_ns", "talk"
    )  # fmt: skip

    def __init__(self, now_ns: int) -> None:
        self.shared: list[int] = []
        #: Found equal in this ring.
        self.merged: set[int] = set()
        self.due_ns = now_ns
        self.retry_ns = RETRY_NS_MIN
        #: Since when it has not answered; None: it has.
        self.silent_ns: int | None = now_ns
        #: When all of it was equal last.
        self.equal_ns: int | None = None
        self.talk: Comparison | None = None
        #: When the talk was begun.
        self.begun_ns = now_ns
        #: How far its wall clock is ahead of this node's monotonic clock; None: it has not said.
        self.lead_ns: int | None = None

    def speaks(self) -> None:
        """It answered."""
        self.silent_ns = None


class Convergence:
    """One node's comparisons. `heard(node, mark)` is told of a peer that goes by another ring.

    `tail_lost` says that entries which this node acknowledged may be missing (its host lost power, or its
    disk was replaced): then it serves a partition only after it has compared it with the other owners.
    """

    def __init__(
        self,
        world: World,
        replica: Replica,
        bus: Bus,
        heard: Callable[[NodeId, Mark], None],
        *,
        tail_lost: bool = False,
        rate_bytes_s: int = MOVE_RATE_BYTES_S,
    ) -> None:
        self._world = world
        self._replica = replica
        self._bus = bus
        self._heard = heard
        self._me = world.identity.node
        self._view: RingView | None = None
        self._peers: dict[NodeId, _Peer] = {}
        self._tail_lost = tail_lost
        #: Of each partition, whether this node owns it and is fit to serve it; those that it only owns.
        self._fit = bytearray(len(PARTITION_NAMES))
        self._unfit: list[int] = []
        #: Of which something could not be stored here: others are to be asked; they have it.
        self._looking: set[int] = set()
        self._missed: set[int] = set()
        self._counts: Counter[str] = Counter()
        self._dice = world.dice("convergence")
        self._pacing = Pacing(world, rate_bytes_s)
        self._leftovers = Leftovers(world, replica, bus, heard, self._pacing)
        #: Told of each partition of which all that a peer had is here: peer, partition, when the talk began.
        self.on_merged: Callable[[NodeId, int, int], None] = _nobody
        world.call_after(until_beat_ns(world, TICK_NS), self._tick)

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        now_ns = self._world.now_ns()
        self._stop_all()
        self._view = view
        old, self._peers = self._peers, {}
        for node in view.members:
            shared = view.shared_with(node) if node != self._me else []
            if shared:
                peer = self._peers[node] = _Peer(now_ns)
                peer.shared = shared
                if node in old:
                    peer.silent_ns, peer.equal_ns = old[node].silent_ns, old[node].equal_ns
                    peer.lead_ns = old[node].lead_ns
        self._leftovers.set_view(view)
        self._judge_all(view)

    # -- questions ----------------------------------------------------------------------------------

    def serving(self, partition: int) -> bool:
        """Whether this node owns a partition and is fit to answer for it."""
        return bool(self._fit[partition])

    def equal(self, partition: int) -> bool:
        """Whether this node has, in the present ring, compared a partition that it keeps with every other
        owner that can be reached, and holds all that they held. A flip waits for it."""
        view = self._view
        return view is not None and view.keeps(partition) and self._caught_up(view, partition, alone=False)

    def awaited(self, partition: int) -> list[NodeId]:
        """The other owners of a partition that this node has still to be compared with."""
        view = self._view
        owners = [] if view is None else view.owners(partition)
        return [
            node
            for node in owners
            if node != self._me and not self._is_silent(node) and partition not in self._peers[node].merged
        ]

    def moved(self) -> tuple[int, int]:
        """Entries that this node got from others by comparing; bytes that it moved, to others included."""
        talks = [peer.talk.pulled_count for peer in self._peers.values() if peer.talk is not None]
        return self._counts["pulled"] + sum(talks), self._pacing.moved_bytes

    def status(self) -> ConvergenceStatus:
        """How far it is."""
        now_ns = self._world.now_ns()
        peers = sorted(self._peers.items())
        return ConvergenceStatus(
            len(self._unfit),
            {node.hex(): len(peer.shared) - len(peer.merged) for node, peer in peers},
            {
                node.hex(): None if peer.equal_ns is None else (now_ns - peer.equal_ns) / NS_PER_S
                for node, peer in peers
            },
            self._counts["pulled"],
            self._leftovers.pushed_count,
            self._counts["removed"],
            self._counts["lost"],
            self._leftovers.count,
            self._leftovers.wiped_count,
        )

    def silence_ns(self, node: NodeId) -> int:
        """For how long a node that keeps something with this one has not answered; 0: it does."""
        peer = self._peers.get(node)
        if peer is None or peer.silent_ns is None:
            return 0
        return self._world.now_ns() - peer.silent_ns

    def agreed_ms(self) -> int | None:
        """What time it is for whoever is furthest behind of this node and those that it compares with; None
        if none of them answers."""
        now_ns = self._world.now_ns()
        leads = [
            peer.lead_ns
            for node, peer in self._peers.items()
            if peer.lead_ns is not None and not self._is_silent(node)
        ]
        if self._peers and not leads:
            return None
        theirs_ms = [(now_ns + lead_ns) // NS_PER_MS for lead_ns in leads]
        return min([self._replica.now_ms(), *theirs_ms])

    def _caught_up(self, view: RingView, partition: int, *, alone: bool) -> bool:
        """Whether it is compared with all other owners that can be reached. `alone`: what to say if there are
        others and none of them can be reached."""
        others = [node for node in view.owners(partition) if node != self._me]
        waited = [node for node in others if not self._is_silent(node)]
        if any(partition not in self._peers[node].merged for node in waited):
            return False
        return bool(waited) or alone or not others

    def _is_silent(self, node: NodeId) -> bool:
        peer = self._peers.get(node)
        if peer is None:
            return True
        return peer.silent_ns is not None and self._world.now_ns() - peer.silent_ns >= SILENCE_NS

    def _judge_all(self, view: RingView) -> None:
        """What this node is fit to serve in a new ring: once fit, always fit, as long as it owns it."""
        owned = set(view.owned())
        for partition in range(view.decree.partitions):
            self._fit[partition] = self._fit[partition] and partition in owned
        self._unfit = [partition for partition in sorted(owned) if not self._fit[partition]]
        self._judge()

    def _judge(self) -> None:
        """Look again at those that it was not fit for."""
        view = self._view
        if view is None or not self._unfit:
            return
        for partition in self._unfit:
            lacks = self._tail_lost or partition in self._missed
            self._fit[partition] = not lacks or self._caught_up(view, partition, alone=True)
            if self._fit[partition]:
                self._missed.discard(partition)
        self._unfit = [partition for partition in self._unfit if not self._fit[partition]]

    # -- without room -----------------------------------------------------------------------------------

    def miss(self, places: Sequence[bytes]) -> None:
        """This node had no room for something at these places: look whether another owner had."""
        for place in places:
            partition = partition_at(place)
            if self._fit[partition] and partition not in self._looking:
                self._looking.add(partition)
                self._world.call_after(LOOK_NS, partial(self._look_elsewhere, partition, place))

    def _look_elsewhere(self, partition: int, place: bytes) -> None:
        self._looking.discard(partition)
        view = self._view
        for node in () if view is None else view.owners(partition):
            if view is not None and node in self._peers and self._bus.routable(node):
                question = AskRows(0, view.mark, [place])
                self._bus.ask(node, question, partial(self._told_elsewhere, partition, place), LOOK_NS)

    def _told_elsewhere(self, partition: int, place: bytes, reply: Reply | None) -> None:
        """Where another owner has something newer, this node is fit to be read once it has compared anew."""
        try:
            standing = self._replica.storage.get(place)
        except StoreDamagedError:
            standing = None
        rows = reply.rows if isinstance(reply, Rows) else []
        newer = any(at == place and (standing is None or beats(raw, standing)) for at, raw in rows)
        if not newer or not self._fit[partition]:
            return
        now_ns = self._world.now_ns()
        for peer in self._peers.values():
            if peer.talk is not None:  # it may have begun before
                self._count(peer.talk)
                peer.talk.stop()
                peer.talk = None
            peer.merged.discard(partition)
            peer.due_ns = now_ns
        self._missed.add(partition)
        self._fit[partition] = False
        self._unfit.append(partition)

    # -- when, and with whom --------------------------------------------------------------------------

    def _tick(self) -> None:
        self._world.call_after(until_beat_ns(self._world, TICK_NS), self._tick)
        if self._view is None:
            return
        now_ns = self._world.now_ns()
        self._judge()
        busy = sum(peer.talk is not None for peer in self._peers.values())
        due = [
            (peer.due_ns, node)
            for node, peer in self._peers.items()
            if peer.talk is None and peer.due_ns <= now_ns
        ]
        for _, node in sorted(due)[: COMPARISONS_MAX - busy]:
            self._begin(self._view, node, self._peers[node])
        self._leftovers.tick()

    def _begin(self, view: RingView, node: NodeId, peer: _Peer) -> None:
        begun_ns = peer.begun_ns = self._world.now_ns()

        def merged(partition: int) -> None:
            peer.merged.add(partition)
            if talk.is_whole:
                self.on_merged(node, partition, begun_ns)

        def told_time(now_ms: int) -> None:
            peer.lead_ns = now_ms * NS_PER_MS - self._world.now_ns()

        talk = peer.talk = Comparison(
            self._world,
            self._bus,
            self._replica,
            node,
            view.mark,
            peer.shared,
            Listener(merged, told_time, peer.speaks, self._heard, partial(self._ended, peer)),
            pulls=True,
            pacing=self._pacing,
        )
        talk.begin(whole=True)

    def _ended(self, peer: _Peer, whole: bool) -> None:  # noqa: FBT001 - as `Ended` has it
        now_ns, talk = self._world.now_ns(), peer.talk
        assert talk is not None
        peer.talk = None
        self._count(talk)
        if whole:
            peer.equal_ns = now_ns
            peer.retry_ns = RETRY_NS_MIN
            peer.due_ns = now_ns + INTERVAL_NS // 2 + self._dice.randrange(INTERVAL_NS // 2)
        else:
            peer.due_ns = now_ns + peer.retry_ns
            peer.retry_ns = min(peer.retry_ns * 2, RETRY_NS_MAX)
            if peer.silent_ns is None and talk.unanswered:
                peer.silent_ns = now_ns
        self._judge()

    def _stop_all(self) -> None:
        for peer in self._peers.values():
            if peer.talk is not None:
                self._count(peer.talk)
                peer.talk.stop()

    def _count(self, talk: Comparison) -> None:
        self._counts["pulled"] += talk.pulled_count
        self._counts["removed"] += talk.removed_count
        self._counts["lost"] += talk.lost_count


def _nobody(_node: NodeId, _partition: int, _begun_ns: int) -> None:
    """Nobody is told."""
