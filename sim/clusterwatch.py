"""Who serves what: parts of a node that say so, and the watcher that holds it against the decrees."""

from __future__ import annotations

from collections.abc import Callable

from ..node.network.message import Get, GetMany
from ..node.replicas.coordinator import Coordinator
from ..node.replicas.service import Service
from ..node.replicas.write import Write
from ..node.world import NS_PER_S, Address
from ..ring.codec import decode_decree
from ..ring.decree import Decree
from ..ring.partition import dict_seed, key_hash


def _nobody(_epoch: int, _partitions: list[int]) -> None:
    """Nobody is told."""


class WatchedService(Service):
    """Says, for each read that it answers, by which epoch the client goes and which partitions it reads."""

    serves: Callable[[int, list[int]], None] = staticmethod(_nobody)

    def _get(self, source: Address, request: Get) -> None:
        self._say(request, [request.key])
        super()._get(source, request)

    def _get_many(self, source: Address, request: GetMany) -> None:
        self._say(request, request.keys)
        super()._get_many(source, request)

    def _say(self, request: Get | GetMany, keys: list[bytes]) -> None:
        seed, mask = dict_seed(request.dict_id), self._admission.view.decree.partitions - 1
        partitions = {key_hash(seed, key) & mask for key in keys}
        self.serves(request.epoch, sorted(partitions))


class WatchedWrite(Write):
    """Says by which epoch it goes and which partitions it writes."""

    def begin(self) -> None:
        partitions = list(self._drafts.partitions)
        self._parts.world.trace("coordinates", epoch=self.view.epoch, partitions=partitions)
        super().begin()


class WatchedCoordinator(Coordinator):
    """Says what it coordinates."""

    write_class = WatchedWrite


class OnlyOwners:
    """No key is read from a node, or its write coordinated by one, that does not own it in the epoch that
    both sides go by."""

    def __init__(self) -> None:
        self.decrees: dict[object, Decree] = {}
        self.goes_by: dict[Address, tuple[object, bytes]] = {}
        self.served_count = 0

    def watch(self, at_ns: int, address: Address, event: str, facts: dict[str, object]) -> str | None:
        if event == "goes by":
            epoch, data, node = facts["epoch"], facts["decree"], facts["node"]
            assert isinstance(data, bytes)
            assert isinstance(node, bytes)
            if epoch not in self.decrees:
                self.decrees[epoch] = decode_decree(data)
            self.goes_by[address] = (epoch, node)
            return None
        if event not in ("serves", "coordinates"):
            return None
        what = self._fault(address, event, facts)
        return None if what is None else f"at {at_ns / NS_PER_S:.3f} s {address} {what}"

    def _fault(self, address: Address, event: str, facts: dict[str, object]) -> str | None:
        self.served_count += 1
        asked, partitions = facts["epoch"], facts["partitions"]
        assert isinstance(partitions, list)
        epoch, node = self.goes_by.get(address, (None, b""))
        if asked != epoch:
            return f"{event} by epoch {asked}, and goes by epoch {epoch} itself"
        decree = self.decrees[epoch]
        number = decree.number_of(node)
        for partition in partitions:
            if number is None or number not in decree.owners(partition):
                return f"{event} partition {partition}, which it does not own in epoch {epoch}"
        return None
