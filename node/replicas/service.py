"""What a node answers clients that read, look for Dicts, or ask about the ring.

Rules of this file:
1. A key is read where it is owned and where its replica is fit to be read, and nowhere else: a node that is
   behind, or has lost its tail, says so, and another owner is asked.
2. What a read finds amiss is told to readrepair.py; the answer does not wait for it.
3. An answer is of one frame: of many keys, those that fit; the others are asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from ...exception import Error, InvalidError, NoQuorumError, OutcomeUnknownError, StoreFullError
from ...ring.codec import encode_decree
from ...ring.partition import dict_seed, key_hash
from ..config import (
    DICT_NAME_CHARS_MAX,
    KEY_BYTES_MAX,
    PAGE_BYTES_MAX,
    RECORD_BYTES_MAX,
    STORAGE_KEY_BYTES_MAX,
)
from ..network.bus import Bus
from ..network.leadermessage import EndDict, Ended
from ..network.message import (
    Absent,
    AskRing,
    AskStatus,
    Count,
    Counted,
    Dicts,
    Found,
    Get,
    GetMany,
    ListDicts,
    PageRead,
    Present,
    ReadPage,
    Reason,
    Request,
    Resolve,
    Resolved,
    ResolveId,
    Stamp,
    TellRing,
    TellStatus,
    Unknown,
)
from ..ringview import RingView
from ..store import layout
from ..store.catalogue import EPHEMERAL
from ..store.entry import DamagedEntryError
from ..world import Address, NodeId
from .admission import Admission
from .nameexchange import NameExchange
from .names import Known, Names
from .readrepair import ReadRepair
from .replica import Replica
from .replicadesk import Handler, Neighbours

START_BYTES_MAX = STORAGE_KEY_BYTES_MAX - layout.DICT_ID_BYTES


class Presence(Neighbours, Protocol):
    """Who is there: gossip."""

    def is_alive(self, node: NodeId, /) -> bool:
        """Whether a node is held for alive."""
        ...


class Service:
    """One node's answers. Serves nobody before `set_view`."""

    def __init__(  # noqa: PLR0913 - the parts of a node
        self,
        bus: Bus,
        replica: Replica,
        names: Names,
        exchange: NameExchange,
        admission: Admission,
        presence: Presence,
        repair: ReadRepair,
        *,
        serving: Callable[[int], bool],
        status: Callable[[], bytes],
    ) -> None:
        self._bus = bus
        self._replica = replica
        self._names = names
        self._exchange = exchange
        self._admission = admission
        self._presence = presence
        self._repair = repair
        self._serving = serving
        self._status = status
        #: Told of an ephemeral Dict whose owner says that he lives.
        self.beaten: Callable[[bytes], None] = lambda _dict_id: None
        self._view: RingView | None = None
        self._decree = b""
        self._owned = 0
        #: Which bits of a key's hash are its partition.
        self._mask = 0

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self._view = view
        self._decree = encode_decree(view.decree)
        self._mask = view.decree.partitions - 1
        self._owned = sum(1 << partition for partition in view.owned())

    def handlers(self) -> dict[type[Request], Handler]:
        """What is answered here."""
        return {
            AskRing: self._on_ask_ring,
            AskStatus: self._on_ask_status,
            Count: self._on_count,
            Get: self._on_get,
            GetMany: self._on_get_many,
            ListDicts: self._on_list_dicts,
            ReadPage: self._on_read_page,
            EndDict: self._on_end_dict,
            Resolve: self._on_resolve,
            ResolveId: self._on_resolve_id,
        }

    # -- the ring, and this node --------------------------------------------------------------------------

    def _on_ask_ring(self, source: Address, request: Request) -> None:
        assert isinstance(request, AskRing)
        view = self._view
        if view is None:
            self._bus.tell(source, TellRing(request.number, b"", []))
            return
        decree = b"" if request.epoch == view.epoch else self._decree
        members: list[tuple[bytes, str, bool]] = [
            (member, self._presence.address_of(member) or "", self._presence.is_alive(member))
            for member in view.members
        ]
        self._bus.tell(source, TellRing(request.number, decree, members))

    def _on_ask_status(self, source: Address, request: Request) -> None:
        self._bus.tell(source, TellStatus(request.number, self._status()))

    # -- Dicts --------------------------------------------------------------------------------------------

    def _on_resolve(self, source: Address, request: Request) -> None:
        assert isinstance(request, Resolve)
        is_named = self._is_member(source, request) and self._is_name(source, request, request.name)
        if is_named and self._is_name(source, request, request.environment):
            if len(request.record) > RECORD_BYTES_MAX:
                self._admission.refuse(source, request, Reason.INVALID, "a Dict's record is not as long")
                return

            def told(known: Error | Known) -> None:
                life = self._names.life_of(request.environment, request.name).life
                is_beat = request.environment == EPHEMERAL and bool(request.record)
                if is_beat and isinstance(known, Known) and known.dict_id:
                    self.beaten(known.dict_id)
                self._tell_known(source, request, known, life)

            self._exchange.resolve(request.environment, request.name, request.record, told)

    def _on_resolve_id(self, source: Address, request: Request) -> None:
        assert isinstance(request, ResolveId)
        if self._is_member(source, request):
            self._exchange.find(request.dict_id, partial(self._tell_known, source, request))

    def _on_end_dict(self, source: Address, request: Request) -> None:
        assert isinstance(request, EndDict)
        if self._is_member(source, request):
            self._exchange.end(request.dict_id, partial(self._tell_end, source, request))

    def _tell_end(self, source: Address, request: Request, ended: Error | bool) -> None:  # noqa: FBT001 - as told
        if isinstance(ended, OutcomeUnknownError):
            self._bus.tell(source, Unknown(request.number, str(ended)))
        elif isinstance(ended, Error):
            self._admission.refuse(source, request, _reason_of(ended), str(ended))
        else:
            self._bus.tell(source, Ended(request.number, ended))

    def _tell_known(self, source: Address, request: Request, known: Error | Known, life: int = 0) -> None:
        if isinstance(known, Error):
            self._admission.refuse(source, request, _reason_of(known), str(known))
        else:
            self._bus.tell(source, Resolved(request.number, known.dict_id, known.record, life))

    def _on_list_dicts(self, source: Address, request: Request) -> None:
        assert isinstance(request, ListDicts)
        is_named = self._is_member(source, request) and self._is_name(source, request, request.environment)
        if is_named and self._is_name(source, request, request.after):
            known, more = self._names.page(request.environment, request.after)
            self._bus.tell(
                source, Dicts(request.number, [(each.dict_id, each.record) for each in known], more)
            )

    def _is_member(self, source: Address, request: Request) -> bool:
        if self._view is not None and self._view.me is not None:
            return True
        return self._admission.refuse(source, request, Reason.NOT_SERVING, "in no ring")

    def _is_name(self, source: Address, request: Request, name: str) -> bool:
        """Whether something can be called that, or nothing yet: no other fits into the catalogue."""
        if len(name.encode()) <= DICT_NAME_CHARS_MAX and "\0" not in name:
            return True
        return self._admission.refuse(source, request, Reason.INVALID, "nothing has such a name")

    # -- entries ------------------------------------------------------------------------------------------

    def _on_get(self, source: Address, request: Request) -> None:
        assert isinstance(request, Get)
        # What most questions are: each step stands in the way of many others.
        admission, key, dict_id = self._admission, request.key, request.dict_id
        if not admission.admits(source, request, request.epoch):
            return
        is_sound = key[:1] >= layout.KEY_SPACE and len(key) <= KEY_BYTES_MAX
        if not is_sound and not admission.is_sound(source, request):
            return
        if not self._is_served(source, request, (key_hash(dict_seed(dict_id), key) & self._mask,)):
            return
        if admission.knows(dict_id):
            self._get(source, request)
        else:
            admission.with_dict(source, request, dict_id, lambda: self._get(source, request))

    def _get(self, source: Address, request: Get) -> None:
        repair = self._repair
        if request.doubts:
            repair.doubt(request.dict_id, request.key)
        else:
            repair.read(request.dict_id, request.key)
        try:
            entry, stamp = self._replica.read(request.dict_id, request.key)
        except DamagedEntryError:
            repair.doubt(request.dict_id, request.key)
            self._admission.refuse(source, request, Reason.DAMAGED, "the entry is damaged here")
            return
        if entry is None:
            self._bus.tell(source, Absent(request.number, stamp))
            return
        answer = Present(request.number, stamp, entry.flags, entry.expires_ms, entry.operation_id, entry.body)
        self._bus.tell(source, answer)

    def _on_get_many(self, source: Address, request: Request) -> None:
        assert isinstance(request, GetMany)
        if self._may_read(source, request, request.keys):
            self._admission.with_dict(
                source, request, request.dict_id, lambda: self._get_many(source, request)
            )

    def _get_many(self, source: Address, request: GetMany) -> None:
        rows: list[tuple[Stamp, bytes | None]] = []
        size_bytes = 0
        for key in request.keys:
            self._repair.read(request.dict_id, key)
            try:
                entry, stamp = self._replica.read(request.dict_id, key)
            except DamagedEntryError:
                self._repair.doubt(request.dict_id, key)
                if not rows:
                    self._admission.refuse(source, request, Reason.DAMAGED, "an entry is damaged here")
                    return
                break
            size_bytes += 0 if entry is None else len(entry.body)
            if rows and size_bytes > PAGE_BYTES_MAX:
                break
            rows.append((stamp, None if entry is None else entry.body))
        self._bus.tell(source, Found(request.number, rows))

    def _may_read(self, source: Address, request: GetMany, keys: Sequence[bytes]) -> bool:
        admission = self._admission
        if not admission.admits(source, request, request.epoch) or not admission.is_sound(source, request):
            return False
        seed, mask = dict_seed(request.dict_id), self._mask
        served = sorted({key_hash(seed, key) & mask for key in keys})
        return self._is_served(source, request, served)

    def _is_served(self, source: Address, request: Request, partitions: Sequence[int]) -> bool:
        for partition in partitions:
            if not self._owned >> partition & 1:
                return self._admission.refuse(source, request, Reason.NOT_OWNER, "not kept here")
            if not self._serving(partition):
                return self._admission.refuse(source, request, Reason.NOT_SERVING, "catching up")
        return True

    # -- stretches ----------------------------------------------------------------------------------------

    def _on_read_page(self, source: Address, request: Request) -> None:
        assert isinstance(request, ReadPage)
        if self._may_walk(source, request):
            self._admission.with_dict(
                source, request, request.dict_id, lambda: self._read_page(source, request)
            )

    def _read_page(self, source: Address, request: ReadPage) -> None:
        page = self._replica.page(request.dict_id, request.partitions, request.start, request.prefix)
        for key, body in page.rows:
            if body is None and key:
                self._repair.doubt(request.dict_id, key)
        self._bus.tell(source, PageRead(request.number, page.rows, page.next))

    def _on_count(self, source: Address, request: Request) -> None:
        assert isinstance(request, Count)
        if self._may_walk(source, request):
            self._admission.with_dict(source, request, request.dict_id, lambda: self._count(source, request))

    def _count(self, source: Address, request: Count) -> None:
        counted = self._replica.count(request.dict_id, request.partitions, request.start)
        self._bus.tell(source, Counted(request.number, *counted))

    def _may_walk(self, source: Address, request: ReadPage | Count) -> bool:
        if not self._admission.admits(source, request, request.epoch):
            return False
        is_place = not request.start or layout.PARTITION_BYTES <= len(request.start) <= START_BYTES_MAX
        count = self._admission.view.decree.partitions
        if len(request.partitions) > count // 8 or not is_place:
            return self._admission.refuse(source, request, Reason.INVALID, "no such stretch")
        wanted = int.from_bytes(request.partitions, "little")
        return self._is_served(
            source, request, [partition for partition in range(count) if wanted >> partition & 1]
        )


def _reason_of(error: Error) -> Reason:
    if isinstance(error, InvalidError):
        return Reason.INVALID
    if isinstance(error, NoQuorumError):
        return Reason.NO_QUORUM
    return Reason.STORE_FULL if isinstance(error, StoreFullError) else Reason.UNAVAILABLE
