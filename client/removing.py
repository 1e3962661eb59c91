"""Atomic operations on many keys: reading them through their leaders, removing them; and on all of a Dict.

Rules of this file:
1. Each key of a batch is asked for by an operation of its own (deciding.py); so many are under way at a time
   that a leader decides them together, with one sync of its disk.
2. A Dict is cleared partition by partition, all partitions of one leader by one message. It is not begun
   unless each has a leader.
3. A clear is sent again to its leader as what it is. Where that leader is no more it is asked for anew: a
   partition may so be cleared twice, both times before the caller hears of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..exception import OutcomeUnknownError, PartialFailureError, RequestTimeoutError, UnavailableError
from ..node.leaders.ballot import Ballot
from ..node.network.leadermessage import Clear, Cleared, Verb
from ..node.network.message import Reason, Refused, Reply, Unknown
from ..node.store.transaction import DictGoneError
from .config import DECIDE_PATIENCE_S, DECIDING_LANES_MAX
from .deciding import Deciding, decide
from .errand import definite
from .greeting import find_leader
from .instruction import Ask, Miss, Outcome, Plan, together
from .session import Session

Located = tuple[bytes, int]
"""A key and its hash."""


# -- many keys -------------------------------------------------------------------------------------


def remove_many(session: Session, dict_id: bytes, keys: Sequence[Located]) -> Plan[int]:
    """Remove the keys that are there: how many there were.

    Raises:
        PartialFailureError: some keys failed and others did not. Keys in it are encoded.
        Others: all failed, all alike.
    """
    outcomes = yield from _all(session, dict_id, keys, Verb.POP)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not errors:
        return sum(outcome.result.happened for outcome in outcomes)
    gone = next((error for error in errors if isinstance(error, DictGoneError)), None)
    if gone is not None:
        raise gone
    if len(errors) == len(keys) and len({type(error) for error in errors}) == 1:
        raise errors[0]
    pairs = list(zip(keys, outcomes, strict=True))
    done = [key for (key, _), outcome in pairs if outcome.error is None]
    failed = {key: outcome.error for (key, _), outcome in pairs if outcome.error is not None}
    raise PartialFailureError(f"{len(done)} of {len(keys)} keys are done; then: {errors[0]}", failed, done)


def get_many(
    session: Session, dict_id: bytes, keys: Sequence[Located], reads: object = None
) -> Plan[list[bytes | None]]:
    """The values' bytes of keys, in their order, each as its leader says. Raises as `deciding.decide`."""
    del reads
    outcomes = yield from _all(session, dict_id, keys, Verb.GET)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return [outcome.result.body for outcome in outcomes]


def _all(session: Session, dict_id: bytes, keys: Sequence[Located], verb: Verb) -> Plan[list[Outcome]]:
    """Ask for each of the keys: how each ended."""
    outcomes = [Outcome() for _ in keys]
    if not keys:
        return outcomes
    deadline_s = session.now_s() + session.timeout_s
    route = session.route or (yield from session.find_route(deadline_s))
    yield from find_leader(session, keys[0][1] & route.mask, deadline_s)  # once, for all of the lanes
    rows = iter(range(len(keys)))
    count = min(DECIDING_LANES_MAX, len(keys))
    yield from together([_lane(session, dict_id, keys, verb, rows, outcomes) for _ in range(count)])
    return outcomes


def _lane(
    session: Session,
    dict_id: bytes,
    keys: Sequence[Located],
    verb: Verb,
    rows: Iterator[int],
    outcomes: list[Outcome],
) -> Plan[None]:
    """Ask for one key after the other, of those that are left."""
    for row in rows:
        try:
            outcomes[row].result = yield from decide(Deciding(session, dict_id, keys[row], verb))
        except Exception as error:  # noqa: BLE001 - it is told with all others
            outcomes[row].error = error


# -- all of a Dict ---------------------------------------------------------------------------------


class Clearing:
    """A Dict that is being cleared: which partitions are left, and whether anything was sent."""

    def __init__(self, session: Session, dict_id: bytes, *, ends: bool) -> None:
        self.session = session
        self.dict_id = dict_id
        self.ends = ends
        self.deadline_s = session.now_s() + session.timeout_s
        self.left: set[int] = set()
        self.was_sent = False
        self.words = "there was no time"


