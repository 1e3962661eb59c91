"""What a leadership needs of its node: its world, its acceptor, somebody to tell what has become of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..network.message import Message
from ..world import NodeId, Timer, World
from .acceptor import Acceptor
from .plain import Plain
from .round import Rounds
from .shelf import Chosen

if TYPE_CHECKING:
    from .leadership import Leadership


class Desk(Protocol):
    """What a leadership needs of its node."""

    world: World
    acceptor: Acceptor
    rounds: Rounds
    plain: Plain

    def say(self, to: NodeId, message: Message, /) -> None: ...

    def later(self, delay_ns: int, call: Callable[[], None], /) -> Timer: ...

    def stamp(self, floor: int, /) -> int: ...

    def show(self, chosen: list[Chosen], row: tuple[NodeId, ...], /) -> None: ...

    def abandon(self, leadership: Leadership, why: str, /) -> None: ...

    def settled(self, leadership: Leadership, /) -> None: ...
