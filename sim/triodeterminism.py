"""What makes Trio run the same way twice: two names of trio that are not public, and nowhere else used.

Trio shuffles the tasks that are ready, from a random generator of its own, and wants to be told when it may
rely on that alone. Both are what pytest-trio and Hypothesis use for the same purpose; that they are still
there, and still enough, tests/sim/test_triodeterminism.py says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trio._core import _run

from ..exception import Error

DICE = "_r"
FLAG = "_ALLOW_DETERMINISTIC_SCHEDULING"


class TrioChangedError(Error):
    """This version of trio has not got what the simulator of its shells needs."""


@contextmanager
def deterministic_trio(seed: int | str) -> Iterator[None]:
    """Let every `trio.run` within the `with` schedule its tasks as the seed says.

    Raises:
        TrioChangedError: trio has changed.
    """
    dice = getattr(_run, DICE, None)
    before = getattr(_run, FLAG, None)
    if dice is None or before is None:
        raise TrioChangedError(f"trio has no {DICE} and {FLAG} any more")
    state = dice.getstate()
    setattr(_run, FLAG, True)
    dice.seed(f"{seed}/trio")
    try:
        yield
    finally:
        setattr(_run, FLAG, before)
        dice.setstate(state)
