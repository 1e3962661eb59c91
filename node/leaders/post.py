"""What one node says about leading, gathered by whom it is said to: one frame of a kind, node and turn.

Rules of this file:
1. What a node says to itself is handed over at the end of the turn as well, and before anything leaves: so
   its own acceptor has a record before any other's answer can come.
2. Nothing is repeated here. Who waits for an answer says it again.
"""

from __future__ import annotations

from collections.abc import Callable

from ..network.bus import Directory
from ..network.leadermessage import Accept, Ask, Prepare, Proposal
from ..network.message import Message
from ..network.wire import encode
from ..world import NodeId, World
from .leaderconfig import PAGE_BYTES


class _Bundle:
    __slots__ = ("asks", "proposals", "size_bytes")

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.proposals: list[Proposal] = []
        self.size_bytes = 0


class Post:
    """One node's mail. `heard` gets what it says to itself."""

    def __init__(self, world: World, directory: Directory, heard: Callable[[Message], None]) -> None:
        self._world = world
        self._directory = directory
        self._heard = heard
        self._me = world.identity.node
        self._boot = world.identity.boot
        self._bundles: dict[NodeId, _Bundle] = {}
        self._flushing = False

    def say(self, to: NodeId, message: Message) -> None:
        """Send a message by itself; to this node: soon."""
        if to == self._me:
            self._world.call_after(0, lambda: self._heard(message))
            return
        address = self._directory.address_of(to)
        if address is not None:
            self._world.send(address, encode(message))

    def ask(self, to: NodeId, ask: Ask) -> None:
        """Ask for a promise."""
        self._bundle(to).asks.append(ask)

    def propose(self, to: NodeId, proposal: Proposal) -> None:
        """Ask for records to be accepted."""
        bundle = self._bundle(to)
        bundle.proposals.append(proposal)
        bundle.size_bytes += sum(len(name) + len(raw) for name, raw in proposal[4])
        if bundle.size_bytes > PAGE_BYTES:
            self.flush()

    def _bundle(self, to: NodeId) -> _Bundle:
        bundle = self._bundles.get(to)
        if bundle is None:
            bundle = self._bundles[to] = _Bundle()
            if not self._flushing:
                self._flushing = True
                self._world.call_after(0, self.flush)
        return bundle

    def flush(self) -> None:
        """Send what was gathered."""
        self._flushing = False
        bundles, self._bundles = self._bundles, {}
        mine = bundles.pop(self._me, None)
        for node, bundle in ([] if mine is None else [(self._me, mine)]) + list(bundles.items()):
            for message in self._messages(bundle):
                if node == self._me:
                    self._heard(message)
                else:
                    self.say(node, message)

    def _messages(self, bundle: _Bundle) -> list[Message]:
        messages: list[Message] = []
        if bundle.asks:
            messages.append(Prepare(self._me, self._boot, bundle.asks))
        if bundle.proposals:
            messages.append(Accept(self._me, self._boot, bundle.proposals))
        return messages
