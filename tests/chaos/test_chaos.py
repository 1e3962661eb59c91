"""A minute of chaos: real nodes in namespaces of the network (`make chaos` runs ten)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .chaos import run
from .netspace import Netspace, obstacle

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(bool(why := obstacle()), reason=why or "-"),
]
SEED = 7


def hears(space: Netspace, one: int, other: int) -> bool:
    """Whether an echo comes back: both ways are open."""
    hosts = space.hosts
    listening = subprocess.Popen(
        [*hosts[other].prefix, sys.executable, "-c", _ECHO, hosts[other].ip], stdout=subprocess.PIPE
    )
    try:
        assert listening.stdout is not None
        listening.stdout.readline()
        asked = [*hosts[one].prefix, sys.executable, "-c", _ASK, hosts[other].ip]
        return subprocess.run(asked, check=False).returncode == 0
    finally:
        listening.kill()
        listening.wait()
        assert listening.stdout is not None
        listening.stdout.close()


_ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind((sys.argv[1], 9)); print(flush=True)
    while True: s.sendto(*s.recvfrom(9))
"""
_ASK = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(0.5); s.sendto(b"?", (sys.argv[1], 9))
    try: s.recv(9)
    except TimeoutError: sys.exit(1)
"""


def test_a_way_is_cut_and_mended() -> None:
    with Netspace(3) as space:
        assert hears(space, 0, 1)
        space.set_cuts([(0, 1)])
        assert not hears(space, 0, 1)
        assert not hears(space, 1, 0)  # nor does its answer
        assert hears(space, 0, 2)
        space.set_cuts([])
        assert hears(space, 0, 1)


def test_nothing_is_left_when_the_harness_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from tests.chaos.netspace import Netspace; s = Netspace(2); "
        "print(*(host.pid for host in s.hosts), flush=True); time.sleep(60)"
    )
    root = Path(__file__).parents[2]
    killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root)
    assert killed.stdout is not None
    holders = [int(word) for word in killed.stdout.readline().split()]
    assert len(holders) == 2
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    end_s = time.monotonic() + 5.0
    while any(Path(f"/proc/{pid}/ns/net").exists() and _is_alive(pid) for pid in holders):
        assert time.monotonic() < end_s
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.timeout(400)
def test_a_minute_of_faults(tmp_path: Path) -> None:
    seed = int(os.environ.get("RINGDICT_CHAOS_SEED", SEED))
    report = run(60.0, seed, tmp_path, print)
    print(*report.lines(), sep="\n")
    assert not report.violations, "\n".join(report.lines())
    assert report.calls["put ok"] > 100 * 6
