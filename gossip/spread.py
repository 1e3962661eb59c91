"""Spreading: rumours go to a few peers in each round, while there are any.

Rules of this file:
1. The first round follows a rumour at once: most peers then hear it within a few trips of the network.
2. The dead get rumours for a while, so that who is not dead hears of it. Who has left gets none: it is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import GOSSIP_DELAY_S_MAX
from .instruction import Halted
from .member import Status

if TYPE_CHECKING:
    from .desk import Desk
    from .membership import Membership
    from .probe import Prober


class Spreader:
    """Rounds of gossip."""

    membership: Membership
    prober: Prober

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._due = False  # whether a round is on the agenda

    def start(self) -> None:
        """Be called when a rumour was put."""
        self._desk.stir = self._stir

    def _stir(self) -> None:
        if not self._due:
            self._due = True
            self._desk.agenda.at(self._desk.now + GOSSIP_DELAY_S_MAX * self._desk.dice.random(), self._round)

    def _round(self) -> None:
        desk = self._desk
        self._due = False
        if not len(desk.rumours):
            return
        for address in self._audience():
            desk.send_rumours(address)
        if desk.leaving and not desk.rumours.own_waits:
            desk.halt(Halted.LEFT)
        elif len(desk.rumours):
            self._due = True
            desk.agenda.at(desk.now + desk.settings.gossip_interval_s, self._round)

    def _audience(self) -> list[str]:
        """Return addresses of live peers and of some who died lately, in proportion to their numbers."""
        desk = self._desk
        peers_count = desk.settings.gossip_peers
        addresses = [peer.profile.address for peer in self.prober.pick(peers_count)]
        dead = self.membership.fresh_dead()
        if dead:
            drawn = desk.dice.randrange(len(dead) + len(desk.table.peers))
            if drawn < len(dead):
                member = desk.table.get(dead[drawn])
                if member is not None and member.status is Status.DEAD:
                    addresses[peers_count - 1 :] = [member.profile.address]
        return addresses
