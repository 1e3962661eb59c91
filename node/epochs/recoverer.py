"""Recovery by force, on the node that an operator asked for it (ring/recovery.py says what it makes).

Rules of this file:
1. Nothing is forced on a guess. The operator names the cluster, the ring that he saw and every member that is
   lost; every other member is asked, and has to answer that it goes by that very ring.
2. A member that is said to be lost, and answers, is not lost.
3. The decree is on disk here before anybody hears of it. The others take it up as they take up any that is
   further on: whoever does not hear of it now does so when it comes back.
4. One at a time. The same asked for again is answered as done.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from ...ring.codec import encode_decree
from ...ring.decree import TAG_BYTES, Decree, DecreeError
from ...ring.recovery import recover
from ..config import CHANGE_S_MAX, EPOCH_STEP_S
from ..network.bus import Bus
from ..network.message import Commanded, Reason, Recover, Refused, Reply, Unknown
from ..network.peermessage import AskDecree, TellDecree
from ..ringview import NO_MARK, RingView
from ..world import NS_PER_S, NodeId, World

Answer = Callable[[Reply], None]

_STEP_NS: Final = int(EPOCH_STEP_S * NS_PER_S)


class Recoverer:
    """One node's. `learn` takes a decree up that nobody voted on, and says whether it will; `floor` gives the
    stamp above which all are from then on."""

    def __init__(
        self,
        world: World,
        bus: Bus,
        view: Callable[[], RingView | None],
        learn: Callable[[bytes, RingView], bool],
        floor: Callable[[], int],
    ) -> None:
        self._world = world
        self._bus = bus
        self._view = view
        self._learn = learn
        self._floor = floor
        self._tags = world.dice("recovery")
        self._asked: Recover | None = None
        self._answer: Answer = lambda _reply: None
        #: What was carried out last.
        self._made: Recover | None = None

    def ask(self, asked: Recover, answer: Answer) -> None:
        """Recover the cluster; `answer` is called once."""
        view = self._view()
        if view is not None and self._is_done(asked):
            answer(Commanded(0, view.mark))
        elif self._asked is not None:
            answer(self._refused(Reason.OVERLOADED, "a recovery is under way here"))
        elif (fault := self._fault(asked)) is not None:
            answer(self._refused(Reason.INVALID, fault))
        else:
            assert view is not None
            self._asked, self._answer = asked, answer
            self._world.call_after(int(CHANGE_S_MAX * NS_PER_S), lambda: self._give_up(asked))
            self._look_around(view)

    def turned(self, view: RingView) -> None:
        """The node goes by another ring."""
        if self._asked is None:
            return
        if view.decree.recoveries and self._made is self._asked:
            self._world.trace(
                "recovered by force", epoch=view.epoch, given_up=[lost.hex() for lost in self._asked.lost]
            )
            self._end(Commanded(0, view.mark))
        else:
            self._end(self._refused(Reason.INVALID, "the ring is another by now: look again"))

    # -- parts -------------------------------------------------------------------------------------

    def _is_done(self, asked: Recover) -> bool:
        made = self._made
        if made is None or self._asked is not None:
            return False
        return (made.cluster_id, made.mark, made.lost) == (asked.cluster_id, asked.mark, asked.lost)

    def _refused(self, reason: Reason, text: str) -> Refused:
        view = self._view()
        return Refused(0, reason, text, NO_MARK if view is None else view.mark)

    def _fault(self, asked: Recover) -> str | None:
        """What can be seen to be wrong without asking anybody."""
        view = self._view()
        if view is None or view.me is None:
            return "this node is in no ring"
        if asked.cluster_id != view.decree.cluster_id:
            return f"this is cluster {view.decree.cluster_id.hex()}, not {asked.cluster_id.hex()}"
        if asked.mark != view.mark:
            return f"this node goes by epoch {view.epoch}, not by that epoch {asked.mark[0]}: look again"
        if self._world.identity.node in asked.lost:
            return "this node is not lost: it answers"
        try:
            recover(view.decree, asked.lost, bytes(TAG_BYTES), 0)
        except DecreeError as error:
            return str(error)
        return None

    def _look_around(self, view: RingView) -> None:
        others = [node for node in view.members if node != self._world.identity.node]
        question = AskDecree(0, self._world.identity.node, view.decree.cluster_id, view.mark)
        told: dict[NodeId, Reply | None] = {}
        asked = self._asked

        def heard(node: NodeId, reply: Reply | None) -> None:
            told[node] = reply
            if len(told) == len(others) and self._asked is asked:
                self._decide(view, told)

        for node in others:
            self._bus.ask(node, question, partial(heard, node), _STEP_NS)

    def _decide(self, view: RingView, told: dict[NodeId, Reply | None]) -> None:
        asked = self._asked
        assert asked is not None
        if (why := self._reason_not_to(view, asked, told)) is not None:
            self._end(self._refused(Reason.INVALID, why))
            return
        decree = self._made_of(view.decree, asked.lost)
        self._made = asked
        if not self._learn(encode_decree(decree), view):
            self._made = None
            self._end(self._refused(Reason.UNAVAILABLE, "the ring is another by now: look again"))

    def _made_of(self, old: Decree, lost: list[bytes]) -> Decree:
        return recover(old, lost, self._tags.randbytes(TAG_BYTES), self._floor())

    def _reason_not_to(self, view: RingView, asked: Recover, told: dict[NodeId, Reply | None]) -> str | None:
        if self._view() is not view:
            return "the ring is another by now: look again"
        for node, reply in told.items():
            if node in asked.lost:
                if reply is not None:
                    return f"{node.hex()[:12]} is not lost: it answers"
            elif reply is None:
                return f"{node.hex()[:12]} does not answer: bring it back, or say that it is lost, too"
            elif not isinstance(reply, TellDecree) or reply.mark != view.mark:
                return f"{node.hex()[:12]} does not go by epoch {view.epoch}: wait until all agree"
        return None

    def _give_up(self, asked: Recover) -> None:
        """The disk took nothing, or is so slow that nobody waits for it."""
        if self._asked is asked:
            self._made = None
            self._end(Unknown(0, "it is not on disk; it may yet come to be"))

    def _end(self, reply: Reply) -> None:
        answer, self._asked = self._answer, None
        answer(reply)
