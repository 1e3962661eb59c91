"""How a node comes into a cluster that is there: it asks one member after the other, until it is in.

Rules of this file:
1. It never gives up: a cluster without a majority may have one tomorrow. Who cannot be joined says why, and
   that is complained of once.
2. Before it asks, it writes down that it is new. A node that a member knows already, and that has no such
   note, is not new: it has lost what it promised (node/epochs/learner.py, rule 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...ring.member import Member
from ..complaints import Complaints
from ..config import DECREE_TIMEOUT_S, JOIN_RETRY_S_MAX, JOIN_RETRY_S_MIN, JOIN_TIMEOUT_S
from ..network.bus import Bus
from ..network.message import Command, Commanded, Reason, Refused, Reply
from ..network.peermessage import AskDecree, TellDecree
from ..ringview import NO_MARK
from ..world import NS_PER_S, NodeId, World
from .decreelog import DecreeLog
from .learner import AMNESIA, Learner


class Newcomer:
    """One node on its way in. `via` gives the nodes that may be asked, as they are known now."""

    def __init__(
        self,
        world: World,
        log: DecreeLog,
        bus: Bus,
        learner: Learner,
        complaints: Complaints,
        member: Member,
        via: Callable[[], Sequence[NodeId]],
    ) -> None:
        self._world = world
        self._log = log
        self._bus = bus
        self._learner = learner
        self._complaints = complaints
        self._member = member
        self._via = via
        self._dice = world.dice("newcomer")
        self._turn = 0
        self._failures = 0
        learner.joins = True
        world.call_after(0, self._look)

    def _look(self) -> None:
        """Ask somebody for the ring, to see that this node is not in it yet."""
        if self._is_in():
            return
        others = [node for node in self._via() if node != self._world.identity.node]
        if not others:
            self._later()
            return
        node = others[self._turn % len(others)]
        self._turn += 1
        asked = AskDecree(0, self._world.identity.node, self._learner.cluster_id, NO_MARK)
        self._bus.ask(node, asked, lambda reply: self._on_told(node, reply), _ns(DECREE_TIMEOUT_S))

    def _is_in(self) -> bool:
        view = self._learner.view
        return view is not None and view.me is not None

    def _on_told(self, node: NodeId, reply: Reply | None) -> None:
        if self._is_in():
            return
        if isinstance(reply, Refused) and reply.reason == Reason.INVALID:
            self._complaints.make(reply.text)
        if not isinstance(reply, TellDecree) or not reply.decree:
            self._later()
        elif self._learner.knows_me(reply.decree):
            if self._log.intends_to_join or self._learner.view is not None:
                self._learner.learn(reply.decree, node)
            else:
                self._complaints.make(AMNESIA)
            self._later()
        elif self._log.intends_to_join or self._learner.view is not None:
            self._join(node)
        else:
            self._log.write_intent(lambda on_disk: self._join(node) if on_disk else self._later())

    def _join(self, node: NodeId) -> None:
        member = self._member
        asked = Command(0, "join", member.member_id, member.weight, member.zone, member.address)
        self._bus.ask(node, asked, lambda reply: self._on_answer(node, reply), _ns(JOIN_TIMEOUT_S))

    def _on_answer(self, node: NodeId, reply: Reply | None) -> None:
        if isinstance(reply, Commanded):
            self._failures = 0
            self._learner.hear(node, reply.mark)
        elif isinstance(reply, Refused) and reply.reason == Reason.INVALID:
            self._complaints.make(f"this node cannot join: {reply.text}")
        self._later()

    def _later(self) -> None:
        """Again, with somebody else."""
        most_s = min(JOIN_RETRY_S_MAX, JOIN_RETRY_S_MIN * 2 ** min(self._failures, 10))
        self._failures += 1
        self._world.call_after(_ns(most_s * (0.5 + 0.5 * self._dice.random())), self._look)


def _ns(span_s: float) -> int:
    return int(span_s * NS_PER_S)
