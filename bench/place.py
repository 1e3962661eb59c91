"""Where the contestants find their data: a folder on a real disk, and the addresses of the servers."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.managers import DictProxy
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["Crew", "Place", "file_system", "scratch_folder"]


@dataclass(frozen=True)
class Crew:
    """The processes of one cluster: where each is reached, and its process id."""

    addresses: tuple[str, ...]
    pids: tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """What a contestant needs to be opened, in any process. A server that is not there is the reason why."""

    folder: Path
    redis: int | str = "redis-server was not started"
    memcached: int | str = "memcached was not started"
    manager: DictProxy[object, object] | None = None
    replicated: int | str = "redis-server with two replicas was not started"
    """The primary's port."""
    careful: int | str = "redis-server that syncs each write was not started"
    lone: Crew | str = "the node was not started"
    nodes: Crew | str = "the nodes were not started"
    durable: Crew | str = "the nodes that sync each write were not started"
    etcd: Crew | str = "etcd was not started"

    def of(self, name: str) -> Path:
        """The folder that belongs to one contestant."""
        return self.folder / "".join(char if char.isalnum() else "-" for char in name)


@contextmanager
def scratch_folder(parent: Path) -> Generator[Path]:
    """A new folder inside `parent`, removed at the end together with `parent` if that is empty then."""
    parent.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix="run-", dir=parent.resolve(), ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    finally:
        with suppress(OSError):
            parent.rmdir()


def file_system(folder: Path) -> str:
    """The type of the file system that `folder` lies on, such as "ext4"; "unknown" where nothing says it."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    around = [(len(mount[1]), mount[2]) for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(around)[1] if around else "unknown"
