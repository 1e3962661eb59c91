"""Wrong versions of epochs, to see that the simulator catches each of them.

`MUTANTS` says how; `ringdict sim mutants tests/sim/wrongepochs.py` tries them all and prints the table.
`RemoveByRest` is not among them: it takes a split in halves, and a removal on both sides, which no seed of 60
had. tests/node/test_epochs.py tells that story.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ringdict.node.epochs.changes import Changes
from ringdict.node.epochs.decreelog import NO_BALLOT, Vote
from ringdict.node.epochs.epochs import Epochs
from ringdict.node.epochs.learner import Learner
from ringdict.node.epochs.proposal import Ending, Proposal
from ringdict.node.epochs.recoverer import Recoverer
from ringdict.node.epochs.voter import Answer, Voter
from ringdict.node.network.message import Mark
from ringdict.node.network.peermessage import Accept, EpochBallot, Prepare
from ringdict.node.world import Address
from ringdict.ring.codec import decode_decree
from ringdict.ring.decree import Decree
from ringdict.ring.member import MemberState
from ringdict.sim.epochnode import EpochNode, QuickEpochs
from ringdict.sim.epochscenario import EpochScenario, ForcedFourNodes, FourNodes, TwoClusters
from ringdict.sim.mutant import Mutant

# -- voters ----------------------------------------------------------------------------------------


class TellsBeforeSync(Voter):
    """Tells of a vote before it is on disk."""

    def _write(self, asked: Prepare | Accept, vote: Vote, decree: bytes, answer: Answer) -> None:
        self._tell(asked, vote, answer)
        self._log.write_vote(vote, decree, lambda _on_disk: None)


class PromisesInMemory(Voter):
    """Writes down what it accepts, and not what it promises."""

    def _write(self, asked: Prepare | Accept, vote: Vote, decree: bytes, answer: Answer) -> None:
        if isinstance(asked, Prepare):
            self._promised = (vote.epoch, asked.ballot)
            self._tell(asked, vote, answer)
        else:
            super()._write(asked, vote, decree, answer)

    def _heeds(self, ballot: EpochBallot, vote: Vote) -> bool:
        epoch, promised = getattr(self, "_promised", (0, NO_BALLOT))
        return ballot >= max(vote.promised, promised if epoch == vote.epoch else NO_BALLOT)


class AcceptsBelowItsPromise(Voter):
    """Compares a ballot with what it accepted, instead of what it promised."""

    def _heeds(self, ballot: EpochBallot, vote: Vote) -> bool:
        return ballot >= vote.accepted


class LetsNewcomersVote(Voter):
    """Votes as soon as it has joined."""

    def _reason_not_to_vote(self, parent: Mark) -> str | None:
        view = self._view()
        return None if view is not None and view.mark == parent else "another epoch"


# -- proposers -------------------------------------------------------------------------------------


class CountsOnlyTheLiving(Proposal):
    """Takes a majority of those that answer in time for a majority."""

    def begin(self) -> None:
        self._dead: set[int] = set()
        super().begin()

    def _enough(self, answered: set[int]) -> bool:
        return 2 * len(answered) > len(set(self._voters()) - self._dead)

    def _miss(self, number: int, reply: Any) -> None:
        if reply is None:
            self._dead.add(number)
        if self._step_name == "promises" and self._promises and self._enough(set(self._promises)):
            self._choose()
        elif self._step_name == "accepts" and self._accepts and self._enough(self._accepts):
            self._end(Ending(decided=self._value))
        else:
            super()._miss(number, reply)


class RemovesByTheRest(Proposal):
    """Does not count the one that goes."""

    def _enough(self, answered: set[int]) -> bool:
        after = {member.member_id for member in decode_decree(self._wanted).members if member.votes}
        rest = [number for number in self._voters() if self.view.members[number] in after]
        return 2 * len(answered.intersection(rest)) > len(rest)


class CountsNewcomers(Proposal):
    """Asks those that are joining, too, and takes their answer for a voter's."""

    def _voters(self) -> tuple[int, ...]:
        members = self.view.decree.members
        joining = [number for number, one in enumerate(members) if one.state is MemberState.JOINING]
        return (*super()._voters(), *joining)

    def _enough(self, answered: set[int]) -> bool:
        return 2 * len(answered) > len(super()._voters())


class IgnoresWhatWasAccepted(Proposal):
    """Proposes what it wants, whatever voters have accepted already."""

    def _choose(self) -> None:
        self._promises = {number: (NO_BALLOT, bytes(8)) for number in self._promises}
        super()._choose()


class AnyJuniorOfTwo(Proposal):
    """Of two takes either for a majority."""

    def _enough(self, answered: set[int]) -> bool:
        return 2 * len(answered) >= len(self._voters())


class NeverAgain(Changes):
    """Does not try again what failed once."""

    def _wait(self) -> None:
        self._back_off = self._world.call_after(10**18, lambda: None)

    def turned(self, view: Any) -> None:
        if self._failures == 0:
            super().turned(view)


