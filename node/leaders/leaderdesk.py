"""The desk of a leader: what clients ask, each request carried out at most once.

Rules of this file:
1. A request is bound to one ballot. It is carried out by the leader with that ballot or by nobody, and "not
   carried out, and never will be" is said by that ballot's own node, in the same start, alone.
2. It is said only of what had not begun, and is true for ever: the ballot is retired, or gives way and takes
   nothing new.
3. A session that is not known gets `Unknown`.
4. Who cannot reach the leader may ask another node, which passes the request on, once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from ...ring.partition import dict_seed, partition_of
from ..network.bus import Bus
from ..network.leadermessage import Act, Acted, Clear, Cleared, Freed, Greet, Greeted, NotLed, Verb, Wait
from ..network.message import Reason, Refused, Reply, Unknown
from ..network.wire import encode
from ..ringview import NO_MARK, RingView
from ..world import NS_PER_S, Address, NodeId, World
from .ballot import Ballot
from .door import Door
from .electorate import Electorate
from .leaderconfig import LOST_S, RELAY_S, STICKY_S, WAITS_MAX
from .record import name_of
from .request import SESSION_BYTES, Fate, Session, Sessions
from .work import Asker, Work

if TYPE_CHECKING:
    from .acceptor import Acceptor
    from .candidacy import Candidacies
    from .heartbeat import Heartbeats
    from .leadership import Leadership

_RELAY_NS = int(RELAY_S * NS_PER_S)
_LOST_NS = int(LOST_S * NS_PER_S)
_STICKY_NS = int(STICKY_S * NS_PER_S)


class LeadingNode(Protocol):
    """What a desk needs of its node."""

    world: World
    acceptor: Acceptor
    candidacies: Candidacies
    heartbeats: Heartbeats
    leaderships: dict[int, Leadership]
    view: RingView | None
    viewed_ns: int
    door: Door


class LeaderDesk:
    """One node's."""

    def __init__(self, node: LeadingNode, bus: Bus) -> None:
        self._node = node
        self._world = node.world
        self._bus = bus
        self._me = node.world.identity.node
        self._boot = node.world.identity.boot
        self.sessions = Sessions()
        #: What is under way, by operation.
        self._askers: dict[bytes, Asker] = {}
        #: Who has a say in what, by the view that it was made for.
        self._everywhere: tuple[RingView | None, list[Electorate]] = None, []

    # -- who leads what ----------------------------------------------------------------------------

    def on_greet(self, source: Address, greet: Greet) -> None:
        """Take a session on, and tell who leads which partition."""
        target = NodeId(greet.target)
        if target not in {b"", self._me}:
            self._relay(source, greet, target)
        elif len(greet.session) != SESSION_BYTES:
            self._refuse(source, greet.number, Reason.INVALID, f"a session has {SESSION_BYTES} bytes")
        else:
            ticket = self.sessions.greet(greet.session).ticket
            ballots = self.ballots()
            lost = self.lost({partition for partition, _ in ballots})
            self._send(source, Greeted(greet.number, self._me, self._boot, ticket, ballots, tuple(lost)))

    def lost(self, led: Collection[int]) -> list[int]:
        """Partitions that nobody leads and nobody can: of some set that must agree no quorum answers here."""
        view, now_ns = self._node.view, self._world.now_ns()
        if view is None or now_ns - self._node.viewed_ns < _STICKY_NS:
            return []  # nobody can have answered yet
        if self._everywhere[0] is not view:
            every = [Electorate(view, partition) for partition in range(view.decree.partitions)]
            self._everywhere = view, every
        answered = self._node.heartbeats.answered(_LOST_NS)
        known: dict[tuple[NodeId, ...], bool] = {}
        lost: list[int] = []
        for partition, electorate in enumerate(self._everywhere[1]):
            if partition not in led:
                agreed = known.get(electorate.everyone) if electorate.is_simple else None
                if agreed is None:
                    agreed = known[electorate.everyone] = electorate.agreed(answered)
                if not agreed:
                    lost.append(partition)
        return lost

    def ballots(self) -> list[tuple[int, Ballot]]:
        node, view = self._node, self._node.view
        ballots = {partition: leadership.ballot for partition, leadership in node.leaderships.items()}
        for partition in range(0 if view is None else view.decree.partitions):
            held = node.acceptor.promised(partition)
            if held.node not in {b"", self._me} and node.heartbeats.claims(NodeId(held.node), partition):
                ballots[partition] = held
        return sorted(ballots.items())

    # -- operations --------------------------------------------------------------------------------

    def on_act(self, source: Address, act: Act) -> None:
        """Carry an operation out, or say what became of it."""
        view = self._node.view
        if view is None:
            self._refuse(source, act.number, Reason.NOT_SERVING, "this node is in no ring")
        elif act.ballot.node != self._me:
            self._relay(source, act, NodeId(act.ballot.node))
        else:
            partition = partition_of(dict_seed(act.dict_id), act.key, view.decree.partitions)
            self._take(source, act, partition)

    def _take(self, source: Address, act: Act, partition: int) -> None:
        asker = self._admit(source, act, act.ballot)
        if asker is None:
            return
        if act.verb == Verb.CANCEL and act.body[:SESSION_BYTES] != act.operation_id[:SESSION_BYTES]:
            self._refuse(source, act.number, Reason.INVALID, "only who asked for it cancels an operation")
            return
        if not self._node.door.knows(act.dict_id):
            self._ask_for_dict(source, act, partition)
            return
        reason, fault = self._node.door.fault(act)
        if fault:
            self._refuse(source, act.number, reason, fault)
            return
        leadership = self._node.leaderships.get(partition)
        name = name_of(act.dict_id, act.key)
        if leadership is None or leadership.ballot != act.ballot or leadership.yielding:
            if self._node.candidacies.ballot(partition) == act.ballot:
                self._refuse(source, act.number, Reason.NOT_SERVING, "elections are under way")
            else:
                asker.reply(NotLed(0, act.ballot, act.operation_id))
        elif asker.session.is_full or not leadership.queues.has_room(name):
            self._refuse(source, act.number, Reason.OVERLOADED, "too much is waiting: ask again")
        else:
            self._askers[act.operation_id] = asker
            work = Work(act, name, asker)
            work.finished = lambda: self._end(asker)
            leadership.take(work)

    def _ask_for_dict(self, source: Address, act: Act, partition: int) -> None:
        """Others may know the Dict: look again once they were asked."""

        def asked() -> None:
            if self._node.door.knows(act.dict_id):
                self._take(source, act, partition)
            else:
                self._refuse(source, act.number, Reason.NO_DICT, "no such Dict")

        self._node.door.find(act.dict_id, asked)

    def _admit(self, source: Address, request: Act | Clear, ballot: Ballot | None) -> Asker | None:
        """Who asks, if this is the first time; None: it was answered."""
        session, serial = self.sessions.find(request.operation_id, request.ticket)
        if session is None or (ballot is not None and ballot.boot != self._boot):
            text = "this node remembers nothing of that session"
            self._send(source, Unknown(request.number, text, forgotten=True))
            return None
        session.advance(request.low)
        fate = self._fate(session, serial)
        if fate is Fate.NEW:
            return Asker(source, request.number, request.operation_id, session, serial, self._send)
        if isinstance(fate, Reply):
            self._send(source, replace(fate, number=request.number))
        elif fate in {Fate.WAITING, Fate.BEGUN} and request.operation_id in self._askers:
            asker = self._askers[request.operation_id]
            asker.source, asker.number = source, request.number
        else:
            self._send(source, Unknown(request.number, "nobody knows what became of it"))
        return None

    def _fate(self, session: Session, serial: int) -> Fate | Reply:
        """What became of an operation."""
        return session.fate(serial)

    def _end(self, asker: Asker) -> None:
        if self._askers.get(asker.operation_id) is asker:
            del self._askers[asker.operation_id]

    # -- clear -------------------------------------------------------------------------------------

    def on_clear(self, source: Address, clear: Clear) -> None:
        """Clear a Dict in all the named partitions that are led here under the named ballots."""
        asker = self._admit(source, clear, None)
        if asker is None:
            return
        leaderships = self._node.leaderships
        mine: list[Leadership] = []
        not_led: list[int] = []
        for partition, ballot in clear.ballots:
            leadership = leaderships.get(partition)
            if leadership is not None and leadership.ballot == ballot and not leadership.yielding:
                mine.append(leadership)
            elif (ballot.node, ballot.boot) == (self._me, self._boot):
                not_led.append(partition)
        self._askers[clear.operation_id] = asker
        asker.note(Fate.BEGUN)
        clearing = _Clearing(asker, not_led, len(mine), lambda: self._end(asker))
        for leadership in mine:
            part = clearing.part(leadership.partition)
            leadership.clear(clear.dict_id, clear.operation_id, part, ends=clear.ends)
        if not mine:
            clearing.finish()

    # -- waiting -----------------------------------------------------------------------------------

    def on_wait(self, source: Address, wait: Wait) -> None:
        """Tell when a key is free."""
        view = self._node.view
        leadership = None
        if view is not None:
            partition = partition_of(dict_seed(wait.dict_id), wait.key, view.decree.partitions)
            leadership = self._node.leaderships.get(partition)
        if wait.ballot.node != self._me:
            self._refuse(source, wait.number, Reason.UNAVAILABLE, "ask whoever leads it")
        elif leadership is None or leadership.ballot != wait.ballot:
            self._send(source, Freed(wait.number))
        elif sum(len(each.waits) for each in self._node.leaderships.values()) >= WAITS_MAX:
            self._refuse(source, wait.number, Reason.OVERLOADED, "too many wait: ask again")
        else:
            name = name_of(wait.dict_id, wait.key)
            leadership.waits.add(name, wait.version, lambda: self._send(source, Freed(wait.number)))

    # -- answers -----------------------------------------------------------------------------------

    def _relay(self, source: Address, request: Greet | Act, leader: NodeId) -> None:
        """Pass a request on to a leader that its client may not reach."""
        if request.relayed or not self._node.heartbeats.hears(leader):
            reason = Reason.UNAVAILABLE
            if isinstance(request, Act) and self._is_lost(request):
                reason = Reason.NO_QUORUM
            self._refuse(source, request.number, reason, "that leader is not heard here either")
            return

        def answered(reply: Reply | None) -> None:
            if reply is not None:
                self._send(source, replace(reply, number=request.number))

        self._bus.ask(leader, replace(request, relayed=True), answered, _RELAY_NS)

    def _is_lost(self, act: Act) -> bool:
        view = self._node.view
        if view is None:
            return False
        partition = partition_of(dict_seed(act.dict_id), act.key, view.decree.partitions)
        return partition in self.lost({led for led, _ in self.ballots()})

    def _refuse(self, source: Address, number: int, reason: Reason, text: str) -> None:
        view = self._node.view
        self._send(source, Refused(number, reason, text, NO_MARK if view is None else view.mark))

    def _send(self, to: Address, reply: Reply) -> None:
        self._world.send(to, encode(reply))


class _Clearing:
    """A clear of many partitions, until the last of them has answered."""

    def __init__(
        self, asker: Asker, not_led: list[int], parts_count: int, finished: Callable[[], None]
    ) -> None:
        self._asker = asker
        self._not_led = not_led
        self._left = parts_count
        self._finished = finished
        #: By partition: the version of what was chosen.
        self._done: dict[int, int] = {}

    def part(self, partition: int) -> Callable[[Reply], None]:
        """Where one partition answers."""

        def answered(reply: Reply) -> None:
            self._left -= 1
            if isinstance(reply, Acted):
                self._done[partition] = reply.version
            if not self._left:
                self.finish()

        return answered

    def finish(self) -> None:
        """Nothing is missing: answer."""
        done = sorted(self._done)
        self._asker.answer(Cleared(0, done, self._not_led, tuple(self._done[each] for each in done)))
        self._finished()
