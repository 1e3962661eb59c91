"""Contacts: addresses to try when nobody is there, and for ever, so that any cut heals in the end.

Rules of this file:
1. A node that is alone asks a few contacts at a time, ever more slowly, and never gives up.
2. A node with peers tries one dead member, former member or seed at a time, for ever.
3. Who has left is not tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import (
    CONTACTS_MAX,
    JOIN_CONTACTS,
    JOIN_PAUSE_S_MAX,
    JOIN_PAUSE_S_MIN,
    RECONNECT_INTERVAL_S_MAX,
    RECONNECT_INTERVAL_S_MIN,
    RECONNECTS_S,
)
from .member import NodeId, Status
from .probe import bad_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .agenda import Appointment
    from .desk import Desk
    from .membership import Membership
    from .probe import Prober
    from .sync import Syncer


class Contacts:
    """Seeds, members of earlier times, and the dead of the table."""

    membership: Membership
    prober: Prober
    syncer: Syncer

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._seeds: list[str] = []
        self._former: dict[NodeId, str] = {}  # oldest first
        self._pause_s = JOIN_PAUSE_S_MIN
        self._next: Appointment | None = None

    def start(self) -> None:
        """Look for others at once."""
        self._try()

    def set_seeds(self, addresses: Iterable[str]) -> None:
        """Replace the seeds: the addresses that their names resolve to now. Tries them at once if alone."""
        self._seeds = list(dict.fromkeys(addresses))[:CONTACTS_MAX]
        if not self._desk.table.peers and self._next is not None:
            self._pause_s = JOIN_PAUSE_S_MIN
            self._next.cancel()
            self._try()

    def remember(self, node_id: NodeId, address: str) -> None:
        """Keep the address of one who was here; the oldest makes room."""
        self._former.pop(node_id, None)
        self._former[node_id] = address
        if len(self._former) > CONTACTS_MAX:
            del self._former[next(iter(self._former))]

    def address_of(self, node_id: NodeId) -> str | None:
        """Return where one who once was here was reached, or None."""
        return self._former.get(node_id)

    def known(self) -> dict[NodeId, str]:
        """Return all members but those who left, and all former ones: what a start after a full outage
        needs."""
        members = {
            member.node_id: member.profile.address
            for member in self._desk.table
            if member.status is not Status.LEFT and member.node_id != self._desk.node_id
        }
        return {**self._former, **members}

    def _try(self) -> None:
        desk = self._desk
        if desk.leaving:
            return
        if desk.table.peers:
            self._pause_s = JOIN_PAUSE_S_MIN
            self._try_one()
            spread = desk.table.live_count / RECONNECTS_S
            pause_s = min(RECONNECT_INTERVAL_S_MAX, max(RECONNECT_INTERVAL_S_MIN, spread))
        else:
            self._try_some()
            pause_s = self._pause_s
            self._pause_s = min(JOIN_PAUSE_S_MAX, 2 * pause_s)
        self._next = desk.agenda.at(desk.now + pause_s * (0.5 + desk.dice.random()), self._try)

    def _try_one(self) -> None:
        desk = self._desk
        dead = [member for member in desk.table.gone.values() if member.status is Status.DEAD]
        others = self._strangers()
        if not dead and not others:
            return
        drawn = desk.dice.randrange(len(dead) + len(others))
        if drawn >= len(dead):
            self.syncer.ask(others[drawn - len(dead)])
            return
        # An answer brings a refutation with it, which is looked into like any word from one who was held for
        # dead.
        member = dead[drawn]
        ping = self.prober.ping(desk.unknowable(), member.node_id)
        desk.send(member.profile.address, desk.own_word(), *bad_words(desk, member), ping)

    def _try_some(self) -> None:
        dead = [
            member.profile.address
            for member in self._desk.table.gone.values()
            if member.status is Status.DEAD
        ]
        addresses = list(dict.fromkeys([*self._strangers(), *dead]))
        self._desk.dice.shuffle(addresses)
        for address in addresses[:JOIN_CONTACTS]:
            self.syncer.ask(address)

    def _strangers(self) -> list[str]:
        """Return seeds and former members that are no members now. Takes time in proportion to the
        members."""
        desk = self._desk
        here = {peer.profile.address for peer in desk.table.peers}
        here.add(desk.profile.address)
        former = [
            address
            for node_id, address in self._former.items()
            if address not in here and node_id != desk.node_id and desk.table.get(node_id) is None
        ]
        return [address for address in self._seeds if address not in here] + former
