"""Who leads which partition, as far as this client has heard, and what it is to the nodes that it asks.

Rules of this file:
1. Of two ballots of a partition the higher one is gone by. One that turned out to be over is never gone by
   again, whoever still speaks of it.
2. A partition that a node does not name it does not lead, as far as is known; what an earlier start of it led
   it leads no more. That may be old word, so it is doubted and not held for over.
3. A ticket belongs to one start of one node. Without one nothing is asked of it.
4. `low` says from which number on answers are waited for. A number that was ended is never used again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Protocol

from ..node.leaders.ballot import NO_BALLOT, Ballot
from ..node.network.leadermessage import Greeted
from .config import REFUSED_HOLDERS_MAX

if TYPE_CHECKING:
    from .deciding import Deciding

SESSION_BYTES = 10
SERIAL_BYTES = 6


class Dice(Protocol):
    """Random bytes; `random.Random` is one."""

    def randbytes(self, n: int, /) -> bytes:
        """`n` bytes."""
        ...


class Leads:
    """Of one process of a client. Threads may share it."""

    def __init__(self, dice: Dice) -> None:
        #: The first bytes of the ids of all its atomic operations.
        self.session_id = dice.randbytes(SESSION_BYTES)
        self._lock = threading.Lock()
        self._last = 0
        #: Operations that are under way, the first first.
        self._open: dict[int, None] = {}
        self._ballots: dict[int, Ballot] = {}
        self._over: dict[int, Ballot] = {}
        #: By node: its start, and this session's ticket there.
        self._tickets: dict[bytes, tuple[int, int]] = {}
        #: When something was decided last, by the session's clock.
        self.decided_s = -inf
        #: Until when one plan asks who leads, for all of them; 0: none does.
        self.asking_until_s = 0.0
        #: By holder, the attempts to take a lock that are under way: who is interrupted finds his own there.
        self.taking: dict[bytes, Deciding] = {}
        #: By holder, the token of who holds the lock that he was refused.
        self._standing: dict[bytes, int] = {}

    # -- operations ----------------------------------------------------------------------------------

    def begin(self) -> int:
        """The number of a new operation."""
        with self._lock:
            self._last += 1
            self._open[self._last] = None
            return self._last

    def end(self, serial: int) -> None:
        """Its answer is there, or is waited for no more."""
        with self._lock:
            self._open.pop(serial, None)

    def low(self) -> int:
        """The lowest number whose answer is waited for."""
        with self._lock:
            return next(iter(self._open), self._last + 1)

    def operation_id(self, serial: int) -> bytes:
        """The id of the operation with that number."""
        return self.session_id + serial.to_bytes(SERIAL_BYTES, "big")

    # -- locks ---------------------------------------------------------------------------------------

    def refuse(self, holder: bytes, token: int) -> None:
        """That holder was refused a lock, which is held with that token. Who does not come back to wait for
        it is forgotten some time."""
        with self._lock:
            while len(self._standing) >= REFUSED_HOLDERS_MAX:
                del self._standing[next(iter(self._standing))]
            self._standing[holder] = token

    def refused(self, holder: bytes) -> int:
        """With which token the lock was held that the holder was refused last, told once; 0: not known."""
        return self._standing.pop(holder, 0)

    # -- leaders -------------------------------------------------------------------------------------

    def leader(self, partition: int) -> Ballot | None:
        """The ballot that a partition is led under, None if it is not known."""
        return self._ballots.get(partition)

    def ticket(self, ballot: Ballot) -> int | None:
        """This session's ticket with the leader of that ballot, None: it is to be greeted first."""
        boot, ticket = self._tickets.get(ballot.node, (0, 0))
        return ticket if ticket and boot == ballot.boot else None

    def forget_ticket(self, node: bytes) -> None:
        """That node does not know this session any more."""
        self._tickets.pop(node, None)

    def shares(self, nodes: Iterable[bytes]) -> dict[bytes, int]:
        """The partitions that each of these nodes leads, as bits: the lowest is partition 0."""
        shares = dict.fromkeys(nodes, 0)
        for partition, ballot in list(self._ballots.items()):
            if ballot.node in shares:
                shares[ballot.node] |= 1 << partition
        return shares

    def retire(self, partition: int, ballot: Ballot) -> None:
        """That ballot is over."""
        self._over[partition] = max(ballot, self._over.get(partition, NO_BALLOT))
        if self._ballots.get(partition, NO_BALLOT) <= ballot:
            self._ballots.pop(partition, None)

    def doubt(self, partition: int, ballot: Ballot) -> None:
        """That ballot's leader does not answer: somebody else may lead by now."""
        if self._ballots.get(partition) == ballot:
            self._ballots.pop(partition, None)

    def hear(self, told: Greeted) -> None:
        """What a node says."""
        boot, _ = self._tickets.get(told.node, (0, 0))
        if told.boot < boot:
            return  # said before it was started again
        self._tickets[told.node] = told.boot, told.ticket
        named = dict(told.ballots)
        for partition, ballot in list(self._ballots.items()):
            is_its_own = ballot.node == told.node and ballot.boot <= told.boot
            if is_its_own and named.get(partition) != ballot:
                self.doubt(partition, ballot)
        for partition, ballot in named.items():
            known = self._ballots.get(partition, NO_BALLOT)
            if ballot > known and ballot > self._over.get(partition, NO_BALLOT):
                boot, _ = self._tickets.get(ballot.node, (0, 0))
                if ballot.boot >= boot:
                    self._ballots[partition] = ballot
