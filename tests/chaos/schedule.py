"""What goes wrong when, from a seed: one list for the network, one for the processes, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

NETWORK_KINDS: Final = ("halves", "primary", "bridge", "deaf", "mute", "one way", "clients")
PROCESS_KINDS: Final = ("stop", "kill", "kill", "leave")
QUIET_S: Final = (1.0, 5.0)
"""Between two faults of one list."""
LASTS_S: Final = (2.0, 12.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong for a while."""

    begin_s: float
    end_s: float
    kind: str
    #: Whom it is about; of `primary` which lock's.
    target: int
    #: Hosts on one side; the others are on the other.
    side: tuple[int, ...] = ()

    def __str__(self) -> str:
        where = f" {list(self.side)}" if self.side else ""
        return f"{self.begin_s:6.1f} to {self.end_s:6.1f} s  {self.kind} {self.target}{where}"


def schedule(seed: int, seconds: float, nodes: int, clients: int) -> list[Fault]:
    """All faults of a run, in order; the same for the same arguments."""
    faults = [
        *_track(Random(f"{seed} network"), seconds, NETWORK_KINDS, nodes, clients),
        *_track(Random(f"{seed} processes"), seconds, PROCESS_KINDS, nodes, clients),
    ]
    return sorted(faults, key=lambda fault: (fault.begin_s, fault.kind))


def _track(dice: Random, seconds: float, kinds: Sequence[str], nodes: int, clients: int) -> list[Fault]:
    """Each kind comes before any comes again, in an order that changes from round to round."""
    found: list[Fault] = []
    at_s = dice.uniform(*QUIET_S)
    waiting: list[str] = []
    while True:
        if not waiting:
            waiting = dice.sample(kinds, len(kinds))
        end_s = at_s + dice.uniform(*LASTS_S)
        if end_s > seconds:
            return found
        hosts = [
            *dice.sample(range(nodes), nodes // 2),
            *(nodes + one for one in range(clients) if dice.random() < 0.5),
        ]
        found.append(Fault(at_s, end_s, waiting.pop(), dice.randrange(nodes), tuple(sorted(hosts))))
        at_s = end_s + dice.uniform(*QUIET_S)


def cuts_of(fault: Fault, nodes: int, hosts: int, primary: int) -> set[tuple[int, int]]:
    """Which host cannot send to which while a fault of the network lasts; `primary` is the node that it is
    about if that is for the ring to say."""
    one = primary if fault.kind == "primary" else fault.target
    others = {host for host in range(hosts) if host != one}
    side = others & set(fault.side)
    clients = {host for host in fault.side if host >= nodes}
    peers = {host for host in others if host < nodes}
    return {
        "halves": lambda: _apart(set(fault.side), set(range(hosts)) - set(fault.side)),
        # Clients of that side are cut off with it.
        "primary": lambda: _apart({one} | clients, others - clients),
        "bridge": lambda: _apart(side, others - side),
        "deaf": lambda: {(other, one) for other in peers},
        "mute": lambda: {(one, other) for other in peers},
        "one way": lambda: {(host, other) for host in side for other in others - side},
        "clients": lambda: _apart(clients, {one}),
    }[fault.kind]()


def _apart(one: set[int], other: set[int]) -> set[tuple[int, int]]:
    return {pair for a in one for b in other for pair in ((a, b), (b, a))}
