"""How a node comes to newer decrees: it hears of one, asks for it, looks at it, writes it down, goes by it.

Rules of this file:
1. A node goes by a decree once that is on disk, and never by an older one again.
2. The next decree must be allowed to follow (`check_successor`). Of one further on a node looks at what can
   be seen across the gap (`check_descendant`), and else trusts that a majority looked: whoever gives it has
   shown the secret, and is of this cluster (docs/epochs.md).
3. A node that is in no ring takes none up on hearsay: only one that names it, after it asked to join.
4. A node that finds itself a voter, and has no record of a vote nor of having asked to join, has lost what it
   promised. It must not vote, so it takes nothing up.
5. Of another cluster it complains once, and asks no more.
"""

from __future__ import annotations

from collections.abc import Callable

from ...exception import StoreDamagedError
from ...ring.codec import decode_decree, digest_of, encode_decree
from ...ring.decree import Decree, DecreeError
from ...ring.succession import check_descendant, check_successor, is_newer
from ..complaints import Complaints
from ..config import DECREE_TIMEOUT_S, FOREIGN_NODES_MAX, NEWER_NODES_MAX
from ..network.bus import Bus
from ..network.message import Mark, Reason, Refused, Reply
from ..network.peermessage import AskDecree, TellDecree
from ..ringview import NO_MARK, RingView
from ..world import NS_PER_S, NodeId, World
from .decreelog import DecreeLog


