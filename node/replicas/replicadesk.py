"""What a node answers other nodes about its entries.

Rules of this file:
1. Both sides go by the same ring, or nothing happens and whoever is behind is told so.
2. Entries are taken from nodes alone, whole, in their places, and only for partitions that this node keeps.
   A node that the ring does not name any more may still have what nobody else has: it is heard like a member,
   if it goes by the present ring.
3. An answer that says "applied" is sent when it is so, as durable as this node's setting says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ...exception import Error
from ..config import FRAME_ROWS_MAX, PLACES_ROWS_MAX, STORAGE_KEY_BYTES_MAX
from ..network.bus import Bus, Directory
from ..network.message import Natural, Reason, Refused, Reply, Request
from ..network.peermessage import (
    Applied,
    AskFloor,
    AskFronts,
    AskPiece,
    AskPlaces,
    AskRoot,
    AskRows,
    AskSums,
    Floor,
    Fronts,
    Piece,
    Places,
    Replicate,
    Root,
    Rows,
    Sums,
)
from ..ringview import NO_MARK, RingView
from ..store.layout import DICT_ID_BYTES, PARTITION_NAMES, PREFIX_BYTES
from ..world import Address, NodeId
from .glance import front_at, piece_at
from .place import check
from .replica import Replica
from .tally import SUM_BYTES

Handler = Callable[[Address, Request], None]


class Neighbours(Directory, Protocol):
    """Which nodes there are, members of the ring or not."""

    def node_at(self, address: Address, /) -> NodeId | None:
        """Which node was heard of at an address last; None: none was."""
        ...


class ReplicaDesk:
    """One node's answers about its entries. In no ring until `set_view`."""

    def __init__(self, bus: Bus, directory: Neighbours, replica: Replica) -> None:
        self._bus = bus
        self._directory = directory
        self._replica = replica
        self._view: RingView | None = None
        #: The names of the partitions that are kept here.
        self._kept: frozenset[bytes] = frozenset()
        self._sources: dict[Address, NodeId] = {}
        #: What each member that asked keeps with this node.
        self._shared: dict[NodeId, list[int]] = {}

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self._view = view
        self._kept = frozenset(
            PARTITION_NAMES[partition] for partition in range(view.decree.partitions) if view.keeps(partition)
        )
        self._sources.clear()
        self._shared.clear()

    def handlers(self) -> dict[type[Request], Handler]:
        """What is answered here."""
        return {
            Replicate: self._on_replicate,
            AskFloor: self._on_ask_floor,
            AskRoot: self._on_ask_root,
            AskSums: self._on_ask_sums,
            AskPlaces: self._on_ask_places,
            AskRows: self._on_ask_rows,
            AskFronts: self._on_ask_fronts,
            AskPiece: self._on_ask_piece,
        }

    def member_at(self, source: Address) -> NodeId | None:
        """Which member of the ring an address is, if any."""
        if self._view is None:
            return None
        address_of = self._directory.address_of
        known = self._sources.get(source)
        if known is not None and address_of(known) == source:
            return known
        for node in self._view.members:
            if address_of(node) == source:
                self._sources[source] = node
                return node
        return None

    def node_at(self, source: Address) -> NodeId | None:
        """Which node an address is, if any."""
        return self.member_at(source) or self._directory.node_at(source)

    def keeps(self, place: bytes) -> bool:
        """Whether this node is to have what stands at a place."""
        return place[DICT_ID_BYTES:PREFIX_BYTES] in self._kept

    # -- handlers -----------------------------------------------------------------------------------

    def _on_replicate(self, source: Address, request: Request) -> None:
        assert isinstance(request, Replicate)
        if not self.admits(source, request, request.mark):
            return
        fault, partitions = check(request.rows, self._replica.partitions - 1)
        if fault:
            self._refuse(source, request, Reason.INVALID, fault)
            return
        if not partitions <= self._kept:
            self._refuse(source, request, Reason.NOT_OWNER, "not kept here")
            return
        number = request.number

        def applied(error: Error | None, newer: int) -> None:
            if error is None:
                self._bus.tell(source, Applied(number, newer))
            else:
                self._refuse(source, request, Reason.STORE_FULL, str(error))

        self._replica.apply(request.rows, applied)

    def _on_ask_floor(self, source: Address, request: Request) -> None:
        assert isinstance(request, AskFloor)
        partitions = request.partitions
        if self.admits(source, request, request.mark, partitions):
            self._replica.ready(partitions, lambda: self._tell_floor(source, request))

    def _tell_floor(self, source: Address, request: AskFloor) -> None:
        versions = [self._replica.highest(partition) for partition in request.partitions]
        self._bus.tell(source, Floor(request.number, [version or 0 for version in versions]))

    def _on_ask_root(self, source: Address, request: Request) -> None:
        assert isinstance(request, AskRoot)
        if not self.admits(source, request, request.mark):
            return
        node, view = self.node_at(source), self._view
        assert node is not None
        assert view is not None
        shared = self._shared.get(node)
        if shared is None:
            shared = self._shared[node] = view.shared_with(node)
        root = self._replica.root(shared)
        if root is None:
            self._add_up(source, request, shared)
        else:
            now_ms = self._replica.now_ms()
            self._bus.tell(source, Root(request.number, root.to_bytes(SUM_BYTES, "big"), now_ms))

    def _on_ask_sums(self, source: Address, request: Request) -> None:
        assert isinstance(request, AskSums)
        if not self.admits(source, request, request.mark, request.partitions):
            return
        sums = self._replica.sums(request.partitions)
        if sums is None:
            self._add_up(source, request, request.partitions)
        else:
            marks = [self._replica.sound_mark(partition) for partition in request.partitions]
            self._bus.tell(source, Sums(request.number, sums, marks))

    def _add_up(self, source: Address, request: Request, partitions: Sequence[int]) -> None:
        """The answer is not known yet: say so, and find it meanwhile."""
        self._refuse(source, request, Reason.NOT_SERVING, "still adding up")
        self._replica.prepare(partitions)

    def _on_ask_places(self, source: Address, request: Request) -> None:
        assert isinstance(request, AskPlaces)
        if self.admits(source, request, request.mark, [request.partition]):
            if len(request.start) > STORAGE_KEY_BYTES_MAX:
                self._refuse(source, request, Reason.INVALID, "no such place")
                return
            rows, next_ = self._replica.places(request.partition, request.start, PLACES_ROWS_MAX)
            mark = self._replica.marks.get(request.partition)
            self._bus.tell(source, Places(request.number, rows, next_, mark))

    def _on_ask_rows(self, source: Address, request: Request) -> None:
        assert isinstance(request, AskRows)
        if self.admits(source, request, request.mark):
            self._bus.tell(source, Rows(request.number, self._replica.rows(request.places[:FRAME_ROWS_MAX])))

    def _on_ask_fronts(self, source: Address, request: Request) -> None:
        assert isinstance(request, AskFronts)
        if self.admits(source, request, request.mark):
            fronts = [front_at(self._replica.storage, place) for place in request.places[:FRAME_ROWS_MAX]]
            self._bus.tell(source, Fronts(request.number, fronts))

    def _on_ask_piece(self, source: Address, request: Request) -> None:
        assert isinstance(request, AskPiece)
        if self.admits(source, request, request.mark):
            self._bus.tell(
                source, Piece(request.number, *piece_at(self._replica.storage, request.place, request.first))
            )

    # -- who is answered ------------------------------------------------------------------------------

    def admits(
        self, source: Address, request: Request, mark: tuple[int, bytes], partitions: Sequence[Natural] = ()
    ) -> bool:
        """Whether a question is to be answered; if not, its sender is told why."""
        view = self._view
        if view is None:
            return self._refuse(source, request, Reason.NOT_SERVING, "in no ring")
        if mark != view.mark:
            if mark[0] > view.epoch:
                return self._refuse(source, request, Reason.BEHIND, f"here it is epoch {view.epoch} still")
            return self._refuse(source, request, Reason.WRONG_EPOCH, f"here it is epoch {view.epoch}")
        if self.node_at(source) is None:
            return self._refuse(source, request, Reason.INVALID, "not a node of this cluster")
        count = view.decree.partitions
        if len(partitions) > count or any(each >= count for each in partitions):
            return self._refuse(source, request, Reason.INVALID, "no such partition")
        return True

    def _refuse(self, source: Address, request: Request, reason: Reason, text: str) -> bool:
        mark = NO_MARK if self._view is None else self._view.mark
        reply: Reply = Refused(request.number, reason, text, mark)
        self._bus.tell(source, reply)
        return False
