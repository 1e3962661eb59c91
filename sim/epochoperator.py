"""An operator of a cluster that has epochs and nothing else: one command after the other, to any node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from ..node.network.message import Command, Commanded, Refused, Reply, Unknown
from ..node.network.wire import decode, encode
from ..node.world import NS_PER_MS, Address, Timer, World
from ..ring.decree import Decree
from ..ring.member import Member, MemberState
from .history import History, Operation

TRY_NS = 1_000 * NS_PER_MS
"""Then the same is asked of another node."""
TIMEOUT_NS = 6_000 * NS_PER_MS
"""Then the outcome is unknown."""
THINK_NS_MAX = 400 * NS_PER_MS
WEIGHTS = 3


class Knowledge(Protocol):
    """What operators know: the newest ring that any node goes by, and how small it may get."""

    @property
    def nodes(self) -> Sequence[Address]:
        """The addresses of all nodes."""
        ...

    def newest(self) -> Decree | None:
        """The newest ring."""
        ...

    takers_min: ClassVar[int]
    """Members that take data are not made fewer than this on purpose."""


class EpochOperator:
    """Wants one thing at a time. The history says what it was told."""

    def __init__(self, world: World, knowledge: Knowledge, history: History) -> None:
        self.world = world
        self.knowledge = knowledge
        self.history = history
        self.dice = world.dice("operator")
        self.number = 0
        self.turn = 0
        self.operation: Operation | None = None
        self.command: Command | None = None
        self.give_up_ns = 0
        self.timer: Timer | None = None
        self._later(self.dice.randrange(THINK_NS_MAX), self._want)

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        raise AssertionError

    def on_frame(self, _source: Address, frame: bytes) -> None:
        reply = decode(frame)
        if self.operation is None or not isinstance(reply, Reply) or reply.number != self.number:
            return
        if isinstance(reply, Commanded):
            self._end(lambda operation: self.history.ok(operation, reply.mark[0]))
        elif isinstance(reply, Unknown):
            self._end(lambda operation: self.history.give_up(operation, reply.text))
        elif isinstance(reply, Refused):
            self._later(self.dice.randrange(THINK_NS_MAX), self._try)

    def _end(self, told: Callable[[Operation], None]) -> None:
        assert self.operation is not None
        told(self.operation)
        self.operation = None
        self._later(self.dice.randrange(THINK_NS_MAX), self._want)

    def _later(self, delay_ns: int, call: Callable[[], None]) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.world.call_after(delay_ns, call)

    def _want(self) -> None:
        wish = self._draw()
        if wish is None:
            self._later(self.dice.randrange(THINK_NS_MAX), self._want)
            return
        verb, member = wish
        self.number += 1
        self.command = Command(
            self.number, verb, member.member_id, member.weight, member.zone, member.address
        )
        argument = [member.address, member.weight]
        self.operation = self.history.invoke(self.world.identity.address, verb, "ring", argument)
        self.turn = self.dice.randrange(len(self.knowledge.nodes))
        self.give_up_ns = self.world.now_ns() + TIMEOUT_NS
        self._try()

    def _try(self) -> None:
        if self.operation is None or self.command is None:
            return
        if self.world.now_ns() >= self.give_up_ns:
            self._end(lambda operation: self.history.give_up(operation, "no answer"))
            return
        self.world.send(self.knowledge.nodes[self.turn % len(self.knowledge.nodes)], encode(self.command))
        self.turn += 1
        self._later(TRY_NS, self._try)

    def _draw(self) -> tuple[str, Member] | None:
        """A verb and a member, such that somebody in his right mind might want it."""
        decree = self.knowledge.newest()
        if decree is None:
            return None
        member = self.dice.choice(decree.members)
        takers = sum(one.takes_data for one in decree.members)
        roll = self.dice.random()
        if member.state in (MemberState.JOINING, MemberState.LEAVING) and roll < 0.4:
            return "cancel", member
        if takers > self.knowledge.takers_min and member.takes_data:
            if roll < 0.3:
                return "leave", member
            if roll < 0.5:
                return "remove", member
        if not member.takes_data:
            return None
        weight = 1 + self.dice.randrange(WEIGHTS)
        return "adjust", Member(member.member_id, member.state, weight, address=member.address)
