"""Ephemeral Dicts of a cluster: whoever made one says once a minute that he lives. Of whom nothing was heard
for `HEARTBEAT_TIMEOUT_S`, the Dict is ended.

Rules of this file:
1. A heartbeat comes to any member, which tells all others. None of it is on disk: a member that was started
   takes it that all owners were heard of when it was.
2. Any member may end a Dict, and several may at once: to end a name twice is to end it once. Its name is like
   no other's and is never made again.
3. It is ended only if a majority of all members, whoever ends it included, says that it has heard nothing for
   so long, and nobody who answers says otherwise. So an owner that reaches members of a majority keeps his
   Dict, whoever lost a message; who reaches a minority only, for so long, may lose it.
4. Silence is measured by the monotonic clock of who listens. No clocks are compared.
"""

from __future__ import annotations

from functools import partial

from ..config import HEARTBEAT_INTERVAL_S, HEARTBEAT_TIMEOUT_S, NAMES_TIMEOUT_S, SILENCES_MAX
from ..network.bus import Bus
from ..network.message import Reply, Request
from ..network.peermessage import AskSilence, Beat, TellSilence
from ..ringview import RingView
from ..store.catalogue import EPHEMERAL
from ..world import NS_PER_MS, NS_PER_S, Address, NodeId, World
from .nameexchange import NameExchange
from .names import Names, record_of
from .replicadesk import Handler, ReplicaDesk

INTERVAL_NS = int(HEARTBEAT_INTERVAL_S * NS_PER_S)
TIMEOUT_NS = int(HEARTBEAT_TIMEOUT_S * NS_PER_S)
PATIENCE_NS = int(NAMES_TIMEOUT_S * NS_PER_S)


class Ephemerals:
    """One member's part. Ends nothing until `set_view`."""

    def __init__(
        self, world: World, bus: Bus, names: Names, exchange: NameExchange, desk: ReplicaDesk
    ) -> None:
        self._world = world
        self._bus = bus
        self._names = names
        self._exchange = exchange
        self._desk = desk
        self._view: RingView | None = None
        #: When each owner was heard of last, as far as this member knows.
        self._heard_ns: dict[bytes, int] = {}
        #: Dicts that this member had ended.
        self.ended_count = 0
        world.call_after(INTERVAL_NS, self._tick)

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring."""
        self._view = view

    def handlers(self) -> dict[type[Request], Handler]:
        """What is answered here."""
        return {Beat: self._on_beat, AskSilence: self._on_ask_silence}

    def beaten(self, dict_id: bytes) -> None:
        """An owner says that he lives."""
        self._heard_ns[dict_id] = self._world.now_ns()
        for node in self._others():
            self._bus.notify(node, Beat(0, dict_id))

    # -- looking -------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._world.call_after(INTERVAL_NS, self._tick)
        known = self._known()
        self._heard_ns = {id_: self._heard_at(id_) for id_ in known}
        silent = [id_ for id_ in known if self._silence_ns(id_) > TIMEOUT_NS][:SILENCES_MAX]
        if silent and self._view is not None and self._view.me is not None:
            self._ask(self._view, silent)

    def _known(self) -> list[bytes]:
        """The ephemeral Dicts that there are."""
        found: list[bytes] = []
        after, more = "", True
        while more:
            page, more = self._names.page(EPHEMERAL, after)
            found += [each.dict_id for each in page]
            last = record_of(page[-1].record) if page else None
            after, more = (last.name or "", more) if last is not None else ("", False)
        return found

    def _heard_at(self, dict_id: bytes) -> int:
        return self._heard_ns.setdefault(dict_id, self._world.now_ns())

    def _silence_ns(self, dict_id: bytes) -> int:
        return self._world.now_ns() - self._heard_at(dict_id)

    # -- ending --------------------------------------------------------------------------------------

    def _ask(self, view: RingView, silent: list[bytes]) -> None:
        others = self._others()
        told: list[Reply | None] = []

        def answered(reply: Reply | None) -> None:
            told.append(reply)
            if len(told) == len(others) and self._view is view:
                self._end(view, silent, told)

        for node in others:
            self._bus.ask(node, AskSilence(0, view.mark, silent), answered, PATIENCE_NS)
        if not others:
            self._end(view, silent, told)

    def _end(self, view: RingView, silent: list[bytes], told: list[Reply | None]) -> None:
        answers = [reply.silences_ms for reply in told if isinstance(reply, TellSilence)]
        for place, dict_id in enumerate(silent):
            said_ms = [each[place] for each in answers if place < len(each)]
            is_agreed = 2 * (len(said_ms) + 1) > len(view.members)
            if is_agreed and all(
                each * NS_PER_MS > TIMEOUT_NS for each in (*said_ms, self._silence_ms(dict_id))
            ):
                self._exchange.end(dict_id, partial(self._ended, dict_id))

    def _ended(self, dict_id: bytes, result: object) -> None:
        if result is True:
            self.ended_count += 1
            self._world.trace("abandoned", dict=dict_id)

    def _silence_ms(self, dict_id: bytes) -> int:
        return self._silence_ns(dict_id) // NS_PER_MS

    def _others(self) -> list[NodeId]:
        if self._view is None:
            return []
        return [node for node in self._view.members if node != self._world.identity.node]

    # -- answering -----------------------------------------------------------------------------------

    def _on_beat(self, source: Address, told: Request) -> None:
        assert isinstance(told, Beat)
        if self._desk.member_at(source) is not None and self._names.by_id(told.dict_id).record:
            self._heard_ns[told.dict_id] = self._world.now_ns()

    def _on_ask_silence(self, source: Address, asked: Request) -> None:
        assert isinstance(asked, AskSilence)
        if self._desk.admits(source, asked, asked.mark):
            silences_ms = [self._silence_ms(dict_id) for dict_id in asked.dict_ids[:SILENCES_MAX]]
            self._bus.tell(source, TellSilence(asked.number, silences_ms))
