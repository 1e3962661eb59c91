"""Starts three real nodes on loopback, and runs the tests of Dicts on them.

``python tests/onnodes.py [pytest's arguments]``. What the tests end with is what this ends with, and
the nodes end with it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODULES = (
    "aio", "batch", "content", "dict", "ephemeral", "iteration", "lock", "mapping", "objects", "reference",
)  # fmt: skip
READY_S_MAX = 60.0
"""Until a node is there, and until three nodes are one cluster."""
END_S_MAX = 20.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses at this moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def three_nodes(folder: Path) -> Iterator[str]:
    """The URL of three nodes that are one cluster, for as long as it lasts."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number, address in enumerate(addresses):
            how = ["--found"] if not number else ["--join", addresses[0]]
            log = (folder / f"{number}.log").open("wb")
            command = [sys.executable, "-m", "ringdict", "node", "--listen", address, *how]
            command += ["--data", str(folder / str(number)), "--durability", "none"]
            command += ["--ready-file", str(folder / f"{number}.ready")]
            running.append(subprocess.Popen(command, stderr=log, stdout=log))
            log.close()
            ready = folder / f"{number}.ready"
            deadline_s = time.monotonic() + READY_S_MAX
            while not ready.exists():
                if running[-1].poll() is not None or time.monotonic() > deadline_s:
                    sys.exit(f"node {number} did not come up:\n{(folder / f'{number}.log').read_text()}")
                time.sleep(0.05)
        url = "ringdict://" + ",".join(addresses)
        wait_until_whole(url)
        yield url
    finally:
        for each in running:
            each.terminate()
        for each in running:
            try:
                each.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()


def wait_until_whole(url: str) -> None:
    """Wait until the ring is what it is to be, and each partition has a leader."""
    from ringdict import Cluster, Dict, Error

    deadline_s = time.monotonic() + READY_S_MAX
    with Cluster(url) as cluster:
        session = cluster.client.session
        while True:
            try:
                cluster.client.blocking.run(session.refresh_anywhere(1))
                route = session.route
                if route is not None and len(route.contacts) == 3 and route.decree.pending is None:
                    Dict.from_name("whole", create_if_missing=True, cluster=cluster).clear()
                    return
            except Error as error:
                if time.monotonic() > deadline_s:
                    sys.exit(f"three nodes are not one cluster yet: {error}")
            time.sleep(0.2)


def main(arguments: list[str]) -> int:
    """Run them."""
    here = Path(__file__).resolve().parent / "client"
    modules = [str(here / f"test_{name}.py") for name in MODULES]
    modules.append(str(here.parent / "examples" / "test_recipes.py"))
    with tempfile.TemporaryDirectory(prefix="ringdict-nodes-") as folder, three_nodes(Path(folder)) as url:
        command = [sys.executable, "-m", "pytest", "--on-nodes", url, "-m", "not deep", *modules, *arguments]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
