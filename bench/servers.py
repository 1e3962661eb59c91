"""Which servers are running: those that the present scenario needs, and none that only past ones did."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from .crew import etcd, nodes
from .place import Place
from .server import (
    manager,
    memcached,
    redis_server,
    redis_with_replicas,
    running,
    syncing_redis_server,
)

__all__ = ["Servers"]

_STARTS: dict[str, Callable[[Path], AbstractContextManager[object]]] = {
    "redis": lambda folder: running(redis_server, folder),
    "memcached": lambda folder: running(memcached, folder),
    "manager": lambda _: manager(),
    "replicated": redis_with_replicas,
    "careful": lambda folder: running(syncing_redis_server, folder),
    "lone": lambda folder: nodes(folder, 1),
    "nodes": lambda folder: nodes(folder, 3),
    "durable": lambda folder: nodes(folder, 3, "--durability", "fsync"),
    "etcd": etcd,
}
"""By the field of `Place` that says where it is."""


class Servers:
    """Owns them. A server is started when it is first needed, stopped when it is told to, or at the end."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        self._running: dict[str, ExitStack] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(set(self._running))

    def start(self, names: AbstractSet[str]) -> Place:
        """Have these run; the place with them, and with those that ran already."""
        for name in sorted(names - set(self._running)):
            folder = self.place.of(f"server-{name}")
            folder.mkdir(exist_ok=True)
            stack = self._running[name] = ExitStack()
            # A dict, since the field is known by its name only.
            fields = {name: stack.enter_context(_STARTS[name](folder))}
            self.place = replace(self.place, **fields)  # type: ignore[arg-type]
        return self.place

    def stop(self, names: AbstractSet[str]) -> None:
        """Stop these, if they run."""
        with ExitStack() as stack:
            for name in names & set(self._running):
                stack.push(self._running.pop(name))
