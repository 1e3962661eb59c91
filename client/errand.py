"""One question to the nodes of one partition, asked until one of them answers it or time is over.

Rules of this file:
1. Nodes are asked in order of preference; those that did not answer lately come behind those that did, and
   are never left out.
2. A read may be asked again anywhere. So may a plain put, under the same operation id: it is then stored
   once or twice, with the same value, the second time perhaps over what another client stored in between.
3. The error says what is known: nothing was sent, or all that got it refused, so nothing happened; or one
   may have done it and nobody knows.
4. A newer ring is fetched from who knows it, at once the first time, later after a pause.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..exception import (
    AuthError,
    Error,
    InvalidError,
    NoQuorumError,
    OutcomeUnknownError,
    ProtocolError,
    RequestTimeoutError,
    StoreFullError,
    UnavailableError,
    ValueTooLargeError,
)
from ..node.network.message import Reason, Refused, Reply, Request, Unknown
from ..node.store.entry import DamagedEntryError
from ..node.store.operation import MismatchError
from ..node.store.transaction import DictGoneError
from .config import OVERLOADED_PASSES_MAX, READ_PATIENCE_S
from .contact import Contact
from .instruction import Ask, Miss, Plan
from .route import Route
from .session import Session

STALE = frozenset({Reason.WRONG_EPOCH, Reason.NOT_OWNER})
"""Refusals that a newer ring cures."""
ELSEWHERE = frozenset(
    {
        Reason.BEHIND,
        Reason.NOT_SERVING,
        Reason.UNAVAILABLE,
        Reason.OVERLOADED,
        Reason.NO_DICT,
        Reason.STORE_FULL,
        Reason.DAMAGED,
    }
)
"""Refusals that another node may not share."""


class Errand:
    """What is asked. Subclasses say of whom, and which answers they take."""

    patience_s = READ_PATIENCE_S
    """How long one node may take."""
    writes = False
    """Whether it changes something: then it matters whether it was sent."""
    operation_id: bytes = b""
    what = "the key"
    """In errors."""
    contact: Contact
    """Who is asked at present."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def candidates(self, route: Route) -> Sequence[Contact]:
        """Who may be asked, in order of preference."""
        raise NotImplementedError

    def request(self, number: int, epoch: int) -> Request:
        """The question, to `contact`."""
        raise NotImplementedError

    def accepts(self, reply: Reply) -> bool:
        """Whether the answer will do; else others are asked."""
        raise NotImplementedError

    def settle(self, trail: Trail) -> Reply | None:
        """After all were asked in vain: an answer that will have to do, None: ask again. May raise."""
        del trail
        return None


class Trail:
    """What became of the attempts so far."""

    __slots__ = (
        "deadline_s",
        "foreign",
        "misses",
        "overloaded",
        "redirects",
        "refusals",
        "unknown",
        "was_sent",
    )

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        #: Whether some node may have carried it out.
        self.was_sent = False
        #: What a node said that does not know the outcome either.
        self.unknown = ""
        self.redirects = 0
        #: Passes in which some node had too much to do.
        self.overloaded = 0
        # Of the present pass:
        self.misses: list[str] = []
        self.foreign: list[Error] = []
        self.refusals: dict[int, str] = {}

    def begin_pass(self) -> None:
        self.misses, self.foreign, self.refusals = [], [], {}

    def miss(self, contact: Contact, miss: Miss) -> None:
        """No answer."""
        self.was_sent = self.was_sent or miss.was_sent
        self.misses.append(f"{contact.address}: {miss.error}")
        if isinstance(miss.error, (AuthError, ProtocolError)):
            self.foreign.append(miss.error)

    def full(self) -> StoreFullError:
        """A disk is full, and no other node could do it."""
        return StoreFullError(self.words())

    def words(self) -> str:
        """What happened in the present pass."""
        return "; ".join([*self.refusals.values(), *self.misses]) or "there was no time"


Early = tuple[Contact, Reply | Miss]
"""Whom the caller has asked already, and what came."""


def carry_out(errand: Errand, deadline_s: float = 0.0, early: Early | None = None) -> Plan[Reply]:
    """Ask until it is answered. `deadline_s`: until when, by the session's clock; 0: as long as an operation
    may take.

    Raises:
        RequestTimeoutError, OutcomeUnknownError: of a write: it may or may not have happened.
        UnavailableError: nothing happened. Others that are definite: as the refusal said.
        DictGoneError, DamagedEntryError, MismatchError: see there.
    """
    session = errand.session
    trail = Trail(deadline_s or session.now_s() + session.timeout_s)
    pause_s = 0.0
    while True:
        route = session.route
        if route is None:
            route = yield from session.find_route(trail.deadline_s)
        trail.begin_pass()
        reply = yield from _pass_over(errand, route, trail, early)
        early = None
        if reply is None:
            reply = errand.settle(trail)
        if reply is not None:
            return reply
        _give_up(errand, trail)
        if session.route is not route and trail.redirects == 1:
            continue
        wait, pause_s = session.back_off(pause_s)
        if session.now_s() + wait.seconds >= trail.deadline_s:
            raise _error(errand, trail)
        yield wait
        if session.is_refresh_due():
            yield from session.refresh_anywhere(min(READ_PATIENCE_S, trail.deadline_s - session.now_s()))


