"""A real process on real sockets, in a thread of its own, for tests that are its clients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from ringdict.node.network.sockets import free_address
from ringdict.node.network.switchboard import Credentials
from ringdict.node.trioworld import Surroundings, TrioWorld, real_surroundings, run_process
from ringdict.node.world import Address, Process, World


class Echo:
    """Answers a number with so many bytes, and everything else with itself; notes what it heard from whom."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sources: list[Address] = []
        self.heard_count = 0

    def on_frame(self, source: Address, frame: bytes) -> None:
        self.heard_count += 1
        if not self.sources or self.sources[-1] != source:
            self.sources.append(source)
        self.world.send(source, bytes(int(frame)) if frame.isdigit() else frame)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.world.send_datagram(source, datagram)


class Served:
    """What a test sees of it."""

    def __init__(self, address: Address, world: TrioWorld, process: Process) -> None:
        self.address = address
        self.world = world
        self.process = process
        self.board = world._board


@contextmanager
def served(
    folder: Path,
    factory: Callable[[World], Process] = Echo,
    *,
    secret: bytes = b"",
    plain: bool = False,
    change: Callable[[Surroundings], None] = lambda _: None,
) -> Iterator[Served]:
    """Run a process until the test is done with it; fails with what left the process."""
    address = free_address()
    made: list[tuple[TrioWorld, Process]] = []
    started = threading.Event()
    failures: list[BaseException] = []
    ends: list[Callable[[], None]] = []

    def make(world: World) -> Process:
        assert isinstance(world, TrioWorld)
        process = factory(world)
        made.append((world, process))
        return process

    async def main() -> None:
        surroundings = real_surroundings(Credentials(address, secret), folder, plain=plain)
        change(surroundings)
        async with trio.open_nursery() as nursery:
            token = trio.lowlevel.current_trio_token()
            ends.append(lambda: token.run_sync_soon(nursery.cancel_scope.cancel))
            nursery.start_soon(run_process, make, surroundings)
            while not made:  # noqa: ASYNC110 - it has no event to tell of it
                await trio.sleep(0.002)
            started.set()

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)
        started.set()

    thread = threading.Thread(target=run, name="served", daemon=True)
    thread.start()
    started.wait(20)
    try:
        if made:
            yield Served(address, *made[0])
    finally:
        for end in ends:
            try:
                end()
            except trio.RunFinishedError:
                pass
        thread.join(20)
    if failures:
        raise failures[0]
