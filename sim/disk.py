"""Made-up disks, which forget what they were not made to keep.

What a commit goes through: *staged* (seen by its own process alone), *written* (in the memory of the
operating system: the death of the process does not lose it), *synced* (on the disk). A process that dies
leaves what was written and a part of what was staged. A power cut leaves what was synced and a part of the
rest: the bytes after the last sync are a log that is cut off at any byte, perhaps with a bit turned, and what
is read back is what is whole. A disk can be slow, full, or fail its next sync, and a bit can rot in what it
holds.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

import ormsgpack

from ..exception import Error, StoreDamagedError, StoreFullError, UnavailableError
from ..node.config import STORAGE_KEY_BYTES_MAX, STORAGE_VALUE_BYTES_MAX
from ..node.disk.durability import Durability
from ..node.served.overlay import Overlay
from ..node.world import ANY_BYTES, Changes, Done
from .config import FLUSH_NS, SECTOR_BYTES, SYNC_NS_MIN, SYNC_SPREAD_NS, TURNED_BIT_RATIO, WRITE_NS
from .journal import Journal
from .loop import Loop

_HEAD = struct.Struct(">II")


def encode_log(batches: list[Changes]) -> bytes:
    """Commits as a log on disk: each with its length and a checksum."""
    parts = []
    for changes in batches:
        body = ormsgpack.packb(list(changes.items()))
        parts.append(_HEAD.pack(len(body), zlib.crc32(body)) + body)
    return b"".join(parts)


def decode_log(log: bytes) -> list[Changes]:
    """The commits of a log up to the first that is not whole."""
    batches: list[Changes] = []
    place = 0
    while place + _HEAD.size <= len(log):
        size, checksum = _HEAD.unpack_from(log, place)
        body = log[place + _HEAD.size : place + _HEAD.size + size]
        if len(body) < size or zlib.crc32(body) != checksum:
            break
        batches.append({bytes(key): value for key, value in ormsgpack.unpackb(body)})
        place += _HEAD.size + size
    return batches


class Volume:
    """One storage's bytes, from boot to boot."""

    __slots__ = ("durable", "goes_back", "keys", "rotten", "tail", "written_count")

    def __init__(self) -> None:
        #: What a process reads back that dies now: what is synced, with `tail` applied.
        self.durable: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        #: Written and not synced, oldest first, each with what it replaced.
        self.tail: deque[tuple[Changes, Changes]] = deque()
        #: Commits ever written. The last of them are `tail`.
        self.written_count = 0
        #: Whether a power cut takes it back to the last sync point, whole (durability `interval`).
        self.goes_back = False
        #: Keys whose bytes are not what was written.
        self.rotten: set[bytes] = set()

    def write(self, changes: Changes) -> None:
        """Apply one commit, in the operating system's memory."""
        self.tail.append((changes, {key: self.durable.get(key) for key in changes}))
        self.written_count += 1
        self._apply(changes)

    def sync(self, up_to: int) -> None:
        """What was written up to that many commits is on the disk now."""
        while self.written_count - len(self.tail) < up_to:
            self.tail.popleft()

    def revert(self, count: int) -> None:
        """The newest `count` commits were not written after all."""
        for _ in range(count):
            _, replaced = self.tail.pop()
            self.written_count -= 1
            self._apply(replaced)

    def cut_power(self, dice: Random) -> bool:
        """Lose what was not synced, but for a beginning of it; whether a commit was torn."""
        if not self.tail:
            return False
        batches = [changes for changes, _ in self.tail]
        self.revert(len(batches))
        log = bytearray() if self.goes_back else bytearray(encode_log(batches))
        del log[dice.randrange(len(log) + 1) :]
        if log and dice.random() < TURNED_BIT_RATIO:
            log[-1 - dice.randrange(min(len(log), SECTOR_BYTES))] ^= 1 << dice.randrange(8)
        kept = decode_log(bytes(log))
        for changes in kept:
            self._apply(changes)
        # Counted as more than were ever written: what was to be synced later is gone, or here already.
        self.written_count += len(batches)
        return len(encode_log(kept)) != len(log)

    def _apply(self, changes: Changes) -> None:
        for key, value in changes.items():
            self.rotten.discard(key)
            if value is None:
                if self.durable.pop(key, None) is not None:
                    del self.keys[bisect_left(self.keys, key)]
            else:
                if key not in self.durable:
                    insort(self.keys, key)
                self.durable[key] = value


class Disk:
    """All volumes of one host, and what is wrong with them."""

    def __init__(self, loop: Loop, journal: Journal, address: str, dice: Random) -> None:
        self.loop = loop
        self.journal = journal
        self.address = address
        self.dice = dice
        self.volumes: dict[str, Volume] = {}
        self.syncs_count = 0
        #: Added to every sync.
        self.slow_ns = 0
        self.full = False
        #: Syncs that are going to fail.
        self.failing_count = 0
        #: Told, once, of the next commit (sim/host.py: a crash between a write and its sync).
        self.on_commit: Callable[[int], None] | None = None

    def volume(self, name: str) -> Volume:
        """The volume of that name, made if there is none."""
        volume = self.volumes.get(name)
        if volume is None:
            volume = self.volumes[name] = Volume()
        return volume

    def cut_power(self) -> None:
        """Lose what was not synced, on every volume."""
        for name, volume in self.volumes.items():
            if volume.cut_power(self.dice):
                self.note(name, "torn")

    def rot(self, name: str) -> bool:
        """Turn a bit in one entry of a volume; whether there was any."""
        volume = self.volumes.get(name)
        if volume is None or not volume.keys:
            return False
        volume.rotten.add(self.dice.choice(volume.keys))
        self.note(name, "rot")
        return True

    def sync_ns(self) -> int:
        """How long the next sync takes."""
        return SYNC_NS_MIN + self.dice.randrange(SYNC_SPREAD_NS) + self.slow_ns

    def note(self, name: str, what: str) -> None:
        """One event of a volume."""
        self.journal.add((self.loop.now_ns, "disk", self.address, name, what))


