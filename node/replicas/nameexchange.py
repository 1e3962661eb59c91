"""How members come to know the same names: who makes a Dict tells all, and who differs catches up.

Rules of this file:
1. A Dict that was made is told to all members that can be reached before its maker is answered.
2. A name or an id that is not known here may be known elsewhere: the others are asked before anybody is told
   that there is none. One such round is under way at a time, whoever waits.
3. The name of an ephemeral Dict is made once: whoever says that he lives does not make it again.
4. Every `NAMES_INTERVAL_S` one member is asked for its digest, in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...exception import Error, InvalidError, NoQuorumError, OutcomeUnknownError
from ..beat import until_beat_ns
from ..config import NAMES_INTERVAL_S, NAMES_TIMEOUT_S
from ..network.bus import Bus
from ..network.message import Reason, Refused, Reply, Request
from ..network.peermessage import Names as NamesReply
from ..network.peermessage import ShareNames
from ..ringview import RingView
from ..store.catalogue import EPHEMERAL, Record
from ..world import NS_PER_S, Address, NodeId, World
from .names import NONE, Known, Names, Row, record_of
from .replicadesk import Handler, ReplicaDesk

Resolved = Callable[[Error | Known], None]
"""Told which Dict it is (`NONE`: there is none), or why nobody knows."""

INTERVAL_NS = int(NAMES_INTERVAL_S * NS_PER_S)
TIMEOUT_NS = int(NAMES_TIMEOUT_S * NS_PER_S)


class NameExchange:
    """One node's talk about names. Asks nobody until `set_view`."""

    def __init__(self, world: World, bus: Bus, names: Names, desk: ReplicaDesk) -> None:
        self._world = world
        self._bus = bus
        self._names = names
        self._desk = desk
        self._view: RingView | None = None
        self._turn = 0
        #: Who waits for the round that is under way, and for the one after it.
        self._waiting: list[Callable[[], None]] = []
        self._next_waiting: list[Callable[[], None]] = []
        self._world.call_after(until_beat_ns(self._world, INTERVAL_NS), self._tick)

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring. Who has just come learns all names at once."""
        first = self._view is None
        self._view = view
        if first:
            self.catch_up(lambda: None)

    def handlers(self) -> dict[type[Request], Handler]:
        """What is answered here."""
        return {ShareNames: self._on_share_names}

    # -- for clients ----------------------------------------------------------------------------------

    def resolve(self, environment: str, name: str, record: bytes, done: Resolved) -> None:
        """The Dict of a name, made as `record` says if there is none, unless that is empty."""
        known = self._names.look_up(environment, name)
        if known.record:
            done(known)
        elif record and environment == EPHEMERAL and self._names.life_of(environment, name).life:
            done(NONE)  # ended, and never made again
        elif record:
            new = record_of(record)
            if new is None or (new.environment, new.name) != (environment, name):
                done(InvalidError("the record of a new Dict is not one, or of another name"))
            else:
                self._create(new, done)
        else:
            self.catch_up(lambda: done(self._names.look_up(environment, name)))

    def find(self, dict_id: bytes, done: Resolved) -> None:
        """The Dict of an id."""
        known = self._names.by_id(dict_id)
        if known.record:
            done(known)
        else:
            self.catch_up(lambda: done(self._names.by_id(dict_id)))

    def _create(self, new: Record, done: Resolved) -> None:
        def created(result: Error | Known) -> None:
            if isinstance(result, Error) or result == NONE:
                done(result)
            else:
                self._tell_all(rows, lambda: done(result))

        rows = self._names.create(new, created)

    def end(self, dict_id: bytes, done: Callable[[Error | bool], None]) -> None:
        """End a Dict's life; whether there was one. It has ended once a majority of all members knows:
        NoQuorumError says that nothing happened, OutcomeUnknownError that nobody knows."""
        rows = self._names.end_of(dict_id)
        if rows:
            self._end(rows, done)
        else:
            self.catch_up(lambda: self._end(self._names.end_of(dict_id), done))

    def _end(self, rows: list[Row], done: Callable[[Error | bool], None]) -> None:
        view, others = self._view, [node for node in self._others() if self._bus.routable(node)]
        if not rows or view is None:
            done(False)
            return
        members_count = len(view.members)
        if 2 * (len(others) + 1) <= members_count:
            done(NoQuorumError(f"{len(others) + 1} of {members_count} members can be reached"))
            return
        know, left = 0, len(others) + 1

        def answered(*, knows: bool) -> None:
            nonlocal know, left
            know, left = know + knows, left - 1
            if knows and 2 * know > members_count >= 2 * (know - 1):
                done(True)
            elif not left and 2 * know <= members_count:
                done(OutcomeUnknownError(f"{know} of {members_count} members know of it"))

        for node in others:
            news = ShareNames(0, view.mark, self._names.digest, rows)
            self._bus.ask(node, news, lambda reply: answered(knows=isinstance(reply, NamesReply)), TIMEOUT_NS)
        self._names.take(rows, lambda error: answered(knows=error is None))

    def _tell_all(self, rows: list[Row], then: Callable[[], None]) -> None:
        """Tell news to all that can be reached; then make a call."""
        others = [node for node in self._others() if self._bus.routable(node)]
        view = self._view
        if not others or view is None:
            then()
            return
        left = len(others)

        def answered(_reply: Reply | None) -> None:
            nonlocal left
            left -= 1
            if not left:
                then()

        for node in others:
            self._bus.ask(node, ShareNames(0, view.mark, self._names.digest, rows), answered, TIMEOUT_NS)

    # -- catching up ------------------------------------------------------------------------------------

    def catch_up(self, then: Callable[[], None]) -> None:
        """Learn what all members that can be reached know; then make a call."""
        if self._waiting:
            self._next_waiting.append(then)
            return
        self._waiting.append(then)
        others = [node for node in self._others() if self._bus.routable(node)]
        left = len(others)

        def ended() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                self._round_ended()

        if not others:
            ended()
        for node in others:
            self._exchange(node, ended)

    def _round_ended(self) -> None:
        waiting, self._waiting = self._waiting, []
        _call_all(waiting)
        waiting, self._next_waiting = self._next_waiting, []
        if waiting:  # one round for all of them
            self.catch_up(partial(_call_all, waiting))

    def _tick(self) -> None:
        self._world.call_after(until_beat_ns(self._world, INTERVAL_NS), self._tick)
        others = self._others()
        if others:
            self._turn += 1
            self._exchange(others[self._turn % len(others)], lambda: None)

    def _exchange(self, node: NodeId, ended: Callable[[], None]) -> None:
        """Compare with one member, and come to the same if we differ."""
        view = self._view
        if view is None:
            ended()
            return

        def answered(reply: Reply | None) -> None:
            if isinstance(reply, NamesReply) and reply.digest != self._names.digest:
                self._exchange_from(node, b"", ended)
            else:
                ended()

        self._bus.ask(node, ShareNames(0, view.mark, self._names.digest, []), answered, TIMEOUT_NS)

    def _exchange_from(self, node: NodeId, first: bytes, ended: Callable[[], None]) -> None:
        view = self._view
        if view is None:
            ended()
            return
        rows, last = self._names.stretch(first, b"")

        def answered(reply: Reply | None) -> None:
            if not isinstance(reply, NamesReply):
                ended()
                return
            next_ = reply.next or last
            then = partial(self._exchange_from, node, next_, ended) if next_ else ended
            self._take(reply.rows, then)

        question = ShareNames(0, view.mark, self._names.digest, rows, whole=True, first=first, last=last)
        self._bus.ask(node, question, answered, TIMEOUT_NS)

    def _take(self, rows: list[Row], then: Callable[[], None]) -> None:
        if rows:
            self._names.take(rows, lambda _error: then())
        else:
            then()

    def _others(self) -> list[NodeId]:
        if self._view is None:
            return []
        return [node for node in self._view.members if node != self._world.identity.node]

    # -- answering --------------------------------------------------------------------------------------

    def _on_share_names(self, source: Address, request: Request) -> None:
        assert isinstance(request, ShareNames)
        if not self._desk.admits(source, request, request.mark):
            return
        if request.rows:
            self._names.take(request.rows, lambda error: self._answer(source, request, error))
        else:
            self._answer(source, request, None)

    def _answer(self, source: Address, request: ShareNames, error: Error | None) -> None:
        if error is not None:
            mark = request.mark
            self._bus.tell(source, Refused(request.number, Reason.STORE_FULL, str(error), mark))
            return
        rows: list[Row] = []
        next_ = b""
        if request.whole:
            rows, next_ = self._names.lacking(request.rows, request.first, request.last)
        self._bus.tell(source, NamesReply(request.number, self._names.digest, rows, next_))


def _call_all(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()
