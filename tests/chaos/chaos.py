"""Real nodes in network namespaces, twenty clients, and a schedule of faults: what came of it.

`python -m tests.chaos.chaos [SECONDS [SEED [FOLDER]]]`, which is what `make chaos` runs.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ringdict.node.world import Address

from ..process.nodes import SECRET, RealNode
from .history import Call, back_in_time, double_grants, export, load, lost, odd_tokens, slow
from .netspace import Host, Netspace, die_with_parent, obstacle
from .resource import Resource
from .schedule import NETWORK_KINDS, Fault, cuts_of, schedule

NODES: Final = 5
CLIENT_HOSTS: Final = 4
THREADS: Final = 5
"""Clients of each of them: twenty in all."""
PORT: Final = 7447
SECONDS: Final = 600.0
READY_S_MAX: Final = 90.0
HEALED_S_MAX: Final = 60.0
"""After the last fault, for all to be ready and to agree."""
CLIENT: Final = Path(__file__).with_name("client.py")


@dataclass
class Report:
    """What came of a run."""

    seed: int
    faults: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    speed: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    let_in: int = 0
    fenced_off: int = 0
    violations: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        calls = ", ".join(f"{count} {name}" for name, count in sorted(self.calls.items()))
        return [
            f"seed {self.seed}: {self.faults} faults; {calls}",
            *(
                f"{op}: {count} went well, 99 of 100 within {most_s:.2f} s, all within {longest_s:.2f} s"
                for op, (count, most_s, longest_s) in self.speed.items()
                if count
            ),
            f"the resource let {self.let_in} in, and {self.fenced_off} not",
            *(self.violations or ["no violation"]),
        ]


class Chaos:
    """One run."""

    def __init__(self, seconds: float, seed: int, folder: Path, say: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._seed = seed
        self._folder = folder
        self._say = say
        self._space = Netspace(NODES + CLIENT_HOSTS)
        self._nodes: list[RealNode] = []
        self._crews: list[subprocess.Popen[bytes]] = []
        self._cuts: dict[Fault, set[tuple[int, int]]] = {}

    # -- the cluster -------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return "ringdict://" + ",".join(node.address for node in self._nodes)

    def begin(self) -> None:
        """Start nodes, then clients."""
        for host in self._space.hosts[:NODES]:
            seeds = [node.address for node in self._nodes]
            node = RealNode(self._folder / f"n{host.number}", Address(f"{host.ip}:{PORT}"), seeds)
            node.prefix = host.prefix
            self._nodes.append(node)
            node.start(die_with_parent)
        self._wait(READY_S_MAX, "the nodes are not ready", self._is_well)

    def begin_clients(self, resource: Path) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("RINGDICT_")}
        for host in self._space.hosts[NODES:]:
            words = [self.url, f"c{host.number}", str(THREADS), str(self._history(host)), str(resource)]
            words.append(str(self._seed))
            self._crews.append(
                subprocess.Popen(
                    [*host.prefix, sys.executable, str(CLIENT), *words],
                    stdin=subprocess.PIPE, env=environ,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 - made by the main thread
                )
            )  # fmt: skip

    def _history(self, host: Host) -> Path:
        return self._folder / f"history-{host.number}.jsonl"

    def _command(self, *words: str, seconds: float = 20.0) -> str:
        """`ringdict …`, on the last client's host."""
        done = subprocess.run(
            [*self._space.hosts[-1].prefix, sys.executable, "-m", "ringdict", *words],
            env=os.environ | {"RINGDICT_SECRET": SECRET, "RINGDICT_URL": self.url},
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        return done.stdout

    def _is_well(self) -> bool:
        """Whether all nodes are members of one ring that is at rest, and serve."""
        if not all(node.is_ready for node in self._nodes):
            return False
        told = self._command("status", "--json")
        return bool(told) and bool(json.loads(told)["all_agree"]) and len(json.loads(told)["nodes"]) == NODES

    def _wait(self, seconds: float, why: str, so: Callable[[], bool]) -> None:
        end_s = time.monotonic() + seconds
        while not so():
            if time.monotonic() > end_s:
                raise AssertionError(f"{why}\n{self._command('status')}")
            time.sleep(0.5)

    def _primary(self, number: int) -> int:
        """The node that is first in the list of owners of a lock's key."""
        try:
            told = json.loads(self._command("ring", f"r{number % 5}", "--dict", "chaos", "--json"))
            addresses = [str(node.address) for node in self._nodes]
            return addresses.index(told["owners"][0]["address"])
        except (ValueError, LookupError, subprocess.TimeoutExpired):
            return number  # nobody can be asked just now

    # -- what goes wrong ---------------------------------------------------------------------------

    def play(self, faults: Sequence[Fault]) -> None:
        """Have it all happen when it is to."""
        begun_s = time.monotonic()
        moments = [(fault.begin_s, True, fault) for fault in faults]
        moments += [(fault.end_s, False, fault) for fault in faults]
        for at_s, begins, fault in sorted(moments, key=lambda moment: moment[0]):
            time.sleep(max(0.0, begun_s + at_s - time.monotonic()))
            if fault.kind in NETWORK_KINDS:
                self._cut(fault, begins=begins)
            else:
                self._harm(fault, begins=begins)
        time.sleep(max(0.0, begun_s + self._seconds - time.monotonic()))

    def _cut(self, fault: Fault, *, begins: bool) -> None:
        if begins:
            primary = self._primary(fault.target) if fault.kind == "primary" else fault.target
            self._cuts[fault] = cuts_of(fault, NODES, NODES + CLIENT_HOSTS, primary)
        else:
            del self._cuts[fault]
        self._space.set_cuts({cut for cuts in self._cuts.values() for cut in cuts})

    def _harm(self, fault: Fault, *, begins: bool) -> None:
        node = self._nodes[fault.target]
        match fault.kind:
            case "stop":
                node.signal(signal.SIGSTOP if begins else signal.SIGCONT)
            case "kill" if begins:
                node.kill()
            case "leave" if begins:
                node.signal(signal.SIGTERM)
            case _:
                if node.process is not None:
                    node.process.wait(20.0)
                node.start(die_with_parent)

    # -- the end -----------------------------------------------------------------------------------

    def end(self, resource: Resource) -> Report:
        """Wait for all to be well again, stop the clients, look at what they did."""
        self._space.set_cuts(())
        report = Report(self._seed)
        try:
            self._wait(HEALED_S_MAX, f"not well {HEALED_S_MAX:g} s after the last fault", self._is_well)
        except AssertionError as error:
            report.violations.append(str(error))
        for crew in self._crews:
            crew.communicate(timeout=60.0)
        calls = load(self._history(host) for host in self._space.hosts[NODES:])
        export(calls, self._folder / "history.jsonl")
        report.calls = Counter(f"{call.op} {call.outcome}" for call in calls)
        report.speed = {op: slow(calls, op) for op in ("put", "get", "claim", "lock")}
        report.let_in, report.fenced_off = resource.book.let_in, resource.book.fenced_off
        final = self._final(calls)
        if isinstance(final, str):
            report.violations.append(f"what stands in the end cannot be read: {final}")
        else:
            report.violations += lost(calls, final)
        report.violations += back_in_time(calls) + double_grants(calls) + odd_tokens(calls)
        report.violations += resource.book.violations
        report.violations += [f"odd: {call}" for call in calls if call.outcome == "odd"]
        return report

    def _final(self, calls: Sequence[Call]) -> dict[str, int] | str:
        """What is there in the end, by a majority; why it cannot be read, if it cannot be for so long."""
        keys = sorted({call.key for call in calls if call.op == "put"})
        words = [*self._space.hosts[-1].prefix, sys.executable, str(CLIENT.with_name("reader.py")), self.url]
        end_s = time.monotonic() + HEALED_S_MAX
        while True:
            done = subprocess.run(words, input="\n".join(keys), capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return {str(key): int(value) for key, value in json.loads(done.stdout).items()}
            if time.monotonic() > end_s:
                return done.stderr[-1000:]

    def close(self) -> None:
        for crew in self._crews:
            if crew.poll() is None:
                crew.kill()
                crew.wait()
        for node in self._nodes:
            node.kill()
        self._space.close()


def run(seconds: float, seed: int, folder: Path, say: Callable[[str], None]) -> Report:
    """One run; its history is in the folder as history.jsonl."""
    faults = schedule(seed, seconds, NODES, CLIENT_HOSTS)
    say(f"seed {seed}, {seconds:g} s, {len(faults)} faults")
    for fault in faults:
        say(str(fault))
    with ExitStack() as stack:
        chaos = Chaos(seconds, seed, folder, say)
        stack.callback(chaos.close)
        chaos.begin()
        resource = stack.enter_context(Resource(folder / "resource"))
        chaos.begin_clients(resource.path)
        chaos.play(faults)
        report = chaos.end(resource)
    report.faults = len(faults)
    return report


def main(words: Sequence[str]) -> int:
    """Exit code 1 if something was wrong, 77 if this machine cannot do it."""
    why_not = obstacle()
    if why_not:
        print(f"skipped: {why_not}")
        return 77
    seconds = float(words[0]) if words else SECONDS
    seed = int(words[1]) if len(words) > 1 else random.SystemRandom().randrange(1_000_000)
    folder = Path(words[2]) if len(words) > 2 else Path(tempfile.mkdtemp(prefix="ringdict-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    report = run(seconds, seed, folder, lambda text: print(text, flush=True))
    print(*report.lines(), sep="\n")
    print(f"logs and history.jsonl are in {folder}")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
