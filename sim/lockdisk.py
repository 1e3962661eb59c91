"""The disk of an acceptor in the scenario of atomic operations: it tells those who look on what is synced."""

from __future__ import annotations

import msgspec

from ..exception import Error
from ..node.leaders.ballot import Ballot
from ..node.leaders.record import decode_record
from ..node.leaders.shelf import PROMISED, RECORD, place
from ..node.world import Changes, Done, Storage, World

FOUND_MAX = 100_000
"""Records of one node at the most: far more than the few keys of a scenario."""

_ballot = msgspec.msgpack.Decoder(Ballot).decode


def place_of(partition: int, name: bytes | None) -> bytes:
    """Where an acceptor keeps a record, or, without a name, a promise."""
    return place(partition, name)


class WatchedStorage:
    """A storage that says of each promise and each record when it is durable."""

    def __init__(self, world: World, storage: Storage) -> None:
        self._world = world
        self._storage = storage
        #: What an earlier process left: not known to be synced before the first sync of this one.
        self._found: list[tuple[bytes, bytes]] | None = None
        self.get = storage.get
        self.get_many = storage.get_many
        self.scan = storage.scan

    def commit(self, changes: Changes, done: Done) -> None:
        if self._found is None:
            self._found = self._storage.scan(b"L", b"M", FOUND_MAX)

        def synced(error: Error | None) -> None:
            if error is None:
                self._tell({**dict(self._found or ()), **changes})
                self._found = []
            done(error)

        self._storage.commit(changes, synced)

    def _tell(self, changes: Changes) -> None:
        places: list[tuple[bytes, object]] = []
        for key, raw in changes.items():
            if raw is not None and key.startswith(PROMISED):
                places.append((key, _ballot(raw).plain()))
            elif raw is not None and key.startswith(RECORD):
                places.append((key, decode_record(raw).order.plain()))
        if places:
            self._world.trace("synced", node=self._world.identity.node, places=places)
