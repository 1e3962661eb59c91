"""Wrong versions of gossip on the seam. `ringdict sim mutants tests/sim/gossipwrong.py` tries them all."""

from __future__ import annotations

from ringdict.gossip.core import Gossip
from ringdict.gossip.instruction import Instruction
from ringdict.gossip.member import Record
from ringdict.node.members.gossiping import Gossiping
from ringdict.sim.gossipnode import GossipNode
from ringdict.sim.gossipscenario import GossipScenario, NumbersGrow
from ringdict.sim.mutant import Mutant


class _Forgets(Gossiping):
    def start(self) -> None:
        self._begin(1)


class _ForgetsNode(GossipNode):
    gossiping_class = _Forgets


class ForgetsItsGeneration(GossipScenario):
    """Every start is the first."""

    node_class = _ForgetsNode


class _GivesUpCore(Gossip):
    def start(self, now: float) -> list[Instruction]:
        self._contacts._try_one = lambda: None  # type: ignore[method-assign]
        return super().start(now)


class _GivesUp(Gossiping):
    core_class = _GivesUpCore


class GivesUpNode(GossipNode):
    """Who has a peer looks for nobody else any more. Restarts hide it, since they ask the seeds: so it is
    tried in a story of its own (test_gossip.py)."""

    gossiping_class = _GivesUp


class _HearsOld(Gossip):
    def start(self, now: float) -> list[Instruction]:
        membership = self._membership

        def hear_alive(record: Record, *, by_sync: bool = False) -> None:
            member = self._desk.table.get(record.node_id)
            if record.node_id != self._desk.node_id and member is not None and member.live:
                membership.accept(record)
            else:
                type(membership).hear_alive(membership, record, by_sync=by_sync)

        membership.hear_alive = hear_alive  # type: ignore[method-assign]
        return super().start(now)


class _BelievesOld(Gossiping):
    core_class = _HearsOld


class _BelievesOldNode(GossipNode):
    gossiping_class = _BelievesOld


class BelievesOldWords(GossipScenario):
    """An old word about the living counts like a new one."""

    node_class = _BelievesOldNode


MUTANTS = {
    "ForgetsItsGeneration": Mutant(4, NumbersGrow.__name__),
    "BelievesOldWords": Mutant(4, NumbersGrow.__name__),
}