def clear(session: Session, dict_id: bytes, *, ends: bool = False) -> Plan[None]:
    """Make all of a Dict absent, and release its locks; `ends`: for ever, the Dict is no more.

    Raises:
        NoQuorumError: some partition has no majority, and nothing was begun.
        OutcomeUnknownError: some partitions may be cleared and others not. It may be repeated.
    """
    one = Clearing(session, dict_id, ends=ends)
    route = session.route or (yield from session.find_route(one.deadline_s))
    one.left = set(range(route.partitions))
    while one.left:
        try:
            ballots = yield from _leaders(one)
        except UnavailableError as error:
            if not one.was_sent:
                raise
            raise OutcomeUnknownError(f"some partitions are not cleared: {error}") from None
        by_leader: dict[tuple[bytes, int], list[tuple[int, Ballot]]] = {}
        for partition, ballot in sorted(ballots.items()):
            by_leader.setdefault((ballot.node, ballot.boot), []).append((partition, ballot))
        outcomes = yield from together([_clear_at(one, rows) for rows in by_leader.values()])
        for outcome in outcomes:
            if isinstance(outcome.error, UnavailableError) and one.was_sent:
                raise OutcomeUnknownError(f"some partitions are not cleared: {outcome.error}") from None
            if outcome.error is not None:
                raise outcome.error
        if one.left:
            wait, _ = session.back_off(0.0)
            if session.now_s() + wait.seconds >= one.deadline_s:
                text = f"{len(one.left)} of {route.partitions} partitions may not be cleared: {one.words}"
                raise RequestTimeoutError(text)
            yield wait


def _leaders(one: Clearing) -> Plan[dict[int, Ballot]]:
    """Who leads each partition that is left."""
    leads = one.session.leads
    while True:
        ballots: dict[int, Ballot] = {}
        for partition in one.left:
            ballot = leads.leader(partition)
            if ballot is None or leads.ticket(ballot) is None:
                yield from find_leader(one.session, partition, one.deadline_s)
                break
            ballots[partition] = ballot
        else:
            return ballots


def _clear_at(one: Clearing, rows: list[tuple[int, Ballot]]) -> Plan[None]:
    """Have one leader clear these partitions. What it does not know to be done is left."""
    leads = one.session.leads
    serial = leads.begin()
    try:
        yield from _insist(one, rows, serial)
    finally:
        leads.end(serial)


def _insist(one: Clearing, rows: list[tuple[int, Ballot]], serial: int) -> Plan[None]:
    """Ask a leader until it answers, or leads nothing of that any more."""
    session, leads = one.session, one.session.leads
    operation_id = leads.operation_id(serial)
    pause_s = 0.0
    while True:
        route = session.route
        ticket = leads.ticket(rows[0][1])
        contact = None if route is None else route.contact_of(rows[0][1].node)
        left_s = one.deadline_s - session.now_s()
        if ticket is None or contact is None or left_s <= 0:
            return
        request = Clear(session.number(), rows, ticket, operation_id, leads.low(), one.dict_id, one.ends)
        patience_s = contact.begin(session.now_s(), min(left_s, DECIDE_PATIENCE_S), others=True)
        reply: Reply | Miss = yield Ask(contact, request, patience_s, careful=True)
        if type(reply) is Cleared:
            contact.hit()
            _take(one, rows, reply)
            return
        if type(reply) is Miss:
            contact.miss(session.now_s())
            one.was_sent = one.was_sent or reply.was_sent
            one.words = f"{contact.address}: {reply.error}"
            for partition, ballot in rows:
                leads.doubt(partition, ballot)
            yield from find_leader(session, rows[0][0], one.deadline_s)
        elif type(reply) is Refused:
            one.words = reply.text
            if reply.reason in {Reason.NO_DICT, Reason.INVALID}:
                raise definite(reply)
        elif type(reply) is Unknown:
            one.was_sent = one.was_sent or not reply.forgotten
            one.words = reply.text
            leads.forget_ticket(rows[0][1].node)
            return
        if all(leads.leader(partition) not in {ballot, None} for partition, ballot in rows):
            return
        wait, pause_s = session.back_off(pause_s)
        yield wait


def _take(one: Clearing, rows: list[tuple[int, Ballot]], reply: Cleared) -> None:
    """What a leader answered."""
    session = one.session
    route = session.route
    assert route is not None
    one.was_sent = one.was_sent or bool(reply.done) or len(reply.not_led) < len(rows)
    one.left.difference_update(reply.done)
    session.leads.decided_s = session.now_s()
    for partition, token in zip(reply.done, reply.tokens, strict=False):
        session.memory.clear(one.dict_id, partition, token, route.partitions)
    ballots = dict(rows)
    for partition in reply.not_led:
        if partition in ballots:
            session.leads.retire(partition, ballots[partition])
    unknown = set(ballots) - set(reply.done) - set(reply.not_led)
    for partition in unknown:
        session.leads.doubt(partition, ballots[partition])
