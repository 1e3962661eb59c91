"""Wrong versions of the core of atomic operations, to see that the simulator catches each of them.

`MUTANTS` says how: within how many seeds of which profile, and by which check. `ringdict sim mutants
tests/sim/lockwrong.py` tries them all and prints the table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ringdict.node.leaders.acceptor import Acceptor
from ringdict.node.leaders.ballot import Ballot
from ringdict.node.leaders.candidacy import Candidacies, Candidacy
from ringdict.node.leaders.electorate import Electorate
from ringdict.node.leaders.grantclock import GrantClock
from ringdict.node.leaders.leader import Leaders
from ringdict.node.leaders.leaderdesk import LeaderDesk
from ringdict.node.leaders.leadership import Leadership
from ringdict.node.leaders.record import Record, decode_record
from ringdict.node.leaders.request import Fate, Session
from ringdict.node.leaders.round import Rounds
from ringdict.node.leaders.verdict import Seen
from ringdict.node.leaders.work import Work
from ringdict.node.network.leadermessage import Act, Acted, NotLed
from ringdict.node.network.message import Reply
from ringdict.node.ringview import RingView
from ringdict.node.world import NS_PER_MS, Address, Changes, NodeId, World
from ringdict.sim.lockclient import LockClient
from ringdict.sim.locknode import LockNode
from ringdict.sim.lockscenario import (
    EstrangedLockScenario,
    LeaseLockScenario,
    LockScenario,
    UsurpedLockScenario,
)
from ringdict.sim.mutant import Mutant

HEARSAY_NS = 40 * NS_PER_MS


class RepliesBeforeSync(Acceptor):
    """Says that it has accepted before it is on disk."""

    def _keep(self, changes: Changes, then: Callable[[], None]) -> None:
        promise_only = all(key.startswith(b"Lp") for key in changes)
        if promise_only:
            super()._keep(changes, then)
        else:
            super()._keep(changes, lambda: None)
            then()


class PromisesBeforeSync(Acceptor):
    """Promises before it is on disk."""

    def _keep(self, changes: Changes, then: Callable[[], None]) -> None:
        if all(key.startswith(b"Lp") for key in changes):
            super()._keep(changes, lambda: None)
            then()
        else:
            super()._keep(changes, then)


class IgnoresItsPromise(Acceptor):
    """Compares what it is to accept with what it accepted, not with what it promised."""

    def may_accept(self, ballot: Ballot, partition: int, rows: list[tuple[bytes, bytes]]) -> bool:
        held = [self.record(partition, name) for name, _ in rows]
        return all(
            one is None or decode_record(raw).order > one.order
            for one, (_, raw) in zip(held, rows, strict=True)
        )


class ForgetsAll(Acceptor):
    """Starts from an empty disk under its old name."""

    def __init__(self, world: World, storage: Any, say: Any, **rest: Any) -> None:
        super().__init__(world, storage, say, **rest)
        gone: Changes = {key: None for key, _ in storage.scan(b"L", b"M", 100_000)}
        if gone and world.identity.boot % 2 == 0:
            storage.commit(gone, lambda _error: None)


class RestoresABackup(Acceptor):
    """Starts with the promises of a backup, which are older than those that it gave."""

    def __init__(self, world: World, storage: Any, say: Any, **rest: Any) -> None:
        super().__init__(world, storage, say, **rest)
        gone: Changes = {key: None for key, _ in storage.scan(b"Lp", b"Lq", 100_000)}
        if gone:
            storage.commit(gone, lambda _error: None)


class ChecksNothing(Leadership):
    """Answers what changes nothing from memory."""

    def confirm(self, then: Callable[[], None]) -> None:
        then()


class SettlesNothing(Leadership):
    """Leads with what its own acceptor has."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.open.clear()


class BarsNothing(Leadership):
    """Says that a cancelled operation never happens without having the present state accepted anew."""

    def _bar(self, work: Work, seen: Seen, then: Callable[[], None]) -> None:
        self.confirm(then)


class MarksNothing(Leadership):
    """Lets a cancelled operation be begun when it comes later."""

    def _mark(self, work: Work) -> None:
        """Nothing is noted."""

    def _is_given_up(self, work: Work) -> bool:
        return False


class LiveMajority(Rounds):
    """Takes a majority of those that it heard of lately for a majority."""

    def _resend(self) -> None:
        for number, one in list(self._open.items()):
            if one.answered:
                del self._open[number]
                one.done()
        super()._resend()


class OwnPromiseOnly(Candidacies):
    """Takes itself for elected by those that answered within a moment."""

    def _suffice(self, one: Candidacy, nodes: Collection[NodeId]) -> bool:
        return super()._suffice(one, nodes) or len(nodes) * 2 >= len(one.electorate.row)


