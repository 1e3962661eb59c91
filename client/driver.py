"""Carries plans out where everything is a call: in an event loop's turn, or in the simulator.

Questions go out through `send`, answers are given to `hear`, time passes through `call_after`. A driver is
one client's: the numbers of questions are its session's.

Rules of this file:
1. Each plan that was started ends in exactly one call of `ended`, unless it was dropped.
2. An answer is taken by its number and its sender. One that nobody waits for any more changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from ..exception import Error, UnavailableError
from ..node.network.message import Reply
from .config import SWEEP_INTERVAL_S
from .instruction import Ask, Miss, Outcome, Plan, Together, Wait

Ended = Callable[[Outcome], None]
Answered = Callable[[Reply | Miss], None]


class _Open:
    """A question that waits for its answer."""

    __slots__ = ("address", "answered", "ends_s")

    def __init__(self, address: str, ends_s: float, answered: Answered) -> None:
        self.address = address
        self.ends_s = ends_s
        self.answered = answered


class Driver:
    """The plans of one client that are under way.

    Args:
        now_s: the session's clock.
        send: sends a question to its contact's address. It may be lost; if it cannot be sent at all, that is
            given back as a `Miss`.
        call_after: calls back after so many seconds, never from within.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        send: Callable[[Ask], Miss | None],
        call_after: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._now_s = now_s
        self._send = send
        self._call_after = call_after
        self._open: dict[int, _Open] = {}
        self._sweeping = False

    def start(self, plan: Plan[Any], ended: Ended) -> None:
        """Carry out a plan. `ended` may be called from within. Close the plan to drop it."""
        self._go_on(plan, None, ended)

    def hear(self, address: str, reply: Reply) -> None:
        """An answer came."""
        waiting = self._open.get(reply.number)
        if waiting is not None and waiting.address == address:
            del self._open[reply.number]
            waiting.answered(reply)

    def lose(self, address: str, error: Error, unsent: Collection[int] = ()) -> None:
        """The connection to an address is gone, and with it the answers to all questions that were asked
        over it; those of the numbers `unsent` had not even been sent."""
        lost = [number for number, waiting in self._open.items() if waiting.address == address]
        for number in lost:
            self._miss(number, Miss(error, was_sent=number not in unsent))

    def is_idle(self, address: str = "") -> bool:
        """Whether no question is open, at that address if one is given."""
        if not address:
            return not self._open
        return all(waiting.address != address for waiting in self._open.values())

    def _go_on(self, plan: Plan[Any], answer: object, ended: Ended) -> None:
        try:
            instruction = plan.send(answer)
        except StopIteration as end:
            ended(Outcome(end.value))
            return
        except Exception as error:  # noqa: BLE001 - of its own, or a bug: whoever waits must hear of it
            ended(Outcome(error=error))
            return
        if type(instruction) is Ask:
            self._ask(instruction, lambda reply: self._go_on(plan, reply, ended))
        elif type(instruction) is Wait:
            self._call_after(instruction.seconds, lambda: self._go_on(plan, None, ended))
        elif type(instruction) is Together:
            self._together(instruction, lambda outcomes: self._go_on(plan, outcomes, ended))

    def _ask(self, ask: Ask, answered: Answered) -> None:
        number = ask.request.number
        self._open[number] = _Open(ask.contact.address, self._now_s() + ask.timeout_s, answered)
        miss = self._send(ask)
        if miss is not None:
            self._miss(number, miss)
        elif not self._sweeping:
            self._sweeping = True
            self._call_after(SWEEP_INTERVAL_S, self._sweep)

    def _miss(self, number: int, miss: Miss) -> None:
        waiting = self._open.pop(number, None)
        if waiting is not None:
            waiting.answered(miss)

    def _sweep(self) -> None:
        """Give up the questions whose time is over."""
        self._sweeping = False
        now_s = self._now_s()
        over = [number for number, waiting in self._open.items() if waiting.ends_s <= now_s]
        for number in over:
            self._miss(number, Miss(UnavailableError("no answer in time"), was_sent=True))
        if self._open and not self._sweeping:
            self._sweeping = True
            self._call_after(SWEEP_INTERVAL_S, self._sweep)

    def _together(self, together: Together, ended: Callable[[list[Outcome]], None]) -> None:
        outcomes: list[Outcome] = [Outcome()] * len(together.plans)
        left = len(together.plans)
        if not left:
            self._call_after(0.0, lambda: ended(outcomes))

        def end(place: int, outcome: Outcome) -> None:
            nonlocal left
            outcomes[place] = outcome
            left -= 1
            if not left:
                ended(outcomes)

        for place, plan in enumerate(together.plans):
            self._go_on(plan, None, lambda outcome, place=place: end(place, outcome))  # type: ignore[misc]

    def validate(self) -> None:
        """Assert what must always hold."""
        assert not self._open or self._sweeping
