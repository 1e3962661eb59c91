"""Clusters of three: of ringdict's nodes, and of etcd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from .place import Crew
from .server import LOOPBACK, START_S_MAX, free_port, process_of

__all__ = ["etcd", "nodes"]

MEMBERS = 3


@contextmanager
def nodes(folder: Path, count: int, *options: str) -> Generator[Crew | str]:
    """So many nodes that are one cluster; the reason, if there can be none."""
    addresses = [f"{LOOPBACK}:{free_port()}" for _ in range(count)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RINGDICT_")}
    pids: list[int] = []
    with ExitStack() as stack:
        for number, address in enumerate(addresses):
            ready = folder / f"ready-{number}"
            command = [sys.executable, "-P", "-m", "ringdict", "node", "--listen", address]
            command += ["--join", addresses[0]] if number else ["--found"]
            command += ["--data", str(folder / f"node-{number}"), "--ready-file", str(ready), *options]
            process = stack.enter_context(process_of(command, folder, environ))
            pids.append(process.pid)
            if not _comes_up(process, ready.exists):
                yield f"node {number} does not start"
                return
        yield Crew(tuple(addresses), tuple(pids))


@contextmanager
def etcd(folder: Path) -> Generator[Crew | str]:
    """Three members of etcd, with its defaults: each write is on the disks of a majority before it is
    answered. The first address is the leader's, which answers soonest."""
    if shutil.which("etcd") is None:
        yield "etcd is not installed"
        return
    names = [f"member-{number}" for number in range(MEMBERS)]
    peers = {name: f"http://{LOOPBACK}:{free_port()}" for name in names}
    clients = {name: f"http://{LOOPBACK}:{free_port()}" for name in names}
    everybody = ",".join(f"{name}={url}" for name, url in peers.items())
    with ExitStack() as stack:
        running: list[subprocess.Popen[bytes]] = []
        for name in names:
            command = ["etcd", "--name", name, "--data-dir", str(folder / name)]
            command += ["--listen-client-urls", clients[name], "--advertise-client-urls", clients[name]]
            command += ["--listen-peer-urls", peers[name], "--initial-advertise-peer-urls", peers[name]]
            command += ["--initial-cluster", everybody, "--initial-cluster-state", "new"]
            running.append(stack.enter_context(process_of(command, folder)))
        if not all(
            _comes_up(process, lambda url=url: _is_healthy(url))  # type: ignore[misc]
            for process, url in zip(running, clients.values(), strict=True)
        ):
            yield "etcd does not start"
            return
        ordered = sorted(clients.values(), key=_is_leader, reverse=True)
        yield Crew(
            tuple(url.removeprefix("http://") for url in ordered), tuple(process.pid for process in running)
        )


def _comes_up(process: subprocess.Popen[bytes], is_there: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + START_S_MAX
    while not is_there():
        if process.poll() is not None or time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def _is_healthy(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=1.0) as answer:
            return b'"true"' in answer.read()
    except (OSError, URLError):
        return False


def _is_leader(url: str) -> bool:
    with urlopen(f"{url}/metrics", timeout=1.0) as answer:
        return b"\netcd_server_is_leader 1\n" in answer.read()
