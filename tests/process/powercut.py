"""Power cuts: several real processes write, step by step, and at any moment there is an image of the disk.

The processes' `Disk` brings nothing to disk: it tells this side, which keeps what the disk certainly has (the
content of a file when its last finished sync began, and the names that a synced folder had) and what the
operating system has (the files). An image takes, for each page written since, the old state, the new one, one
in between, or a torn one.

Rules of this file:
1. Nothing happens but what `Machine` lets happen: a process waits for leave before each step of a sync.
2. All comes from one seed, so that a failure can be looked at again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from ringdict import Cluster, Dict
from ringdict.node.clock import SystemClock
from ringdict.node.disk.datafile import DATA
from ringdict.node.disk.durability import Durability
from ringdict.node.disk.folder import ENTRIES
from ringdict.node.disk.metapage import PAGE_BYTES
from ringdict.node.disk.syncpoint import SLOT_BYTES, SYNCED, SyncPoint, newest, side_files
from ringdict.node.store.store import Store

from .audit import check_consistent
from .child import Child, DiedError, Line

SECTOR_BYTES = 512
"""What a disk writes whole."""
PROCESSES_MAX = 3
VERSIONS_MAX = 6
"""States of the data file between two syncs that are remembered."""
KEYS = 40
VALUE_BYTES_MAX = 6000

Patch = Callable[["NoDisk"], None]
"""What a mutant changes, in each process; it is given the process's disk."""


class AnotherBoot(SystemClock):
    """The host's clocks after it was started anew."""

    def boot_id(self) -> bytes:
        return bytes(byte ^ 0xFF for byte in super().boot_id())


class NoDisk:
    """Brings nothing to disk."""

    def __init__(self) -> None:
        #: Steps that a mutant leaves out.
        self.without: set[str] = set()

    def sync_data(self, descriptor: int) -> None:
        pass

    def write(self, descriptor: int, content: bytes, at: int) -> None:
        os.pwrite(descriptor, content, at)

    def sync_side_file(self, descriptor: int) -> None:
        pass

    def sync_names(self, folder: Path) -> None:
        pass


