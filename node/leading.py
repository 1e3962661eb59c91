"""A node's part in leading partitions, wired to its replica, its clock and its lines."""

from __future__ import annotations

from collections.abc import Callable

from ..exception import Error
from .keeping import Keeping
from .leaders.admittance import Admittance
from .leaders.inheritance import Inheritance
from .leaders.leader import Leaders
from .leaders.plane import PlainPlane
from .leaders.showing import Showing
from .network.leadermessage import Act, Clear, Greet, Wait
from .network.message import Mark, Message, Request
from .replicas.replicadesk import Handler
from .replicas.service import Presence
from .ringview import RingView
from .world import Address, NodeId, Storage, World


class Leading:
    """One node's. `decisions` is its always synced storage; `heard` is told which ring a node goes by.

    The classes of its parts are named here, so that the simulator can put wrong ones in their place.
    """

    leaders_class = Leaders
    plane_class = PlainPlane
    showing_class = Showing

    def __init__(
        self,
        world: World,
        decisions: Storage,
        keeping: Keeping,
        presence: Presence,
        heard: Callable[[NodeId, Mark], None],
    ) -> None:
        self._world, self._decisions, self._keeping = world, decisions, keeping
        self._presence = presence
        stamper = keeping.stamper
        self._plane = self.plane_class(world, keeping.bus, keeping.replica, stamper, heard)
        self._plane.on_differ = keeping.repair.doubt_place
        self.leaders = self.leaders_class(
            world,
            decisions,
            presence,
            keeping.bus,
            self._plane,
            stamp=stamper.stamp_at_once,
            apply=self.showing_class(world, keeping.replica, stamper).show,
            hear_mark=heard,
            door=Admittance(keeping.admission),
        )
        keeping.on_statement = self._on_statement
        keeping.add_handlers(self._handlers())

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self._plane.set_view(view)
        self.leaders.set_view(view)

    def inherit(self, partitions: int, done: Callable[[Error | None], None]) -> None:
        """Take over what an embedded store left in this node's folder; for who founds a cluster, before."""
        keeping = self._keeping
        now_ms = keeping.stamper.now_ms
        Inheritance(self._world, self._decisions, keeping.entries, now_ms, partitions, done).begin()

    def is_settled(self, partition: int) -> bool:
        """Whether this node leads a partition, and its present replicas know all that former ones may."""
        view, leadership = self.leaders.view, self.leaders.leaderships.get(partition)
        if view is None or leadership is None or leadership.open:
            return False
        return leadership.ballot.since == view.decree.since[partition]

    def _on_statement(self, source: Address, message: Message) -> None:
        """Only who says it of itself, from where it is known to be, is listened to."""
        node: bytes = getattr(message, "node", b"")
        if node and self._presence.address_of(NodeId(node)) == source:
            self.leaders.on_message(message)

    def _handlers(self) -> dict[type[Request], Handler]:
        desk = self.leaders.desk

        def on_greet(source: Address, request: Request) -> None:
            assert isinstance(request, Greet)
            desk.on_greet(source, request)

        def on_act(source: Address, request: Request) -> None:
            assert isinstance(request, Act)
            desk.on_act(source, request)

        def on_clear(source: Address, request: Request) -> None:
            assert isinstance(request, Clear)
            desk.on_clear(source, request)

        def on_wait(source: Address, request: Request) -> None:
            assert isinstance(request, Wait)
            desk.on_wait(source, request)

        return {Greet: on_greet, Act: on_act, Clear: on_clear, Wait: on_wait}

    def validate(self) -> None:
        """Assert what must always hold."""
        self.leaders.validate()
