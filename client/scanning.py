"""Going through a Dict, and counting it: partition by partition, over all that own some.

Rules of this file:
1. Progress is a *place*: which partitions are still to come, and where in the first of them to go on. It
   means the same to every owner, so another can go on where one died, and in every ring: the partition of a
   key is fixed.
2. A node is asked for the partitions of which it is the owner to ask first, in one go.
3. For a moment after an atomic operation of its own a client asks the leaders, where that is to be seen.
4. What is damaged where it was read is asked of the key's other owners; so is what this client has removed.
5. Each key comes once; none is missed that was there throughout. What is written meanwhile may come, or not.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..node.network.message import Count, Counted, PageRead, Present, ReadPage, Reply, Request
from ..node.store.entry import DamagedEntryError
from ..node.store.layout import PARTITION_BYTES
from ..ring.partition import dict_seed, key_hash
from .config import LED_READS_S
from .contact import Contact
from .errand import Errand, carry_out, in_order
from .instruction import Plan, together
from .reading import Reads, get
from .route import Route
from .session import Session

Rows = list[tuple[bytes, bytes | None]]


class Place:
    """Where a scan stands: bits of the partitions to come, and the place in the store to go on at, in one of
    them; empty: at the beginning of the lowest."""

    __slots__ = ("partitions", "start")

    def __init__(self, partitions: int, start: bytes = b"") -> None:
        self.partitions = partitions
        self.start = start

    @property
    def first(self) -> int:
        """The partition to go on with."""
        if self.start:
            return int.from_bytes(self.start[:PARTITION_BYTES], "big")
        return (self.partitions & -self.partitions).bit_length() - 1

    def encode(self) -> bytes:
        size = (self.partitions.bit_length() + 7) // 8
        return size.to_bytes(2, "big") + self.partitions.to_bytes(size, "little") + self.start

    @classmethod
    def decode(cls, data: bytes) -> Place:
        end = 2 + int.from_bytes(data[:2], "big")
        return cls(int.from_bytes(data[2:end], "little"), data[end:])

    def behind(self, asked: int, following: bytes) -> Place:
        """The place after the partitions `asked` were read as far as to `following` (empty: to their end)."""
        if not following:
            return Place(self.partitions & ~asked)
        reached = int.from_bytes(following[:PARTITION_BYTES], "big")
        left = self.partitions & ~(asked & ((1 << reached) - 1))
        return Place(left, following if asked >> reached & 1 else b"")


class Scanning(Errand):
    """One stretch of a Dict."""

    what = "the Dict"

    def __init__(self, session: Session, dict_id: bytes, place: Place, reads: Reads) -> None:
        super().__init__(session)
        self.dict_id = dict_id
        self.place = place
        self.reads = reads
        #: The partitions that the last question was about.
        self.asked = 0
        self._route: Route

    def candidates(self, route: Route) -> Sequence[Contact]:
        self._route = route
        first = self.place.first
        row = in_order(self.row(route, first), self.session.now_s())
        leader = next((one for one, share in self.led(route).items() if share >> first & 1), None)
        return row if leader is None else [leader, *(contact for contact in row if contact is not leader)]

    def led(self, route: Route) -> dict[Contact, int]:
        """Which partitions to ask each node for since it leads them."""
        return led_shares(self.session, route)

    def row(self, route: Route, partition: int) -> Sequence[Contact]:
        return route.owners(partition) if self.reads is Reads.PRIMARY else route.nearest(partition)

    def bits(self) -> bytes:
        """The partitions to ask `contact` for."""
        route, place = self._route, self.place
        share = shares_of(self.session, route, self.contact, self.reads)
        self.asked = place.partitions & (share | 1 << place.first) & -(1 << place.first)
        return self.asked.to_bytes((route.partitions + 7) // 8, "little")


class Paging(Scanning):
    """The entries of a stretch."""

    def __init__(self, session: Session, dict_id: bytes, place: Place, prefix: bytes, reads: Reads) -> None:
        super().__init__(session, dict_id, place, reads)
        self.prefix = prefix

    def request(self, number: int, epoch: int) -> Request:
        return ReadPage(number, epoch, self.dict_id, self.bits(), self.place.start, self.prefix)

    def accepts(self, reply: Reply) -> bool:
        return type(reply) is PageRead


class Counting(Scanning):
    """How many entries a stretch has."""

    def request(self, number: int, epoch: int) -> Request:
        return Count(number, epoch, self.dict_id, self.bits(), self.place.start)

    def accepts(self, reply: Reply) -> bool:
        return type(reply) is Counted


def led_shares(session: Session, route: Route) -> dict[Contact, int]:
    """The partitions that each node leads, as bits, where this client is to see what it has had decided."""
    leads = session.leads
    if session.now_s() >= leads.decided_s + LED_READS_S:
        return {}
    shares = leads.shares(member.member_id for member in route.decree.members)
    contacts = zip(route.contacts, shares.values(), strict=True)
    return {contact: share for contact, share in contacts if share and not contact.misses}


def shares_of(session: Session, route: Route, contact: Contact, reads: Reads) -> int:
    """The partitions to ask a node for, as bits."""
    share = route.share(contact, session.now_s(), nearest=reads is not Reads.PRIMARY)
    led = led_shares(session, route)
    for bits in led.values():
        share &= ~bits
    return share | led.get(contact, 0)


def page(
    session: Session, dict_id: bytes, start: bytes | None, prefix: bytes, reads: Reads = Reads.NEAREST
) -> Plan[tuple[Rows, bytes | None]]:
    """A stretch of a Dict's entries, of those whose keys begin with `prefix`: keys and values' bytes (None:
    damaged); where the next begins (None: nowhere). Begin at None. It may be empty and not the last.

    Raises as `carry_out`.
    """
    if start is None:
        route = yield from known_route(session)
        place = Place((1 << route.partitions) - 1)
    else:
        place = Place.decode(start)
    errand = Paging(session, dict_id, place, prefix, reads)
    reply = yield from carry_out(errand)
    assert isinstance(reply, PageRead)
    rows: Rows = []
    seed, memory = dict_seed(dict_id), session.memory
    for key, body in reply.rows:
        if key and (body is None or (memory.has_removals and memory.is_absent(key_hash(seed, key)))):
            rows += yield from _elsewhere(session, dict_id, key, reads)
        else:
            rows.append((key, body))
    place = place.behind(errand.asked, reply.next)
    return rows, place.encode() if place.partitions else None


def somewhere(session: Session) -> bytes | None:
    """The beginning of a partition drawn at random, to go on from there to the end; None: the ring is not
    known yet, begin at the beginning."""
    route = session.route
    if route is None:
        return None
    first = int(session.dice.random() * route.partitions)
    return Place((1 << route.partitions) - (1 << first)).encode()


def _elsewhere(session: Session, dict_id: bytes, key: bytes, reads: Reads) -> Plan[Rows]:
    """The row of a key whose entry is damaged where it was read: another owner may have it whole. Or of one
    that this client knows to be removed: where it was read that was not heard of, or it is there anew."""
    try:
        found = yield from get(session, dict_id, key, key_hash(dict_seed(dict_id), key), reads)
    except DamagedEntryError:
        return [(key, None)]
    return [(key, found.body)] if isinstance(found, Present) else []


def count(session: Session, dict_id: bytes, reads: Reads = Reads.NEAREST) -> Plan[tuple[int, int]]:
    """How many entries a Dict has, and the bytes of their keys and values. The owners count side by side.

    Raises as `carry_out`.
    """
    route = yield from known_route(session)
    left = (1 << route.partitions) - 1
    plans: list[Plan[tuple[int, int]]] = []
    for contact in route.contacts:
        share = left & shares_of(session, route, contact, reads)
        left &= ~share
        if share:
            plans.append(_count_share(session, dict_id, share, reads))
    outcomes = yield from together(plans)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return sum(outcome.result[0] for outcome in outcomes), sum(outcome.result[1] for outcome in outcomes)


def _count_share(session: Session, dict_id: bytes, partitions: int, reads: Reads) -> Plan[tuple[int, int]]:
    place = Place(partitions)
    entries = size_bytes = 0
    while place.partitions:
        errand = Counting(session, dict_id, place, reads)
        reply = yield from carry_out(errand)
        assert isinstance(reply, Counted)
        entries += reply.entries
        size_bytes += reply.size_bytes
        place = place.behind(errand.asked, reply.next)
    return entries, size_bytes


def known_route(session: Session) -> Plan[Route]:
    """The ring, asked for if none is known."""
    if session.route is not None:
        return session.route
    route = yield from session.find_route(session.now_s() + session.timeout_s)
    return route