class ToldDisk(NoDisk):
    """Tells the machine of each step, and waits for its leave."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def sync_data(self, descriptor: int) -> None:
        self.step("sync_data")

    def write(self, descriptor: int, content: bytes, at: int) -> None:
        self.step("write")
        os.pwrite(descriptor, content, at)

    def sync_side_file(self, descriptor: int) -> None:
        self.step("sync_side_file")

    def sync_names(self, folder: Path) -> None:
        self.step("sync_names")

    def step(self, name: str) -> None:
        if name in self.without:
            return
        for moment in ("before", "after"):
            self._line.send((moment, name))
            self._line.recv()


def serve(line: Line, folder: Path, patch: Patch | None) -> None:
    """A process that writes: carries out one command after the other."""
    disk = ToldDisk(line)
    if patch is not None:
        patch(disk)
    store = Store(folder, durability=Durability.INTERVAL, disk=disk, background=False)
    cluster = Cluster(f"file://{folder}")
    cluster._store = store
    d: Dict[int, bytes] = Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()
    command: str = "open"
    argument: Any = None
    while command != "close":
        if command == "put":
            d.update(argument)
        elif command == "remove":
            d.delete_many(argument)
        elif command == "take":
            assert store.keeper is not None
            store.keeper.take()
        with store.reading() as transaction:
            line.send(("done", transaction.id()))
        command, argument = line.recv()
    store.close()
    line.send(("done", 0))


class Writer:
    """A process, as the machine sees it."""

    def __init__(self, folder: Path, patch: Patch | None) -> None:
        self.child = Child(serve, folder, patch)
        #: What it is carrying out, "" for nothing.
        self.command = "open"
        self.argument: Any = None
        #: The step of it that it waits in, and whether that is done.
        self.moment = ""
        self.step = ""
        #: What the data file was when the sync began that it is at.
        self.syncing = b""
        #: Which one it is, of all.
        self.began = 0


class Machine:
    """The processes, and what the disk has of their store.

    Raises AssertionError from `cut` if a power cut would have broken a promise.
    """

    def __init__(self, folder: Path, seed: int, patch: Patch | None = None) -> None:
        self.folder = folder / "store"
        self._image = folder / "image"
        self._random = Random(seed)
        self._patch = patch
        #: Those that are alive.
        self.writers: list[Writer] = []
        self._content: dict[int, bytes] = {}
        #: What the Dict held after each transaction.
        self._states: dict[int, dict[int, bytes]] = {}
        self._data = b""
        self._syncs = self._synced = 0
        self._versions: list[bytes] = []
        self._sides: dict[str, bytes] = {}
        self._names: set[str] = set()
        #: The sync point that nobody may go back behind.
        self.floor = 0
        self.cuts = 0

    def __enter__(self) -> Self:
        writer = self.spawn()
        self.let_on_to_the_end(writer)  # it makes the store, and the Dict
        self.finish(writer, "take")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self.writers:
            writer.child.kill()

    # -- what happens --------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Let something happen."""
        choice = self._random
        # Whoever opens, writes or closes has locks while it syncs: nobody else may then do so.
        alone = [writer for writer in self.writers if writer.command not in ("", "take")]
        syncing = [writer for writer in self.writers if writer.command == "take"]
        idle = [writer for writer in self.writers if not writer.command]
        dice = choice.random()
        if alone and dice < 0.9:
            self.let_on(alone[0])
        elif dice < 0.03 and self.writers:
            self.kill(choice.choice(self.writers))
        elif syncing and dice < 0.5:
            self.let_on(choice.choice(syncing))
        elif alone:
            return
        elif len(self.writers) < PROCESSES_MAX and (not self.writers or dice < 0.6):
            self.spawn()
        elif idle:
            writer = choice.choice(idle)
            dice = choice.random()
            if dice < 0.7:
                count = 1 if choice.random() < 0.9 else KEYS // 2
                size_bytes = choice.randrange(VALUE_BYTES_MAX)
                self.begin(
                    writer,
                    "put",
                    {choice.randrange(KEYS): choice.randbytes(size_bytes) for _ in range(count)},
                )
            elif dice < 0.75:
                self.begin(writer, "remove", choice.sample(range(KEYS), 10))
            elif dice < 0.97:
                self.begin(writer, "take", None)
            else:
                self.begin(writer, "close", None)

    def spawn(self) -> Writer:
        """Start a process that writes."""
        writer = Writer(self.folder, self._patch)
        self.writers.append(writer)
        self._hear(writer)
        return writer

    def kill(self, writer: Writer) -> None:
        """SIGKILL."""
        writer.child.kill()
        self.writers.remove(writer)
        if writer.command in ("put", "remove"):  # it waited in front of its commit, which never comes
            self._remember()

    def begin(self, writer: Writer, command: str, argument: Any = None) -> None:
        """Give an idle process a command; it carries it out, or comes to the first step of a sync."""
        writer.command, writer.argument = command, argument
        writer.child.line.send((command, argument))
        self._hear(writer)

    def finish(self, writer: Writer, command: str, argument: Any = None) -> None:
        """Have a command carried out."""
        self.begin(writer, command, argument)
        self.let_on_to_the_end(writer)

    def let_on_to_the_end(self, writer: Writer) -> None:
        """Let a process finish what it is at."""
        while writer.command:
            self.let_on(writer)

    def let_on(self, writer: Writer) -> None:
        """Let a process go on to its next step."""
        if (writer.moment, writer.step) == ("before", "sync_data"):
            self._syncs += 1
            writer.syncing, writer.began = self._read_data(), self._syncs
        elif writer.moment == "after":
            self._done(writer)
        writer.child.line.send("go on")
        self._hear(writer)

    def _done(self, writer: Writer) -> None:
        """A step is over: note what the disk has now."""
        present = {path.name for path in side_files(self.folder)}
        if writer.step == "sync_data":
            if writer.began > self._synced:  # else one that began later is over already
                self._data, self._synced = writer.syncing, writer.began
                self._versions.clear()
        elif writer.step == "sync_side_file":
            mine = {name for name in present if name.startswith(f"{writer.child.pid}-")}
            self._sides.update({name: self._side(name) for name in mine})
        elif writer.step == "sync_names":
            self._names = present
            self._sides = {name: self._sides[name] for name in present & self._sides.keys()}
        told = [point for name in self._names & self._sides.keys() for point in decoded(self._sides[name])]
        self.floor = max([self.floor, *(point.transaction for point in told)])
        if writer.step == "sync_names" and not present:  # closed cleanly: all is on disk
            self.floor = max(self._states)

    def _hear(self, writer: Writer) -> None:
        message, value = writer.child.receive()
        if message != "done":
            writer.moment, writer.step = message, value
            return
        if writer.command == "put":
            self._content.update(writer.argument)
        elif writer.command == "remove":
            for key in writer.argument:
                self._content.pop(key, None)
        elif writer.command == "close":
            self.writers.remove(writer)
            writer.child.exit_status()
        if value:
            self._states[value] = dict(self._content)
        writer.command = writer.moment = writer.step = ""
        self._remember()

    def _remember(self) -> None:
        """The operating system may write a page at any time, so any state of it may be what the disk has."""
        version = self._read_data()
        if len(self._versions) < VERSIONS_MAX:
            self._versions.append(version)
        else:
            self._versions[self._random.randrange(VERSIONS_MAX)] = version

    def _read_data(self) -> bytes:
        return (self.folder / ENTRIES / DATA).read_bytes()

    def _side(self, name: str) -> bytes:
        return (self.folder / SYNCED / name).read_bytes()

    # -- the power cut -------------------------------------------------------------------------------

    def cut(self) -> None:
        """See what a process finds that opens the store after a power cut at this moment."""
        self.cuts += 1
        shutil.rmtree(self._image, ignore_errors=True)
        (self._image / ENTRIES).mkdir(parents=True)
        (self._image / SYNCED).mkdir()
        (self._image / ENTRIES / DATA).write_bytes(self._data_image())
        shutil.copy(self.folder / "stamp", self._image / "stamp")
        for name in sorted(self._names | {path.name for path in side_files(self.folder)}):
            content = self._side_image(name)
            if content is not None:
                (self._image / SYNCED / name).write_bytes(content)
        point = newest(self._image)
        with Child(find, self._image, self._patch) as child:
            try:
                transaction, found = child.result()
            except DiedError as error:
                raise AssertionError(f"the store cannot be opened: {error}") from error
        assert transaction >= self.floor, f"went back behind sync point {self.floor}, to {transaction}"
        assert point is None or transaction == point.transaction, "not at the sync point that counts"
        assert found == self._states[transaction], f"what transaction {transaction} left is not there"

    def _data_image(self) -> bytes:
        choice, old, new = self._random, self._data, self._read_data()
        way = choice.choice(["none", "all", "random", "in order", "reverse"])
        if way == "all":
            return new
        size_bytes = choice.choice([len(old), len(new)])
        if way == "none":
            return old.ljust(size_bytes, b"\0")
        pages = [
            at
            for at in range(0, len(new), PAGE_BYTES)
            if new[at : at + PAGE_BYTES] != old[at : at + PAGE_BYTES]
        ]
        image = bytearray(old.ljust(len(new), b"\0"))
        if way == "random":
            for at in pages:
                version = choice.choice([old, new, new, *self._versions])
                page = version[at : at + PAGE_BYTES].ljust(PAGE_BYTES, b"\0")
                torn_at = choice.choice([PAGE_BYTES] * 9 + [SECTOR_BYTES * choice.randrange(8)])
                image[at : at + torn_at] = page[:torn_at]
        else:
            pages = pages if way == "in order" else pages[::-1]
            for at in pages[: choice.randrange(len(pages) + 1)]:
                image[at : at + PAGE_BYTES] = new[at : at + PAGE_BYTES]
        return bytes(image[:size_bytes])

    def _side_image(self, name: str) -> bytes | None:
        """What is left of a side file, None if it is not there."""
        choice = self._random
        old = self._sides.get(name, b"")
        try:
            new = self._side(name)
        except FileNotFoundError:  # removed, but perhaps not on disk
            return choice.choice([None, old])
        if name not in self._names and choice.random() < 0.5:
            return None
        way = choice.choice(["none", "all", "torn"])
        if way != "torn":
            return new if way == "all" else old
        image = bytearray(old.ljust(len(new), b"\0"))
        for at in range(0, len(new), SECTOR_BYTES):
            if choice.random() < 0.5:
                image[at : at + SECTOR_BYTES] = new[at : at + SECTOR_BYTES]
        return bytes(image)


def decoded(content: bytes) -> list[SyncPoint]:
    """The sync points that a side file of that content tells of."""
    slots = [content[at : at + SLOT_BYTES] for at in range(0, len(content), SLOT_BYTES)]
    return [point for slot in slots if (point := SyncPoint.decode(slot)) is not None]


def find(_: Line, folder: Path, patch: Patch | None) -> tuple[int, dict[int, bytes]]:
    """Open a store after a power cut: its last transaction, and what the Dict holds."""
    disk = NoDisk()
    if patch is not None:
        patch(disk)
    store = Store(folder, durability=Durability.INTERVAL, clock=AnotherBoot(), disk=disk, background=False)
    cluster = Cluster(f"file://{folder}")
    cluster._store = store
    with store.reading() as transaction:
        number = transaction.id()
    d: Dict[int, bytes] = Dict.from_name("d", cluster=cluster)
    found = dict(d.items())
    check_consistent(store)
    d["after"] = b"works again"  # type: ignore[index]
    store.close()
    return number, found
