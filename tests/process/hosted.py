"""A small process under `host`, for test_hosting.py: `python hosted.py ADDRESS FOLDER READY_FILE [NOTIFY]`.

It is ready once it was told so; asked to stop it waits for what it is told next, or for nobody."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import trio

from ringdict.node.hosting import Hosting, host
from ringdict.node.network.switchboard import Credentials
from ringdict.node.trioworld import real_surroundings
from ringdict.node.world import NS_PER_MS, Address, World


class Told:
    def __init__(self, world: World) -> None:
        self.world = world
        self.ready = False
        self.lingers = False

    def is_ready(self) -> bool:
        return self.ready

    def stop(self, done: Callable[[], None]) -> None:
        print("stopping", flush=True)
        if not self.lingers:
            self.world.call_after(100 * NS_PER_MS, done)

    def on_frame(self, source: Address, frame: bytes) -> None:
        match frame:
            case b"ready":
                self.ready = True
            case b"unready":
                self.ready = False
            case b"linger":
                self.lingers = True
            case b"halt":
                self.world.halt("told to")
            case _:
                pass
        self.world.send(source, frame)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        pass


if __name__ == "__main__":
    address, folder, ready_file, *notify = sys.argv[1:]
    hosting = Hosting(Path(ready_file), *notify)
    surroundings = real_surroundings(Credentials(Address(address)), Path(folder))
    print("ended:", trio.run(host, Told, surroundings, hosting), flush=True)