class PresentSetOnly(Candidacies):
    """Asks the present replicas alone, never those of before a change of the ring."""

    def _suffice(self, one: Candidacy, nodes: Collection[NodeId]) -> bool:
        return one.electorate.chosen(nodes)


class FirstStartForEver(LockNode):
    """Takes each of its starts for the first one."""

    def __init__(self, world: World, mayor: Address) -> None:
        known: Any = world
        known.taken = dataclasses.replace(world.identity, boot=1)
        super().__init__(world, mayor)


class TakesUnguarded(Leadership):
    """Gives away what a plain put left once its ballot was confirmed, and does not wait for the record that
    removes it."""

    def choose(self, rows: list[tuple[bytes, Record]], then: Callable[[], None]) -> None:
        if len(rows) == 1 and self.is_plain_pop(*rows[0]):
            super().choose(rows, lambda: None)
            self.confirm(then)
        else:
            super().choose(rows, then)

    def is_plain_pop(self, name: bytes, record: Record) -> bool:
        before = self.acceptor.record(self.partition, name)
        return b"plain" in name and record.body is None and (before is None or before.body is None)


class ClearsByHearsay(Leadership):
    """Says that a Dict is cleared, and does it when word of it has come round."""

    def clear(
        self, dict_id: bytes, operation_id: bytes, answer: Callable[[Reply], None], *, ends: bool = False
    ) -> None:
        answer(Acted(0, True, self.token(0)))
        whole = super().clear

        def heard() -> None:
            if not self.ended:
                whole(dict_id, operation_id, lambda _reply: None, ends=ends)

        self.later(HEARSAY_NS, heard)


class CountsFromLongAgo(GrantClock):
    """Takes what was granted under an earlier leader for over."""

    def is_over(self, name: bytes, held: Record, now_ns: int) -> bool:
        return bool(held.ttl_ms) and (name not in self._granted or super().is_over(name, held, now_ns))


class HurriesLeases(Leadership):
    """Does not let what an earlier leader granted have its time again."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._grants = CountsFromLongAgo(self.begun_ns, lambda _name: None)


class StandsInNobodysWay(Leaders):
    """Promises whatever is asked for, be the leader in the best of health."""

    def _is_sticky(self, partition: int, ballot: Ballot, held: Ballot, consent: Ballot | None) -> bool:
        return False


class WhoeverIsHeard(Electorate):
    """Counts those as owners who are heard just now."""

    hears: Callable[[NodeId], bool]

    def agreed(self, answered: Iterable[NodeId]) -> bool:
        there = [node for node in self.row if self.hears(node)]
        return 2 * sum(node in there for node in answered) > len(there)

    def chosen(self, answered: Collection[NodeId]) -> bool:
        return self.agreed(answered)


class RingByHearsay(Leaders):
    """Goes by the members that it hears, whatever was decided."""

    def set_view(self, view: RingView) -> None:
        super().set_view(view)
        for partition in self._electorates:
            one = self._electorates[partition] = WhoeverIsHeard(view, partition)
            one.hears = self.heartbeats.hears


class CarriesOutAgain(LeaderDesk):
    """Carries out again what comes twice, and what was asked of another ballot."""

    def _fate(self, session: Session, serial: int) -> Fate | Any:
        return Fate.NEW

    def on_act(self, source: Any, act: Act) -> None:
        view = self._node.view
        for partition, one in self._node.leaderships.items():
            if view is not None and partition == self.partition_of(act):
                act = _bound(act, one.ballot)
        super().on_act(source, act)

    def partition_of(self, act: Act) -> int:
        from ringdict.sim.lockscenario import partition_of_key

        return partition_of_key(act.key.decode())


class ForgetsWhatIsPast(Leadership):
    """Carries out what its session has its answer of."""

    def _is_given_up(self, work: Work) -> bool:
        return work.asker.session.fate(work.asker.serial) is Fate.CANCELLED


def _bound(act: Act, ballot: Ballot) -> Act:
    from msgspec.structs import replace

    return replace(act, ballot=ballot)


class TakesAnyRefusal(LockClient):
    """Asks again under another ballot though an older attempt was meant."""

    def matches(self, act: Act, reply: NotLed) -> bool:
        return True


def leaders(name: str, base: type[LockScenario] = UsurpedLockScenario, **parts: Any) -> type[LockScenario]:
    """The scenario with other parts of a node's core."""
    core = type(name + "Leaders", (Leaders,), parts)
    node = type(name + "Node", (LockNode,), {"leaders_class": core})
    return type(name, (base,), {"node_class": node, "__module__": __name__})


