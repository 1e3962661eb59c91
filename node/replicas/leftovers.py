"""What stands on a node of partitions that others keep now: handed over, then removed.

Rules of this file:
1. A partition is handed over to each of its owners, one after the other: all that one lacks is pushed to it.
   An owner that cannot be reached is waited for, however long.
2. It is removed once every owner was found to have it, in the present ring, and once the decree names this
   node in no row of the partition: owners, those who are to be, former ones that may know something.
3. It is removed in bounded steps, its mark first: who owns it again begins with nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from ..config import LEFTOVER_LOOKS_MAX
from ..network.bus import Bus
from ..network.message import Mark
from ..ringview import RingView
from ..world import NodeId, World
from .comparison import Comparison
from .listener import Listener
from .pacing import Pacing
from .replica import Replica
from .stretch import partition_rows


class Leftovers:
    """One node's leftovers. None before `set_view`."""

    def __init__(
        self,
        world: World,
        replica: Replica,
        bus: Bus,
        heard: Callable[[NodeId, Mark], None],
        pacing: Pacing,
    ) -> None:
        self._world = world
        self._pacing = pacing
        self._replica = replica
        self._bus = bus
        self._heard = heard
        self._view: RingView | None = None
        #: Partitions with something in them that others keep; the owners that still have to be compared with.
        self._owners: dict[int, list[NodeId]] = {}
        self._look_at = 0
        self._talk: Comparison | None = None
        #: Whether a step of removing is on its way to disk.
        self._wiping = False
        self.pushed_count = 0
        self.wiped_count = 0

    @property
    def count(self) -> int:
        """In how many partitions there is something left, as far as was looked."""
        return len(self._owners)

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring: begin anew."""
        if self._talk is not None:
            self.pushed_count += self._talk.pushed_count
            self._talk.stop()
            self._talk = None
        self._view = view
        self._owners.clear()
        self._look_at = 0

    def tick(self) -> None:
        """Look on, and hand over or remove one."""
        view = self._view
        if view is None:
            return
        for _ in range(LEFTOVER_LOOKS_MAX):
            if self._look_at < view.decree.partitions:
                self._look(view, self._look_at)
                self._look_at += 1
        if self._talk is not None or self._wiping:
            return
        for partition, owners in self._owners.items():
            if not owners and not self._is_remembered(view, partition):
                self._wipe(view, partition)
                return
            for node in owners:
                if self._bus.routable(node):
                    self._hand_over(view, partition, node)
                    return

    def _look(self, view: RingView, partition: int) -> None:
        if not view.keeps(partition) and partition_rows(self._replica.storage, partition, b"", 1)[0]:
            self._owners[partition] = list(view.owners(partition))

    @staticmethod
    def _is_remembered(view: RingView, partition: int) -> bool:
        """Whether the decree still names this node among former owners."""
        return view.me is not None and any(view.me in one for one in view.decree.former[partition])

    def _hand_over(self, view: RingView, partition: int, node: NodeId) -> None:
        def ended(whole: bool) -> None:  # noqa: FBT001 - as `Listener` has it
            self._talk = None
            self.pushed_count += talk.pushed_count
            owners = self._owners.get(partition, [])
            if node in owners:
                owners.remove(node)
                if not whole:
                    owners.append(node)

        talk = self._talk = Comparison(
            self._world,
            self._bus,
            self._replica,
            node,
            view.mark,
            [partition],
            Listener(lambda _: None, lambda _: None, lambda: None, self._heard, ended),
            pulls=False,
            pacing=self._pacing,
        )
        talk.begin(whole=False)

    def _wipe(self, view: RingView, partition: int) -> None:
        """Remove one stretch, and the next one as soon as that is done."""
        if self._view is not view:
            self._wiping = False
            return
        self._wiping = True

        def done(whole: bool) -> None:  # noqa: FBT001 - as `Replica.wipe` has it
            self._wiping = False
            if self._view is not view:
                return
            if whole:
                del self._owners[partition]
                self.wiped_count += 1
                self._world.trace("wiped", partition=partition)
            else:
                self._world.call_after(0, lambda: self._wipe(view, partition))

        self._replica.wipe(partition, done)
