"""What the writes of one node share: its clock, its replica, its way to the others, what is under way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


class _Batch:
    __slots__ = ("places", "versions")

    def __init__(self, places: Sequence[bytes]) -> None:
        self.places = frozenset(places)
        self.versions: dict[int, None] = {}


class OwnStamps:
    """The stamps that this node has given to keys whose writes are under way: whoever is told that one of
    them is newer was overtaken by a write of the same time.

    A write is known by its places, the very object; a batch is kept whole.
    """

    def __init__(self) -> None:
        self._keys: dict[bytes, _Own] = {}
        self._batches: dict[int, _Batch] = {}

    def began(self, places: Sequence[bytes]) -> None:
        """A write of these keys is under way."""
        if len(places) == 1:
            self._keys.setdefault(places[0], _Own()).open += 1
        else:
            self._batches[id(places)] = _Batch(places)

    def stamped(self, places: Sequence[bytes], version: int) -> None:
        """It got a stamp."""
        own = self._keys[places[0]] if len(places) == 1 else self._batches[id(places)]
        own.versions[version] = None
        if len(own.versions) > STAMPS_KEPT_MAX:
            del own.versions[next(iter(own.versions))]

    def is_ours(self, place: bytes, version: int) -> bool:
        """Whether a write that overlaps with one under way got that stamp."""
        own = self._keys.get(place)
        if own is not None and version in own.versions:
            return True
        return any(version in batch.versions and place in batch.places for batch in self._batches.values())

    def ended(self, places: Sequence[bytes]) -> None:
        """It is over."""
        if len(places) > 1:
            batch = self._batches.pop(id(places))
            for place, own in self._keys.items():  # single writes that it overlapped with
                if place in batch.places:
                    own.versions.update(batch.versions)
            return
        own = self._keys[places[0]]
        own.open -= 1
        if not own.open:
            del self._keys[places[0]]

    def __len__(self) -> int:
        return len(self._keys) + len(self._batches)


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
