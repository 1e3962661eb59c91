"""One client of one cluster of nodes: its session, and its connections in three colours."""

from __future__ import annotations

import os
import random
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from .blocking import BlockingLines
from .dialling import Dialler
from .local import LocalReader
from .seeds import Seeds
from .session import Session

if TYPE_CHECKING:
    from .looplines import LoopLines
    from .secretfile import Secrets


class Client:
    """What all handles of one `Cluster` share. Safe to share between threads, and usable after a fork.

    Args:
        secrets: those of the cluster, whenever a connection is made; none if it has none.
        timeout_s: of each operation.
    """

    def __init__(self, seeds: Seeds, secrets: Callable[[], Secrets], timeout_s: float) -> None:
        self.seeds = seeds
        self.session = Session(
            seeds.addresses,
            time.monotonic,
            wall_ms,
            random.SystemRandom(),
            timeout_s=timeout_s,
            zone=os.environ.get("RINGDICT_ZONE", ""),
        )
        self.local = LocalReader(self.session)
        self.dialler = Dialler(secrets, self._cluster_id)
        self.blocking = BlockingLines(self.session, self.dialler)
        #: Of the event loops that use it, by what each is known by.
        self.loops: dict[object, LoopLines] = {}
        _alive.add(self)

    def _cluster_id(self) -> bytes:
        route = self.session.route
        return b"" if route is None else route.cluster_id

    def close(self) -> None:
        """Close all connections."""
        self.local.close()
        self.blocking.close()
        for lines in list(self.loops.values()):
            lines.close_soon()

    def renew(self) -> None:
        """In a forked child: be another client, without connections."""
        self.session.renew(random.SystemRandom())
        self.blocking.renew()
        for lines in self.loops.values():
            lines.abandon()
        self.loops = {}


def wall_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


_alive: weakref.WeakSet[Client] = weakref.WeakSet()


def _renew() -> None:
    for client in list(_alive):
        client.renew()


os.register_at_fork(after_in_child=_renew)