# -- learners --------------------------------------------------------------------------------------


class GoesByItBeforeSync(Learner):
    """Goes by a decree that is not on its disk yet."""

    def learn(self, encoded: bytes, source: Any = None) -> bool:
        before = self._newest
        known = super().learn(encoded, source)
        if self._newest is not before and self._newest is not None:
            self._go_by(self._newest, encoded)
        return known


class TakesAnyJump(Learner):
    """Takes up whatever is of a later epoch, from whomever."""

    def _wants(self, decree: Decree) -> bool:
        if self._newest is None:
            return super()._wants(decree)
        return decree.epoch > self._newest.epoch

    def shun_foreign(self, node: Any, text: str) -> None:
        """Shuns nobody."""


class TakesAcceptedForDecided(QuickEpochs):
    """Goes by what it accepted."""

    def _on_accept(self, source: Address, asked: Accept) -> None:
        super()._on_accept(source, asked)
        if asked.decree:
            self._learner.learn(asked.decree)


class AnswersStrangers(QuickEpochs):
    """Gives its decree to any cluster, and takes theirs."""

    learner_class = TakesAnyJump

    def _on_ask_decree(self, source: Address, asked: Any) -> None:
        asked.cluster_id = b""
        super()._on_ask_decree(source, asked)


class NextEpochByForce(Recoverer):
    """Forces the next epoch, which those who were given up may yet decide among themselves."""

    def _made_of(self, old: Decree, lost: list[bytes]) -> Decree:
        made, epoch = super()._made_of(old, lost), old.epoch + 1
        recoveries = (*made.recoveries[:-1], made.recoveries[-1]._replace(epoch=epoch))
        return replace(made, epoch=epoch, since=(epoch,) * made.partitions, recoveries=recoveries)


class OneAfterTheOther(QuickEpochs):
    recoverer_class = NextEpochByForce


def with_parts(
    name: str,
    base: type[EpochScenario] = EpochScenario,
    *,
    proposal: type[Proposal] = Proposal,
    changes: type[Changes] = Changes,
    voter: type[Voter] = Voter,
    learner: type[Learner] = Learner,
    epochs: type[Epochs] | None = None,
) -> type[EpochScenario]:
    """A scenario whose nodes have these parts."""
    changes = type(changes.__name__, (changes,), {"proposal_class": proposal})
    parts = {"learner_class": learner, "changes_class": changes, "voter_class": voter}
    epochs = epochs or type("WrongEpochs", (QuickEpochs,), parts)
    node = type("WrongNode", (EpochNode,), {"epochs_class": epochs})
    return type(name, (base,), {"node_class": node, "__module__": __name__})


ToldBeforeSync = with_parts("ToldBeforeSync", voter=TellsBeforeSync)
InMemory = with_parts("InMemory", voter=PromisesInMemory)
BelowPromise = with_parts("BelowPromise", voter=AcceptsBelowItsPromise)
NewcomersVote = with_parts("NewcomersVote", voter=LetsNewcomersVote, proposal=CountsNewcomers)
LiveMajority = with_parts("LiveMajority", proposal=CountsOnlyTheLiving)
RemoveByRest = with_parts("RemoveByRest", FourNodes, proposal=RemovesByTheRest)
OwnWishOnly = with_parts("OwnWishOnly", proposal=IgnoresWhatWasAccepted)
EitherOfTwo = with_parts("EitherOfTwo", FourNodes, proposal=AnyJuniorOfTwo)
Stuck = with_parts("Stuck", changes=NeverAgain)
BeforeSync = with_parts("BeforeSync", learner=GoesByItBeforeSync)
Hasty = with_parts("Hasty", epochs=TakesAcceptedForDecided)
Merged = with_parts("Merged", TwoClusters, epochs=AnswersStrangers)
NoLeap = with_parts("NoLeap", ForcedFourNodes, epochs=OneAfterTheOther)

MUTANTS: Mapping[str, Mutant] = {
    "ToldBeforeSync": Mutant(seeds_max=20, check="PromisesHold", profile="power"),
    "InMemory": Mutant(seeds_max=20, check="PromisesHold"),
    "BelowPromise": Mutant(seeds_max=20, check="PromisesHold"),
    "NewcomersVote": Mutant(seeds_max=10, check="OneDecree"),
    "LiveMajority": Mutant(seeds_max=20, check="OneDecree"),
    "OwnWishOnly": Mutant(seeds_max=10, check="DecidedOnce"),
    "EitherOfTwo": Mutant(seeds_max=20, check="OneDecree"),
    "Stuck": Mutant(seeds_max=10, check="a_healed_core_decides"),
    "BeforeSync": Mutant(seeds_max=10, check="NeverBack"),
    "Hasty": Mutant(seeds_max=20, check="OneDecree"),
    "Merged": Mutant(seeds_max=4, check="NeverBack"),
    "NoLeap": Mutant(seeds_max=20, check="OneDecree"),
}
