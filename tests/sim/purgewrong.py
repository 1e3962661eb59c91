"""Wrong versions of what forgets records of absent keys, for the simulator to find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ringdict.node.leaders.acceptor import Acceptor
from ringdict.node.leaders.ballot import Ballot
from ringdict.node.leaders.forgetting import Forgetting
from ringdict.node.leaders.leadership import Leadership
from ringdict.node.leaders.plain import PlainEntry
from ringdict.node.leaders.verdict import Seen
from ringdict.sim.locknode import EagerLeaders, EagerPurger, LockNode
from ringdict.sim.lockscenario import ForgettingLockScenario, LockScenario, UsurpedLockScenario
from ringdict.sim.mutant import Mutant


class ByMajority(EagerPurger):
    """Forgets what a majority says is absent."""

    by_all: ClassVar[bool] = False

    def _may(self, leadership: Leadership | None) -> Leadership | None:
        if leadership is None or leadership.open:
            return None
        return leadership if self._desk.has_one_set(leadership.partition) else None


class InSpiteOfFormer(EagerPurger):
    """Does not ask whether former replicas have a say."""

    def _may(self, leadership: Leadership | None) -> Leadership | None:
        return leadership if leadership is not None and not leadership.open else None


class TakesStragglers(Forgetting):
    """Accepts what was sent before its removal, which is forgotten."""

    def is_straggler(self, ballot: Ballot, partition: int, rows: list[tuple[bytes, bytes]]) -> bool:
        return False


class KeepsLeavings(Forgetting):
    """Comes into a row with what it held of the partition before."""

    def _empty(self, partition: int) -> None:
        pass


class ShowsNobody(Forgetting):
    """Forgets before readers know."""

    def __init__(self, world: Any, shelf: Any, say: Any, keep: Any, _apply: Any, prepare: Any) -> None:
        super().__init__(world, shelf, say, keep, lambda _chosen, then: then(), prepare)


class ClaimsToKnow(Leadership):
    """Takes a key without a record for one that nothing ever happened to."""

    def _see(self, name: bytes, plain: PlainEntry | None) -> Seen:
        return super()._see(name, plain)._replace(forgotten=0)


def _acceptor(forgetting: type[Forgetting]) -> type[Acceptor]:
    return type(forgetting.__name__ + "Acceptor", (Acceptor,), {"forgetting_class": forgetting})


def forgetful(
    name: str, base: type[LockScenario] = ForgettingLockScenario, **parts: Any
) -> type[LockScenario]:
    """The scenario with other parts of a node that forgets eagerly."""
    core = type(name + "Leaders", (EagerLeaders,), parts)
    node = type(name + "Node", (LockNode,), {"leaders_class": core})
    return type(name, (base,), {"node_class": node, "__module__": __name__})


PurgedByMajority = forgetful("PurgedByMajority", purger_class=ByMajority)
PurgedInSpiteOfFormer = forgetful("PurgedInSpiteOfFormer", UsurpedLockScenario, purger_class=InSpiteOfFormer)
StragglersTaken = forgetful("StragglersTaken", acceptor_class=_acceptor(TakesStragglers))
LeavingsKept = forgetful("LeavingsKept", LockScenario, acceptor_class=_acceptor(KeepsLeavings))
PurgedUnshown = forgetful("PurgedUnshown", acceptor_class=_acceptor(ShowsNobody))
ForgottenIsNever = forgetful("ForgottenIsNever", leadership_class=ClaimsToKnow)

LINEARIZABLE = "every_key_is_linearizable"

MUTANTS: Mapping[str, Mutant] = {
    "PurgedByMajority": Mutant(seeds_max=8, check="NoFork", profile="usurp"),
    "PurgedUnshown": Mutant(seeds_max=20, check="plain_values_are_popped_once", profile="usurp"),
    "LeavingsKept": Mutant(seeds_max=101, check="NoFork", profile="default"),
    "PurgedInSpiteOfFormer": Mutant(seeds_max=60, check=LINEARIZABLE, profile="usurp"),
}

UNCAUGHT: Mapping[str, Mutant] = {
    "StragglersTaken": Mutant(seeds_max=200, check=LINEARIZABLE, profile="usurp"),
    "ForgottenIsNever": Mutant(seeds_max=200, check=LINEARIZABLE, profile="usurp"),
}
"""Not caught in 120 seeds or fewer: it takes a message that overtakes a removal and its purge, or a lost
answer to what was done to a key that is purged before anybody asks. tests/node/test_forgetting.py has them.
"""
