"""Writes of one key: through its primary owner, else through the next owner, else through any node.

A put that got no answer is sent again, under the same operation id: see rule 2 of errand.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..node.network.message import Ack, Put, Reply, Request, Touch, Written
from .config import WRITE_PATIENCE_S
from .contact import Contact
from .errand import Errand, carry_out, in_order
from .instruction import Plan
from .route import Route
from .session import Session

ACKS = {"all": Ack.ALL, "majority": Ack.MAJORITY, "one": Ack.ONE}


class Writing(Errand):
    """A write of one key."""

    __slots__ = ("ack", "dict_id", "key", "key_hash", "operation_id", "session", "ttl_ms")

    patience_s = WRITE_PATIENCE_S
    writes = True
    operation_id: bytes

    def __init__(
        self, session: Session, dict_id: bytes, key: bytes, key_hash: int, ttl_ms: int, ack: Ack
    ) -> None:
        self.session = session
        self.dict_id = dict_id
        self.key = key
        self.key_hash = key_hash
        self.ttl_ms = ttl_ms
        self.ack = ack
        self.operation_id = session.operation_id()

    def candidates(self, route: Route) -> Sequence[Contact]:
        return writers(self.session, route, self.key_hash & route.mask)

    def accepts(self, reply: Reply) -> bool:
        if type(reply) is not Written:
            return False
        session = self.session
        expires_s = session.now_s() + self.ttl_ms / 1000 if self.ttl_ms > 0 else 0.0
        session.memory.see(self.key_hash, reply.stamp, expires_s)
        return True


class Putting(Writing):
    """Store a value, whatever stands there."""

    __slots__ = ("body", "floor")

    def __init__(
        self,
        session: Session,
        dict_id: bytes,
        key: bytes,
        key_hash: int,
        body: bytes,
        *,
        ttl_ms: int,
        ack: Ack,
    ) -> None:
        super().__init__(session, dict_id, key, key_hash, ttl_ms, ack)
        self.body = body
        self.floor = session.memory.floor

    def request(self, number: int, epoch: int) -> Request:
        return Put(
            number,
            epoch,
            self.dict_id,
            self.key,
            self.body,
            self.ttl_ms,
            self.ack,
            self.floor,
            self.operation_id,
        )


class Touching(Writing):
    """Give an entry another time to live."""

    __slots__ = ("if_version",)

    def __init__(
        self, session: Session, dict_id: bytes, key: bytes, key_hash: int, ttl_ms: int, if_version: int
    ) -> None:
        super().__init__(session, dict_id, key, key_hash, ttl_ms, Ack.ALL)
        self.if_version = if_version

    def request(self, number: int, epoch: int) -> Request:
        return Touch(
            number, epoch, self.dict_id, self.key, self.ttl_ms, self.if_version, self.ack, self.operation_id
        )


def writers(session: Session, route: Route, partition: int) -> Sequence[Contact]:
    """Whom to send a write to: the primary, the other owners, any node that answers, then the rest."""
    owners = route.owners(partition)
    if not owners[0].misses:
        return owners if len(owners) == len(route.contacts) else [*owners, *others(route, owners)]
    return in_order([*owners, *others(route, owners)], session.now_s())


def others(route: Route, owners: Sequence[Contact]) -> list[Contact]:
    """The members that are no owners."""
    return [contact for contact in route.contacts if contact not in owners]


def put(
    session: Session,
    dict_id: bytes,
    key: bytes,
    key_hash: int,
    body: bytes,
    *,
    ttl_ms: int = 0,
    ack: Ack = Ack.ALL,
) -> Plan[Written]:
    """Store a value. Raises as `carry_out`."""
    errand = Putting(session, dict_id, key, key_hash, body, ttl_ms=ttl_ms, ack=ack)
    reply = yield from carry_out(errand)
    assert isinstance(reply, Written)
    return reply


def touch(
    session: Session, dict_id: bytes, key: bytes, key_hash: int, ttl_ms: int, if_version: int = 0
) -> Plan[bool]:
    """Give an entry another time to live, if it is at `if_version` (0: whatever it is at). False: absent.

    Raises as `carry_out`; MismatchError: it is at another version.
    """
    reply = yield from carry_out(Touching(session, dict_id, key, key_hash, ttl_ms, if_version))
    assert isinstance(reply, Written)
    return bool(reply.stamp[0])
