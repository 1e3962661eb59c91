"""Finding and making Dicts: every member knows them all, so any may be asked.

Rules of this file:
1. That there is no such Dict is believed when all that answer say so: one that was away may not have heard.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..node.network.message import Dicts, ListDicts, Reply, Request, Resolve, Resolved, ResolveId
from ..node.store.catalogue import Record
from .contact import Contact
from .errand import Errand, Trail, carry_out, in_order
from .instruction import Plan
from .route import Route
from .session import Session


class Inquiry(Errand):
    """A question that any node can answer."""

    what = "the Dict"

    def candidates(self, route: Route) -> Sequence[Contact]:
        session = self.session
        # In random order: else whoever is first in the ring would answer all clients.
        contacts = sorted(route.contacts, key=lambda contact: (not contact.is_near, session.dice.random()))
        return in_order(contacts, session.now_s())


class Finding(Inquiry):
    """Which Dict it is."""

    def __init__(self, session: Session, question: Resolve | ResolveId) -> None:
        super().__init__(session)
        self.question = question
        self.writes = isinstance(question, Resolve) and bool(question.record)
        #: That there is none, as some node said in the present pass.
        self.none: Resolved | None = None

    def request(self, number: int, epoch: int) -> Request:
        del epoch
        question = self.question
        if isinstance(question, ResolveId):
            return ResolveId(number, question.dict_id)
        return Resolve(number, question.environment, question.name, question.record)

    def accepts(self, reply: Reply) -> bool:
        if type(reply) is not Resolved:
            return False
        if reply.dict_id:
            return True
        self.none = reply
        return False

    def settle(self, trail: Trail) -> Reply | None:
        del trail
        return self.none


class Listing(Inquiry):
    """A stretch of the Dicts of an environment."""

    def __init__(self, session: Session, environment: str, after: str) -> None:
        super().__init__(session)
        self.environment = environment
        self.after = after

    def request(self, number: int, epoch: int) -> Request:
        del epoch
        return ListDicts(number, self.environment, self.after)

    def accepts(self, reply: Reply) -> bool:
        return type(reply) is Dicts


def resolve(
    session: Session, environment: str, name: str, record: bytes = b""
) -> Plan[tuple[bytes, bytes] | None]:
    """The id and record of the Dict of a name, made as `record` says if there is none, unless that is empty.
    None: there is none. Making it may be repeated: whoever makes a name again finds the same Dict.

    Raises as `carry_out`.
    """
    return (yield from _find(session, Resolve(0, environment, name, record)))


def resolve_id(session: Session, dict_id: bytes) -> Plan[tuple[bytes, bytes] | None]:
    """The id and record of the Dict of an id, None: there is none. Raises as `carry_out`."""
    return (yield from _find(session, ResolveId(0, dict_id)))


def look_up(session: Session, environment: str, name: str) -> Plan[Resolved]:
    """As `resolve`, whatever there is: with the life of the name. Raises as `carry_out`."""
    reply = yield from carry_out(Finding(session, Resolve(0, environment, name, b"")))
    assert isinstance(reply, Resolved)
    return reply


def beat(session: Session, dict_id: bytes) -> Plan[tuple[bytes, bytes] | None]:
    """Say of an ephemeral Dict that whoever made it is alive; as `resolve_id`."""
    found = yield from resolve_id(session, dict_id)
    if found is None:
        return None
    record = Record.decode(found[1])
    return (yield from resolve(session, record.environment, record.name or "", found[1]))


def _find(session: Session, question: Resolve | ResolveId) -> Plan[tuple[bytes, bytes] | None]:
    reply = yield from carry_out(Finding(session, question))
    assert isinstance(reply, Resolved)
    return (reply.dict_id, reply.record) if reply.dict_id else None


def dicts(session: Session, environment: str) -> Plan[list[tuple[bytes, bytes]]]:
    """Ids and records of all named Dicts of an environment. Raises as `carry_out`."""
    found: list[tuple[bytes, bytes]] = []
    after = ""
    while True:
        reply = yield from carry_out(Listing(session, environment, after))
        assert isinstance(reply, Dicts)
        found += reply.rows
        if not reply.more or not reply.rows:
            return found
        after = Record.decode(reply.rows[-1][1]).name or ""
