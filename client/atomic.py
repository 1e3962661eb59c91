"""The atomic operations of node/store/operation.py, as plans for a cluster: what is asked of the leader, and
what its answer means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..exception import OutcomeUnknownError, ProtocolError
from ..node.network.leadermessage import Acted, Verb
from ..node.network.message import Present
from ..node.store.entry import Stored
from ..node.store.number import decode_number, encode_number
from ..node.store.operation import (
    Clear,
    DeleteMany,
    Increment,
    MismatchError,
    MissingKeyError,
    NotANumberError,
    Operation,
    Pop,
    PutIfAbsent,
    Replace,
    SetDefault,
)
from ..ring.partition import dict_seed, key_hash
from . import reading
from .deciding import Deciding, decide
from .instruction import Plan
from .removing import clear, remove_many
from .session import Session

VERSION_MAX: Final = (1 << 63) - 1
"""No entry has a version above it, or below 1."""


def plan_of(session: Session, dict_id: bytes, operation: Operation[Any]) -> Plan[Any] | None:
    """The plan of an atomic operation on entries; None: it is none of them. Raises as `decide`."""
    make = _PLANS.get(type(operation))
    return None if make is None else make(session, dict_id, operation)


def ask(
    session: Session,
    dict_id: bytes,
    key: bytes,
    verb: Verb,
    body: bytes = b"",
    *,
    initial: bytes = b"",
    version: int = 0,
    ttl_ms: int = 0,
) -> Plan[Acted]:
    """Have an operation on a key decided. Raises as `decide`."""
    located = key, key_hash(dict_seed(dict_id), key)
    one = Deciding(session, dict_id, located, verb, body, initial=initial, version=version, ttl_ms=ttl_ms)
    return (yield from decide(one))


def get(session: Session, dict_id: bytes, key: bytes) -> Plan[Acted]:
    """What stands there, in the one order of all that is decided about the key. Raises as `decide`."""
    return (yield from ask(session, dict_id, key, Verb.GET))


def find(session: Session, dict_id: bytes, key: bytes) -> Plan[Stored | None]:
    """The entry that stands there, as `get`; None: absent. Its time to live is what an owner has to tell."""
    hashed = key_hash(dict_seed(dict_id), key)
    acted = yield from decide(Deciding(session, dict_id, (key, hashed), Verb.GET))
    if acted.body is None:
        return None
    found = yield from reading.get(session, dict_id, key, hashed)
    if isinstance(found, Present) and found.stamp[0] == acted.version:
        version, node, touch = found.stamp
        return Stored(
            found.flags, version, node, touch, found.expires_ms, found.operation_id, b"", found.body
        )
    return Stored(0, acted.version, 0, 0, 0, b"", b"", acted.body)  # it has changed meanwhile


def _put_if_absent(session: Session, dict_id: bytes, one: PutIfAbsent) -> Plan[bool]:
    acted = yield from ask(session, dict_id, one.key, Verb.PUT_IF_ABSENT, one.body, ttl_ms=one.ttl_ms)
    return acted.happened


def _set_default(session: Session, dict_id: bytes, one: SetDefault) -> Plan[bytes]:
    acted = yield from ask(session, dict_id, one.key, Verb.SET_DEFAULT, one.body, ttl_ms=one.ttl_ms)
    if acted.body is None:
        raise ProtocolError("a setdefault was answered without a value")
    return acted.body


def _replace(session: Session, dict_id: bytes, one: Replace) -> Plan[int]:
    if one.if_version is not None and not 0 < one.if_version <= VERSION_MAX:
        standing = yield from get(session, dict_id, one.key)
        raise MismatchError(standing.version) if standing.happened else MissingKeyError
    acted = yield from ask(
        session, dict_id, one.key, Verb.REPLACE, one.body, version=one.if_version or 0, ttl_ms=one.ttl_ms
    )
    if acted.happened:
        return acted.version
    if one.if_version is not None and not acted.version:
        raise MissingKeyError
    raise MismatchError(acted.version)


def _increment(session: Session, dict_id: bytes, one: Increment) -> Plan[int | float]:
    initial = b"" if one.initial is None else encode_number(one.initial)
    delta = encode_number(one.delta)
    acted = yield from ask(
        session, dict_id, one.key, Verb.INCREMENT, delta, initial=initial, ttl_ms=one.ttl_ms
    )
    number = None if acted.body is None else decode_number(acted.body)
    if acted.happened and number is not None:
        return number
    if not acted.invalid:
        raise MissingKeyError
    start = one.initial if acted.body is None else number
    if start is None:
        raise NotANumberError
    raise OverflowError(f"{start + one.delta}")  # raises by itself, as it did where it was decided


def _pop(session: Session, dict_id: bytes, one: Pop) -> Plan[bytes | None]:
    if one.if_version is None:
        acted = yield from ask(session, dict_id, one.key, Verb.POP)
        if acted.happened and acted.body is None:
            raise OutcomeUnknownError("the key was removed, and the answer with its value is lost")
        return acted.body if acted.happened else None
    if not 0 < one.if_version <= VERSION_MAX:
        acted = yield from get(session, dict_id, one.key)
        acted = Acted(0, False, acted.version if acted.happened else 0)
    else:
        acted = yield from ask(session, dict_id, one.key, Verb.POP_IF, version=one.if_version)
    if acted.happened:
        return acted.body or b""  # without it, if the answer was lost: whoever knows the version has read it
    if acted.version:
        raise MismatchError(acted.version)
    return None


def _delete_many(session: Session, dict_id: bytes, one: DeleteMany) -> Plan[int]:
    seed = dict_seed(dict_id)
    return (yield from remove_many(session, dict_id, [(key, key_hash(seed, key)) for key in one.keys]))


def _clear(session: Session, dict_id: bytes, _one: Clear) -> Plan[None]:
    yield from clear(session, dict_id)


_PLANS: Final[dict[type[Operation[Any]], Callable[[Session, bytes, Any], Plan[Any]]]] = {
    Clear: _clear,
    DeleteMany: _delete_many,
    Increment: _increment,
    Pop: _pop,
    PutIfAbsent: _put_if_absent,
    Replace: _replace,
    SetDefault: _set_default,
}
