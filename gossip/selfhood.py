"""What a node hears about itself: it refutes, outbids, or finds that somebody else has its id.

Rules of this file:
1. A word about this node that is not its own latest one is answered by its latest word, a stale one too:
   whoever tells it still believes it.
2. Of two processes with one id (a data folder was copied) the one that the cluster goes by stays. It goes by
   the one it has while that one answers (`check.Checker.move`), so a copy is turned away when it knocks.
3. A node that hears of itself in a later generation asks there. An answer: it was superseded, and stops.
   None: a leftover of a generation that its folder does not know of, and it goes on in a later one still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .codec import encode
from .config import LEAVE_TIMEOUT_S
from .instruction import Halted, KeepGeneration
from .member import Profile, Record, plausible
from .message import Duplicate, Left

if TYPE_CHECKING:
    from .check import Checker
    from .desk import Desk


class Selfhood:
    """This node's own numbers and words."""

    checker: Checker

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def announce(self) -> None:
        """Tell everybody the latest word about this node, from the start."""
        desk = self._desk
        me = desk.me
        if desk.leaving:
            desk.rumours.put_own(encode(Left(me.node_id, me.generation, me.incarnation)))
        else:
            desk.rumours.put_own(encode(desk.own_word()))
        desk.stir()

    def change(self, profile: Profile) -> None:
        """Say something else of this node; ValueError if a field is too long."""
        desk = self._desk
        desk.profile = profile.check()
        desk.become(desk.me.generation, desk.me.incarnation + 1)
        self.announce()

    def leave(self) -> None:
        """Say the last word. The core halts when it has been sent as often as a rumour is."""
        desk = self._desk
        if desk.leaving:
            return
        desk.leaving = True
        desk.become(desk.me.generation, desk.me.incarnation)
        self.announce()
        desk.agenda.at(desk.now + LEAVE_TIMEOUT_S, lambda: desk.halt(Halted.LEFT))
        if not desk.table.peers:
            desk.halt(Halted.LEFT)

    def hear_alive(self, record: Record) -> None:
        """Somebody has this node in his table, or tells what it said."""
        desk = self._desk
        mine = (desk.me.generation, desk.me.incarnation)
        if (record.generation, record.incarnation) <= mine:
            if record.generation < mine[0] or record.profile != desk.profile:
                self.announce()
        elif record.generation == mine[0] or record.profile.address == desk.profile.address:
            self._outbid(record.generation, record.incarnation)
        else:
            self.checker.myself(record)

    def hear_bad_word(self, generation: int, incarnation: int) -> None:
        """Somebody suspects this node, or holds it for dead."""
        desk = self._desk
        if not desk.leaving and (generation, incarnation) >= (desk.me.generation, desk.me.incarnation):
            self._outbid(generation, incarnation)
            desk.health.add(1)
        else:
            self.announce()

    def hear_left(self, word: Left) -> None:
        """Somebody holds this node for gone. In one generation nothing beats that."""
        desk = self._desk
        if desk.leaving or word.generation < desk.me.generation:
            self.announce()
        else:
            self._next_life(word.generation)

    def hear_duplicate(self, word: Duplicate) -> None:
        """An older process with this node's id is alive."""
        desk = self._desk
        if word.node_id == desk.node_id and word.elder < word.younger == desk.me.generation == desk.boot:
            desk.halt(Halted.DUPLICATE)

    def superseded(self) -> None:
        """A younger process with this node's id answered, and others go by it."""
        self._desk.halt(Halted.SUPERSEDED)

    def outlive(self, record: Record) -> None:
        """Nobody answered where a later generation of this node is said to be."""
        if record.generation >= self._desk.me.generation:
            self._next_life(record.generation)

    def _outbid(self, generation: int, incarnation: int) -> None:
        """Go on with numbers just above these, which are not below the own ones."""
        desk = self._desk
        if generation > desk.me.generation:
            self._next_life(generation)
        elif self._believable(generation, incarnation):
            desk.become(generation, incarnation + 1)
            self.announce()

    def _next_life(self, generation: int) -> None:
        """Go on in the generation after this one."""
        desk = self._desk
        if self._believable(generation, 0):
            desk.out.append(KeepGeneration(generation + 1))
            desk.become(generation + 1, 0)
            self.announce()

    def _believable(self, generation: int, incarnation: int) -> bool:
        desk = self._desk
        if plausible((desk.me.generation, desk.me.incarnation), (generation, incarnation)):
            return True
        desk.counters["implausible_words"] += 1
        return False
