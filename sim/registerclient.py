"""A client of the replicated registers: it asks, waits, notes what it was told, and asks again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ormsgpack

from ..node.world import NS_PER_MS, Address, Timer, World
from .history import History, Operation

TIMEOUT_NS = 2_000 * NS_PER_MS
"""Then the outcome is unknown."""
TRY_NS = 250 * NS_PER_MS
"""Then the same is asked of another node."""
BACK_OFF_NS_MAX = 60 * NS_PER_MS
"""After a refusal: two nodes that propose for one key at the same time refuse each other for ever."""
THINK_NS_MAX = 60 * NS_PER_MS
"""Between an answer and the next question."""
PAUSE_NS = 300 * NS_PER_MS
"""After an unknown outcome, on top: what is unknown makes the history hard to judge."""


class RegisterClient:
    """Asks one thing at a time."""

    def __init__(self, world: World, nodes: Sequence[Address], history: History, keys: Sequence[str]) -> None:
        self.world = world
        self.nodes = nodes
        self.history = history
        self.keys = keys
        self.dice = world.dice("client")
        self.number = 0
        self.turn = 0
        self.operation: Operation | None = None
        self.request = b""
        self.give_up_ns = 0
        self.timer: Timer | None = None
        self._think(0)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.on_frame(source, datagram)

    def on_frame(self, _source: Address, frame: bytes) -> None:
        kind, _, number, *answer = ormsgpack.unpackb(frame)
        if self.operation is None or number != self.number:
            return  # the answer to a question that was given up
        if kind == "answer":
            operation, self.operation = self.operation, None
            self.history.ok(operation, *answer)
            self._think(0)
        else:
            self._later(self.dice.randrange(BACK_OFF_NS_MAX), self._try)

    def _think(self, least_ns: int) -> None:
        self._later(least_ns + self.dice.randrange(THINK_NS_MAX), self._ask)

    def _later(self, delay_ns: int, call: Callable[[], None]) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.world.call_after(delay_ns, call)

    def _ask(self) -> None:
        self.number += 1
        key = self.dice.choice(self.keys)
        kind, argument = self._draw()
        self.operation = self.history.invoke(self.world.identity.address, kind, key, argument)
        self.request = ormsgpack.packb(["request", key, self.number, kind, argument])
        self.turn = self.dice.randrange(len(self.nodes))
        self.give_up_ns = self.world.now_ns() + TIMEOUT_NS
        self._try()

    def _try(self) -> None:
        if self.operation is None:
            return
        if self.world.now_ns() >= self.give_up_ns:
            self.history.give_up(self.operation, "no answer")
            self.operation = None
            self._think(PAUSE_NS)
            return
        self.world.send(self.nodes[self.turn % len(self.nodes)], self.request)
        self.turn += 1  # in turn: chance alone may well ask the dead ones only
        self._later(TRY_NS, self._try)

    def _draw(self) -> tuple[str, object]:
        roll = self.dice.random()
        mine = f"{self.world.identity.address}.{self.number}"
        if roll < 0.4:
            return "read", None
        if roll < 0.75:
            return "write", mine
        return "cas", [None if roll < 0.8 else f"c{self.dice.randrange(4)}.{self.number - 1}", mine]
