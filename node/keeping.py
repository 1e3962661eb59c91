"""All of a node that deals with entries: its parts, wired to each other. node.py adds who is there and which
ring it is.
"""

from __future__ import annotations

from collections.abc import Callable

from ..exception import ProtocolError
from .beat import until_beat_ns
from .config import MOVE_RATE_BYTES_S, PROBE_INTERVAL_S, PROBE_TIMEOUT_S
from .disk.durability import Durability
from .network.bus import Bus
from .network.message import Mark, Message, Reply, Request
from .network.peermessage import AskFloor
from .network.wire import decode, kinds
from .replicas.admission import Admission
from .replicas.convergence import Convergence
from .replicas.coordinator import Coordinator
from .replicas.ephemerals import Ephemerals
from .replicas.hints import Hints
from .replicas.nameexchange import NameExchange
from .replicas.names import Names
from .replicas.purge import Purger
from .replicas.readrepair import ReadRepair
from .replicas.replica import Replica
from .replicas.replicadesk import Handler, ReplicaDesk
from .replicas.scrub import Scrubber
from .replicas.service import Presence, Service
from .replicas.stamper import Stamper
from .replicas.writers import Writers
from .ringview import RingView
from .served.heritage import last_stamp
from .world import NS_PER_S, Address, NodeId, Storage, World

PROBE_NS = int(PROBE_INTERVAL_S * NS_PER_S)
PROBE_TIMEOUT_NS = int(PROBE_TIMEOUT_S * NS_PER_S)

_MARKED = frozenset(kind for kind in kinds() if "mark" in kind.__struct_fields__)
"""Kinds of messages that say which ring their sender goes by. Clients' questions do not."""


class Keeping:
    """One node's entries and all that is asked about them. In no ring until `set_view`.

    The classes of some parts are named here, so that the simulator can put wrong ones in their place.

    Args:
        decisions: the storage in which the node's clock reserves; always synced.
        presence: who is there.
        heard: told of a node that goes by another ring, and which.
        behind: told of an epoch that a client goes by and this node does not know.
        status: what to answer about this node, as JSON.
        tail_lost: entries that this node acknowledged may be missing.
        move_rate_bytes_s: how fast entries are moved; 0: as fast as it goes.
    """

    stamper_class = Stamper
    hints_class = Hints
    desk_class = ReplicaDesk
    admission_class = Admission
    coordinator_class = Coordinator
    convergence_class = Convergence
    purger_class = Purger
    repair_class = ReadRepair
    service_class = Service

    def __init__(  # noqa: PLR0913 - each is one thing that only the whole node knows
        self,
        world: World,
        decisions: Storage,
        presence: Presence,
        *,
        durability: Durability,
        value_bytes_max: int,
        heard: Callable[[NodeId, Mark], None],
        behind: Callable[[int], None],
        status: Callable[[], bytes],
        tail_lost: bool = False,
        move_rate_bytes_s: int = MOVE_RATE_BYTES_S,
    ) -> None:
        self._world = world
        self._heard = heard
        self.bus = bus = Bus(world, presence)
        self._presence = presence
        self.entries = entries = world.storage("entries", durability)
        self.stamper = self.stamper_class(world, decisions, last_stamp(entries))
        self.replica = replica = Replica(world, entries, self.stamper.now_ms)
        self.desk = self.desk_class(bus, presence, replica)
        self.names = Names(world, entries, replica)
        self.exchange = NameExchange(world, bus, self.names, self.desk)
        self.hints = self.hints_class(world, world.storage("hints", durability), bus, replica, heard)
        self.convergence = self.convergence_class(
            world, replica, bus, heard, tail_lost=tail_lost, rate_bytes_s=move_rate_bytes_s
        )
        self.purger = self.purger_class(world, replica, bus, self.desk, self.convergence, heard)
        self.repair = self.repair_class(world, replica, bus)
        self.scrubber = Scrubber(world, replica, self.repair.doubt_place)
        replica.on_missed = self.convergence.miss
        self.admission = self.admission_class(bus, replica, self.exchange, behind, value_bytes_max)
        serving = self.convergence.serving
        self.writers = Writers(world, bus, replica, self.stamper, self.hints, heard, serving)
        self.coordinator = self.coordinator_class(self.writers, self.admission)
        self.service = self.service_class(
            bus,
            replica,
            self.names,
            self.exchange,
            self.admission,
            presence,
            self.repair,
            serving=serving,
            status=status,
        )
        self.ephemerals = Ephemerals(world, bus, self.names, self.exchange, self.desk)
        self.service.beaten = self.ephemerals.beaten
        self.view: RingView | None = None
        #: Who gets what is neither a question nor an answer, with where it came from.
        self.on_statement: Callable[[Address, Message], None] = _nobody_listens
        #: Frames that were no message.
        self.strange_count = 0
        self._handlers: dict[type[Request], Handler] = {}
        for part in (self.desk, self.purger, self.exchange, self.ephemerals, self.coordinator, self.service):
            self.add_handlers(part.handlers())
        world.call_after(until_beat_ns(world, PROBE_NS), self._probe)

    def add_handlers(self, handlers: dict[type[Request], Handler]) -> None:
        """Let a part answer its kinds of requests."""
        assert not self._handlers.keys() & handlers.keys()
        self._handlers.update(handlers)

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self.view = view
        if view.decree.recoveries:
            self.stamper.raise_floor(view.decree.recoveries[-1].floor)
        self.replica.set_partitions(view.decree.partitions)
        self.admission.set_view(view)
        self.desk.set_view(view)
        self.service.set_view(view)
        self.exchange.set_view(view)
        self.ephemerals.set_view(view)
        self.hints.set_view(view)
        self.convergence.set_view(view)
        self.repair.set_view(view)
        self.scrubber.set_view(view)
        self.purger.set_view(view)
        self.coordinator.set_view(view)  # last: it begins anew what is under way

    def on_message(self, source: Address, frame: bytes) -> None:
        """A frame came that begins like a message."""
        try:
            message = decode(frame)
        except ProtocolError:
            self.strange_count += 1
            return
        if isinstance(message, Reply):
            self.bus.hear(source, message)
            return
        if not isinstance(message, Request):
            self.on_statement(source, message)
            return
        mark: Mark | None = getattr(message, "mark") if type(message) in _MARKED else None  # noqa: B009 - not of all
        if mark is not None and self.view is not None and mark != self.view.mark:
            node = self.desk.member_at(source)
            if node is not None:
                self._heard(node, mark)
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(source, message)

    def _probe(self) -> None:
        """Try the peers that were taken for unreachable, so that no write has to."""
        self._world.call_after(until_beat_ns(self._world, PROBE_NS), self._probe)
        view = self.view
        if view is None:
            return
        for node in view.members:
            lost = node != self._world.identity.node and not self.bus.routable(node)
            if lost and self._presence.address_of(node) is not None:
                self.bus.ask(node, AskFloor(0, view.mark, []), lambda _: None, PROBE_TIMEOUT_NS)

    def validate(self) -> None:
        """Assert what must always hold."""
        self.bus.validate()
        self.coordinator.validate()


def _nobody_listens(_source: Address, _message: Message) -> None:
    """Of a node that takes no part in leading."""
