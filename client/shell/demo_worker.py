"""One process of `ringdict demo`, and the lines in which it reports.

A worker reports a thing only once the Dict has acknowledged it. What was under way when it died is in no
report: that may have happened or not, once, and the story (demo.py) accounts for it apart.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import signal
import sys
import time
from collections.abc import Hashable
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from ...exception import LockLostError, LockTimeoutError
from ..dict import Dict

if TYPE_CHECKING:
    from ..lock import Lock

AnyDict: TypeAlias = "Dict[Hashable, object]"

DICT_NAME: Final = "demo"
PRIMES_BELOW: Final = 150_000
BATCH_ENTRIES: Final = 50
WRITES_PER_BATCH: Final = 10
WRITE_PAUSE_S: Final = 0.002
LOCK_TTL_S: Final = 30.0
SHIFT_TTL_S: Final = 1.5
SHIFT_EXTEND_S: Final = 0.3
SHIFT_LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Report:
    """What one worker says happened: a word, when, and a number and a text that go with it."""

    what: str
    at_s: float
    number: int
    text: str

    def line(self) -> bytes:
        """The report on its way to the parent."""
        return json.dumps([self.what, self.at_s, self.number, self.text]).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Self:
        """The report that arrived."""
        what, at_s, number, text = json.loads(line)
        return cls(what, at_s, number, text)


class Worker:
    """One process: writes without a pause, obeys what its parent says, reports what was acknowledged."""

    def __init__(self, name: str, url: str, seed: str) -> None:
        self._name = name
        self._dict: AnyDict = Dict.from_name(DICT_NAME, cluster=url)
        self._random = random.Random(seed)  # noqa: S311 -- values to tell apart, no secrets
        self._commands = selectors.DefaultSelector()
        self._commands.register(0, selectors.EVENT_READ)
        self._rest = b""
        self._race: Lock = self._dict.lock("race", ttl=LOCK_TTL_S, wait_s=0)
        self._shift: Lock = self._dict.lock("shift", ttl=SHIFT_TTL_S, wait_s=0)
        self._wants_shift = False
        self._on_shift = False
        self._shift_due_s = 0.0
        self._writes = 0
        self._deeds = {
            "race": self._join_race,
            "end": self._end_race,
            "ask": self._ask,
            "shift": self._join_shift,
        }

    def run(self) -> None:
        """Work until told to stop, or until there is nobody to tell."""
        self._dict.hydrate()
        self._report("ready")
        while self._obey():
            self._write()
            if self._wants_shift and time.monotonic() >= self._shift_due_s:
                self._tend_shift()
            time.sleep(WRITE_PAUSE_S)
        if self._on_shift:
            self._shift.release()
        self._report("stopped", self._writes)

    def _report(self, what: str, number: int = 0, text: str = "", at_s: float | None = None) -> None:
        os.write(1, Report(what, time.monotonic() if at_s is None else at_s, number, text).line())

    def _obey(self) -> bool:
        """Carry out what was said since the last look. False: it was to stop, or the parent is gone."""
        if not self._commands.select(timeout=0):
            return True
        data = os.read(0, 4_096)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, at_s = line.decode().split()
            # All workers carry a command out at one instant, which it names.
            time.sleep(max(0.0, float(at_s) - time.monotonic()))
            if word == "stop":
                return False
            self._deeds[word]()
        return bool(data)

    def _write(self) -> None:
        """One put, one increment, and now and then a batch."""
        self._writes += 1
        value = f"{self._random.getrandbits(64):016x}"
        self._dict.put(("put", self._name, self._writes), value)
        self._report("put", self._writes, value)
        self._report("counted", int(self._dict.incr("count")))
        if self._writes % WRITES_PER_BATCH == 0:
            keys = [("batch", self._name, self._writes, number) for number in range(BATCH_ENTRIES)]
            self._dict.update((key, value) for key in keys)
            self._report("batch", self._writes)

    def _join_race(self) -> None:
        try:
            self._report("won", self._race.acquire())
        except LockTimeoutError:
            self._report("lost")

    def _end_race(self) -> None:
        if self._race.owned():
            self._race.release()
            self._report("released")

    def _ask(self) -> None:
        """A cached computation, as an application would write it."""
        answer = self._dict.get("primes")
        if answer is None:
            with self._dict.lock("primes", ttl=LOCK_TTL_S):
                answer = self._dict.get("primes")
                if answer is None:
                    self._report("computing")
                    answer = primes_below(PRIMES_BELOW)
                    self._dict["primes"] = answer
                    self._report("computed", answer)
        assert isinstance(answer, int)
        self._report("answered", answer)

    def _join_shift(self) -> None:
        self._wants_shift = True

    def _tend_shift(self) -> None:
        """Extend the lock "shift" if it is ours, else see whether it is free. Reports when that began."""
        now_s = time.monotonic()
        try:
            if self._on_shift:
                self._shift.extend()
                self._report("extended", at_s=now_s)
            else:
                token = self._shift.acquire()
                self._on_shift = True
                self._report("on shift", token, at_s=now_s)
        except LockTimeoutError:
            pass
        except LockLostError:
            self._on_shift = False
            self._report("off shift")
        self._shift_due_s = now_s + (SHIFT_EXTEND_S if self._on_shift else SHIFT_LOOK_S)


def primes_below(limit: int) -> int:
    """How many prime numbers are below `limit`, found the slow way."""
    return sum(all(number % divisor for divisor in range(2, isqrt(number) + 1)) for number in range(2, limit))


def main() -> int:
    """Run the worker that the command line names: its name, the URL of the store, a seed."""
    # Ctrl-C reaches every process of the terminal; the parent decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(*sys.argv[1:4])
    try:
        worker.run()
    except BrokenPipeError:  # nobody is left to report to
        return 1
    except Exception as error:  # noqa: BLE001 -- whatever it is, the parent must hear of it
        os.write(1, Report("failed", time.monotonic(), 0, f"{type(error).__name__}: {error}").line())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
