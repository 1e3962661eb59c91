"""Wrong versions of how a node and a client are wired to the core of atomic operations; see wrong.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ringdict.client import deciding
from ringdict.client.instruction import Ask, Miss, Plan
from ringdict.node.leaders.leader import Leaders
from ringdict.node.leaders.leadership import Leadership
from ringdict.node.leaders.plain import PlainDone
from ringdict.node.leaders.plane import PlainPlane
from ringdict.node.leaders.shelf import Chosen
from ringdict.node.leaders.showing import Showing
from ringdict.node.store.grant import Abandon
from ringdict.node.store.layout import DICT_ID_BYTES
from ringdict.node.world import Changes, Done, Storage, World
from ringdict.sim.atomicclient import AtomicClient
from ringdict.sim.atomicscenario import (
    AtomicRingChanges,
    AtomicThree,
    WatchedLeading,
)
from ringdict.sim.clusterscenario import ClusterScenario
from ringdict.sim.history import Operation
from ringdict.sim.mutant import Mutant

# -- of a node -------------------------------------------------------------------------------------


class HastyStorage:
    """Says that it is on disk when it is on its way."""

    def __init__(self, world: World, storage: Storage) -> None:
        self._world = world
        self._storage = storage
        self.get = storage.get
        self.get_many = storage.get_many
        self.scan = storage.scan

    def commit(self, changes: Changes, done: Done) -> None:
        self._storage.commit(changes, lambda _error: None)
        self._world.call_after(0, lambda: done(None))


class BeforeItIsDurable(WatchedLeading):
    """Answers before what it says is on disk."""

    @staticmethod
    def disk(world: World, storage: Storage) -> Storage:
        return HastyStorage(world, storage)


class ShowsNothing(Showing):
    """Does not hand to readers what is decided."""

    def show(self, chosen: Sequence[Chosen], then: Callable[[], None]) -> None:
        then()


class ShowsNoClears(Showing):
    """Hands all but clears to readers."""

    def show(self, chosen: Sequence[Chosen], then: Callable[[], None]) -> None:
        super().show([each for each in chosen if len(each[1]) != DICT_ID_BYTES], then)


class AsksItself(PlainPlane):
    """Takes what its own replica has for what a majority has."""

    def read_majority(self, partition: int, name: bytes, done: PlainDone) -> None:
        done(True, self.peek(partition, name))


class SettledAtOnce(WatchedLeading):
    """Says that former replicas are not needed any more as soon as it leads."""

    def is_settled(self, partition: int) -> bool:
        return partition in self.leaders.leaderships


class SettlesNothing(Leadership):
    """Leads with what its own acceptor has."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.open.clear()


class UnsettledLeaders(Leaders):
    leadership_class = SettlesNothing


class ForgetsUntold(Leadership):
    """Does not show what the leader before it decided and had no time to show."""

    def _show_untold(self, is_settled: Callable[[int], bool]) -> None:
        pass


class ForgetfulLeaders(Leaders):
    leadership_class = ForgetsUntold


# -- of a client -----------------------------------------------------------------------------------


def under(plan: Plan[Any], module: object, name: str, wrong: object) -> Plan[Any]:
    """The plan, with a function of a module replaced whenever the plan goes on, and only then."""
    answer: object = None
    while True:
        right = getattr(module, name)
        setattr(module, name, wrong)
        try:
            instruction = plan.send(answer)
        except StopIteration as end:
            return end.value
        finally:
            setattr(module, name, right)
        answer = yield instruction


def asks_anew(one: deciding.Deciding, _deadline_s: float) -> Plan[None]:
    """What may have happened is asked for anew, as if it had not."""
    one.renew()
    return None
    yield


class WrongClient(AtomicClient):
    """One of whose plans a function is wrong."""

    module: object = deciding
    name = "_settle"
    wrong: object = staticmethod(asks_anew)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        start = self.driver.start
        self.driver.start = lambda plan, ended: start(  # type: ignore[method-assign]
            under(plan, self.module, self.name, self.wrong), ended
        )


class AsksAnewClient(WrongClient):
    """Does not cancel what may have happened before it asks for it anew."""


class WalksAwayClient(AtomicClient):
    """Interrupted while it takes a lock, it says that it holds nothing, and asks nobody."""

    def _abandon(self, taking: Operation, key: str, word: str, operation: Abandon) -> None:
        del operation
        if not self.bell.rung:
            self.history.give_up(taking, "interrupted")
            noted = self.history.invoke(self.world.identity.address, "let-go", key, word)
            self._bury()
            self.history.ok(noted, False)
            self._think()


class BelievesAnyRefusal(AtomicClient):
    """Takes it that nothing was done where no answer came."""

    def _send(self, ask: Ask) -> Miss | None:
        miss = super()._send(ask)
        waiting = self.driver._open[ask.request.number]
        answered = waiting.answered

        def unsent(reply: Any) -> None:
            answered(Miss(reply.error, was_sent=False) if isinstance(reply, Miss) else reply)

        waiting.answered = unsent
        return miss


# -- the versions ----------------------------------------------------------------------------------


def nodes(
    name: str,
    leading: type[WatchedLeading] = WatchedLeading,
    scenario: type[ClusterScenario] = AtomicThree,
    **parts: object,
) -> type[ClusterScenario]:
    """The scenario with nodes of which some parts are wrong."""
    wrong = type(name, (leading,), dict(parts))
    changes: dict[str, object] = {"__module__": __name__}
    for which in ("node_class", "late_class"):
        node = getattr(scenario, which, None)
        if node is not None:
            changes[which] = type(name, (node,), {"leading_class": wrong})
    return type(name, (scenario,), changes)


Hasty = nodes("Hasty", BeforeItIsDurable)
NothingShown = nodes("NothingShown", showing_class=ShowsNothing)
ClearsNotShown = nodes("ClearsNotShown", showing_class=ShowsNoClears)
OwnPlainValue = nodes("OwnPlainValue", plane_class=AsksItself)
FormerDropped = nodes("FormerDropped", SettledAtOnce, AtomicRingChanges)
Unsettled = nodes("Unsettled", leaders_class=UnsettledLeaders)
UntoldForgotten = nodes("UntoldForgotten", leaders_class=ForgetfulLeaders)


class AskedAnew(AtomicThree):
    client_class = AsksAnewClient


class WalkedAway(AtomicThree):
    client_class = WalksAwayClient


class NothingWasSent(AtomicThree):
    client_class = BelievesAnyRefusal


LINEARIZABLE = "every_key_is_linearizable"
SHOWN = "what_is_decided_is_shown"

MUTANTS: Mapping[str, Mutant] = {
    "Hasty": Mutant(seeds_max=2, check="SaidIsDurable"),
    "NothingShown": Mutant(seeds_max=2, check=SHOWN),
    "ClearsNotShown": Mutant(seeds_max=12, check=SHOWN),
    "Unsettled": Mutant(seeds_max=2, check="NoFork"),
    "AskedAnew": Mutant(seeds_max=2, check=LINEARIZABLE),
    "WalkedAway": Mutant(seeds_max=2, check="NoGhost"),
    "NothingWasSent": Mutant(seeds_max=3, check=LINEARIZABLE),
}
