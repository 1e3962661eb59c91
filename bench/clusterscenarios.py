"""What is measured of a cluster: three nodes on this machine beside a redis-server with two replicas, and
beside three members of etcd. The first looks at nodes that have nothing to do, so it comes before the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .clusterpeers import redis_pid
from .figures import MEGABYTES, PER_SECOND, PERCENT, Sheet
from .peer import crew_of, port_of
from .proc import cpu_s, resident_bytes
from .runner import Runner
from .scenario import Race, Scenario
from .stage import Stage
from .stock import BATCH_ENTRIES
from .target import AtMost, Faster, Within

__all__ = ["CLUSTER_SCENARIOS"]

NODES, LOCAL, TRIO, DURABLE = "ringdict nodes", "ringdict local", "ringdict Trio", "ringdict durable"
NODE, SERVER = "ringdict node", "redis-server"
REDIS, ONE_TRIP, CAREFUL = "redis-py +2", "redis-py +2, 1 trip", "redis-py, always"
ASYNCIO, COREDIS, MEMCACHE = "redis.asyncio +2", "coredis on Trio", "pymemcache"
GRPC, JSON = "etcd, gRPC", "etcd, JSON"
EMBEDDED = "ringdict"

SETTLE_S = 2.0
"""Until what a node does at its start is over."""


@dataclass(frozen=True, kw_only=True)
class Idle(Scenario):
    """A figure of one of three nodes, over some seconds in which nobody asks it anything; a redis-server
    with two replicas beside it."""

    figure: Callable[[int, float], float]
    """Of a process, in so many seconds."""

    @property
    def servers(self) -> set[str]:
        return {"nodes", "replicated"}

    def run(self, stage: Stage) -> Sheet:
        sheet = Sheet(self.contestants)
        seconds = stage.effort.idle_s
        stage.settle()
        time.sleep(SETTLE_S)
        for number in range(stage.effort.idle_rounds):
            sheet.calibrate()
            for name in sheet.present:
                stage.say(f"{self.name}: {name}, round {number + 1} of {stage.effort.idle_rounds}")
                with sheet.attempt(name):
                    sheet.note(name, self.figure(_pid(stage, name), seconds))
        return sheet


def _pid(stage: Stage, name: str) -> int:
    if name == SERVER:
        return redis_pid(port_of(stage.place.replicated))
    return crew_of(stage.place.nodes).pids[0]


def _cpu_part(pid: int, seconds: float) -> float:
    before_s, start_s = cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_s(pid) - before_s) / (time.monotonic() - start_s)


def _memory(pid: int, _seconds: float) -> float:
    return resident_bytes(pid)


CLUSTER_SCENARIOS: tuple[Scenario, ...] = (
    Idle(
        name="idle.memory",
        title="memory of a node that has nothing to do",
        figure=_memory,
        unit=MEGABYTES,
        contestants=(NODE, SERVER),
        targets=(AtMost(65e6),),
    ),
    Idle(
        name="idle.cpu",
        title="processor time of a node that has nothing to do",
        figure=_cpu_part,
        unit=PERCENT,
        contestants=(NODE, SERVER),
        targets=(AtMost(0.01),),
    ),
    Race(
        name="net.get",
        title="get from one of three nodes, by message",
        operation="get",
        contestants=(NODES, REDIS, MEMCACHE),
        targets=(Faster(1, REDIS),),
    ),
    Race(
        name="local.get",
        title="get past a node on the same host",
        operation="get",
        contestants=(LOCAL, EMBEDDED, REDIS),
        targets=(Within(1.5, EMBEDDED), Faster(8, REDIS)),
    ),
    Race(
        name="net.get.aio",
        title="get in asyncio, 50 in flight, by message",
        operation="get.aio.50",
        contestants=(NODES, ASYNCIO),
        targets=(Faster(2.2, ASYNCIO),),
    ),
    Race(
        name="net.get.trio",
        title="get on Trio, 50 in flight, by message",
        operation="get.aio.50",
        contestants=(TRIO, COREDIS),
        targets=(Faster(3.5, COREDIS),),
    ),
    Race(
        name="net.put",
        title="put that all three acknowledged",
        operation="put",
        contestants=(NODES, REDIS, ONE_TRIP),
        targets=(Within(1.25, REDIS),),
    ),
    Race(
        name="net.update",
        title="update of 10,000 entries over three nodes, per entry",
        operation="update",
        entries=BATCH_ENTRIES,
        contestants=(NODES, REDIS, ONE_TRIP),
        targets=(Faster(0.8, REDIS),),
    ),
    *(
        Race(
            name=f"node.{connections}",
            title=f"gets that one node answers, {connections} connections",
            operation=f"load.{connections}",
            entries=BATCH_ENTRIES,
            unit=PER_SECOND,
            contestants=(NODE, SERVER),
            targets=(Faster(0.5, SERVER),),
        )
        for connections in (16, 64)
    ),
    Race(
        name="node.cpu",
        title="processor time of the node a get, 64 connections",
        operation="load.64",
        entries=BATCH_ENTRIES,
        timed=Runner.server_cpu,
        contestants=(NODE, SERVER),
    ),
    Race(
        name="absent",
        title="put if absent, on the disks of a majority, the median call",
        operation="absent",
        timed=Runner.middle,
        contestants=(DURABLE, NODES, GRPC, JSON, CAREFUL),
        targets=(Faster(1.7, GRPC), Faster(1.7, JSON), Within(2.5, CAREFUL)),
    ),
    Race(
        name="absent.16",
        title="put if absent, on the disks of a majority, 16 threads",
        operation="absent.16",
        unit=PER_SECOND,
        contestants=(DURABLE, NODES, GRPC, JSON),
        targets=(Faster(2.5, GRPC), Faster(2.5, JSON)),
    ),
)
