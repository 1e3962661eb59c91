"""When a leader gives way, though nobody is against it: to a primary owner that is back, or as its node ends.

Rules of this file:
1. Who gives way takes nothing new, and goes once nothing is under way: in health within milliseconds. It goes
   also if there is nobody to give way to any more: it has told clients that this ballot will not do it.
2. Who takes over says whom it takes over from, and so need not wait until that one is not heard any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..network.leadermessage import Transfer
from ..world import NS_PER_S, NodeId
from .leaderconfig import HANDBACK_S, RENEW_S, STICKY_S, YIELD_S

if TYPE_CHECKING:
    from .leader import Leaders
    from .leadership import Leadership

_HANDBACK_NS = int(HANDBACK_S * NS_PER_S)
_YIELD_NS = int(YIELD_S * NS_PER_S)
_RENEW_NS = int(RENEW_S * NS_PER_S)
_STICKY_NS = int(STICKY_S * NS_PER_S)


class Handover:
    """One node's."""

    def __init__(self, leaders: Leaders) -> None:
        self._leaders = leaders
        #: Whether this node is about to end, and leads nothing any more.
        self.leaving = False
        self._yielding_ns: dict[int, int] = {}
        #: How often this node gave a partition up, by why.
        self.counts: dict[str, int] = {}

    def given_up(self, partition: int, why: str) -> None:
        """It is led here no more."""
        self.counts[why] = self.counts.get(why, 0) + 1
        self._yielding_ns.pop(partition, None)

    def refused(self, leadership: Leadership, node: NodeId) -> None:
        """An acceptor follows a higher ballot. If others are enough, somebody has tried in vain: end what is
        under way, and be elected anew, since that acceptor is lost to this ballot."""
        leaders = self._leaders
        leadership.lost.add(node)
        left = [each for each in leadership.electorate.row if each not in leadership.lost]
        if not leadership.electorate.chosen(left):
            leaders.resign(leadership, "acceptors follow a higher ballot")
            return
        leadership.yielding = True
        self._renew(leadership, leaders.world.now_ns() + _YIELD_NS)

    def _renew(self, leadership: Leadership, until_ns: int) -> None:
        leaders = self._leaders
        if leadership.ended:
            return
        if leadership.is_idle or leaders.world.now_ns() >= until_ns:
            leaders.resign(leadership, "an acceptor follows a higher ballot")
            leaders.try_again(leadership.partition)
        else:
            leaders.later(_RENEW_NS, lambda: self._renew(leadership, until_ns))

    def look(self) -> None:
        """Give way where it is time."""
        leaders = self._leaders
        now_ns = leaders.world.now_ns()
        for partition, leadership in list(leaders.leaderships.items()):
            if leadership.electorate.row[0] == leaders.me and not self.leaving:
                continue
            heir = self._heir(leadership)
            if heir is None and not self.leaving and partition not in self._yielding_ns:
                continue
            begun_ns = self._yielding_ns.setdefault(partition, now_ns)
            leadership.yielding = True
            if leadership.is_idle or now_ns - begun_ns > _YIELD_NS:
                leaders.resign(leadership, "this node ends" if self.leaving else "the primary owner is back")
                if heir is not None:
                    leaders.say(heir, Transfer(leaders.me, partition, leadership.ballot))
                    leaders.leave_alone(partition, _STICKY_NS)
                else:
                    leaders.try_again(partition)

    def _heir(self, leadership: Leadership) -> NodeId | None:
        """Who is to lead in place of this node; None: nobody."""
        row, heartbeats = leadership.electorate.row, self._leaders.heartbeats
        if self.leaving:
            return next((node for node in row if node != self._leaders.me and heartbeats.hears(node)), None)
        return row[0] if heartbeats.healthy_ns(row[0]) >= _HANDBACK_NS else None
