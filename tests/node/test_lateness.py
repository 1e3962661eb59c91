"""A loop that was blocked hears all that has come before it lets a timer run."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
import trio

from ringdict.node.network.sockets import free_address, split_address
from ringdict.node.network.switchboard import Credentials
from ringdict.node.trioworld import real_surroundings, run_process
from ringdict.node.world import NS_PER_MS, Address, World

BLOCKED_S = 0.1
DATAGRAMS_COUNT = 40


class Noting:
    """Writes down what it is told, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.heard: list[str] = []

    def on_frame(self, _source: Address, _frame: bytes) -> None:
        self.heard.append("frame")

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        self.heard.append("datagram")

    def arm(self) -> None:
        self.heard.clear()
        self.world.call_after(20 * NS_PER_MS, lambda: self.heard.append("timer"))


@pytest.mark.parametrize("plain", [False, True])
def test_datagrams_and_frames_that_wait_come_before_the_timer(tmp_path: Path, *, plain: bool) -> None:
    """In ten rounds: Trio runs the tasks of one turn in any order."""
    there, caller = free_address(), free_address()
    rounds: list[list[str]] = []

    async def main() -> None:
        made: list[Noting] = []

        def make(world: World) -> Noting:
            made.append(Noting(world))
            return made[-1]

        async with trio.open_nursery() as nursery:
            for address in (there, caller):
                around = real_surroundings(Credentials(address), tmp_path / str(len(made)), plain=plain)
                nursery.start_soon(run_process, make, around)
                with trio.fail_after(5):
                    while len(made) < 1 + (address == caller):  # noqa: ASYNC110 - the process is made
                        await trio.sleep(0.002)
            receiver, sender = made
            with trio.fail_after(5):
                while not receiver.heard:  # until there is a connection
                    sender.world.send(there, b"hello")
                    await trio.sleep(0.02)
            for _ in range(10):
                receiver.arm()
                sender.world.call_after(0, lambda: sender.world.send(there, b"frame"))
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                    await trio.sleep(0.01)
                    for _ in range(DATAGRAMS_COUNT):
                        stranger.sendto(b"datagram", split_address(there))
                    time.sleep(BLOCKED_S)  # noqa: ASYNC251 - this is what is tried
                with trio.fail_after(5):
                    while "timer" not in receiver.heard:  # noqa: ASYNC110 - it comes by itself
                        await trio.sleep(0.001)
                rounds.append(list(receiver.heard))
            nursery.cancel_scope.cancel()

    trio.run(main)
    for heard in rounds:
        assert heard.index("timer") == len(heard) - 1, heard
        assert heard.count("datagram") == DATAGRAMS_COUNT
        assert heard.count("frame") >= 1
