"""Atomic operations on one key: asked of the leader of its partition, and decided at most once.

Rules of this file:
1. A request is bound to one ballot. Under that one it may be sent as often as it takes, to the leader or by
   way of others: it is carried out once. Under another it is sent only after that ballot's leader said that
   it was not carried out, and never will be.
2. What may have happened is resolved by `cancel`, which finds it, or sees to it that it never happens: what
   is said to the caller stays true. Where it never happened it is asked for anew. Where it may have been in
   effect for a while it is not: what one call stored is never taken away twice.
3. What does no harm a second time (reading, releasing and extending by token, `cancel`) is simply asked for
   anew, as another operation.
4. Until the end of an operation's time its outcome is looked for; only then is it unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..exception import Error, NoQuorumError, OutcomeUnknownError, RequestTimeoutError, UnavailableError
from ..node.leaders.ballot import NO_BALLOT, Ballot
from ..node.network.leadermessage import Act, Acted, NotLed, Verb
from ..node.network.message import Reason, Refused, Reply, Unknown
from .config import DECIDE_PATIENCE_S, GREET_WAIT_S, READ_PATIENCE_S, UNKNOWNS_MAX
from .contact import Contact
from .errand import ELSEWHERE, STALE, definite
from .greeting import find_leader
from .instruction import Ask, Miss, Plan
from .memory import ABSENT
from .session import Session

REPEATABLE: Final = frozenset({Verb.GET, Verb.RELEASE, Verb.EXTEND, Verb.CANCEL})
"""What does no harm when it is done twice."""
REMOVES: Final = frozenset({Verb.POP, Verb.POP_IF})


class Deciding:
    """One operation on its way. `located`: the key and its hash."""

    def __init__(
        self,
        session: Session,
        dict_id: bytes,
        located: tuple[bytes, int],
        verb: Verb,
        body: bytes = b"",
        *,
        initial: bytes = b"",
        version: int = 0,
        ttl_ms: int = 0,
    ) -> None:
        self.session = session
        self.dict_id = dict_id
        self.key, self.key_hash = located
        self.verb = verb
        self.body = body
        self.initial = initial
        self.version = version
        self.ttl_ms = ttl_ms
        #: Whether to ask anew where `cancel` says that it is not in effect and never will be, though it may
        #: have been in effect for a while; else only if it never was.
        self.again = False
        self.leads = session.leads
        self.serial = 0
        self.operation_id = b""
        self.ballot: Ballot = NO_BALLOT
        #: The version of the key that this client had seen before it asked.
        self.known = session.memory.look(self.key_hash)
        #: Whether some node may carry it out.
        self.was_sent = False
        #: Whether it was ever handed to a connection: of interest to whoever is interrupted meanwhile.
        self.was_asked = False
        #: Whether an earlier attempt may have been carried out that did no harm.
        self.was_repeated = False
        self.unknowns = 0
        self.words = "there was no time"

    def renew(self) -> None:
        """Be another operation from now on, of which nobody has heard."""
        self.leads.end(self.serial)
        self.serial = self.leads.begin()
        self.operation_id = self.leads.operation_id(self.serial)
        self.was_sent = False

    def act(self, ticket: int) -> Act:
        """The request, as it goes to the leader."""
        return Act(
            self.session.number(),
            self.ballot,
            ticket,
            self.operation_id,
            self.leads.low(),
            self.dict_id,
            self.key,
            self.verb,
            self.body,
            self.initial,
            self.version,
            self.ttl_ms,
        )


def decide(one: Deciding, deadline_s: float = 0.0) -> Plan[Acted]:
    """Have it decided.

    Raises:
        NoQuorumError: no majority of the key's owners. Nothing happened.
        UnavailableError, others as `errand.definite`: nothing happened, and never will.
        OutcomeUnknownError, RequestTimeoutError: it may have happened, or not, or may still.
        DictGoneError: there is no such Dict.
    """
    one.renew()
    try:
        acted = yield from _decide(one, deadline_s or one.session.now_s() + one.session.timeout_s)
    except UnavailableError as error:
        if one.was_repeated and one.verb in {Verb.RELEASE, Verb.EXTEND}:
            text = f"an attempt whose answer was lost may have done it: {error}"
            raise OutcomeUnknownError(text, one.operation_id) from None
        raise
    finally:
        one.leads.end(one.serial)
    _remember(one, acted)
    return acted


def _decide(one: Deciding, deadline_s: float) -> Plan[Acted]:
    session, leads = one.session, one.leads
    pause_s = 0.0
    while True:
        ballot = yield from _leader(one, deadline_s)
        if one.was_sent and ballot != one.ballot:
            acted = yield from _settle(one, deadline_s)
            if acted is not None:
                return acted
        if not one.was_sent:
            one.ballot = ballot
        ticket = leads.ticket(one.ballot)
        if ticket is None:
            continue
        reply = yield from _ask(one, ticket, deadline_s)
        if type(reply) is Acted:
            return reply
        if type(reply) is Unknown:
            acted = yield from _unknown(one, reply, deadline_s)
            if acted is not None:
                return acted
        elif type(reply) is Refused:
            yield from _refused(one, reply)
        wait, pause_s = session.back_off(pause_s)
        if session.now_s() + wait.seconds >= deadline_s:
            raise _out_of_time(one)
        if type(reply) is not NotLed:
            yield wait


def _unknown(one: Deciding, reply: Unknown, deadline_s: float) -> Plan[Acted | None]:
    """The leader does not know: find out, or, if nothing was asked before, ask anew."""
    one.words = reply.text
    one.leads.forget_ticket(one.ballot.node)
    if reply.forgotten and not one.was_sent:
        one.leads.doubt(_partition(one), one.ballot)
        one.renew()
        return None
    one.unknowns += 1
    one.was_sent = True
    return (yield from _settle(one, deadline_s))


def _leader(one: Deciding, deadline_s: float) -> Plan[Ballot]:
    """Who leads the key's partition."""
    session = one.session
    while True:
        route = session.route
        if route is None:
            try:
                route = yield from session.find_route(deadline_s)
            except UnavailableError as error:
                one.words = str(error)
                raise _out_of_time(one) from None
        try:
            return (yield from find_leader(session, one.key_hash & route.mask, deadline_s))
        except UnavailableError as error:
            one.words = str(error)
            if not one.was_sent:
                raise
            wait, _ = session.back_off(GREET_WAIT_S)
            if session.now_s() + wait.seconds >= deadline_s:
                raise _out_of_time(one) from None
        yield wait


