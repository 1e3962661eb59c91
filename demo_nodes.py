"""`ringdict demo --three-nodes`: three real nodes on this host, one killed under load and brought back.

Whatever it says has happened, and was looked at: at the end all that was acknowledged is read back.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from .client.cluster import Cluster
from .client.dict import Dict
from .client.shell.exit_code import ExitCode
from .exception import Error, UnavailableError
from .node.network.sockets import free_address

if TYPE_CHECKING:
    from .client.shell.terminal import Terminal

NODES: Final = 3
KEYS: Final = 1_000
START_S_MAX: Final = 30.0
LOAD_S: Final = 2.0
END_S_MAX: Final = 10.0
POLL_S: Final = 0.05


def run_nodes(terminal: Terminal) -> ExitCode:
    """Start them, write, kill one, go on writing, bring it back, compare. OK if nothing is missing."""
    with TemporaryDirectory(prefix="ringdict-demo-") as folder:
        crew = _Crew(Path(folder))
        try:
            return _Story(crew, terminal).tell()
        finally:
            crew.end()


class _Crew:
    """The nodes' processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.addresses = [free_address() for _ in range(NODES)]
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, number: int) -> None:
        """Start a node, for the first time or again."""
        begin = ["--join", ",".join(self.addresses[:number])] if number else ["--found"]
        self.ready_file(number).unlink(missing_ok=True)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("RINGDICT_")}
        process = subprocess.Popen(  # noqa: S603 - this program itself
            [
                sys.executable, "-m", "ringdict", "node", "--listen", self.addresses[number], *begin,
                "--data", self._folder / f"node{number}", "--ready-file", self.ready_file(number),
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ,
        )  # fmt: skip
        self.processes[number : number + 1] = [process]

    def ready_file(self, number: int) -> Path:
        """Stands while the node serves."""
        return self._folder / f"ready{number}"

    def wait_ready(self, number: int) -> None:
        """Until a node serves; UnavailableError if it does not come to that."""
        end_s = time.monotonic() + START_S_MAX
        while not self.ready_file(number).exists():
            if time.monotonic() > end_s or self.processes[number].poll() is not None:
                raise UnavailableError(f"node {number + 1} did not start")
            time.sleep(POLL_S)

    def end(self) -> None:
        """End all that is still there."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(END_S_MAX)


class _Writer:
    """Writes without a pause, from a thread of its own, and remembers what was acknowledged."""

    def __init__(self, numbers: Dict[str, int]) -> None:
        self._dict = numbers
        self._is_over = threading.Event()
        self.acknowledged: dict[str, int] = {}
        self.count = 0
        self.errors_count = 0
        self.longest_s = 0.0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        number = 0
        while not self._is_over.is_set():
            number += 1
            key = f"key {number % KEYS}"
            begun_s = time.monotonic()
            try:
                self._dict[key] = number
                self.acknowledged[key] = number
                self.count += 1
            except Error:
                self.errors_count += 1
            self.longest_s = max(self.longest_s, time.monotonic() - begun_s)

    def end(self) -> None:
        """Stop writing."""
        self._is_over.set()
        self.thread.join()


class _Story:
    def __init__(self, crew: _Crew, terminal: Terminal) -> None:
        self._crew = crew
        self._terminal = terminal
        self._begun_s = time.monotonic()

    def _say(self, text: str, *style: str) -> None:
        elapsed_s = time.monotonic() - self._begun_s
        self._terminal.tell(f"{elapsed_s:6.2f} s  {self._terminal.paint(text, *style)}")

    def tell(self) -> ExitCode:
        crew = self._crew
        for number in range(NODES):
            crew.start(number)
        for number in range(NODES):
            crew.wait_ready(number)
            self._say(
                f"node {number + 1} at {crew.addresses[number]} serves (process {crew.processes[number].pid})"
            )
        with Cluster("ringdict://" + ",".join(crew.addresses)) as cluster:
            numbers = Dict[str, int].from_name("demo", create_if_missing=True, cluster=cluster)
            numbers.hydrate()
            writer = _Writer(numbers)
            writer.thread.start()
            try:
                self._kill_and_bring_back(writer)
            finally:
                writer.end()
        return self._compare(writer)

    def _kill_and_bring_back(self, writer: _Writer) -> None:
        crew, victim = self._crew, 1
        time.sleep(LOAD_S)
        self._say(f"{writer.count:,} puts acknowledged, each by every node that can be reached")
        crew.processes[victim].kill()
        crew.processes[victim].wait(END_S_MAX)
        before = writer.count
        self._say(f"node {victim + 1} killed with SIGKILL, under load", "red")
        time.sleep(LOAD_S)
        self._say(f"{writer.count - before:,} more puts acknowledged without it")
        crew.start(victim)
        crew.wait_ready(victim)
        self._say(f"node {victim + 1} is back, with the folder that it had", "green")
        time.sleep(LOAD_S)

    def _compare(self, writer: _Writer) -> ExitCode:
        """Read everything back from a majority of its owners, with a client that has seen none of all this.

        The nearest owner alone may be the node that was away, which hears of the last of it within seconds.
        """
        with Cluster("ringdict://" + ",".join(self._crew.addresses)) as cluster:
            there = (
                Dict[str, int]
                .from_name("demo", cluster=cluster)
                .get_many(list(writer.acknowledged), fresh=True)
            )
        lost = [key for key, number in writer.acknowledged.items() if there.get(key, -1) < number]
        self._say(
            f"{writer.count:,} puts acknowledged in all, {writer.errors_count:,} failed; "
            f"the longest call took {writer.longest_s * 1_000:,.0f} ms"
        )
        if lost:
            self._say(
                f"{len(lost):,} of {len(writer.acknowledged):,} keys have lost what was acknowledged", "red"
            )
            return ExitCode.NO
        self._say(f"all {len(writer.acknowledged):,} keys hold what was acknowledged last", "green")
        return ExitCode.OK
