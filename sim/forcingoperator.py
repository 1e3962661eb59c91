"""An operator who gives members up by force whenever he hears nothing of them, also of those that live."""

from __future__ import annotations

from ..node.network.message import Recover
from ..node.network.wire import encode
from ..node.world import NS_PER_MS, Address
from ..ring.codec import digest_of
from .epochoperator import EpochOperator

HASTE_NS_MAX = 300 * NS_PER_MS


class ForcingOperator(EpochOperator):
    """Names members that are cut off or down at the moment as lost. He knows which ring is the newest, as an
    operator has to who forces one; whom he can do without is for the nodes to find out."""

    def _want(self) -> None:
        decree = self.knowledge.newest()
        if decree is None or len(decree.members) < 2:
            self._later(self.dice.randrange(HASTE_NS_MAX), self._want)
            return
        survivors = self.dice.sample(
            decree.members, 1 + self.dice.randrange(max(1, len(decree.members) // 2))
        )
        lost = sorted({one.member_id for one in decree.members} - {one.member_id for one in survivors})
        self.number += 1
        asked = Recover(self.number, decree.cluster_id, (decree.epoch, digest_of(decree)), lost)
        argument = [member.address for member in survivors]
        self.operation = self.history.invoke(self.world.identity.address, "recover", "ring", argument)
        self.world.send(Address(survivors[0].address), encode(asked))
        self._later(1_500 * NS_PER_MS, self._try)

    def _try(self) -> None:
        """Nobody did it: look again."""
        operation = self.operation
        if operation is not None:
            self._end(lambda operation: self.history.give_up(operation, "nobody did it"))
