"""The scenarios that are no plain race: several processes at once, fresh processes, memory, disk."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .figures import Sheet
from .peer import MissingError
from .runner import Runner
from .scenario import Race, Scenario
from .stage import Stage
from .worker import Worker

__all__ = ["Beside", "Crowd", "Disk", "ImportTime", "Length", "Longest", "Memory", "Swelling"]

LEAD_S = 0.1
"""Before the processes of a crowd begin at one moment: they make their rows in that time."""

BESIDE_LEAD_S = 0.2
"""The same for the writer of batches, whose rows are many; then before the first put, and after the last."""

DISK_ENTRIES = 1_000_000
"""In full even when it has to be quick: what large transactions leave free in the file does not scale."""

DISK_VALUE_BYTES = 100


@dataclass(frozen=True, kw_only=True)
class Crowd(Scenario):
    """Several processes do one operation at once; the figure is what they get done together, a second."""

    operation: str
    processes: int

    def run(self, stage: Stage) -> Sheet:
        sheet = Sheet(self.contestants)
        crowds: dict[str, list[Worker]] = {}
        with ExitStack() as stack:
            for name in self.contestants:
                stage.say(f"{self.name}: {name} gets ready")
                with sheet.attempt(name):
                    crowds[name] = self._gather(stage, name, stack)
            stage.settle()
            rounds = stage.effort.crowd_rounds
            for number in range(rounds):
                stage.say(f"{self.name}: round {number + 1} of {rounds}")
                sheet.calibrate()
                for name in sheet.present:
                    with sheet.attempt(name):
                        sheet.note(name, self._together(crowds[name], stage.effort.crowd_s))
        return sheet

    def _gather(self, stage: Stage, name: str, stack: ExitStack) -> list[Worker]:
        first = stage.worker(name)
        first.call(Runner.pace, self.operation, 0.0)  # whoever comes first stores the entries
        others = [stack.enter_context(stage.another(name)) for _ in range(self.processes - 1)]
        for reply in [worker.ready().ask(Runner.pace, self.operation, 0.0) for worker in others]:
            reply.wait()
        return [first, *others]

    def _together(self, crowd: list[Worker], seconds: float) -> float:
        start_s = time.monotonic() + LEAD_S
        replies = [worker.ask(Runner.steadily, self.operation, seconds, start_s) for worker in crowd]
        return sum(reply.wait() for reply in replies)


@dataclass(frozen=True, kw_only=True)
class Beside(Scenario):
    """One process writes batches back to back, another puts now and then: the p99 of those puts."""

    interval_s: float = 0.005

    def run(self, stage: Stage) -> Sheet:
        sheet = Sheet(self.contestants)
        rounds = stage.effort.beside_rounds
        for number in range(rounds):
            sheet.calibrate()
            for name in sheet.present:
                stage.say(f"{self.name}: {name}, round {number + 1} of {rounds}")
                with sheet.attempt(name):
                    sheet.note(name, self._p99(stage, name))
        return sheet

    def _p99(self, stage: Stage, name: str) -> float:
        seconds = stage.effort.beside_s
        writer = stage.worker(name)
        writer.call(Runner.pace, "put", 0.0)
        with stage.another(name) as other:
            other.ready().call(Runner.pace, "put", 0.0)
            start_s = time.monotonic() + BESIDE_LEAD_S
            # The batches begin before the first put and end after the last.
            batches = writer.ask(Runner.steadily, "update", seconds + 2 * BESIDE_LEAD_S, start_s)
            puts = other.call(Runner.now_and_then, "put", seconds, start_s + BESIDE_LEAD_S, self.interval_s)
            batches.wait()
        return sorted(puts)[math.ceil(0.99 * len(puts)) - 1]


@dataclass(frozen=True, kw_only=True)
class Longest(Scenario):
    """The longest of all calls of an operation, at full speed for some seconds."""

    operation: str
    seconds: float = 10.0

    def run(self, stage: Stage) -> Sheet:
        sheet = Sheet(self.contestants)
        for name in self.contestants:
            stage.say(f"{self.name}: {name}")
            with sheet.attempt(name):
                stage.worker(name).call(Runner.pace, self.operation, 0.0)
                stage.settle()
                sheet.note(name, self._figure(stage, name))
        return sheet

    def _figure(self, stage: Stage, name: str) -> float:
        longest: float = stage.worker(name).call(Runner.longest, self.operation, self.seconds)
        return longest


@dataclass(frozen=True, kw_only=True)
class Swelling(Longest):
    """By how much a store's files grow while an operation that adds nothing runs at full speed."""

    def _figure(self, stage: Stage, name: str) -> float:
        before_bytes = _folder_bytes(stage.place.of(name))
        super()._figure(stage, name)
        return _folder_bytes(stage.place.of(name)) - before_bytes


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True, kw_only=True)
class ImportTime(Scenario):
    """How long `import X` takes a fresh interpreter, less what the interpreter alone takes in the same round.

    Contestants are modules; the last row is the interpreter alone.
    """

    compares: ClassVar[bool] = False

    def run(self, stage: Stage) -> Sheet:
        *modules, bare = self.contestants
        sheet = Sheet(self.contestants)
        for module in modules:
            with sheet.attempt(module):
                _fresh_process_s(f"import {module}")  # writes the bytecode, and says if it is missing
        for number in range(stage.effort.fresh_processes):
            stage.say(f"{self.name}: round {number + 1} of {stage.effort.fresh_processes}")
            sheet.calibrate()
            bare_s = _fresh_process_s("pass")
            sheet.note(bare, bare_s)
            for module in sheet.present[:-1]:
                with sheet.attempt(module):
                    sheet.note(module, _fresh_process_s(f"import {module}") - bare_s)
        return sheet


