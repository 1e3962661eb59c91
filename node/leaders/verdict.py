"""What an atomic operation makes of a key: decided in one place, from what stands there, without a side
effect.

Rules of this file:
1. A key is absent if it has no record, one without a value, or one that its Dict's `clear` covers.
2. Of a record and a plain value the higher version is what is seen; a record without a value, and a `clear`,
   hide plain values up to their own versions.
3. A key is granted only where it is absent in both planes. Plain values can only refuse.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..network.leadermessage import Act, Verb
from ..store.number import decode_number, encode_number
from .plain import PlainEntry
from .record import Record

NEEDS_PLAIN: Final = frozenset({Verb.REPLACE, Verb.INCREMENT, Verb.GET, Verb.POP, Verb.POP_IF})
"""Verbs that need to know the newest plain value of a majority; the others look at the leader's own."""

COUNTED: Final = frozenset({Verb.REPLACE, Verb.INCREMENT, Verb.POP, Verb.POP_IF})
"""Verbs whose answers a record remembers."""


class Seen(NamedTuple):
    """A key before an operation."""

    record: Record | None
    """What was chosen last, covered by a `clear` or not."""
    held: Record | None
    """The same, if it has a value and is not covered."""
    version: int
    body: bytes | None
    """What is seen, of both planes; None: absent."""
    hidden: int = 0
    """Up to which version what was there is hidden, by a removal or a `clear`."""
    forgotten: int = 0
    """Up to which version what happened may be forgotten, if there is no record."""


class Change(NamedTuple):
    """What is to be chosen."""

    body: bytes | None
    ttl_ms: int
    takes: bool
    """Whether it makes the key present that was not."""
    result: bytes | None = None
    """What is to be remembered as the operation's answer; None: nothing."""
    keeps_token: bool = False


class Told(NamedTuple):
    """The answer; `body` is of what is told. `version` None: that of what is chosen."""

    happened: bool
    version: int | None
    body: bytes | None = None
    invalid: bool = False


def see(record: Record | None, cleared: Record | None, plain: PlainEntry | None, forgotten: int = 0) -> Seen:
    """Put together what is seen of a key. `forgotten`: the highest token of a partition that forgets."""
    covered = record is not None and cleared is not None and record.born < cleared.born
    held = None if record is None or covered or record.body is None else record
    hidden = max(0 if record is None else record.token, 0 if cleared is None else cleared.token)
    if plain is not None and plain.version > hidden:
        return Seen(record, held, plain.version, plain.body, 0, forgotten)
    if held is not None:
        return Seen(record, held, held.token, held.body)
    is_known = record is not None and (record.token or record.complete)  # else a `cancel` left it
    return Seen(record, None, 0, None, hidden if is_known else max(hidden, forgotten), forgotten)


def decide(act: Act, seen: Seen) -> tuple[Change | None, Told]:
    """What is to be chosen, None if nothing changes; and what is told then."""
    match act.verb:
        case Verb.PUT_IF_ABSENT | Verb.SET_DEFAULT:
            return _put_if_absent(act, seen)
        case Verb.REPLACE:
            return _replace(act, seen)
        case Verb.INCREMENT:
            return _increment(act, seen)
        case Verb.POP | Verb.POP_IF:
            return _pop(act, seen)
        case Verb.RELEASE | Verb.EXTEND:
            return _of_holder(act, seen)
        case _:  # a get
            return None, Told(seen.body is not None, seen.version or seen.hidden, seen.body)


def _put_if_absent(act: Act, seen: Seen) -> tuple[Change | None, Told]:
    wants_value = act.verb == Verb.SET_DEFAULT
    if seen.body is not None or seen.held is not None:
        return None, Told(False, seen.version, seen.body if wants_value else None)
    return Change(act.body, act.ttl_ms, takes=True), Told(True, None, act.body if wants_value else None)


def _replace(act: Act, seen: Seen) -> tuple[Change | None, Told]:
    if seen.version != act.version:
        return None, Told(False, seen.version)
    kept_ms = act.ttl_ms if seen.held is None else seen.held.ttl_ms
    return Change(act.body, kept_ms, takes=seen.held is None, result=b""), Told(True, None)


def _increment(act: Act, seen: Seen) -> tuple[Change | None, Told]:
    start = decode_number(act.initial if seen.body is None else seen.body)
    delta = decode_number(act.body)
    total = None if start is None or delta is None else _sum(start, delta)
    if total is None:
        absent = seen.body is None and not act.initial
        return None, Told(False, seen.version, seen.body, invalid=not absent)
    kept_ms = act.ttl_ms if seen.held is None else seen.held.ttl_ms
    return Change(total, kept_ms, takes=seen.held is None, result=total), Told(True, None, total)


def _sum(start: float, delta: float) -> bytes | None:
    """Of two numbers; None: one is a float, and the other an int too large for one."""
    try:
        return encode_number(start + delta)
    except OverflowError:
        return None


def _pop(act: Act, seen: Seen) -> tuple[Change | None, Told]:
    if seen.body is None:
        return None, Told(False, 0 if act.verb == Verb.POP_IF else seen.hidden)
    if act.verb == Verb.POP_IF and seen.version != act.version:
        return None, Told(False, seen.version)
    return Change(None, 0, takes=False, result=b""), Told(True, None, seen.body)


def _of_holder(act: Act, seen: Seen) -> tuple[Change | None, Told]:
    held = seen.held
    if held is None or held.token != act.version:
        return None, Told(False, 0 if held is None else held.token)
    if act.verb == Verb.RELEASE:
        return Change(None, 0, takes=False), Told(True, held.token)
    return Change(held.body, act.ttl_ms, takes=False, keeps_token=True), Told(True, held.token)


def find(cancel: Act, seen: Seen) -> Told | None:
    """What an operation that is to be cancelled was answered, if it is found."""
    target, held = cancel.body, seen.held
    for one in () if seen.record is None else seen.record.results:
        if one.operation_id == target:
            return Told(True, one.token, one.answer)
    return Told(True, held.token) if held is not None and held.taken_id == target else None


def never(cancel: Act, seen: Seen) -> Told | None:
    """What is told of an operation that was not found, and cannot happen any more; None: it may have
    happened long ago.

    Of a grant that is over "not held now, and never will be" is all that is asked, and what stands there
    instead, if anything does; version 0: nothing was ever decided about that key.
    """
    record, verb = seen.record, cancel.version
    if record is None and not seen.forgotten:
        return Told(False, 0)
    if record is None and verb in COUNTED:
        return None
    if record is None or verb in {Verb.PUT_IF_ABSENT, Verb.SET_DEFAULT}:
        return Told(False, seen.version or seen.hidden, seen.body)
    if record.operation_id == cancel.body:
        return Told(True, record.token)
    return Told(False, seen.version) if verb in COUNTED and record.complete else None
