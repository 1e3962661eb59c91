"""Making replicas equal again, whatever was lost on the way: when to compare, and with whom.

Rules of this file:
1. Every node that keeps something with this one is compared with: at once in a new ring, after a start and
   when it is back; then every few seconds.
2. A new ring begins anew: what was equal under an older one has to be found equal again, by answers under
   this one.
3. An owner that has been silent for `OWNER_SILENCE_S` is not waited for; whoever is waited for is tried again
   and again, so silence is never a lack of questions.
4. What stands here of partitions that others keep now is handed over to their owners. It is not removed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ..config import (
    COMPARISON_INTERVAL_S,
    COMPARISON_RETRY_S_MAX,
    COMPARISON_RETRY_S_MIN,
    COMPARISON_TICK_S,
    COMPARISONS_MAX,
    LEFTOVER_LOOKS_MAX,
    OWNER_SILENCE_S,
)
from ..network.bus import Bus
from ..network.message import Mark
from ..ringview import RingView
from ..store.layout import PARTITION_NAMES
from ..world import NS_PER_S, NodeId, World
from .comparison import Comparison, Listener
from .replica import Replica
from .stretch import partition_rows

INTERVAL_NS = int(COMPARISON_INTERVAL_S * NS_PER_S)
RETRY_NS_MIN = int(COMPARISON_RETRY_S_MIN * NS_PER_S)
RETRY_NS_MAX = int(COMPARISON_RETRY_S_MAX * NS_PER_S)
TICK_NS = int(COMPARISON_TICK_S * NS_PER_S)
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
    leftover_partitions: int
    """Of which something stands here, though others keep them now."""


class _Peer:
    """What is known of one other node that keeps something with this one, in the present ring."""

    __slots__ = ("due_ns", "equal_ns", "merged", "retry_ns", "shared", "silent_ns", "talk")

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
        self._pulled_count = 0
        self._pushed_count = 0
        self._dice = world.dice("convergence")
        #: Partitions with something in them that others keep; the owners that still have to be compared with.
        self._leftovers: dict[int, list[NodeId]] = {}
        self._look_at = len(PARTITION_NAMES)
        self._handing_over: Comparison | None = None
        world.call_after(TICK_NS, self._tick)

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
        self._leftovers.clear()
        self._look_at = 0
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
            self._pulled_count,
            self._pushed_count,
            len(self._leftovers),
        )

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
            self._fit[partition] = not self._tail_lost or self._caught_up(view, partition, alone=True)
        self._unfit = [partition for partition in self._unfit if not self._fit[partition]]

    # -- when, and with whom --------------------------------------------------------------------------

    def _tick(self) -> None:
        self._world.call_after(TICK_NS, self._tick)
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
        self._hand_over(self._view)

    def _begin(self, view: RingView, node: NodeId, peer: _Peer) -> None:
        peer.talk = Comparison(
            self._world,
            self._bus,
            self._replica,
            node,
            view.mark,
            peer.shared,
            Listener(peer.merged.add, peer.speaks, self._heard, partial(self._ended, peer)),
            pulls=True,
        )
        peer.talk.begin(whole=True)

    def _ended(self, peer: _Peer, whole: bool) -> None:  # noqa: FBT001 - as `Ended` has it
        now_ns, talk = self._world.now_ns(), peer.talk
        assert talk is not None
        peer.talk = None
        self._pulled_count += talk.pulled_count
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
        talks = [peer.talk for peer in self._peers.values()]
        for talk in [*talks, self._handing_over]:
            if talk is not None:
                self._pulled_count += talk.pulled_count
                self._pushed_count += talk.pushed_count
                talk.stop()
        self._handing_over = None

    # -- handing over ---------------------------------------------------------------------------------

    def _hand_over(self, view: RingView) -> None:
        """Look on for what others keep now, and bring it to one of its owners."""
        for _ in range(LEFTOVER_LOOKS_MAX):
            if self._look_at < view.decree.partitions:
                self._look_for_leftovers(view, self._look_at)
                self._look_at += 1
        if self._handing_over is not None:
            return
        for partition, owners in self._leftovers.items():
            for node in owners:
                if self._bus.routable(node):
                    self._hand_over_to(view, partition, node)
                    return

    def _look_for_leftovers(self, view: RingView, partition: int) -> None:
        if not view.keeps(partition) and partition_rows(self._replica.storage, partition, b"", 1)[0]:
            self._leftovers[partition] = list(view.owners(partition))

    def _hand_over_to(self, view: RingView, partition: int, node: NodeId) -> None:
        def ended(whole: bool) -> None:  # noqa: FBT001 - as `Ended` has it
            self._handing_over = None
            self._pushed_count += talk.pushed_count
            owners = self._leftovers.get(partition, [])
            if node in owners:
                owners.remove(node)
                if not whole:
                    owners.append(node)

        talk = self._handing_over = Comparison(
            self._world,
            self._bus,
            self._replica,
            node,
            view.mark,
            [partition],
            Listener(lambda _: None, lambda: None, self._heard, ended),
            pulls=False,
        )
        talk.begin(whole=False)
