"""Candidacies: how a node comes to lead a partition.

Rules of this file:
1. A ballot is above all that this node has promised or was told of for that partition.
2. Elected is who has promises of a quorum of every set of acceptors, its own among them: whatever was chosen
   in any of them is then known.
3. Promises count for the very start of a node that asked for them.
4. This node's own acceptor is asked last, once the others' promises suffice with it. A try that comes to
   nothing has then not deposed, by that promise, a leader that all others follow.
5. Promises of others than those who were asked do not count, and nothing is asked of these later.
6. A leader that says itself that it leads ends a try.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..network.leadermessage import Promise, Refuse
from ..world import NS_PER_S, NodeId, World
from .ballot import Ballot
from .electorate import Electorate
from .heartbeat import Heartbeats
from .leaderconfig import CAMPAIGN_S
from .post import Post

_CAMPAIGN_NS = int(CAMPAIGN_S * NS_PER_S)

Pledges = dict[NodeId, tuple[int, bytes]]
"""Of each who promised: the highest token there, and the sums of its buckets."""


class Candidacy:
    """One try for one partition."""

    __slots__ = ("ballot", "begun_ns", "consent", "electorate", "pledges")

    def __init__(self, ballot: Ballot, electorate: Electorate, consent: Ballot | None, begun_ns: int) -> None:
        self.ballot = ballot
        self.electorate = electorate
        #: The ballot of a leader that gives way.
        self.consent = consent
        self.begun_ns = begun_ns
        self.pledges: Pledges = {}


class Candidacies:
    """All of one node, one a partition at the most.

    `won` and `lost` are told how each ends; lost also when nothing came of it in time.
    """

    def __init__(
        self,
        world: World,
        post: Post,
        heartbeats: Heartbeats,
        won: Callable[[int, Candidacy], None],
        lost: Callable[[int], None],
    ) -> None:
        self._world = world
        self._post = post
        self._heartbeats = heartbeats
        self._won = won
        self._lost = lost
        self._me = world.identity.node
        self._boot = world.identity.boot
        self._open: dict[int, Candidacy] = {}
        #: The highest round that was seen of each partition.
        self._rounds: dict[int, int] = {}

    def __contains__(self, partition: int) -> bool:
        return partition in self._open

    def partitions(self) -> list[int]:
        """For which partitions this node tries."""
        return list(self._open)

    def ballot(self, partition: int) -> Ballot | None:
        """Under which ballot this node tries, if it does."""
        one = self._open.get(partition)
        return None if one is None else one.ballot

    def begin(
        self, partition: int, electorate: Electorate, promised: Ballot, consent: Ballot | None = None
    ) -> None:
        """Try. All that begin in one turn go out in one frame a node."""
        number = max(self._rounds.get(partition, 0), promised.round) + 1
        self._rounds[partition] = number
        ballot = Ballot(electorate.since, number, self._me, self._boot)
        one = Candidacy(ballot, electorate, consent, self._world.now_ns())
        self._open[partition] = one
        self._ask(partition, one)

    def _ask(self, partition: int, one: Candidacy) -> None:
        ask = (partition, one.ballot.since, one.ballot.round, one.consent)
        for node in one.electorate.everyone:
            if node not in one.pledges and (node != self._me or self._suffice(one, [*one.pledges, node])):
                self._post.ask(node, ask)

    def _suffice(self, one: Candidacy, nodes: Collection[NodeId]) -> bool:
        """Whether the promises of these nodes are enough."""
        return one.electorate.agreed(nodes)

    def drop(self, partition: int) -> None:
        """Give a try up."""
        self._open.pop(partition, None)

    def on_promise(self, message: Promise) -> None:
        """Somebody promised."""
        if message.to != self._me or message.boot != self._boot:
            return
        node = NodeId(message.node)
        self._heartbeats.note(node, self._world.now_ns())
        for partition, since, number, highest, sums in message.pledges:
            one = self._open.get(partition)
            if one is None or (one.ballot.since, one.ballot.round) != (since, number):
                continue
            if node not in one.electorate.everyone:
                continue  # a stranger at the address of one who has a say
            one.pledges[node] = (highest, sums)
            if self._me not in one.pledges:
                if self._suffice(one, [*one.pledges, self._me]):
                    self._post.ask(self._me, (partition, since, number, one.consent))
            elif self._suffice(one, one.pledges):
                del self._open[partition]
                self._won(partition, one)

    def on_refuse(self, message: Refuse) -> None:
        """Somebody follows a higher ballot, or hears a leader."""
        for partition, refused, held, leads in message.refusals:
            self._rounds[partition] = max(self._rounds.get(partition, 0), held.round)
            one = self._open.get(partition)
            if one is None or one.ballot != refused:
                continue
            if held > refused or (leads and held.node == message.node):
                del self._open[partition]
                self._lost(partition)

    def tick(self) -> None:
        """Ask again whoever has not promised; give up what takes too long."""
        now_ns = self._world.now_ns()
        for partition, one in list(self._open.items()):
            if now_ns - one.begun_ns > _CAMPAIGN_NS:
                del self._open[partition]
                self._lost(partition)
            else:
                self._ask(partition, one)
