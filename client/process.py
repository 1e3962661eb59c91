"""A client as a process of a world (node/world.py): the real session and plans, in the simulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..exception import ProtocolError
from ..node.network.message import Reply
from ..node.network.wire import decode, encode
from ..node.world import NS_PER_MS, NS_PER_S, Address, World
from .config import OPERATION_TIMEOUT_S
from .driver import Driver
from .instruction import Ask, Outcome, Plan
from .session import Session


class ClientProcess:
    """One client. Start plans of `session` with `start`; frames from nodes come through `on_frame`.

    The plans are those of reading.py, writing.py, batching.py, scanning.py and naming.py::

        client.start(put(client.session, dict_id, key, key_hash, body), ended)
    """

    def __init__(
        self, world: World, seeds: Sequence[Address], *, timeout_s: float = OPERATION_TIMEOUT_S
    ) -> None:
        self.world = world
        self.session = Session(
            seeds,
            lambda: world.now_ns() / NS_PER_S,
            lambda: world.wall_ns() // NS_PER_MS,
            world.dice("session"),
            timeout_s=timeout_s,
        )
        self._driver = Driver(self.session.now_s, self._send, self._call_after)

    def start(self, plan: Plan[Any], ended: Callable[[Outcome], None]) -> None:
        """Carry out a plan; `ended` hears of its result or error, perhaps from within."""
        self._driver.start(plan, ended)

    def on_frame(self, source: Address, frame: bytes) -> None:
        try:
            message = decode(frame)
        except ProtocolError:
            return  # damaged on its way: as good as lost
        if isinstance(message, Reply):
            self._driver.hear(source, message)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        """Nobody sends any to a client."""

    def validate(self) -> None:
        self._driver.validate()

    def _send(self, ask: Ask) -> None:
        self.world.send(Address(ask.contact.address), encode(ask.request))

    def _call_after(self, seconds: float, callback: Callable[[], None]) -> object:
        return self.world.call_after(int(seconds * NS_PER_S), callback)
