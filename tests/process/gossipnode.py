"""A node that only gossips, as a process of the operating system, and a crowd of them.

    python -m tests.process.gossipnode ADDRESS FOLDER SEED...

It writes a line of JSON for each event, with the instant by the clock that all processes of a host share, and
its status when it reads a line. Figures: `python -m tests.process.gossipfigures`.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from ringdict.gossip.instruction import MemberChanged
from ringdict.node.hosting import Hosting, host
from ringdict.node.network.sockets import free_address
from ringdict.node.network.switchboard import Credentials
from ringdict.node.trioworld import real_surroundings
from ringdict.node.world import Address, World
from ringdict.sim.gossipnode import GossipNode

ROOT = Path(__file__).resolve().parents[2]


class HostedNode(GossipNode):
    """Tells its events to whoever has started it."""

    def __init__(self, world: World, seeds: list[str]) -> None:
        super().__init__(world, seeds)
        self.gossiping.listen(self._tell)
        say(started=world.identity.node.hex(), boot=world.identity.boot)

    def _tell(self, event: MemberChanged) -> None:
        say(change=event.change.value, address=event.member.profile.address)

    def is_ready(self) -> bool:
        return self.gossiping.generation > 0

    def stop(self, done: Callable[[], None]) -> None:
        self.gossiping.leave(done)


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps({"at": time.monotonic(), **facts}) + "\n")
    sys.stdout.flush()


async def main(address: Address, folder: Path, seeds: list[str]) -> str | None:
    nodes: list[HostedNode] = []  # one, once it has an identity

    def make(world: World) -> HostedNode:
        nodes.append(HostedNode(world, seeds))
        return nodes[-1]

    async def answer() -> None:
        async with await trio.open_file(os.dup(0)) as lines:
            async for _ in lines:
                say(status=nodes[0].gossiping.status() if nodes else {})

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        reason = await host(make, real_surroundings(Credentials(address), folder), Hosting())
        os._exit(0 if reason is None else 3)  # somebody still reads lines in a thread


class Member:
    """One such process, as a test sees it."""

    def __init__(self, folder: Path, address: Address, seeds: list[Address]) -> None:
        self.folder = folder
        self.address = address
        self.seeds = seeds
        self.events: list[dict[str, Any]] = []
        self._statuses: queue.Queue[dict[str, Any]] = queue.Queue()
        self.start()

    def start(self) -> None:
        """Start it, for the first time or again."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.gossipnode", self.address, str(self.folder), *self.seeds],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                said = json.loads(line)
                if "status" in said:
                    self._statuses.put(said["status"])
                else:
                    self.events.append(said)

    def status(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._statuses.get(timeout=20)

    def states(self) -> dict[str, str]:
        """What it believes, by address."""
        members = self.status().get("members", [])
        return {member["address"]: member["state"] for member in members}

    def told(self, change: str, address: Address, since: float) -> float | None:
        """When it first said so of somebody after an instant, if it has."""
        for event in list(self.events):
            if event.get("change") == change and event["address"] == address and event["at"] >= since:
                return float(event["at"])
        return None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        """Kill it, and let its pipes go."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


@contextmanager
def crowd(count: int, folder: Path) -> Iterator[list[Member]]:
    """So many, each knowing the first by address, killed at the end."""
    first = free_address()
    members = [Member(folder / "0", first, [])]
    try:
        for number in range(1, count):  # one after the other, so that each one started is ended
            members += [Member(folder / str(number), free_address(), [first])]
        yield members
    finally:
        for member in members:
            member.end()


def wait_until(condition: Callable[[], bool], seconds: float, step_s: float = 0.1) -> float:
    """Wait for something; how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(step_s)
    return time.monotonic() - began


def all_see(members: list[Member], count: int) -> bool:
    """Whether each of them holds so many for alive, and all have one view."""
    statuses = [member.status() for member in members]
    digests = {status.get("digest") for status in statuses}
    return len(digests) == 1 and all(status.get("live_count") == count for status in statuses)


if __name__ == "__main__":
    trio.run(main, Address(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
