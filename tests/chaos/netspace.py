"""Hosts in network namespaces of their own, on one bridge, whose links can be cut one way.

Each namespace is held by a small process that the kernel kills when the thread that made it ends, however it
ends, and a namespace goes with the last process in it: after a crash nothing is left to clean up.

A way from one host to another is cut by giving the sender a wrong hardware address of the receiver: what it
sends is lost on the bridge, silently, and what comes back is not. That needs no packet filter.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

PR_SET_PDEATHSIG: Final = 1
NETWORK: Final = "10.99.0"
NOBODY: Final = "02:ff:ff:ff:ff:ff"
WAIT_S_MAX: Final = 10.0

_library = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """In a child, before it becomes another program: be killed when the thread that made it ends."""
    _library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def obstacle() -> str:
    """Why this machine cannot do it; empty: it can."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    for tool in ("ip", "nsenter", "unshare"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    tried = subprocess.run(
        ["unshare", "--net", "sh", "-c", "ip link add a1 type veth peer name a2; ip link add a3 type bridge"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if tried.returncode == 0 else f"no namespaces, pairs or bridges here: {tried.stderr.strip()}"


class Host:
    """One namespace, and the process that holds it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ip = f"{NETWORK}.{number + 1}"
        self.mac = f"02:00:00:00:00:{number + 1:02x}"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sleep", "infinity"],
            preexec_fn=die_with_parent,  # noqa: PLW1509 - made by the main thread
        )
        mine = os.readlink("/proc/self/ns/net")
        end_s = time.monotonic() + WAIT_S_MAX
        while os.readlink(f"/proc/{self._holder.pid}/ns/net") == mine:
            assert time.monotonic() < end_s, "no namespace"
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        return self._holder.pid

    @property
    def prefix(self) -> list[str]:
        """What a command begins with that is to run on this host; it keeps its process id."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    def ip_commands(self, lines: Iterable[str]) -> None:
        """Have `ip` carry these out here."""
        subprocess.run(
            [*self.prefix, "ip", "-batch", "-"],
            input="\n".join(lines), text=True, check=True, capture_output=True,
        )  # fmt: skip

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()


class Netspace:
    """Some hosts, and which of them cannot send to which."""

    def __init__(self, count: int) -> None:
        self._hub = Host(count)
        self._hub.ip_commands(["link add bridge type bridge", "link set bridge up", "link set lo up"])
        self.hosts = [Host(number) for number in range(count)]
        self.cuts: set[tuple[int, int]] = set()
        for host in self.hosts:
            self._connect(host)

    def _connect(self, host: Host) -> None:
        port = f"p{host.number}"
        self._hub.ip_commands(
            [
                f"link add {port} type veth peer name e0 netns {host.pid}",
                f"link set {port} master bridge",
                f"link set {port} up",
            ]
        )
        host.ip_commands(
            [
                "link set lo up",
                f"link set e0 address {host.mac}",
                f"address add {host.ip}/24 dev e0",
                "link set e0 up",
                *(_way(other, other.mac) for other in self.hosts if other is not host),
            ]
        )

    def set_cuts(self, cuts: Iterable[tuple[int, int]]) -> None:
        """From now on exactly these (from, to) pass nothing."""
        wanted = set(cuts)
        for host in self.hosts:
            lines = [
                _way(other, NOBODY if (host.number, other.number) in wanted else other.mac)
                for other in self.hosts
                if ((host.number, other.number) in wanted) != ((host.number, other.number) in self.cuts)
            ]
            if lines:
                host.ip_commands(lines)
        self.cuts = wanted

    def close(self) -> None:
        for host in [*self.hosts, self._hub]:
            host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _way(to: Host, mac: str) -> str:
    return f"neigh replace {to.ip} lladdr {mac} dev e0 nud permanent"
