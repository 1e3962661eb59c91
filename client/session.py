"""What a client knows of a cluster, shared by all that it asks: the ring, the nodes, the stamps it has seen.

The plans that ask stand in errand.py, reading.py, writing.py, batching.py, scanning.py and naming.py. All of
it is sans-IO (instruction.py): a plan yields what it wants done, and driver.py, blocking.py and loops.py do
it. Time and chance come in as arguments.

Rules of this file:
1. Any node tells the ring, and whichever is newest is gone by. A decree of another cluster is none.
2. A node is known by its address. The ring names members by id; where they are reached now, nodes say.
3. Seeds are asked for the ring when no member answers, for ever: so a client survives that every node it
   knew moved away.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Protocol

from ..exception import AuthError, Error, ProtocolError, UnavailableError
from ..node.network.message import AskRing, TellRing
from ..ring.codec import decode_decree
from ..ring.decree import DecreeError
from .config import (
    BACK_OFF_S_MAX,
    BACK_OFF_S_MIN,
    OPERATION_TIMEOUT_S,
    READ_PATIENCE_S,
    REFRESH_INTERVAL_S,
)
from .contact import Contact
from .instruction import Ask, Miss, Plan, Wait
from .leads import Leads
from .memory import Memory
from .route import Route


class Dice(Protocol):
    """Random numbers; `random.Random` is one."""

    def random(self) -> float:
        """From 0.0 up to, not including, 1.0."""
        ...

    def randbytes(self, n: int, /) -> bytes:
        """`n` bytes."""
        ...


class Session:
    """One client of one cluster. Threads may share it.

    Args:
        seeds: addresses to begin at.
        now_s: a clock in seconds that never jumps.
        wall_ms: the wall clock, milliseconds since 1970.
        timeout_s: of each operation.
        zone: where this client is; owners there are asked first for reads.
    """

    def __init__(
        self,
        seeds: Sequence[str],
        now_s: Callable[[], float],
        wall_ms: Callable[[], int],
        dice: Dice,
        *,
        timeout_s: float = OPERATION_TIMEOUT_S,
        zone: str = "",
    ) -> None:
        self.seeds = tuple(seeds)
        self.now_s = now_s
        self.wall_ms = wall_ms
        self.dice = dice
        self.timeout_s = timeout_s
        self.zone = zone
        #: The newest ring that was heard of; None before the first.
        self.route: Route | None = None
        self.memory = Memory()
        self.leads = Leads(dice)
        self._contacts: dict[str, Contact] = {}
        self._numbers = itertools.count(1)
        #: The decree as it came last, with which it need not be read again.
        self._decree = b""
        self._refreshed_s = -REFRESH_INTERVAL_S
        self._client = dice.randbytes(8)
        #: Called when a node turned out to be on this host.
        self.when_near: Callable[[], None] = lambda: None

    # -- small things ------------------------------------------------------------------------------

    def number(self) -> int:
        """The number of a new question, unlike any other of this session."""
        return next(self._numbers)

    def operation_id(self) -> bytes:
        """A name for an operation, unlike that of any other client's."""
        return self._client + next(self._numbers).to_bytes(8, "big")

    def renew(self, dice: Dice) -> None:
        """Be another client from now on: in a forked child."""
        self.dice = dice
        self._client = dice.randbytes(8)
        self.leads = Leads(dice)

    def contact(self, address: str) -> Contact:
        """The node at an address."""
        contact = self._contacts.get(address)
        if contact is None:
            contact = self._contacts.setdefault(address, Contact(address))
        return contact

    def back_off(self, pause_s: float) -> tuple[Wait, float]:
        """A pause of about that length, and the length of the next."""
        pause_s = pause_s or BACK_OFF_S_MIN
        return Wait(pause_s * (0.5 + 0.5 * self.dice.random())), min(2 * pause_s, BACK_OFF_S_MAX)

    def is_near(self, contact: Contact) -> None:
        """Its connection showed that a node is on this host."""
        if not contact.is_near:
            contact.is_near = True
            if self.route is not None:
                self.route.settle()
            self.when_near()

    # -- the ring ----------------------------------------------------------------------------------

    def find_route(self, deadline_s: float) -> Plan[Route]:
        """The ring, from whichever node tells it.

        Raises:
            UnavailableError: nobody did in time.
            AuthError, ProtocolError: all who answered refused the connection.
        """
        pause_s = 0.0
        while True:
            errors: list[Error] = []
            for contact in self._advisers():
                left_s = deadline_s - self.now_s()
                if left_s <= 0:
                    break
                miss = yield from self._ask_ring(contact, min(left_s, READ_PATIENCE_S))
                if self.route is not None:
                    return self.route
                errors.append(miss or UnavailableError(f"{contact.address} is in no ring"))
            foreign = [error for error in errors if isinstance(error, (AuthError, ProtocolError))]
            if foreign and len(foreign) == len(errors):
                raise foreign[0]
            wait, pause_s = self.back_off(pause_s)
            if self.now_s() + wait.seconds >= deadline_s:
                told = "; ".join(dict.fromkeys(map(str, errors))) or "there was no time"
                raise UnavailableError(f"no node of {', '.join(self.seeds)} tells the ring: {told}")
            yield wait

    def _advisers(self) -> list[Contact]:
        """Whom to ask for the ring: members and seeds, in random order, those that answered lately first."""
        route = self.route
        known = dict.fromkeys(route.contacts if route is not None else ())
        known |= dict.fromkeys(map(self.contact, self.seeds))
        return sorted(known, key=lambda contact: (contact.misses, self.dice.random()))

    def refresh(self, contact: Contact) -> Plan[None]:
        """Ask a node that answers for the ring."""
        yield from self._ask_ring(contact, READ_PATIENCE_S)

    def refresh_anywhere(self, timeout_s: float) -> Plan[None]:
        """Ask the nodes, one after the other, until one tells the ring."""
        ends_s = self.now_s() + timeout_s
        for contact in self._advisers():
            left_s = ends_s - self.now_s()
            if left_s <= 0 or (yield from self._ask_ring(contact, min(left_s, READ_PATIENCE_S))) is None:
                return

    def is_refresh_due(self) -> bool:
        """Whether the addresses were not looked up for a while: of use where a node does not answer."""
        return self.now_s() >= self._refreshed_s + REFRESH_INTERVAL_S

    def _ask_ring(self, contact: Contact, timeout_s: float) -> Plan[Error | None]:
        """Ask one node. None: it answered, and what it said is known now."""
        epoch = self.route.epoch if self.route is not None else 0
        patience_s = contact.begin(self.now_s(), timeout_s, others=True)
        reply = yield Ask(contact, AskRing(self.number(), epoch), patience_s)
        if type(reply) is Miss:
            contact.miss(self.now_s())
            return reply.error
        contact.hit()
        if type(reply) is not TellRing:
            return UnavailableError(f"{contact.address} does not tell the ring")
        self._refreshed_s = self.now_s()
        return self.hear(reply)

    def hear(self, told: TellRing) -> Error | None:
        """Go by a ring that was told, if it is newer, and by the addresses in any case."""
        route = self.route
        decree = None if route is None else route.decree
        if told.decree and told.decree != self._decree:
            try:
                newer = decode_decree(told.decree)
            except DecreeError as error:
                return ProtocolError(f"what came as a ring is none: {error}")
            if decree is not None and newer.cluster_id != decree.cluster_id:
                return ProtocolError("that node belongs to another cluster")
            if decree is None or newer.epoch > decree.epoch:
                decree, self._decree = newer, told.decree
        if decree is None:
            return UnavailableError("that node is in no ring yet")
        addresses = {member.member_id: member.address for member in decree.members}
        for member_id, address, is_alive in told.members:
            if member_id in addresses and address:
                addresses[member_id] = address
                contact = self.contact(address)
                if not is_alive and not contact.misses:
                    contact.miss(self.now_s())
        contacts = {member_id: self.contact(address) for member_id, address in addresses.items()}
        if route is None or route.decree is not decree or route.contacts != tuple(contacts.values()):
            self.route = Route(decree, contacts, self.zone)
        self._forget_strangers()
        return None

    def _forget_strangers(self) -> None:
        """Drop nodes that neither the ring nor the seeds name: addresses may come and go for years."""
        if self.route is not None and len(self._contacts) > 4 * (len(self.route.contacts) + len(self.seeds)):
            kept = [*self.route.contacts, *map(self.contact, self.seeds)]
            self._contacts = {contact.address: contact for contact in kept}
