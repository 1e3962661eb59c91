"""What the writes of one node share: its clock, its replica, its way to the others, what is under way."""

from __future__ import annotations

from collections.abc import Callable

from ..network.bus import Bus
from ..network.message import Mark
from ..ringview import RingView
from ..world import NodeId, World
from .hints import Hints
from .replica import Replica
from .stamper import Stamper
from .tenure import Tenures

STAMPS_KEPT_MAX = 256
"""Of one key, while writes of it overlap: a replica tells of one of the latest."""


class _Own:
    __slots__ = ("open", "versions")

    def __init__(self) -> None:
        self.open = 0
        self.versions: dict[int, None] = {}


class OwnStamps:
    """The stamps that this node has given to keys whose writes are under way: whoever is told that one of
    them is newer was overtaken by a write of the same time."""

    def __init__(self) -> None:
        self._keys: dict[bytes, _Own] = {}

    def began(self, place: bytes) -> None:
        """A write of that key is under way."""
        self._keys.setdefault(place, _Own()).open += 1

    def stamped(self, place: bytes, version: int) -> None:
        """One of them got a stamp."""
        versions = self._keys[place].versions
        versions[version] = None
        if len(versions) > STAMPS_KEPT_MAX:
            del versions[next(iter(versions))]

    def is_ours(self, place: bytes, version: int) -> bool:
        """Whether a write that overlaps with one under way got that stamp."""
        own = self._keys.get(place)
        return own is not None and version in own.versions

    def ended(self, place: bytes) -> None:
        """One write of that key is over."""
        own = self._keys[place]
        own.open -= 1
        if not own.open:
            del self._keys[place]

    def __len__(self) -> int:
        return len(self._keys)


class Writers:
    """One node's. `heard` is told of the ring that a node goes by, where it is another one; `serving` says
    whether this node is fit to answer for a partition."""

    def __init__(
        self,
        world: World,
        bus: Bus,
        replica: Replica,
        stamper: Stamper,
        hints: Hints,
        heard: Callable[[NodeId, Mark], None],
        serving: Callable[[int], bool],
    ) -> None:
        self.world = world
        self.bus = bus
        self.replica = replica
        self.stamper = stamper
        self.hints = hints
        self.heard = heard
        self.serving = serving
        self.tenures = Tenures(world, bus, replica)
        self.ours = OwnStamps()
        self.me = world.identity.node
        #: What breaks ties between equal versions of different nodes, in four bytes.
        self.number = int.from_bytes(self.me[:4], "big")
        self.restamps_count = 0
        self._view: RingView | None = None

    @property
    def view(self) -> RingView:
        """The ring that this node goes by. There is one: nobody writes before."""
        assert self._view is not None
        return self._view

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self._view = view
        self.tenures.set_view(view)

    def reaches(self, node: NodeId) -> bool:
        """Whether a write may be sent to that node, or applied by it."""
        return node == self.me or self.bus.routable(node)
