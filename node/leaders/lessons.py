"""Lessons: what other replicas hear of what was chosen, so that they show it to readers."""

from __future__ import annotations

from collections.abc import Callable

from ..network.leadermessage import Learn
from ..network.message import Message
from ..world import NS_PER_S, NodeId
from .ballot import Order
from .leaderconfig import LEARN_S
from .shelf import Chosen

_LEARN_NS = int(LEARN_S * NS_PER_S)


class Lessons:
    """One node's, gathered for a moment by whom they are for. One that is lost is not given again: readers
    have what is chosen at the latest when replicas compare."""

    def __init__(
        self,
        me: NodeId,
        say: Callable[[NodeId, Message], None],
        later: Callable[[int, Callable[[], None]], object],
    ) -> None:
        self._me = me
        self._say = say
        self._later = later
        self._waiting: dict[NodeId, list[tuple[int, bytes, Order]]] = {}

    def add(self, chosen: list[Chosen], row: tuple[NodeId, ...]) -> None:
        """Tell all others of a row soon."""
        if not self._waiting:
            self._later(_LEARN_NS, self._teach)
        for node in row:
            if node != self._me:
                rows = self._waiting.setdefault(node, [])
                rows += [(partition, name, record.order) for partition, name, record in chosen]

    def _teach(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for node, rows in waiting.items():
            self._say(node, Learn(self._me, rows))
