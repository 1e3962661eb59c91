"""Locks of a cluster: plans that take, extend and release them, and that wait for one to be released.

Rules of this file:
1. A lock is granted by the leader of its key, by a put-if-absent, and ends by its token alone.
2. Whoever is interrupted while he takes one cancels that: what he was granted without hearing of it is
   released.
3. That a lock may be free is a hint, of the leader; who has heard it asks for the lock as anybody. A leader
   that is gone gives none, so one asks again after a while in any case.
"""

from __future__ import annotations

from typing import Any, Final

from ..exception import UnavailableError
from ..node.network.leadermessage import Freed, Verb
from ..node.network.leadermessage import Wait as AskToWait
from ..node.store.grant import LOCK, Abandon, Acquire, Extend, Grant, Release
from ..node.store.operation import Operation
from ..ring.partition import dict_seed, key_hash
from .atomic import ask, get
from .config import GREET_WAIT_S, LOCK_NOTICE_S
from .deciding import Deciding, decide
from .greeting import find_leader
from .instruction import Ask, Miss, Plan, Wait
from .session import Session

NO_BOOT: Final = bytes(16)
"""In the place of a host's boot: the leader counts the time."""


def plan_of(session: Session, dict_id: bytes, operation: Operation[Any]) -> Plan[Any] | None:
    """The plan of an operation on a lock; None: it is none. Raises as `decide`."""
    match operation:
        case Acquire():
            return _acquire(session, dict_id, operation)
        case Release():
            return _release(session, dict_id, operation.key, operation.token)
        case Extend():
            return _extend(session, dict_id, operation)
        case Abandon():
            return _abandon(session, dict_id, operation)
        case _:
            return None


def _acquire(session: Session, dict_id: bytes, one: Acquire) -> Plan[int | None]:
    body = LOCK.pack(0, one.ttl_ms, NO_BOOT, one.holder)
    hashed = key_hash(dict_seed(dict_id), one.key)
    taking = Deciding(session, dict_id, (one.key, hashed), Verb.PUT_IF_ABSENT, body, ttl_ms=one.ttl_ms)
    taking.again = True  # of a grant that is over already nobody has heard: another may be asked for
    leads = session.leads
    leads.taking[one.holder] = taking
    leads.refused(one.holder)
    try:
        acted = yield from decide(taking)
    except Exception:
        leads.taking.pop(one.holder, None)
        raise
    leads.taking.pop(one.holder, None)
    if acted.happened:
        return acted.version
    leads.refuse(one.holder, acted.version)
    return None


def _release(session: Session, dict_id: bytes, key: bytes, token: int) -> Plan[bool]:
    located = key, key_hash(dict_seed(dict_id), key)
    one = Deciding(session, dict_id, located, Verb.RELEASE, version=token)
    acted = yield from decide(one)
    return acted.happened or one.was_repeated  # by an attempt whose answer was lost


def _extend(session: Session, dict_id: bytes, one: Extend) -> Plan[bool]:
    if not one.token:
        return False
    acted = yield from ask(session, dict_id, one.key, Verb.EXTEND, version=one.token, ttl_ms=one.ttl_ms)
    return acted.happened


def _abandon(session: Session, dict_id: bytes, one: Abandon) -> Plan[bool]:
    session.leads.refused(one.holder)
    taking = session.leads.taking.pop(one.holder, None)
    if taking is not None and not taking.was_asked:
        return False
    if taking is not None:
        cancelled = yield from ask(
            session, dict_id, one.key, Verb.CANCEL, taking.operation_id, version=taking.verb
        )
        if not cancelled.happened:
            return False
        return (yield from _release(session, dict_id, one.key, cancelled.version))
    standing = yield from get(session, dict_id, one.key)
    if standing.body is None or Grant.decode(standing.body).holder != one.holder:
        return False
    return (yield from _release(session, dict_id, one.key, standing.version))


def holds(session: Session, dict_id: bytes, key: bytes, token: int) -> Plan[bool]:
    """Whether a lock is held with that token. Raises as `decide`."""
    standing = yield from get(session, dict_id, key)
    return standing.happened and standing.version == token


def wait_for(session: Session, dict_id: bytes, key: bytes, holder: bytes, seconds: float) -> Plan[None]:
    """Let time pass until a lock may be free that `holder` was refused: so long, or a moment more, at the
    most."""
    token = session.leads.refused(holder)
    seconds = min(seconds, LOCK_NOTICE_S)
    ends_s = session.now_s() + seconds
    route = session.route
    if not token or route is None:
        yield Wait(min(seconds, GREET_WAIT_S))
        return
    partition = key_hash(dict_seed(dict_id), key) & route.mask
    try:
        ballot = yield from find_leader(session, partition, ends_s)
    except UnavailableError:  # who asks for the lock next hears it
        yield Wait(max(0.0, min(ends_s - session.now_s(), GREET_WAIT_S)))
        return
    contact = route.contact_of(ballot.node)
    left_s = ends_s - session.now_s()
    if contact is None or left_s <= 0:
        return
    reply = yield Ask(contact, AskToWait(session.number(), ballot, dict_id, key, token), left_s)
    if not isinstance(reply, Freed):
        left_s = ends_s - session.now_s()
        if isinstance(reply, Miss) and left_s > 0:
            session.leads.doubt(partition, ballot)
        yield Wait(max(0.0, min(left_s, GREET_WAIT_S)))