def _ask(one: Deciding, ticket: int, deadline_s: float) -> Plan[Reply | None]:
    """Ask the leader, by way of others if it does not answer. None: nothing is known."""
    session, leads = one.session, one.leads
    partition = _partition(one)
    refused: Refused | None = None
    for contact in _ways(one):
        left_s = deadline_s - session.now_s()
        if left_s <= 0:
            break
        patience_s = contact.begin(session.now_s(), min(left_s, DECIDE_PATIENCE_S), others=True)
        one.was_asked = True
        reply: Reply | Miss = yield Ask(contact, one.act(ticket), patience_s, careful=True)
        if type(reply) is Miss:
            contact.miss(session.now_s())
            one.was_sent = one.was_sent or reply.was_sent
            one.words = f"{contact.address}: {reply.error}"
            leads.doubt(partition, one.ballot)
            if reply.was_sent:
                return None  # somebody else may lead by now
            continue
        contact.hit()
        if type(reply) is NotLed:
            if (reply.ballot, reply.operation_id) == (one.ballot, one.operation_id):
                leads.retire(partition, one.ballot)
                one.was_sent = False
                return reply
            continue
        if type(reply) is Refused and reply.reason == Reason.UNAVAILABLE and contact is not _contact(one):
            refused = reply  # it does not reach the leader either
            leads.doubt(partition, one.ballot)
            continue
        return reply
    return refused


def _partition(one: Deciding) -> int:
    route = one.session.route
    assert route is not None
    return one.key_hash & route.mask


def _contact(one: Deciding) -> Contact | None:
    """The leader."""
    route = one.session.route
    return None if route is None else route.contact_of(one.ballot.node)


def _ways(one: Deciding) -> Iterator[Contact]:
    """The leader; then owners that may reach it, and others, of those that answered lately."""
    route = one.session.route
    assert route is not None
    leader = _contact(one)
    now_s = one.session.now_s()
    owners = route.owners(_partition(one))
    ways: Sequence[Contact] = [*owners, *(contact for contact in route.contacts if contact not in owners)]
    rest = [contact for contact in ways if contact is not leader and not contact.misses]
    if leader is not None and (leader.is_routable(now_s) or not rest):
        yield leader
    yield from rest[:2]


