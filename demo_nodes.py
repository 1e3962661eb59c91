"""`ringdict demo --three-nodes`: three real nodes on this host. Clients race for locks, a node is killed
under load and brought back; then a fourth joins, the keys move to it, and it leaves again.

Whatever it says has happened, and was looked at: at the end all that was acknowledged is read back.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from .client.cluster import Cluster
from .client.dict import Dict
from .client.shell.exit_code import ExitCode
from .client.shell.operator import Operator, Ring
from .exception import Error, UnavailableError
from .node.network.sockets import free_address
from .ring.member import MemberState
from .ring.table import moves

if TYPE_CHECKING:
    from .client.shell.terminal import Terminal

NODES: Final = 3
FOURTH: Final = 3
"""The number of the node that comes later, from 0."""
KEYS: Final = 1_000
BATCH_KEYS: Final = 50
CALL_S_MAX: Final = 20.0
"""A machine with much else to do must not spoil the show."""
LOCKS: Final = [f"lock {letter}" for letter in "abcdefgh"]
RACERS: Final = 4
START_S_MAX: Final = 30.0
MOVE_S_MAX: Final = 60.0
LOAD_S: Final = 2.0
END_S_MAX: Final = 10.0
POLL_S: Final = 0.05


def run_nodes(terminal: Terminal) -> ExitCode:
    """Start them, kill one, bring it back, add one, take it away, and write all the time; then compare. OK if
    nothing is missing."""
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
        self.addresses = [free_address() for _ in range(NODES + 1)]
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

    def client(self) -> Cluster:
        """A client of the cluster."""
        return Cluster("ringdict://" + ",".join(self.addresses[:NODES]), timeout_s=CALL_S_MAX)

    def stop(self, number: int) -> None:
        """Ask a node to end, and wait until it has."""
        self.processes[number].terminate()
        self.processes[number].wait(END_S_MAX)

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
        with crew.client() as cluster:
            numbers = Dict[str, int].from_name("demo", create_if_missing=True, cluster=cluster)
            numbers.hydrate()
            self._race()
            writer = _Writer(numbers)
            writer.thread.start()
            try:
                self._kill_and_bring_back(writer, numbers)
                self._add_and_take_away(cluster, writer)
            finally:
                writer.end()
        code = self._compare(writer)
        self._release()
        return code

    def _race(self) -> None:
        """Many ask for each of some keys at once, each with a client of its own: one gets it."""
        winners: list[str] = []

        def ask() -> None:
            with self._crew.client() as cluster:
                mine = Dict[str, int].from_name("demo", cluster=cluster)
                winners.extend(key for key in LOCKS if mine.put(key, 1, skip_if_exists=True))

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(RACERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if sorted(winners) != sorted(LOCKS):
            raise UnavailableError(f"of {len(LOCKS)} locks one was given {len(winners)} times")
        self._say(f"{RACERS} clients raced for {len(LOCKS)} locks: each was given once")

    def _still_held(self, numbers: Dict[str, int]) -> None:
        """Nobody gets a lock that is held, whichever node decides about it now."""
        begun_s = time.monotonic()
        given = [key for key in LOCKS if numbers.put(key, 2, skip_if_exists=True)]
        took_s = time.monotonic() - begun_s
        if given:
            raise UnavailableError(f"{', '.join(given)}: given a second time")
        self._say(f"the {len(LOCKS)} locks are still held, as clients were told in {took_s * 1_000:,.0f} ms")

    def _kill_and_bring_back(self, writer: _Writer, numbers: Dict[str, int]) -> None:
        crew, victim = self._crew, 1
        time.sleep(LOAD_S)
        self._say(f"{writer.count:,} puts acknowledged, each by every node that can be reached")
        crew.processes[victim].kill()
        crew.processes[victim].wait(END_S_MAX)
        before = writer.count
        self._say(f"node {victim + 1} killed with SIGKILL, under load", "red")
        self._still_held(numbers)
        time.sleep(LOAD_S)
        self._say(f"{writer.count - before:,} more puts acknowledged without it")
        crew.start(victim)
        crew.wait_ready(victim)
        self._say(f"node {victim + 1} is back, with the folder that it had", "green")
        time.sleep(LOAD_S)

    def _add_and_take_away(self, cluster: Cluster, writer: _Writer) -> None:
        crew, operator = self._crew, Operator(cluster.client)
        before = writer.count
        self._say(_shares(operator.ring()))
        crew.start(FOURTH)
        self._say(f"node {FOURTH + 1} at {crew.addresses[FOURTH]} joins, under load", "green")
        ring = self._follow(operator, lambda ring: len(_active(ring)) == NODES + 1)
        self._say(f"it serves its share; {writer.count - before:,} puts were acknowledged meanwhile")
        self._say(_shares(ring))
        time.sleep(LOAD_S)
        before = writer.count
        operator.command("leave", ring.member(crew.addresses[FOURTH]))
        self._say(f"node {FOURTH + 1} is told to leave: it hands over first", "red")
        ring = self._follow(operator, lambda ring: len(_active(ring)) == NODES)
        crew.stop(FOURTH)
        self._say(f"it has left, and has ended; {writer.count - before:,} puts were acknowledged meanwhile")
        self._say(_shares(ring))

    def _follow(self, operator: Operator, goal: Callable[[Ring], bool]) -> Ring:
        """Tell how many partitions still move, until it is reached and the ring is at rest."""
        end_s = time.monotonic() + MOVE_S_MAX
        told = -1
        while True:
            ring = operator.ring()
            pending = ring.decree.pending
            left = 0 if pending is None else len(moves(ring.decree.table, pending))
            if not left and goal(ring):
                return ring
            if time.monotonic() > end_s:
                raise UnavailableError("the ring does not come to rest")
            if left and left != told:
                self._say(f"  {left:,} of {ring.decree.partitions:,} partitions are on their way", "dim")
                told = left
            time.sleep(LOAD_S / 4)

    def _release(self) -> None:
        """Each lock can be released once."""
        with self._crew.client() as cluster:
            numbers = Dict[str, int].from_name("demo", cluster=cluster)
            held = [numbers.pop(key, None) for key in LOCKS]
            again = [numbers.pop(key, None) for key in LOCKS]
        if held != [1] * len(LOCKS) or again != [None] * len(LOCKS):
            raise UnavailableError(f"the locks held {held}, and after their release {again}")
        self._say(f"the {len(LOCKS)} locks were released, each once", "green")

    def _compare(self, writer: _Writer) -> ExitCode:
        """Read everything back from a majority of its owners, with a client that has seen none of all this.

        The nearest owner alone may be the node that was away, which hears of the last of it within seconds.
        """
        there: dict[str, int] = {}
        keys = list(writer.acknowledged)
        with self._crew.client() as cluster:
            numbers = Dict[str, int].from_name("demo", cluster=cluster)
            for first in range(0, len(keys), BATCH_KEYS):
                there |= numbers.get_many(keys[first : first + BATCH_KEYS], fresh=True)
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


def _active(ring: Ring) -> list[int]:
    """The numbers of the members that own something for good."""
    return [number for number, member in enumerate(ring.decree.members) if member.state is MemberState.ACTIVE]


def _shares(ring: Ring) -> str:
    """How many copies of partitions each member has."""
    copies = ring.decree.table.copies(len(ring.decree.members))
    shares = ", ".join(f"{copies[number]:,}" for number in _active(ring))
    return f"epoch {ring.decree.epoch}: the nodes have {shares} of {sum(copies):,} copies of partitions"