NoFsyncAccept = leaders("NoFsyncAccept", acceptor_class=RepliesBeforeSync)
NoFsyncPromise = leaders("NoFsyncPromise", acceptor_class=PromisesBeforeSync)
BelowPromise = leaders("BelowPromise", acceptor_class=IgnoresItsPromise)
Amnesia = leaders("Amnesia", LockScenario, acceptor_class=ForgetsAll)
PromiseFromBackup = leaders("PromiseFromBackup", LockScenario, acceptor_class=RestoresABackup)
NoCheck = leaders("NoCheck", leadership_class=ChecksNothing)
NoRepropose = leaders("NoRepropose", LockScenario, leadership_class=SettlesNothing)
CancelWithoutBarrier = leaders("CancelWithoutBarrier", leadership_class=BarsNothing)
CancelWithoutMark = leaders("CancelWithoutMark", leadership_class=MarksNothing)
LiveQuorum = leaders("LiveQuorum", rounds_class=LiveMajority)
ElectedByFew = leaders("ElectedByFew", LockScenario, candidacies_class=OwnPromiseOnly)
NoPrev = leaders("NoPrev", candidacies_class=PresentSetOnly)
NoDedupe = leaders("NoDedupe", desk_class=CarriesOutAgain, leadership_class=ForgetsWhatIsPast)
NoInc = type("NoInc", (UsurpedLockScenario,), {"node_class": FirstStartForEver, "__module__": __name__})
TombstoneUnguarded = leaders("TombstoneUnguarded", leadership_class=TakesUnguarded)
ClearByGeneration = leaders("ClearByGeneration", leadership_class=ClearsByHearsay)
NotLedUnmatched = type(
    "NotLedUnmatched", (UsurpedLockScenario,), {"client_class": TakesAnyRefusal, "__module__": __name__}
)

LeaseEndsEarly = leaders("LeaseEndsEarly", LeaseLockScenario, leadership_class=HurriesLeases)
NoStickiness = type(
    "NoStickiness",
    (EstrangedLockScenario,),
    {
        "node_class": type("NoStickinessNode", (LockNode,), {"leaders_class": StandsInNobodysWay}),
        "__module__": __name__,
    },
)
GossipRing = type(
    "GossipRing",
    (UsurpedLockScenario,),
    {
        "node_class": type("GossipRingNode", (LockNode,), {"leaders_class": RingByHearsay}),
        "__module__": __name__,
    },
)

FORK = "NoFork"
LINEARIZABLE = "every_key_is_linearizable"

DURABLE = "SaidIsDurable"

MUTANTS: Mapping[str, Mutant] = {
    "Amnesia": Mutant(seeds_max=4, check="OneLeader", profile="restarts"),
    "PromiseFromBackup": Mutant(seeds_max=1, check="OneLeader", profile="restarts"),
    "NoRepropose": Mutant(seeds_max=4, check=FORK),
    "ElectedByFew": Mutant(seeds_max=8, check=FORK),
    "NoFsyncAccept": Mutant(seeds_max=1, check=DURABLE, profile="usurp"),
    "NoFsyncPromise": Mutant(seeds_max=1, check=DURABLE, profile="usurp"),
    "NoDedupe": Mutant(seeds_max=1, check=FORK, profile="usurp"),
    "ClearByGeneration": Mutant(seeds_max=1, check=LINEARIZABLE, profile="usurp"),
    "GossipRing": Mutant(seeds_max=3, check="ToldIsChosen", profile="usurp"),
    "NoStickiness": Mutant(seeds_max=2, check="leaders_stay", profile="estranged"),
    "LiveQuorum": Mutant(seeds_max=3, check="ToldIsChosen", profile="usurp"),
    "NoPrev": Mutant(seeds_max=9, check=FORK, profile="usurp"),
    "CancelWithoutBarrier": Mutant(seeds_max=10, check="NoGhost", profile="usurp"),
    "LeaseEndsEarly": Mutant(seeds_max=15, check=LINEARIZABLE),
    "NoInc": Mutant(seeds_max=37, check=LINEARIZABLE, profile="usurp"),
    "NoCheck": Mutant(seeds_max=47, check=LINEARIZABLE, profile="usurp"),
    "TombstoneUnguarded": Mutant(seeds_max=72, check="plain_values_are_popped_once", profile="usurp"),
    "CancelWithoutMark": Mutant(seeds_max=199, check=FORK, profile="usurp"),
    "BelowPromise": Mutant(seeds_max=16, check=FORK, profile="usurp"),
}

UNCAUGHT: Mapping[str, Mutant] = {
    "NotLedUnmatched": Mutant(seeds_max=200, check=LINEARIZABLE, profile="usurp"),
}
"""Wrong versions that nothing has caught: the right version's clean seeds say nothing about their rules."""
