"""Epochs: which ring a node goes by, and how the next one is voted on. docs/epochs.md tells the whole.

This file wires the parts, and answers what comes from other nodes and from operators:

- node/epochs/decreelog.py keeps the decree and the vote on disk;
- node/epochs/voter.py answers when an epoch is voted on, node/epochs/proposal.py has one decided;
- node/epochs/changes.py is what operators and newcomers want, in a row;
- node/epochs/recoverer.py forces one where no majority is left;
- node/epochs/learner.py catches up, node/epochs/newcomer.py joins, node/epochs/mover.py flips what is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from msgspec.structs import replace as renumbered

from ...exception import Error, InvalidError, StoreDamagedError, StoreFullError
from ...ring import change
from ...ring.config import PARTITIONS_DEFAULT, REPLICAS_DEFAULT
from ...ring.decree import DecreeError
from ...ring.member import Member, MemberState
from ..complaints import Complaints
from ..network.bus import Bus
from ..network.message import Command, Mark, Reason, Recover, Refused, Reply, Request
from ..network.peermessage import Accept, AskDecree, AskProposal, AskReady, Decided, Prepare, TellDecree
from ..ringview import RingView
from ..world import Address, NodeId, Storage, World
from .changes import Changes, Wish
from .decreelog import DecreeLog, Vote
from .learner import Learner
from .mover import Mover
from .newcomer import Newcomer
from .recoverer import Recoverer
from .voter import Voter

Handler = Callable[[Address, Any], None]


def nobody(_partition: int) -> bool:
    """The answer of who knows nothing: not ready, not settled."""
    return False


class Epochs:
    """One node's part in the ring.

    `storage` is its own (`world.storage("consensus")`), always synced. `changed` is called with each ring
    that the node goes by, from `start()` on, which takes up the one on disk.

    `ready(partition)`: whether this node, pending owner of a partition, has all that its owners have.
    `settled(partition)`: whether the present owners know all that former sets may know; only then those are
    dropped from the ring. Without atomic operations a former set knows nothing that matters: True.
    `floor()`: a stamp above all that this node knows of, for a recovery by force.
    """

    learner_class = Learner
    changes_class = Changes
    voter_class = Voter
    mover_class = Mover
    recoverer_class = Recoverer

    def __init__(
        self,
        world: World,
        storage: Storage,
        bus: Bus,
        changed: Callable[[RingView], None],
        *,
        ready: Callable[[int], bool] = nobody,
        settled: Callable[[int], bool] = nobody,
        floor: Callable[[], int] = lambda: 0,
    ) -> None:
        self._world = world
        self._bus = bus
        self._changed = changed
        self._log = DecreeLog(world, storage)
        self._complaints = Complaints(world)
        self._learner = self.learner_class(world, self._log, bus, self._complaints, self._turned)
        self._voter = self.voter_class(world, self._log, lambda: self.view)
        self._changes = self.changes_class(
            world, bus, self._voter, lambda: self.view, self._on_decided, self.hear_mark
        )
        self._mover = self.mover_class(world, bus, self._changes, ready, settled)
        self._recoverer = self.recoverer_class(world, bus, lambda: self.view, self._force, floor)
        #: Members that are to be told of a decree which was decided here.
        self._to_tell: tuple[NodeId, ...] = ()

    def start(self) -> None:
        """Take up the ring that is on disk, if there is one."""
        try:
            self._learner.recall()
        except StoreDamagedError as error:
            self._world.halt(
                f"{error}. Remove this node from the cluster, and start it with an empty data folder"
            )

    # -- what a node asks --------------------------------------------------------------------------

    @property
    def view(self) -> RingView | None:
        """The ring that this node goes by. None: it never was in one. Its `me` is None once it is out."""
        return self._learner.view

    @property
    def encoded(self) -> bytes:
        """The decree of `view`, encoded; empty without one."""
        return self._learner.encoded

    @property
    def complaints(self) -> list[str]:
        """What is wrong, in words, for people."""
        return self._complaints.texts

    def recall_vote(self, epoch: int) -> Vote | None:
        """How this node votes on an epoch, as its disk says; None if that cannot be read."""
        try:
            return self._log.vote(epoch)
        except StoreDamagedError:
            return None

    def found(
        self,
        cluster_id: bytes,
        member: Member,
        partitions: int = PARTITIONS_DEFAULT,
        replicas: int = REPLICAS_DEFAULT,
        done: Callable[[Error | None], None] = lambda _error: None,
    ) -> None:
        """Begin a new cluster, of this node alone. `cluster_id`: 16 random bytes.

        `done` gets None once it is on disk and `view` is there; else InvalidError or StoreFullError.
        """
        if self.view is not None:
            error = InvalidError(f"this node is of cluster {self.view.decree.cluster_id.hex()} already")
            self._world.call_after(0, lambda: done(error))
            return
        try:
            decree = change.found(cluster_id, member, partitions, replicas)
        except DecreeError as fault:
            invalid = InvalidError(str(fault))
            self._world.call_after(0, lambda: done(invalid))
            return
        self._learner.found(
            decree, lambda on_disk: done(None if on_disk else StoreFullError("no room for the first decree"))
        )

    def request_join(self, member: Member, via: Callable[[], Sequence[NodeId]]) -> None:
        """Come into a cluster: ask one after the other of the nodes that `via` gives, for ever, until in.

        No effect in a ring already. What keeps it out is in `complaints`.
        """
        if self.view is None or self.view.me is None:
            Newcomer(self._world, self._log, self._bus, self._learner, self._complaints, member, via)

    def hear_mark(self, node: NodeId, mark: Mark) -> None:
        """A node goes by that ring: it said so, in whatever message, or gossip did."""
        self._mover.hear(node, mark)
        self._learner.hear(node, mark)

    def owners_behind(self, partition: int) -> list[NodeId]:
        """Old owners of a pending partition that may not know yet that it is: it does not flip until then."""
        return self._mover.owners_behind(partition)

    def command(self, verb: str, member: Member, answer: Callable[[Reply], None]) -> None:
        """Change the ring (`changes.VERBS`). `answer` is called once, with a reply whose number is 0."""
        self._changes.ask(Wish(verb, replace(member, state=MemberState.JOINING)), answer)

    def handlers(self) -> dict[type[Request], Handler]:
        """What answers each kind of request."""
        return {
            Command: self._on_command,
            Recover: self._on_recover,
            AskDecree: self._on_ask_decree,
            Prepare: self._on_prepare,
            Accept: self._on_accept,
            AskProposal: self._on_ask_proposal,
            Decided: self._on_decided_elsewhere,
            AskReady: self._on_ask_ready,
        }

    def validate(self) -> None:
        """Assert what must always hold."""
        view = self.view
        assert view is None or view.decree.epoch == view.mark[0]

    # -- answers -----------------------------------------------------------------------------------

    def _on_command(self, source: Address, asked: Command) -> None:
        member = Member(asked.member_id, MemberState.JOINING, asked.weight, asked.zone, asked.address)

        def answer(reply: Reply) -> None:
            self._bus.tell(source, renumbered(reply, number=asked.number))

        self._changes.ask(Wish(asked.verb, member), answer)

    def _on_recover(self, source: Address, asked: Recover) -> None:
        self._recoverer.ask(
            asked, lambda reply: self._bus.tell(source, renumbered(reply, number=asked.number))
        )

    def _on_ask_decree(self, source: Address, asked: AskDecree) -> None:
        view = self.view
        if view is None:
            self._refuse(source, asked, Reason.NOT_SERVING, "this node is in no ring")
        elif asked.cluster_id and asked.cluster_id != view.decree.cluster_id:
            text = (
                f"this is cluster {view.decree.cluster_id.hex()}, asked by one of {asked.cluster_id.hex()}: "
                "clusters that were founded apart do not merge. Start a node with an empty folder to join"
            )
            self._learner.shun_foreign(NodeId(asked.node), text)
            self._refuse(source, asked, Reason.INVALID, text)
        else:
            news = asked.mark[0] < view.epoch or (asked.mark[0] == view.epoch and asked.mark != view.mark)
            self._bus.tell(source, TellDecree(asked.number, view.mark, self.encoded if news else b""))
            self.hear_mark(NodeId(asked.node), asked.mark)

    def _refuse(self, source: Address, asked: Request, reason: Reason, text: str) -> None:
        self._bus.tell(source, Refused(asked.number, reason, text, self._learner.mark))

    def _on_prepare(self, source: Address, asked: Prepare) -> None:
        self._voter.prepare(asked, lambda reply: self._bus.tell(source, reply))
        self.hear_mark(NodeId(asked.ballot[2]), asked.parent)

    def _on_accept(self, source: Address, asked: Accept) -> None:
        self._voter.accept(asked, lambda reply: self._bus.tell(source, reply))
        self.hear_mark(NodeId(asked.ballot[2]), asked.parent)

    def _on_ask_proposal(self, source: Address, asked: AskProposal) -> None:
        self._voter.proposal(asked, lambda reply: self._bus.tell(source, reply))

    def _on_decided_elsewhere(self, _source: Address, told: Decided) -> None:
        self.hear_mark(NodeId(told.node), told.mark)

    def _on_ask_ready(self, source: Address, asked: AskReady) -> None:
        self.hear_mark(NodeId(asked.node), asked.mark)
        if self.view is None:
            self._refuse(source, asked, Reason.NOT_SERVING, "this node is in no ring")
        else:
            self._bus.tell(source, self._mover.on_ask_ready(asked))

    # -- the ring changes --------------------------------------------------------------------------

    def _on_decided(self, decree: bytes) -> None:
        """A proposal of this node came to an end: go by it, and let all members know then."""
        view = self.view
        if self._learner.learn(decree) and view is not None:
            self._to_tell = view.members

    def _force(self, decree: bytes, view: RingView) -> bool:
        """Go by a decree that nobody voted on, and let all members know then, also those given up."""
        if not self._learner.force(decree, view):
            return False
        self._to_tell = view.members
        return True

    def _turned(self, view: RingView) -> None:
        self._mover.turned(view)
        self._changed(view)
        told, self._to_tell = self._to_tell, ()
        if told:
            news = Decided(0, self._world.identity.node, view.mark)
            for node in dict.fromkeys((*told, *view.members)):
                if node != self._world.identity.node:
                    self._bus.notify(node, news)
        self._changes.turned(view)
        self._recoverer.turned(view)
