"""Finding out who leads a partition: who owns it is asked, then everybody.

Rules of this file:
1. The primary owner is asked first, since it mostly leads; then all owners side by side; then other members,
   who may hear of a leader that this client does not reach.
2. One plan asks at a time, and the others wait for what it hears: an answer is about all partitions.
3. That a partition has no quorum is believed when all that answer say so, and again a moment later.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..exception import NoQuorumError, UnavailableError
from ..node.leaders.ballot import Ballot
from ..node.network.leadermessage import Greet, Greeted
from ..node.network.message import Reply
from .config import (
    GREET_PATIENCE_S,
    GREET_WAIT_S,
    GREETED_STRANGERS_MAX,
    LOST_PASSES,
)
from .contact import Contact
from .errand import in_order
from .instruction import Ask, Miss, Plan, Wait, together
from .route import Route
from .session import Session

Heard = Reply | Miss


def find_leader(session: Session, partition: int, deadline_s: float) -> Plan[Ballot]:
    """The ballot under which a partition is led, of a leader that knows this session.

    Raises:
        NoQuorumError: no majority of the partition's owners reach each other, as far as this client hears.
        UnavailableError: nobody led it in time.
    """
    leads = session.leads
    passes = lost_passes = 0
    words = "there was no time"
    while True:
        ballot = leads.leader(partition)
        if ballot is not None and leads.ticket(ballot) is not None:
            return ballot
        route = session.route
        if route is None:
            route = yield from session.find_route(deadline_s)
        now_s = session.now_s()
        if now_s >= deadline_s:
            raise UnavailableError(f"nobody leads the key's partition: {words}")
        if now_s < leads.asking_until_s:
            yield Wait(GREET_WAIT_S / 4)
            continue
        leads.asking_until_s = now_s + GREET_PATIENCE_S
        try:
            replies = yield from _ask(session, route, partition, ballot, first=not passes)
        finally:
            leads.asking_until_s = 0.0
        passes += 1
        told = [reply for reply in replies if isinstance(reply, Greeted)]
        ballot = leads.leader(partition)
        if ballot is not None and (passes == 1 or leads.ticket(ballot) is not None):
            continue
        if told and all(partition in reply.lost for reply in told):
            lost_passes += 1
            if lost_passes >= LOST_PASSES:
                raise NoQuorumError(
                    f"no majority of the key's {len(route.owners(partition))} owners reach each other, say "
                    f"{len(told)} of {len(route.contacts)} members"
                )
        elif told:
            lost_passes = 0
        words = "; ".join(dict.fromkeys(map(_words, replies))) or words
        if passes > 1:
            yield Wait(GREET_WAIT_S * (0.5 + session.dice.random()))
            if session.is_refresh_due():
                yield from session.refresh_anywhere(GREET_PATIENCE_S)


def _words(reply: Heard) -> str:
    if isinstance(reply, Greeted):
        return "an election is under way"
    return str(reply.error) if isinstance(reply, Miss) else str(getattr(reply, "text", ""))


def _ask(
    session: Session, route: Route, partition: int, ballot: Ballot | None, *, first: bool
) -> Plan[list[Heard]]:
    """Greet those who may know, and hear what they say."""
    owners = route.owners(partition)
    leader = None if ballot is None else route.contact_of(ballot.node)
    if first:
        whom: Sequence[Contact] = [leader or in_order(owners, session.now_s())[0]]
        return (yield from _greet_all(session, whom, b""))
    replies = yield from _greet_all(session, owners, b"")
    others = [contact for contact in route.contacts if contact not in owners]
    if not any(isinstance(reply, Greeted) for reply in replies) or leader in others:
        others.sort(key=lambda contact: (contact is not leader, contact.misses, session.dice.random()))
        replies += yield from _greet_all(session, others[:GREETED_STRANGERS_MAX], b"")
    ballot = session.leads.leader(partition)
    if ballot is not None and session.leads.ticket(ballot) is None:  # it may be reached by way of another
        others = [contact for contact in route.contacts if not contact.misses]
        replies += yield from _greet_all(session, others[:GREETED_STRANGERS_MAX], ballot.node)
    return replies


def _greet_all(session: Session, contacts: Sequence[Contact], target: bytes) -> Plan[list[Heard]]:
    outcomes = yield from together([_greet(session, contact, target) for contact in contacts])
    return [outcome.result for outcome in outcomes if outcome.error is None]


def _greet(session: Session, contact: Contact, target: bytes) -> Plan[Heard]:
    patience_s = contact.begin(session.now_s(), GREET_PATIENCE_S, others=True)
    leads = session.leads
    reply: Heard = yield Ask(contact, Greet(session.number(), leads.session_id, target), patience_s)
    if isinstance(reply, Miss):
        contact.miss(session.now_s())
    else:
        contact.hit()
        if isinstance(reply, Greeted) and leads is session.leads:
            leads.hear(reply)
    return reply
