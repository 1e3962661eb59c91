"""Could one copy of the data, used by one client at a time, have given these answers?

The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory of what was
tried ("Testing for Linearizability", 2017), one key at a time, since a map is linearizable if and only if
each of its keys is (Herlihy and Wing, 1990). Three prunings, all sound:

1. A returned *read* that fits now is taken at once: it takes nothing from what can come after it. (A write
   that leaves the state alone now may be needed later, to bring that state back.)
2. An operation of unknown outcome is tried only where it changes the state: else leaving it out is the same.
3. Of those of unknown outcome that ask for the same thing only the one that was invoked first is tried: it
   can stand wherever a later one can.

What is known is tried before what is not, so that a good order is mostly found without looking for others.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from .config import STATES_MAX
from .history import Operation, Status


class Model(Protocol):
    """What one key is and does. States are hashable."""

    def initial(self) -> Hashable:
        """The state of a key that nobody has touched."""
        ...

    def apply(self, state: Hashable, operation: Operation) -> tuple[bool, Hashable]:
        """Whether the operation, done in `state`, gives the result that it gave; and the state after it.

        Of an operation that is not ok the result is unknown, and anything fits.
        """
        ...


class Verdict(Enum):
    """What a search found out."""

    YES = "linearizable"
    NO = "not linearizable"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on one key. `longest` are the operations of the longest order that was found, by serial."""

    verdict: Verdict
    states_count: int
    longest: tuple[int, ...] = ()


_NEVER = 1 << 62
READ = "read"
"""The kind of an operation that never changes the state."""


def check_key(model: Model, operations: Sequence[Operation], states_count_max: int = STATES_MAX) -> Answer:
    """Judge all the operations on one key."""
    known = [one for one in operations if one.status is not Status.FAILED]
    known.sort(key=lambda one: (one.invoked_ns, one.serial))
    returns = [_NEVER if one.returned_ns is None else one.returned_ns for one in known]
    return _Search(model, known, returns, states_count_max).run()


class _Search:
    """Depth first over (set of operations done, state), with every such pair looked at once."""

    def __init__(
        self, model: Model, known: list[Operation], returns: list[int], states_count_max: int
    ) -> None:
        self._apply = model.apply
        self._initial = model.initial()
        self._known = known
        self._returns = returns
        self._states_count_max = states_count_max
        #: What each asks for; arguments that no dict takes are told apart by their words.
        self._asked = [(one.kind, repr(one.argument)) for one in known]
        self._all = sum(1 << index for index, end in enumerate(returns) if end != _NEVER)
        self._longest = 0

    def run(self) -> Answer:
        stack: list[tuple[int, Hashable, int]] = [(0, self._initial, 0)]
        seen: set[tuple[int, Hashable]] = set()
        while stack:
            done, state, first = stack.pop()
            done, first, minimal = self._take_all_that_change_nothing(done, state, first)
            if done & self._all == self._all:
                return Answer(Verdict.YES, len(seen))
            if (done & self._all).bit_count() > (self._longest & self._all).bit_count():
                self._longest = done
            if (done, state) in seen:
                continue
            seen.add((done, state))
            if len(seen) > self._states_count_max:
                return Answer(Verdict.UNRESOLVED, len(seen))
            for index in self._to_try(minimal):
                fits, after = self._apply(state, self._known[index])
                if fits and (after != state or self._returns[index] != _NEVER):
                    stack.append((done | 1 << index, after, first))
        longest = tuple(one.serial for index, one in enumerate(self._known) if self._longest >> index & 1)
        return Answer(Verdict.NO, len(seen), longest)

    def _to_try(self, minimal: list[int]) -> list[int]:
        """In which order to put them on the stack: what is to be tried first comes last."""
        known: list[int] = []
        unknown: dict[tuple[str, object], int] = {}
        for index in minimal:
            if self._returns[index] == _NEVER:
                unknown.setdefault(self._asked[index], index)
            else:
                known.append(index)
        return [*reversed(unknown.values()), *reversed(known)]

    def _take_all_that_change_nothing(
        self, done: int, state: Hashable, first: int
    ) -> tuple[int, int, list[int]]:
        """Pruning 1, until nothing more fits: what is done then, where to begin, and what could come next."""
        while True:
            first, minimal = self._minimal(done, first)
            taken = done
            for index in minimal:
                if self._returns[index] != _NEVER and self._known[index].kind == READ:
                    fits, after = self._apply(state, self._known[index])
                    if fits and after == state:
                        taken |= 1 << index
            if taken == done:
                return done, first, minimal
            done = taken

    def _minimal(self, done: int, first: int) -> tuple[int, list[int]]:
        """What is not done and was invoked before anything else that is not done returned."""
        known, returns = self._known, self._returns
        count = len(known)
        while first < count and done >> first & 1:
            first += 1
        earliest = _NEVER
        minimal: list[int] = []
        for index in range(first, count):
            if known[index].invoked_ns > earliest:
                break
            if not done >> index & 1:
                minimal.append(index)
                if returns[index] < earliest:
                    earliest = returns[index]
        # One that returned early may stand behind others that were invoked after it had.
        return first, [index for index in minimal if known[index].invoked_ns <= earliest]