class SimStorage:
    """A process's view of one volume, from one boot to its end. Keeps the contract of `Storage`."""

    def __init__(self, disk: Disk, name: str, durability: Durability, alive: Callable[[], bool]) -> None:
        self._disk = disk
        self._name = name
        self._volume = disk.volume(name)
        self._fsync = durability is Durability.FSYNC
        self._volume.goes_back = durability is Durability.INTERVAL
        self._alive = alive
        self._overlay = Overlay()
        self._busy = False
        #: The oldest commits in the overlay that are on their way to the operating system.
        self._staged_count = 0
        self._broken: Error | None = None
        if durability is not Durability.NONE:  # what is found may be of a process that died before its sync
            self._volume.sync(self._volume.written_count)

    def get(self, key: bytes) -> bytes | None:
        if key in self._overlay:
            return self._overlay.get(key)
        if self._volume.rotten and key in self._volume.rotten:
            raise self._damage(key)
        return self._volume.durable.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def scan(
        self, first: bytes, end: bytes, count_max: int, bytes_max: int = ANY_BYTES
    ) -> list[tuple[bytes, bytes]]:
        volume = self._volume
        keys = volume.keys
        low, high = bisect_left(keys, first), bisect_left(keys, end)
        found = keys[low : min(high, low + count_max + self._overlay.keys_count)]
        for key in found if volume.rotten else ():
            if key in volume.rotten and key not in self._overlay:
                raise self._damage(key)
        return self._overlay.merge(
            first, end, count_max, ((key, volume.durable[key]) for key in found), bytes_max
        )

    def _damage(self, key: bytes) -> StoreDamagedError:
        return StoreDamagedError(
            f"{self._name} of {self._disk.address}: {key!r} is not what was written", key
        )

    def commit(self, changes: Changes, done: Done) -> None:
        if not self._alive():
            return
        for key, value in changes.items():
            assert 0 < len(key) <= STORAGE_KEY_BYTES_MAX
            assert value is None or len(value) <= STORAGE_VALUE_BYTES_MAX
        self._overlay.add(changes, done)
        if not self._busy:
            self._begin()
        if self._disk.on_commit is not None:
            told, self._disk.on_commit = self._disk.on_commit, None
            told(SYNC_NS_MIN)

    def die(self) -> None:
        """The process is dead: of what it had not handed over, a beginning may have got through."""
        staged = self._overlay.first(self._staged_count)
        for changes in staged[: self._disk.dice.randrange(len(staged) + 1)]:
            self._volume.write(changes)

    # -- one group at a time: stage, write, sync, tell ---------------------------------------------

    def _begin(self) -> None:
        loop = self._disk.loop
        self._busy = True
        self._staged_count = 0
        if self._broken is not None:
            loop.call_after(WRITE_NS, self._fail, self._broken)
        elif self._disk.full:
            error = StoreFullError(f"no room for {self._name} on the disk of {self._disk.address}")
            loop.call_after(WRITE_NS, self._fail, error)
        else:
            self._staged_count = len(self._overlay.waiting)
            loop.call_after(WRITE_NS, self._write)

    def _write(self) -> None:
        if not self._alive():
            return
        count, self._staged_count = self._staged_count, 0
        for changes in self._overlay.first(count):
            self._volume.write(changes)
        disk, up_to = self._disk, self._volume.written_count
        if self._fsync:
            disk.loop.call_after(disk.sync_ns(), self._sync, count, up_to)
        else:
            disk.loop.call_after(FLUSH_NS, self._flush, up_to)
            self._tell(count)

    def _flush(self, up_to: int) -> None:
        """The operating system brings its own to disk; sync points are taken by a process that lives."""
        if self._alive() or not self._volume.goes_back:
            self._volume.sync(up_to)

    def _sync(self, count: int, up_to: int) -> None:
        if not self._alive():
            return
        disk = self._disk
        if disk.failing_count:
            disk.failing_count -= 1
            disk.note(self._name, "failed")
            if disk.dice.random() < 0.5:  # the disk kept them nevertheless in the other half of the cases
                self._volume.revert(count)
            self._broken = UnavailableError(f"the disk of {disk.address} failed a sync of {self._name}")
            self._fail(self._broken)
            return
        disk.syncs_count += 1
        disk.note(self._name, "synced")
        self._volume.sync(up_to)
        self._tell(count)

    def _tell(self, count: int) -> None:
        for _ in range(count):
            if not self._alive():
                return
            self._overlay.settle()(None)
        self._next()

    def _fail(self, error: Error) -> None:
        for done in self._overlay.discard():
            if self._alive():
                done(error)
        self._next()

    def _next(self) -> None:
        self._busy = False
        if self._overlay.waiting and self._alive():
            self._begin()
