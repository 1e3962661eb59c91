"""Whether a client's request is dealt with at all: rings, limits, Dicts that are not known here yet.

Rules of this file:
1. Both go by the same ring, or nothing happens and whoever is behind is told so. A node that is behind
   fetches the newer ring meanwhile.
2. A node that is in no ring serves nobody.
3. Nothing is taken that could not be stored, sent on or answered; what is too much is refused at once.
"""

from __future__ import annotations

from collections.abc import Callable

from ..config import FRAME_VALUE_BYTES_MAX, KEY_BYTES_MAX, REQUEST_KEYS_MAX, TTL_S_MAX
from ..network.bus import Bus
from ..network.message import Ack, Get, GetMany, Put, PutMany, Reason, Refused, Request, Touch
from ..ringview import NO_MARK, RingView
from ..store.entry import OPERATION_ID_BYTES
from ..store.layout import KEY_SPACE
from ..store.operation import KEEP
from ..store.transaction import DictGoneError
from ..world import Address
from .nameexchange import NameExchange
from .replica import Replica
from .stamper import VERSION_MAX

TTL_MS_MAX = TTL_S_MAX * 1000


class Admission:
    """One node's door for clients. `behind` is told of an epoch that somebody goes by and this node does not
    know."""

    def __init__(
        self,
        bus: Bus,
        replica: Replica,
        exchange: NameExchange,
        behind: Callable[[int], None],
        value_bytes_max: int,
    ) -> None:
        self._bus = bus
        self._replica = replica
        self._exchange = exchange
        self._behind = behind
        self.value_bytes_max = min(value_bytes_max, FRAME_VALUE_BYTES_MAX)
        self._view: RingView | None = None
        self.is_closed = False
        self.refused_count = 0

    def close(self) -> None:
        """Take no more requests: this node is about to end."""
        self.is_closed = True

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self._view = view

    @property
    def view(self) -> RingView:
        """The ring, of a request that was admitted."""
        assert self._view is not None
        return self._view

    def admits(self, source: Address, request: Request, epoch: int) -> bool:
        """Whether a request that goes by that epoch is to be dealt with; if not, its sender is told why."""
        view = self._view
        if view is None:
            return self.refuse(source, request, Reason.NOT_SERVING, "in no ring")
        if self.is_closed:
            return self.refuse(source, request, Reason.NOT_SERVING, "this node is going down")
        if epoch != view.epoch:
            if epoch > view.epoch:
                self._behind(epoch)
                return self.refuse(source, request, Reason.BEHIND, f"here it is epoch {view.epoch} still")
            return self.refuse(source, request, Reason.WRONG_EPOCH, f"here it is epoch {view.epoch}")
        if view.me is None:
            return self.refuse(source, request, Reason.NOT_SERVING, "not in the ring any more")
        return True

    def with_dict(self, source: Address, request: Request, dict_id: bytes, then: Callable[[], None]) -> None:
        """Make a call once the Dict is known here; if nobody knows it, or the ring has turned before somebody
        told, the sender is told so."""
        view = self._view

        def found() -> None:
            if not self.knows(dict_id):
                self.refuse(source, request, Reason.NO_DICT, "no such Dict")
            elif self._view is not view:
                self.refuse(source, request, Reason.WRONG_EPOCH, "the ring has turned")
            else:
                then()

        self.find_dict(dict_id, found)

    def find_dict(self, dict_id: bytes, then: Callable[[], None]) -> None:
        """Make a call once `knows` can tell about that Dict: at once if it does, else once others were
        asked."""
        if self.knows(dict_id):
            then()
        else:
            self._exchange.find(dict_id, lambda _: then())

    def knows(self, dict_id: bytes) -> bool:
        """Whether a Dict of that id is known here."""
        try:
            self._replica.cleared_at(dict_id)
        except DictGoneError:
            return False
        return True

    # -- what a request may hold ------------------------------------------------------------------------

    def is_sound(self, source: Address, request: Get | GetMany | Put | PutMany | Touch) -> bool:
        """Whether keys, values and settings of a request are within limits; if not, its sender is told."""
        reason, fault = self._fault(request)
        return not fault or self.refuse(source, request, reason, fault)

    def _fault(self, request: Get | GetMany | Put | PutMany | Touch) -> tuple[Reason, str]:
        match request:
            case GetMany():
                keys = request.keys
            case PutMany():
                keys = [key for key, _ in request.items]
            case _:
                keys = [request.key]
        if len(keys) > REQUEST_KEYS_MAX:
            return Reason.TOO_LARGE, f"a request has {len(keys)} keys, and {REQUEST_KEYS_MAX} at the most"
        if keys and min(keys) < KEY_SPACE:
            return Reason.INVALID, "that is no key"
        if keys and (key_bytes := max(map(len, keys))) > KEY_BYTES_MAX:
            return Reason.TOO_LARGE, f"a key has {key_bytes} bytes, and {KEY_BYTES_MAX} at the most"
        if isinstance(request, (Get, GetMany)):
            return Reason.INVALID, ""
        if isinstance(request, PutMany) and (not keys or len(set(keys)) < len(keys)):
            return Reason.INVALID, "a batch has keys, and each once"
        return self._fault_of_write(request)

    def _fault_of_write(self, request: Put | PutMany | Touch) -> tuple[Reason, str]:
        fault = ""
        if not KEEP <= request.ttl_ms <= TTL_MS_MAX:
            fault = f"no time to live has {request.ttl_ms} ms"
        elif request.ack > max(Ack):
            fault = f"{request.ack} is no way to acknowledge"
        elif len(request.operation_id) not in (0, OPERATION_ID_BYTES):
            fault = f"an operation's id has {OPERATION_ID_BYTES} bytes"
        elif isinstance(request, (Put, PutMany)) and request.floor >= VERSION_MAX:
            fault = f"no version is as high as {request.floor}"
        if fault or isinstance(request, Touch):
            return Reason.INVALID, fault
        bodies = [body for _, body in request.items] if isinstance(request, PutMany) else [request.body]
        size_bytes = max(map(len, bodies))
        if size_bytes > self.value_bytes_max:
            fault = f"a value has {size_bytes} bytes, and {self.value_bytes_max} at the most"
        return Reason.TOO_LARGE, fault

    def refuse(self, source: Address, request: Request, reason: Reason, text: str) -> bool:
        """Say that nothing happened, and why. False."""
        self.refused_count += 1
        mark = NO_MARK if self._view is None else self._view.mark
        self._bus.tell(source, Refused(request.number, reason, text, mark))
        return False
