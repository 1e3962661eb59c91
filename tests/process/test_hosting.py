"""A node as a process: ready and not ready, told to systemd, ended by signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringdict.node.config import READY_POLL_S
from ringdict.node.network.sockets import free_address
from ringdict.node.world import Address

from ..node.caller import RawClient

SCRIPT = Path(__file__).with_name("hosted.py")
WAIT_S_MAX = 20.0


def wait_until(so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S_MAX
    while not so():
        assert time.monotonic() < end_s
        time.sleep(0.01)


class Child:
    def __init__(self, folder: Path) -> None:
        self.address: Address = free_address()
        self.ready_file = folder / "ready"
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify"))
        self.notified.settimeout(WAIT_S_MAX)
        self.process = subprocess.Popen(
            [
                sys.executable, SCRIPT, self.address, folder / "data", self.ready_file,
                str(folder / "notify"),
            ],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(self._answers)
        self.client = RawClient(self.address).shake()

    def _answers(self) -> bool:
        try:
            RawClient(self.address).shake().close()
        except OSError:
            assert self.process.poll() is None
            return False
        return True

    def tell(self, word: bytes) -> None:
        assert self.client.ask(word) == word

    def ends(self) -> str:
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        assert self.process.wait(WAIT_S_MAX) == 0
        return out

    def close(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S_MAX)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.client.close()
        self.notified.close()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    (tmp_path / "ready").write_text("of a run that was killed")
    one = Child(tmp_path)
    try:
        yield one
    finally:
        one.close()


def test_a_ready_file_stands_while_the_node_serves_and_systemd_is_told(child: Child) -> None:
    assert not child.ready_file.exists()
    child.tell(b"ready")
    wait_until(child.ready_file.exists)
    assert child.ready_file.read_text() == f"{child.process.pid} {child.address}\n"
    assert child.notified.recv(100) == b"READY=1"
    child.tell(b"unready")
    wait_until(lambda: not child.ready_file.exists())
    child.tell(b"ready")
    wait_until(child.ready_file.exists)
    begun_s = time.monotonic()
    os.kill(child.process.pid, signal.SIGTERM)
    assert child.ends() == "stopping\nended: None\n"
    assert time.monotonic() - begun_s < 4
    assert not child.ready_file.exists()
    assert child.notified.recv(100) == b"READY=1"
    assert child.notified.recv(100) == b"STOPPING=1"


def test_a_node_that_stops_is_not_ready_whatever_it_says(child: Child) -> None:
    child.tell(b"ready")
    wait_until(child.ready_file.exists)
    child.tell(b"linger")
    os.kill(child.process.pid, signal.SIGTERM)
    assert child.process.stdout is not None
    assert child.process.stdout.readline() == "stopping\n"
    time.sleep(2 * READY_POLL_S)
    assert not child.ready_file.exists()


def test_a_second_signal_ends_a_node_that_does_not_come_to_an_end(child: Child) -> None:
    child.tell(b"linger")
    os.kill(child.process.pid, signal.SIGTERM)
    assert child.process.stdout is not None
    assert child.process.stdout.readline() == "stopping\n"
    os.kill(child.process.pid, signal.SIGINT)
    assert child.ends() == "ended: None\n"


def test_a_node_that_halts_says_why(child: Child) -> None:
    child.client.send(b"halt")
    assert child.ends() == "ended: told to\n"
