"""Figures of gossip with real processes: `python -m tests.process.gossipfigures [rounds]`.

Ten on one host: how long after a kill -9 the others call it dead, what an idle one takes of a core and of
memory.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from ringdict.sim.gossipfigures import share

from .gossipnode import Member, all_see, crowd, wait_until

SIZE = 10
IDLE_S = 30.0


def processor_s(member: Member) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{member.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(member: Member) -> float:
    pages = int(Path(f"/proc/{member.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def detect(members: list[Member], number: int) -> list[float]:
    """Seconds until each other one calls a killed one dead; it is started again after that."""
    victim = members[number]
    rest = [member for member in members if member is not victim]
    began = time.monotonic()
    victim.end()
    wait_until(lambda: all(member.told("failed", victim.address, began) for member in rest), 60)
    times = [at - began for member in rest if (at := member.told("failed", victim.address, began))]
    victim.start()
    wait_until(lambda: all_see(members, SIZE), 60)
    time.sleep(2.0 + number * 0.13)  # at another phase of their rounds
    return times


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, crowd(SIZE, Path(folder)) as members:
        wait_until(lambda: all_see(members, SIZE), 60)
        time.sleep(10.0)
        before = [processor_s(member) for member in members]
        time.sleep(IDLE_S)
        used = [
            100 * (processor_s(member) - old) / IDLE_S for member, old in zip(members, before, strict=True)
        ]
        sizes = [resident_mb(member) for member in members]
        print(f"idle: {sum(used) / SIZE:.2f} % of a core a node, at most {max(used):.2f} %")
        print(f"resident: {sum(sizes) / SIZE:.1f} MB a node, at most {max(sizes):.1f} MB", flush=True)
        times: list[float] = []
        for turn in range(rounds):
            times += detect(members, turn % SIZE)
            print(f"round {turn + 1}: {share(times[-(SIZE - 1) :], 0.5):.2f} s", flush=True)
        print(f"kill -9: p50 {share(times, 0.5):.2f} s, p99 {share(times, 0.99):.2f} s, n={len(times)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
