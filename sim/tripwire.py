"""Traps for what would make a run depend on more than its seed: they raise while a simulation runs.

The lint rule (pyproject.toml, tests/test_tidy.py) reads the code of this package; this one catches what
reaches a process through other libraries.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

TRAPS: tuple[tuple[object, tuple[str, ...]], ...] = (
    (time, ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")),
    (os, ("urandom", "getrandom")),
    (
        random,
        ("random", "randrange", "randint", "choice", "choices", "shuffle", "sample", "uniform", "getrandbits",
         "randbytes", "expovariate", "gauss", "seed"),
    ),
    (secrets, ("token_bytes", "token_hex", "randbelow", "choice")),
    (uuid, ("uuid1", "uuid4", "getnode")),
    (threading.Thread, ("start",)),
)  # fmt: skip
"""What is trapped: whose, and by which name."""


class TripwireError(AssertionError):
    """A process reached around its world."""


@contextmanager
def tripwires() -> Iterator[None]:
    """Set all traps for as long as the `with` lasts."""
    kept: list[tuple[Any, str, Any]] = []
    try:
        for owner, names in TRAPS:
            for name in names:
                if hasattr(owner, name):
                    kept.append((owner, name, getattr(owner, name)))
                    setattr(owner, name, _trap(getattr(owner, "__name__", "?"), name))
        yield
    finally:
        for owner, name, real in kept:
            setattr(owner, name, real)


def _trap(owner: str, name: str) -> Callable[..., NoReturn]:
    def trapped(*_: object, **__: object) -> NoReturn:
        raise TripwireError(f"{owner}.{name} was called in a simulation: ask the world instead")

    return trapped