class Learner:
    """Keeps the ring that one node goes by. `turned` is called with each, at the start not."""

    def __init__(
        self,
        world: World,
        log: DecreeLog,
        bus: Bus,
        complaints: Complaints,
        turned: Callable[[RingView], None],
    ) -> None:
        self._world = world
        self._log = log
        self._bus = bus
        self._complaints = complaints
        self._turned = turned
        #: What the node goes by; None: it is in no ring.
        self.view: RingView | None = None
        #: Its encoding.
        self.encoded = b""
        #: The newest that is being written down, or was.
        self._newest: Decree | None = None
        #: Nodes that said they go by a newer ring.
        self._ahead: dict[NodeId, Mark] = {}
        #: Nodes that are not asked any more: for ever, and until the next decree.
        self._foreign: dict[NodeId, None] = {}
        self._doubtful: dict[NodeId, None] = {}
        self._asks = False
        #: Whether a ring that names this node would be welcome.
        self.joins = False

    def recall(self) -> None:
        """Take up what is on disk. StoreDamagedError if that is not what was written."""
        decree = self._log.decree()
        if decree is not None:
            self._newest = decree
            self._go_by(decree, encode_decree(decree))

    @property
    def mark(self) -> Mark:
        """Of the ring that the node goes by."""
        return NO_MARK if self.view is None else self.view.mark

    @property
    def cluster_id(self) -> bytes:
        """Empty: of none."""
        return b"" if self.view is None else self.view.decree.cluster_id

    # -- hearing, asking ---------------------------------------------------------------------------

    def hear(self, node: NodeId, mark: Mark) -> None:
        """A node goes by that ring; if that is news, ask for it."""
        if not self._is_news(node, mark):
            return
        if self._take_up_own_vote(mark):
            return
        if node not in self._ahead and len(self._ahead) >= NEWER_NODES_MAX:
            return
        self._ahead[node] = mark
        self._ask()

    def _is_news(self, node: NodeId, mark: Mark) -> bool:
        if mark == NO_MARK or node in self._foreign or node in self._doubtful:
            return False
        if node == self._world.identity.node:
            return False
        if self.view is None:
            return self.joins
        epoch, digest = self.view.mark
        return mark[0] > epoch or (mark[0] == epoch and mark[1] != digest)

    def _take_up_own_vote(self, mark: Mark) -> bool:
        """Whether what was heard of is what this node accepted itself: then it has it."""
        if self.view is None or mark[0] != self.view.epoch + 1:
            return False
        try:
            proposal = self._log.proposal(mark[0], mark[1])
        except StoreDamagedError as error:
            self._world.halt(str(error))
            return True
        return bool(proposal) and self.learn(proposal)

    def _ask(self) -> None:
        if self._asks or not self._ahead:
            return
        node, _ = max(self._ahead.items(), key=lambda item: (item[1][0], item[0]))
        asked = AskDecree(0, self._world.identity.node, self.cluster_id, self.mark)
        self._asks = True
        self._bus.ask(node, asked, lambda reply: self._on_told(node, reply), int(DECREE_TIMEOUT_S * NS_PER_S))

    def _on_told(self, node: NodeId, reply: Reply | None) -> None:
        self._asks = False
        self._ahead.pop(node, None)
        if isinstance(reply, TellDecree) and reply.decree:
            self.learn(reply.decree, node)
        elif isinstance(reply, Refused) and reply.reason == Reason.INVALID:
            self.shun_foreign(node, reply.text)
        self._ahead = {other: mark for other, mark in self._ahead.items() if self._is_news(other, mark)}
        self._ask()

    def shun_foreign(self, node: NodeId, text: str) -> None:
        """A node is of another cluster: say so once, and ask it no more."""
        self._shun(node, text, self._foreign)

    def _shun(self, node: NodeId, text: str, shunned: dict[NodeId, None]) -> None:
        if len(shunned) >= FOREIGN_NODES_MAX:
            del shunned[next(iter(shunned))]
        shunned[node] = None
        self._ahead.pop(node, None)
        self._complaints.make(text)

    # -- taking up ---------------------------------------------------------------------------------

    def learn(self, encoded: bytes, source: NodeId | None = None) -> bool:
        """Take a decided decree up, if it is news and may be; whether it is being written down, or was."""
        shunned = self._doubtful
        try:
            decree = decode_decree(encoded)
            if self._newest is not None and decree.cluster_id != self._newest.cluster_id:
                shunned = self._foreign
            wanted = self._wants(decree)
        except DecreeError as error:
            if source is not None:
                self._shun(source, str(error), shunned)
            else:
                self._complaints.make(str(error))
            return False
        if not wanted:
            return self._newest == decree
        self._write(decree, encoded)
        return True

    def _write(self, decree: Decree, encoded: bytes) -> None:
        self._newest = decree

        def written(on_disk: bool) -> None:  # noqa: FBT001 - as told
            if on_disk:
                self._go_by(decree, encoded)
            else:  # nor is what was to be written after it
                self._newest = None if self.view is None else self.view.decree

        self._log.write_decree(encoded, written)

    def _wants(self, decree: Decree) -> bool:
        """Whether to take it up. DecreeError if it is none to have anything to do with."""
        if self._newest is None:
            return self.joins and self._may_begin_with(decree)
        if not is_newer(self._newest, decree):
            return False
        if decree.epoch == self._newest.epoch + 1:
            check_successor(self._newest, decree)
        else:
            check_descendant(self._newest, decree)
        return True

    def knows_me(self, encoded: bytes) -> bool:
        """Whether a decree that somebody sent names this node; False if it is none."""
        try:
            return decode_decree(encoded).number_of(self._world.identity.node) is not None
        except DecreeError:
            return False

    def _may_begin_with(self, decree: Decree) -> bool:
        number = decree.number_of(self._world.identity.node)
        if number is None:
            return False
        if not self._log.intends_to_join:
            self._complaints.make(AMNESIA)
            return False
        return True

    def force(self, encoded: bytes, view: RingView) -> bool:
        """Take up a decree that nobody voted on, in place of that ring; False if there is a newer one."""
        decree = decode_decree(encoded)
        if self.view is not view or self._newest != view.decree:
            return False
        check_descendant(view.decree, decree)
        self._write(decree, encoded)
        return True

    def found(self, decree: Decree, done: Callable[[bool], None]) -> None:
        """Take up the first decree of a cluster."""
        assert self._newest is None
        encoded = encode_decree(decree)
        self._newest = decree

        def written(on_disk: bool) -> None:  # noqa: FBT001 - as told
            if on_disk:
                self._go_by(decree, encoded)
            else:
                self._newest = None
            done(on_disk)

        self._log.write_decree(encoded, written)

    def _go_by(self, decree: Decree, encoded: bytes) -> None:
        view = RingView(decree, self._world.identity.node)
        self.view, self.encoded = view, encoded
        self._doubtful.clear()
        self._turned(view)
        self._world.trace(
            "epoch",
            node=self._world.identity.node,
            cluster=decree.cluster_id,
            epoch=decree.epoch,
            digest=digest_of(decree),
            parent=decree.parent,
            member=view.me is not None,
        )


AMNESIA = (
    "this node is a member of the cluster, but what it promised to others is not on its disk any more: it "
    "must not vote. Remove it from the cluster, and start it with an empty data folder"
)
