"""What of a node has to do with its folder: a real one in this process, cranked by hand, or in a child."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from ringdict.exception import Error
from ringdict.node.clock import system_dice
from ringdict.node.config import PAGE_SHOWN_INTERVAL_S
from ringdict.node.disk.durability import Durability
from ringdict.node.identity import take_identity
from ringdict.node.network.switchboard import Credentials
from ringdict.node.node import Node, NodeSettings
from ringdict.node.replicas.place import place_of
from ringdict.node.served.datafolder import DataFolder
from ringdict.node.served.hostmark import host_mark
from ringdict.node.served.serving import Serving, bits_of
from ringdict.node.store import layout
from ringdict.node.store.catalogue import Life, Record, dict_id
from ringdict.node.store.entry import NO_OPERATION, Stored, encode
from ringdict.node.store.transaction import DictState
from ringdict.node.trioworld import real_surroundings, run_process
from ringdict.node.world import Address, Changes, Identity
from ringdict.ring.partition import dict_seed, key_hash

from .child import Child, Line

ADDRESS = Address("127.0.0.1:7700")
ALL = bits_of(list(range(layout.PARTITIONS)), layout.PARTITIONS)
POLL_S = 0.01


class Desk:
    """The thread of a process, and the ends of its turns."""

    def __init__(self) -> None:
        self.posted: queue.Queue[Callable[[], None]] = queue.Queue()
        self.put_off: list[Callable[[], None]] = []

    def post(self, call: Callable[[], None], /) -> None:
        self.posted.put(call)

    def at_turn_end(self, call: Callable[[], None], /) -> None:
        self.put_off.append(call)

    def after_flush(self, call: Callable[[], None], /) -> None:
        self.put_off.append(call)

    def end_turn(self) -> None:
        while self.put_off:
            self.put_off.pop(0)()

    def turn(self, timeout_s: float = 20.0) -> None:
        self.posted.get(timeout=timeout_s)()
        self.end_turn()


class ServedNode:
    """Serves a folder. What it is told to commit is there when the call returns."""

    def __init__(self, folder: Path, durability: str = "none") -> None:
        self.data = DataFolder(folder, ADDRESS)
        self.desk = Desk()
        self.identity = self.data.open_storage("identity", Durability.FSYNC, self.desk)
        taken: list[Identity | Error] = []
        take_identity(self.identity, system_dice(), ADDRESS, taken.append)
        self.desk.end_turn()
        while not taken:
            self.desk.turn()
        assert isinstance(taken[0], Identity)
        self.node = taken[0].node
        try:
            self.entries = self.data.open_storage("entries", Durability(durability), self.desk)
        except BaseException:
            self.identity.close()
            self.data.release()
            raise

    def commit(self, changes: Changes) -> None:
        told: list[Error | None] = []
        self.entries.commit(changes, told.append)
        self.desk.end_turn()
        while not told:
            self.desk.turn()
        if told[0] is not None:
            raise told[0]

    def make(self, name: str) -> bytes:
        """A Dict, as a cluster makes it."""
        id_ = dict_id("main", name, 0)
        self.commit(
            {
                layout.name_key("main", name): Life(0, True).encode(),
                layout.DICT + id_: Record("main", name, 1, "test", 0).encode(),
                layout.STATE + id_: DictState(0, 0, 0, 0, 0).encode(),
            }
        )
        return id_

    def put(
        self, id_: bytes, key: bytes, body: bytes, version: int, flags: int = 0, expires_ms: int = 0
    ) -> None:
        self.commit(dict([row(id_, key, body, version, flags=flags, expires_ms=expires_ms)]))

    def show(self, partitions: bytes = ALL, epoch: int = 1) -> None:
        self.data.publish(Serving(self.node, (epoch, bytes(8)), partitions).encode())

    def stop(self) -> None:
        self.entries.close()
        self.identity.close()
        self.data.release()


def row(
    id_: bytes, key: bytes, body: bytes, version: int, *, flags: int = 0, expires_ms: int = 0
) -> tuple[bytes, bytes]:
    hashed = key_hash(dict_seed(id_), key)
    long_key = key if layout.is_long(key) else b""
    entry = Stored(flags, version, 1, 0, expires_ms, NO_OPERATION, long_key, body)
    return place_of(id_, key, hashed), encode(entry, hashed)


def serve(line: Line, folder: Path, durability: str = "none") -> None:
    """In a child: wait for the start, do what comes over the line (a method, its arguments), be seen."""
    line.recv()
    node = ServedNode(folder, durability)
    line.send(node.node)
    shown: tuple[Any, ...] = ()
    is_visible = False
    while True:
        if is_visible:
            node.show(*shown)
        if not line.poll(PAGE_SHOWN_INTERVAL_S):
            continue
        method, *args = line.recv()
        if method == "stop":
            node.stop()
            return
        if method == "show":
            is_visible, shown = True, tuple(args)
            node.show(*shown)
            line.send(None)
        else:
            line.send(getattr(node, method)(*args))


def started(child: Child[None]) -> bytes:
    """Let a child begin that was made before this process had opened the store; the id of the node."""
    child.line.send("start")
    return bytes(child.receive())


def told(child: Child[None], method: str, *args: object) -> object:
    """Have it do something, and wait until it is done."""
    child.line.send((method, *args))
    return child.receive()


def stopped(child: Child[None]) -> None:
    """Let it come to a good end."""
    child.line.send(("stop",))
    child.result()


def count_up(line: Line, folder: Path, durability: str) -> None:
    """In a child: commit one number after the other, some in the same turn, and tell of each that is done."""
    node = ServedNode(folder, durability)
    id_ = node.make("d")
    number = 0
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        for _ in range(3):
            number += 1
            place, entry = row(id_, b"\x05n%d" % number, b"v", number)
            node.entries.commit({place: entry}, tell_of(line, number))
        node.desk.end_turn()
        while node.entries._overlay.waiting:  # type: ignore[attr-defined]
            node.desk.turn()


def tell_of(line: Line, number: int) -> Callable[[Error | None], None]:
    return lambda error: line.send((number, error))


def run_node(line: Line, folder: Path, address: Address) -> None:
    """In a child: a whole node, which founds a cluster of its own, until somebody says something."""

    async def main() -> None:
        around = real_surroundings(Credentials(address), folder)
        settings = NodeSettings(founds=True, folder=str(folder), host=host_mark(), insecure=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_process, lambda world: Node(world, settings), around)
            await trio.to_thread.run_sync(line.recv, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()

    trio.run(main)
