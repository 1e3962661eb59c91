"""What a plan of the cluster client asks for, and what it is told.

Rules of this file:
1. A plan is a generator: it yields an instruction, is sent the outcome, and returns its result or raises an
   error of ringdict. It knows neither sockets nor loops, so that one plan runs on blocking sockets, asyncio,
   Trio and in the simulator.
2. Whoever carries a plan out answers every instruction, in its own time, with what stands under it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, final

from ..exception import Error
from ..node.network.message import Reply, Request

if TYPE_CHECKING:
    from .contact import Contact

R = TypeVar("R")


class Ask:
    """Send a question to a node and wait for its answer, for `timeout_s` at most.

    Answered with the `Reply` of the same number, or with a `Miss`. `careful`: better look twice whether the
    connection still stands, since it matters whether the question was sent.
    """

    __slots__ = ("careful", "contact", "request", "timeout_s")

    def __init__(
        self, contact: Contact, request: Request, timeout_s: float, *, careful: bool = False
    ) -> None:
        self.contact = contact
        self.request = request
        self.timeout_s = timeout_s
        self.careful = careful


class Wait:
    """Let time pass. Answered with None."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Together:
    """Carry out several plans side by side. Answered with their `Outcome`s, in their order."""

    __slots__ = ("plans",)

    def __init__(self, plans: Sequence[Plan[Any]]) -> None:
        self.plans = plans


@final
class Miss:
    """No answer came, and why. `was_sent`: the node may have got the question, and may have done it."""

    __slots__ = ("error", "was_sent")

    def __init__(self, error: Error, *, was_sent: bool) -> None:
        self.error = error
        self.was_sent = was_sent


class Outcome:
    """How a plan ended: with a result, or with an error."""

    __slots__ = ("error", "result")

    def __init__(self, result: Any = None, error: Exception | None = None) -> None:  # noqa: ANN401
        self.result = result
        self.error = error


Instruction: TypeAlias = Ask | Wait | Together
Answer: TypeAlias = Reply | Miss | list[Outcome] | None
Plan: TypeAlias = Generator[Instruction, Any, R]
"""What is sent into it is an `Answer` of the kind that the instruction says."""


def together(plans: Sequence[Plan[Any]]) -> Plan[list[Outcome]]:
    """Carry out several plans side by side: how each ended. If this is given up, so are they."""
    try:
        outcomes: list[Outcome] = yield Together(plans)
        return outcomes
    finally:
        for plan in plans:
            plan.close()