def _pass_over(errand: Errand, route: Route, trail: Trail, early: Early | None) -> Plan[Reply | None]:
    """Ask each candidate once, until one answers. None: none did, or there is a newer ring."""
    session = errand.session
    candidates = errand.candidates(route)
    last = len(candidates) - 1
    for place, contact in enumerate(candidates):
        now_s = session.now_s()
        left_s = trail.deadline_s - now_s
        if left_s <= 0:
            return None
        if trail.misses and not contact.misses and session.is_refresh_due():
            yield from session.refresh(contact)
            if session.route is not route:
                trail.redirects += 1
                return None
        patience_s = contact.begin(now_s, min(left_s, errand.patience_s), others=place < last)
        errand.contact = contact
        if early is not None and early[0] is contact:
            reply: Reply | Miss = early[1]
        else:
            request = errand.request(session.number(), route.epoch)
            reply = yield Ask(contact, request, patience_s, careful=errand.writes)
        if type(reply) is Miss:
            contact.miss(session.now_s())
            trail.miss(contact, reply)
            continue
        if contact.misses:
            contact.hit()
        if type(reply) is Refused:
            if (yield from _refused(errand, contact, reply, trail)):
                return None
        elif type(reply) is Unknown:
            trail.unknown = reply.text or "the node does not know"
            trail.misses.append(f"{contact.address}: {trail.unknown}")
        elif errand.accepts(reply):
            return reply
    return None


def _refused(errand: Errand, contact: Contact, refused: Refused, trail: Trail) -> Plan[bool]:
    """Draw the conclusions from a refusal: raise it, or go on. True: there is a newer ring now."""
    session = errand.session
    if refused.reason in STALE:
        before = session.route
        if before is None or refused.mark[0] >= before.epoch:
            yield from session.refresh(contact)
        trail.redirects += 1
        trail.refusals[refused.reason] = f"{contact.address}: {refused.text or 'goes by another ring'}"
        return session.route is not before
    if refused.reason not in ELSEWHERE:
        if errand.writes and (trail.was_sent or trail.unknown):  # this node did nothing; another one may have
            text = f"{errand.what}: it may have been written before this: {refused.text}"
            raise OutcomeUnknownError(text, errand.operation_id or None)
        raise definite(refused)
    trail.refusals[refused.reason] = f"{contact.address}: {refused.text or Reason(refused.reason).name}"
    return False


def _give_up(errand: Errand, trail: Trail) -> None:
    """After a pass in vain: raise what more passes would not change."""
    if trail.unknown:
        raise OutcomeUnknownError(f"{errand.what}: {trail.unknown}", errand.operation_id or None)
    if trail.foreign and len(trail.foreign) == len(trail.misses) and not trail.refusals:
        raise trail.foreign[0]
    if trail.was_sent and errand.writes:
        return  # a definite error would say that nothing happened
    if Reason.NO_DICT in trail.refusals:
        raise DictGoneError
    if Reason.DAMAGED in trail.refusals and not trail.misses:  # who did not answer may have it whole
        raise DamagedEntryError
    if Reason.STORE_FULL in trail.refusals:
        raise trail.full()
    if Reason.OVERLOADED in trail.refusals:
        trail.overloaded += 1
        if trail.overloaded >= OVERLOADED_PASSES_MAX:
            raise UnavailableError(f"{errand.what}: {trail.words()}")


def _error(errand: Errand, trail: Trail) -> Error:
    """What to say when time is over."""
    if errand.writes and trail.was_sent:
        return RequestTimeoutError(
            f"{errand.what}: no answer in time, it may or may not have been written: {trail.words()}",
            errand.operation_id or None,
        )
    return UnavailableError(f"{errand.what}: no node could do it: {trail.words()}")


def definite(refused: Refused) -> Exception:  # noqa: PLR0911 - one a reason
    """A refusal that any node would repeat, as an error."""
    text = refused.text or f"refused, reason {refused.reason}"
    match refused.reason:
        case Reason.TOO_LARGE:
            return ValueTooLargeError(text)
        case Reason.INVALID:
            return InvalidError(text)
        case Reason.MISMATCH:
            return MismatchError(refused.detail or None)
        case Reason.NO_DICT:
            return DictGoneError()
        case Reason.STORE_FULL:
            return StoreFullError(text)
        case Reason.DAMAGED:
            return DamagedEntryError()
        case Reason.NO_QUORUM:
            return NoQuorumError(text)
        case _:
            return UnavailableError(text)


def in_order(contacts: Sequence[Contact], now_s: float) -> Sequence[Contact]:
    """Those that answered lately in front of the others, else as they come."""
    for contact in contacts:
        if contact.misses:
            return sorted(contacts, key=lambda each: not each.is_routable(now_s))
    return contacts
