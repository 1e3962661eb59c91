"""The processes of `ringdict demo`, as their parent holds them: by pipes, and by their pids."""

from __future__ import annotations

import os
import random
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from . import demo_worker
from .demo_worker import Report

HEAD_START_S: Final = 0.05
"""From an order to the instant at which all carry it out: time for each to have read it."""

END_S_MAX: Final = 10.0
"""Until the operating system has taken a killed process away."""

REPORTS_BYTES_MAX: Final = 65_536


class Crew:
    """The workers: started, told, listened to, killed and ended."""

    def __init__(self, names: list[str], url: str, seed: int | None) -> None:
        self.names = names
        self.url = url
        self.seed = random.SystemRandom().getrandbits(32) if seed is None else seed
        self.random = random.Random(self.seed)  # noqa: S311 -- moments and values, no secrets
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._selector = selectors.DefaultSelector()
        self._rests = dict.fromkeys(names, b"")

    def start(self) -> None:
        """Start every worker; they report when they are ready."""
        for name in self.names:
            command = [sys.executable, "-m", demo_worker.__name__, name, self.url, f"{self.seed} {name}"]
            process = subprocess.Popen(  # noqa: S603 -- our own module, by our own interpreter
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
            self._processes[name] = process
            assert process.stdout is not None
            self._selector.register(process.stdout, selectors.EVENT_READ, name)

    def pid(self, name: str) -> int:
        """The process id of a worker."""
        return self._processes[name].pid

    def order(self, word: str) -> None:
        """Tell all of them to do something, at one instant shortly after now."""
        line = f"{word} {time.monotonic() + HEAD_START_S}\n".encode()
        for process in self._processes.values():
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # one that has died hears nothing
                process.stdin.write(line)

    def reports(self, wait_s: float) -> Iterator[tuple[str, Report]]:
        """What has been reported since the last call; waits at most `wait_s` for the first of it."""
        for ready, _ in self._selector.select(wait_s):
            name: str = ready.data
            data = os.read(ready.fd, REPORTS_BYTES_MAX)
            if not data:
                self._selector.unregister(ready.fileobj)
                yield name, Report("ended", time.monotonic(), 0, "")
            *lines, self._rests[name] = (self._rests[name] + data).split(b"\n")
            yield from ((name, Report.of_line(line)) for line in lines)

    def kill(self, name: str) -> int:
        """SIGKILL: no handler, no last word. The exit code that the operating system tells of it."""
        self._processes[name].kill()
        return self._processes[name].wait(END_S_MAX)

    def end(self) -> None:
        """End whoever is still there."""
        for process in self._processes.values():
            process.kill()
            process.wait(END_S_MAX)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        self._selector.close()