def _refused(one: Deciding, refused: Refused) -> Plan[None]:
    """It was not carried out, as far as this attempt goes: raise that, or go on."""
    session = one.session
    one.words = refused.text or Reason(refused.reason).name
    if refused.reason in STALE:
        yield from session.refresh_anywhere(READ_PATIENCE_S)
    elif refused.reason == Reason.NO_QUORUM:
        if not one.was_sent:
            raise NoQuorumError(one.words)
    elif refused.reason not in ELSEWHERE or refused.reason in _DEFINITE:
        raise definite(refused)
    if refused.reason != Reason.OVERLOADED:
        one.leads.doubt(_partition(one), one.ballot)
    if not one.was_sent:
        one.renew()  # the leader would answer the same again


_DEFINITE: Final = frozenset({Reason.NO_DICT, Reason.STORE_FULL, Reason.DAMAGED})
"""Refusals of which another node's word is not asked for: there is one leader."""


def _settle(one: Deciding, deadline_s: float) -> Plan[Acted | None]:
    """It may have been carried out, and its leader is asked no more. None: ask anew.

    Raises:
        OutcomeUnknownError: nobody knows, or not in time.
        UnavailableError: it is not in effect, and never will be.
    """
    if one.unknowns >= UNKNOWNS_MAX:
        raise OutcomeUnknownError(f"nobody knows what became of it: {one.words}", one.operation_id)
    if one.verb in REPEATABLE:
        one.renew()
        one.was_repeated = True
        return None
    located = one.key, one.key_hash
    cancel = Deciding(one.session, one.dict_id, located, Verb.CANCEL, one.operation_id, version=one.verb)
    cancel.unknowns = one.unknowns
    try:
        acted = yield from decide(cancel, deadline_s)
    except OutcomeUnknownError as error:
        raise OutcomeUnknownError(str(error), one.operation_id) from None
    except Error as error:
        text = f"it may or may not have happened, and that could not be found out: {error}"
        raise RequestTimeoutError(text, one.operation_id) from None
    if acted.happened:
        return _found(one, acted)
    never = one.verb not in {Verb.PUT_IF_ABSENT, Verb.SET_DEFAULT} or not acted.version
    if never or one.again:
        one.renew()
        return None
    if acted.body is not None and one.known is not None and acted.version == one.known[0]:
        return Acted(
            0, False, acted.version, acted.body
        )  # it stood there all the time: versions are used once
    # Another value that stands there by now is no answer: this call's may have stood before, and been taken.
    raise UnavailableError(
        "the leader was lost while it was asked: what this call would store is not there, and never will be"
    )


def _found(one: Deciding, acted: Acted) -> Acted:
    """The answer of an operation that `cancel` found."""
    if one.verb == Verb.SET_DEFAULT:
        return Acted(0, True, acted.version, one.body)
    if one.verb == Verb.INCREMENT and not acted.body:
        raise OutcomeUnknownError("it was carried out, and nobody knows the sum any more", one.operation_id)
    if one.verb in REMOVES:
        return Acted(0, True, acted.version, None)
    return acted


def _out_of_time(one: Deciding) -> Error:
    if one.was_sent and one.verb not in {Verb.GET, Verb.CANCEL}:
        return RequestTimeoutError(
            f"no answer in time, it may or may not have happened: {one.words}", one.operation_id
        )
    return UnavailableError(f"no leader of the key's partition could do it: {one.words}")


def _remember(one: Deciding, acted: Acted) -> None:
    """Expect of later reads what this answer showed."""
    one.leads.decided_s = one.session.now_s()
    memory, version = one.session.memory, acted.version
    if one.verb in {Verb.RELEASE, Verb.EXTEND, Verb.CANCEL} or not version:
        return
    if one.verb in REMOVES or (one.verb == Verb.GET and not acted.happened):
        if acted.happened or one.verb != Verb.POP_IF:
            memory.see(one.key_hash, (version, 0, 0), ABSENT)
    elif one.ttl_ms and acted.happened:
        memory.see(one.key_hash, (version, 0, 0), one.session.now_s() + one.ttl_ms / 1000)
    else:
        memory.see_perhaps_expiring(one.key_hash, (version, 0, 0))
