"""Real nodes: `ringdict node` as processes of their own, on ports of their own, for tests and the demo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ringdict import Cluster
from ringdict.node.network.sockets import free_address
from ringdict.node.world import Address

WAIT_S_MAX = 40.0
SECRET = "a secret of the tests' cluster"


def wait_until(so: Callable[[], bool], why: Callable[[], str] = lambda: "it never came to be so") -> None:
    end_s = time.monotonic() + WAIT_S_MAX
    while not so():
        assert time.monotonic() < end_s, why()
        time.sleep(0.05)


class RealNode:
    """One node, started and killed as often as a test likes."""

    def __init__(self, folder: Path, address: Address, seeds: list[Address], *options: str) -> None:
        self.folder = folder
        self._options = options
        #: What the command begins with: another host, so to speak.
        self.prefix: list[str] = []
        self.address = address
        self.ready_file = folder / "ready"
        self._seeds = seeds
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        #: One a line, as an operator's tool would leave it there.
        self.secret_file = folder / "secret"
        self.secret_file.touch(0o600)
        self.secret_file.write_text(SECRET + "\n", encoding="utf-8")

    def start(self, limit: Callable[[], None] | None = None) -> None:
        """`limit` is called in the process before it becomes a node."""
        begin = ["--join", ",".join(self._seeds)] if self._seeds else ["--found"]
        log = (self.folder / "log").open("ab")
        environ = {key: value for key, value in os.environ.items() if not key.startswith("RINGDICT_")}
        self.process = subprocess.Popen(
            [
                *self.prefix, sys.executable, "-m", "ringdict", "node", "--listen", self.address, *begin,
                "--data", self.folder / "data", "--ready-file", self.ready_file, "--log", "json",
                *self._options,
            ],
            stdout=log, stderr=log, env=environ | {"RINGDICT_SECRET_FILE": str(self.secret_file)},
            preexec_fn=limit,  # noqa: PLW1509 - no thread of a test holds what it needs
        )  # fmt: skip
        log.close()

    @property
    def is_ready(self) -> bool:
        return self.ready_file.exists()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and no word more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(WAIT_S_MAX)
            self.process = None
        self.ready_file.unlink(missing_ok=True)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(WAIT_S_MAX)
        self.process = None
        return code

    @property
    def rss_mb(self) -> float:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class RealCluster:
    """Some of them."""

    def __init__(self, folder: Path, count: int = 3, *options: str) -> None:
        self.folder = folder
        self._options = options
        self.nodes: list[RealNode] = []
        #: Of clients; None: what the environment says.
        self.secret: str | None = SECRET
        for _ in range(count):
            self.add()

    def add(self, *options: str) -> RealNode:
        seeds = [node.address for node in self.nodes]
        node = RealNode(self.folder / f"n{len(self.nodes)}", free_address(), seeds, *self._options, *options)
        self.nodes.append(node)
        node.start()
        return node

    @property
    def url(self) -> str:
        return "ringdict://" + ",".join(node.address for node in self.nodes)

    def client(self, timeout_s: float = 5.0) -> Cluster:
        return Cluster(self.url, secret=self.secret, timeout_s=timeout_s)

    def command(self, *words: str, code: int | None = 0) -> str:
        """Run `ringdict …` against them; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "ringdict", *words],
            env=os.environ | {"RINGDICT_SECRET": SECRET, "RINGDICT_URL": self.url},
            capture_output=True, text=True, timeout=WAIT_S_MAX, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def wait_ready(self) -> None:
        """Until all are members of one ring that is at rest, and serve."""
        wait_until(lambda: all(node.is_ready for node in self.nodes if node.process), self._why)
        wait_until(self._is_at_rest, self._why)

    def _is_at_rest(self) -> bool:
        told = self.command("ring", "--json", code=None)
        if not told:
            return False
        ring = json.loads(told)
        return bool(ring["at_rest"]) and len(ring["members"]) == len(self.nodes)

    def _why(self) -> str:
        return "\n".join(f"--- {node.address}\n{node.log[-3000:]}" for node in self.nodes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            if node.process is not None:
                node.signal(signal.SIGCONT)
            node.kill()