def _fresh_process_s(source: str) -> float:
    """Wall time of an interpreter that runs `source`; `MissingError` if that fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RINGDICT_")}
    start = time.perf_counter()
    # -P: the current folder, the repository's root, is no place to import from.
    run = subprocess.run(
        [sys.executable, "-P", "-c", source], check=False, env=environment, capture_output=True, text=True
    )
    spent = time.perf_counter() - start
    if run.returncode:
        raise MissingError(run.stderr.strip().splitlines()[-1])
    return spent


@dataclass(frozen=True, kw_only=True)
class Memory(Scenario):
    """The most memory, in Python objects, that one call of an operation holds."""

    operation: str

    def run(self, stage: Stage) -> Sheet:
        sheet = Sheet(self.contestants)
        for name in self.contestants:
            stage.say(f"{self.name}: {name}")
            with sheet.attempt(name):
                sheet.note(name, stage.worker(name).call(Runner.memory, self.operation))
        return sheet


@dataclass(frozen=True, kw_only=True)
class Disk(Scenario):
    """What a million entries take on disk.

    Contestants are the two ways to count: allocated blocks, and the length of the files.
    """

    peer: str
    compares: ClassVar[bool] = False

    def run(self, stage: Stage) -> Sheet:
        sheet = Sheet(self.contestants)
        stage.say(f"{self.name}: {DISK_ENTRIES:,} entries are stored")
        for name, size_bytes in zip(self.contestants, (_allocated_bytes, _length_bytes), strict=True):
            with sheet.attempt(name):
                _store_million(stage, self.peer)
                files = [path for path in stage.place.of(self.peer).rglob("*") if path.is_file()]
                sheet.note(name, sum(size_bytes(path) for path in files))
        return sheet


@dataclass(frozen=True, kw_only=True)
class Length(Race):
    """A race on the store of a million entries."""

    def run(self, stage: Stage) -> Sheet:
        sheet = Sheet(self.contestants)
        with sheet.attempt(self.subject):
            _store_million(stage, self.subject)
        return super().run(stage) if sheet.present else sheet


def _store_million(stage: Stage, peer: str) -> None:
    stage.worker(peer).call(Runner.store_plain, DISK_ENTRIES, DISK_VALUE_BYTES)


def _allocated_bytes(path: Path) -> int:
    with path.open("rb") as file:
        os.fsync(file.fileno())  # file systems allocate blocks as late as they can
        return os.fstat(file.fileno()).st_blocks * 512


def _length_bytes(path: Path) -> int:
    return path.stat().st_size
