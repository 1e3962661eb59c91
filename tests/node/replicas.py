"""Replicas for tests: entries, one replica on a made-up disk, and whole members that talk to each other."""

from __future__ import annotations

from collections.abc import Sequence

from ringdict.exception import Error
from ringdict.node import layout
from ringdict.node.durability import Durability
from ringdict.node.entry import NO_OPERATION, Stored, encode
from ringdict.node.replica import Replica, place_of
from ringdict.node.stretch import Row
from ringdict.node.transaction import DictState
from ringdict.node.world import Address, World
from ringdict.ring.partition import dict_seed, key_hash
from ringdict.sim.simulation import Simulation

DICT = b"dict-id8"
OTHER = b"other-id"
NOW_MS = 1_000_000
EVERYWHERE = b"\xff" * (layout.PARTITIONS // 8)


def row(
    key: bytes,
    version: int = 1,
    body: bytes = b"\x01",
    *,
    dict_id: bytes = DICT,
    node: int = 1,
    touch: int = 0,
    expires_ms: int = 0,
    flags: int = 0,
) -> Row:
    """One entry and its place. `key` gets the first byte that keys have."""
    key = key if key.startswith(b"\x03") else b"\x03" + key
    hash_ = key_hash(dict_seed(dict_id), key)
    long_key = key if layout.is_long(key) else b""
    entry = Stored(flags, version, node, touch, expires_ms, NO_OPERATION, long_key, body)
    return place_of(dict_id, key, hash_), encode(entry, hash_)


class Quiet:
    """A process that does nothing."""

    def on_frame(self, _source: Address, _frame: bytes) -> None:
        raise NotImplementedError

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        raise NotImplementedError


class One:
    """A single replica on a made-up disk."""

    def __init__(self, dicts: Sequence[bytes] = (DICT, OTHER)) -> None:
        self.simulation = Simulation(seed=1)
        self.now_ms = NOW_MS
        self.answers: list[tuple[Error | None, int]] = []
        self.host = self.simulation.host("node", self._start)
        self.simulation.run_for(0.1)
        for dict_id in dicts:
            self.storage.commit({layout.STATE + dict_id: DictState(0, 0, 0, 0, 0).encode()}, lambda _: None)
        self.settle()

    def _start(self, world: World) -> Quiet:
        self.world = world
        self.storage = world.storage("entries", Durability.NONE)
        self.replica = Replica(world, self.storage, lambda: self.now_ms)
        return Quiet()

    def settle(self) -> None:
        """Let what was asked for happen."""
        self.simulation.run_for(0.5)

    def apply(self, *rows: Row) -> int:
        """Merge entries; the highest version that stands where one was not newer."""
        self.answers.clear()
        self.replica.apply(rows, lambda error, newer: self.answers.append((error, newer)))
        self.settle()
        [(error, newer)] = self.answers
        assert error is None
        return newer

    def contents(self) -> dict[bytes, bytes]:
        """All that stands there."""
        return dict(self.storage.scan((256).to_bytes(8, "big"), b"\xff" * 20, 1_000_000))
