"""A node that has epochs and nothing else: rumours in place of gossip, a span of time in place of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import ormsgpack

from ..exception import Error
from ..node.epochs.epochs import Epochs
from ..node.epochs.mover import Mover
from ..node.network.bus import Bus
from ..node.network.message import Reply, Request
from ..node.network.wire import decode
from ..node.ringview import NO_MARK, RingView
from ..node.world import NS_PER_MS, Address, NodeId, World
from ..ring.member import Member, MemberState

RUMOUR_NS = 200 * NS_PER_MS
RUMOUR_COUNT = 2
"""So many others are told by each node in each round who it is and which ring it goes by."""

DATA_NS_MAX = 200 * NS_PER_MS
"""A pending owner has a partition's data at the latest after this."""

AWAY_NS = 1_000 * NS_PER_MS
"""A node that is out of the ring asks to be let in again after this."""


class Place(Protocol):
    """What nodes of one scenario share: what an operator would know and do."""

    @property
    def nodes(self) -> Sequence[Address]:
        """The addresses of all nodes."""
        ...

    partitions: int
    replicas: int

    def founds(self, address: Address, /) -> bytes:
        """The id of the cluster that this node is to found; empty: none."""
        ...

    def founded(self, address: Address, /) -> None:
        """It is founded."""
        ...

    def saw(self, world: World, view: RingView, /) -> None:
        """A node goes by that ring."""
        ...


class QuickMover(Mover):
    """In a hurry: a run is short, and a ring of one or two members has little to show."""

    interval_s = 0.15
    patience_s = 0.5
    stall_s = 5.0


class QuickEpochs(Epochs):
    """Epochs with a mover in a hurry."""

    mover_class = QuickMover


class EpochNode:
    """One node."""

    epochs_class: type[Epochs] = QuickEpochs

    def __init__(self, world: World, place: Place) -> None:
        self.world = world
        self.place = place
        self.me = world.identity.node
        self.dice = world.dice("rumours")
        self.addresses: dict[NodeId, Address] = {}
        self.bus = Bus(world, self)
        self.since_ns: dict[int, int] = {}
        self.epochs = self.epochs_class(
            world,
            world.storage("consensus"),
            self.bus,
            self.changed,
            ready=self.has_data,
            settled=lambda _partition: True,
        )
        self.handlers = self.epochs.handlers()
        self.epochs.start()
        self.recall()
        self.begin()
        self.world.call_after(self.dice.randrange(RUMOUR_NS), self.spread)

    def recall(self) -> None:
        """Tell those who look on how it voted before it was started, as its disk says."""
        view = self.epochs.view
        if view is not None:
            vote = self.epochs.recall_vote(view.epoch + 1)
            if vote is not None:
                self.world.trace(
                    "recalled", node=self.me, epoch=vote.epoch, promised=vote.promised, accepted=vote.accepted
                )

    def begin(self) -> None:
        """Found a cluster, or join one, or go on."""
        member = Member(self.me, MemberState.ACTIVE, address=self.world.identity.address)
        cluster_id = self.place.founds(self.world.identity.address)
        if self.epochs.view is not None:
            self.place.founded(self.world.identity.address)
            return
        if cluster_id:

            def done(error: Error | None) -> None:
                if error is None:
                    self.place.founded(self.world.identity.address)
                else:
                    self.world.halt(str(error))

            self.epochs.found(cluster_id, member, self.place.partitions, self.place.replicas, done)
        else:
            self.join()

    def join(self) -> None:
        """Ask to be let in."""
        member = Member(self.me, MemberState.JOINING, address=self.world.identity.address)
        self.epochs.request_join(member, lambda: sorted(self.addresses))

    # -- the ring ----------------------------------------------------------------------------------

    def changed(self, view: RingView) -> None:
        """The ring is another."""
        self.place.saw(self.world, view)
        if view.me is None:
            self.world.call_after(AWAY_NS, self.join)

    def has_data(self, partition: int) -> bool:
        """Whether it had time enough to take a partition over."""
        now_ns = self.world.now_ns()
        due_ns = self.since_ns.setdefault(partition, now_ns + self.dice.randrange(DATA_NS_MAX))
        if now_ns < due_ns:
            return False
        del self.since_ns[partition]
        return True

    def address_of(self, node: NodeId) -> Address | None:
        """Where rumour says that a node is, or the ring."""
        address = self.addresses.get(node)
        if address is None and self.epochs.view is not None:
            decree = self.epochs.view.decree
            number = decree.number_of(node)
            address = None if number is None else Address(decree.members[number].address)
        return address

    # -- messages ----------------------------------------------------------------------------------

    def spread(self) -> None:
        """Say who this is, to some."""
        mark = NO_MARK if self.epochs.view is None else self.epochs.view.mark
        rumour = ormsgpack.packb((self.me, mark))
        for address in self.dice.sample(self.place.nodes, RUMOUR_COUNT):
            self.world.send_datagram(address, rumour)
        self.world.call_after(RUMOUR_NS, self.spread)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        node, (epoch, digest) = ormsgpack.unpackb(datagram)
        self.addresses[NodeId(node)] = source
        self.epochs.hear_mark(NodeId(node), (epoch, digest))

    def on_frame(self, source: Address, frame: bytes) -> None:
        message = decode(frame)
        if isinstance(message, Reply):
            self.bus.hear(source, message)
        elif isinstance(message, Request):
            self.handlers[type(message)](source, message)

    def validate(self) -> None:
        """Assert what must always hold."""
        self.epochs.validate()
        self.bus.validate()
