"""Ctrl-C: heard by the bench alone and as an exception, so that what was started is stopped in good order."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing import resource_tracker

__all__ = ["EXIT_CODE", "held", "raise_interrupts", "unheard"]

EXIT_CODE = 128 + signal.SIGINT

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def raise_interrupts() -> None:
    """SIGINT and SIGTERM raise `KeyboardInterrupt` from now on, once: none must end the cleaning up."""
    for one in SIGNALS:
        signal.signal(one, _raise_once)


def _raise_once(*_: object) -> None:
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def held() -> Generator[None]:
    """An interrupt that comes in here is raised at the end: by then it is known what was started."""
    came: list[int] = []
    before = {one: signal.signal(one, lambda number, _: came.append(number)) for one in SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    for number in came:
        signal.raise_signal(number)


@contextmanager
def unheard() -> Generator[None]:
    """A process started in here never gets SIGINT, which a terminal sends to all; we do, a moment later."""
    resource_tracker.ensure_running()  # multiprocessing's own process: starting it would let signals in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
