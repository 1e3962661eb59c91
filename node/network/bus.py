"""Questions to other nodes and their answers, over frames that may be lost; and who can be reached.

ROUTABLE is what this file knows: whether a peer has answered lately, from this node alone and within a
second. It is neither what gossip says (who is alive) nor what the ring says (who owns what).

Rules of this file:
1. `answered` is called exactly once for each question, never from within `ask`: with the answer, or with None
   when there was none in time. None says nothing about whether the question was heard.
2. What fits into no frame is not sent: a question is answered by None, and says nothing about the peer; an
   answer becomes a refusal.
3. A peer is taken for unreachable after `BREAKER_MISSES` questions in a row without an answer; from then on
   one question at a time goes through to try it, and the others get their None at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from ..config import BREAKER_MISSES, BREAKER_RETRY_S, FRAME_BYTES_MAX
from ..ringview import NO_MARK
from ..world import NS_PER_S, Address, NodeId, Timer, World
from .message import Message, Reason, Refused, Reply, Request
from .wire import encode

Answered = Callable[[Reply | None], None]

BOOT_SHIFT = 32
"""Four thousand million questions a boot, and as many boots, before the number outgrows eight bytes."""


class Directory(Protocol):
    """Where nodes are reached."""

    def address_of(self, node: NodeId, /) -> Address | None:
        """A node's present address; None: nobody knows it."""
        ...


class _Breaker:
    __slots__ = ("misses", "retry_ns", "trying")

    def __init__(self) -> None:
        self.misses = 0
        self.retry_ns = 0
        self.trying = False


class _Question:
    __slots__ = ("address", "answered", "node", "timer", "tries")

    def __init__(self, node: NodeId, address: Address, answered: Answered, *, tries: bool) -> None:
        self.node = node
        self.address = address
        self.answered = answered
        self.timer: Timer | None = None
        #: Whether it is the one that tries out a peer which was taken for unreachable.
        self.tries = tries


class Bus:
    """One node's open questions."""

    def __init__(self, world: World, directory: Directory) -> None:
        self._world = world
        self._directory = directory
        #: Of the last question. Boots share none: an answer to an earlier one may still be under way.
        self._number = world.identity.boot << BOOT_SHIFT
        self._open: dict[int, _Question] = {}
        self._breakers: dict[NodeId, _Breaker] = {}

    def routable(self, node: NodeId) -> bool:
        """Whether a question to that node would be sent, as one among others."""
        breaker = self._breakers.get(node)
        return (breaker is None or breaker.misses < BREAKER_MISSES) and self._directory.address_of(
            node
        ) is not None

    def ask(self, node: NodeId, question: Request, answered: Answered, timeout_ns: int) -> None:
        """Send a question; its `number` is given here."""
        address = self._directory.address_of(node)
        number = self._number + 1
        frame = encode(replace(question, number=number))
        if address is None or len(frame) > FRAME_BYTES_MAX or not (admitted := self._admit(node)):
            self._world.call_after(0, lambda: answered(None))
            return
        self._number = number
        asked = _Question(node, address, answered, tries=admitted == "as a try")
        self._open[number] = asked
        asked.timer = self._world.call_after(timeout_ns, lambda: self._miss(number))
        self._world.send(address, frame)

    def hear(self, source: Address, reply: Reply) -> None:
        """An answer came; one that nobody waits for any more is dropped."""
        asked = self._open.get(reply.number)
        if asked is None or asked.address != source:
            return
        del self._open[reply.number]
        if asked.timer is not None:
            asked.timer.cancel()
        self._breakers.pop(asked.node, None)
        asked.answered(reply)

    def notify(self, node: NodeId, message: Message) -> None:
        """Send a node what wants no answer, if anybody knows where it is."""
        address = self._directory.address_of(node)
        if address is not None:
            self._world.send(address, encode(message))

    def tell(self, to: Address, message: Message) -> None:
        """Send an answer, or what wants none. In place of one that fits into no frame goes a refusal."""
        frame = encode(message)
        if len(frame) > FRAME_BYTES_MAX and isinstance(message, Reply):
            frame = encode(
                Refused(message.number, Reason.TOO_LARGE, "the answer fits into no frame", NO_MARK)
            )
        self._world.send(to, frame)

    def _admit(self, node: NodeId) -> str:
        breaker = self._breakers.get(node)
        if breaker is None or breaker.misses < BREAKER_MISSES:
            return "freely"
        if breaker.trying or self._world.now_ns() < breaker.retry_ns:
            return ""
        breaker.trying = True
        return "as a try"

    def _miss(self, number: int) -> None:
        asked = self._open.pop(number, None)
        if asked is None:
            return
        breaker = self._breakers.setdefault(asked.node, _Breaker())
        breaker.misses += 1
        if asked.tries:
            breaker.trying = False
        if breaker.misses >= BREAKER_MISSES:
            breaker.retry_ns = self._world.now_ns() + int(BREAKER_RETRY_S * NS_PER_S)
        asked.answered(None)

    def validate(self) -> None:
        """Assert what must always hold."""
        assert all(asked.timer is not None for asked in self._open.values())
