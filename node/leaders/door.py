"""Whether an operation is dealt with at all, as the node knows it that a leader lives in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..network.leadermessage import Act
from ..network.message import Reason


class Door(Protocol):
    """What a desk asks of its node before an operation is begun."""

    def knows(self, dict_id: bytes, /) -> bool:
        """Whether there is a Dict of that id, as far as is known here."""
        ...

    def find(self, dict_id: bytes, then: Callable[[], None], /) -> None:
        """Make a call once others were asked about it."""
        ...

    def fault(self, act: Act, /) -> tuple[Reason, str]:
        """What is wrong with an operation, in words; empty: nothing."""
        ...


class OpenDoor:
    """Takes everything."""

    def knows(self, _dict_id: bytes) -> bool:
        return True

    def find(self, _dict_id: bytes, then: Callable[[], None]) -> None:
        then()

    def fault(self, _act: Act) -> tuple[Reason, str]:
        return Reason.INVALID, ""
