"""Going through a Dict while the ring changes under it: each key once, none missed that was there throughout.

Four nodes, of which the last joins late, and an operator that makes members leave and weighs them anew.
Nothing is lost on the way: what is missed, iteration itself has missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from ..client.batching import put_many
from ..client.instruction import Outcome
from ..client.scanning import page
from ..node.node import NodeSettings
from ..node.world import Address, Factory, World
from ..ring.partition import dict_seed, key_hash
from .check import Finished
from .clusterclient import Bell, ClusterClient
from .clustervariants import RingChanges, Wishful
from .history import History, Operation, Status
from .plan import KINDS

STABLE: Sequence[str] = tuple(f"stable {number}" for number in range(300))
"""Written once, before the first scan, and by nobody since."""


class ScanningClient(ClusterClient):
    """Writes what stays, then goes through the Dict again and again."""

    def __init__(
        self, world: World, nodes: Sequence[Address], history: History, keys: Sequence[str], bell: Bell
    ) -> None:
        self._is_filled = False
        super().__init__(world, nodes, history, keys, bell)

    def _act(self) -> None:
        if self._is_filled:
            operation = self.history.invoke(self.world.identity.address, "scan", None)
            self._go_on(operation, None, [])
        else:
            self._fill()

    def _fill(self) -> None:
        items = [(*self._located(key), b"stays") for key in STABLE]

        def ended(outcome: Outcome) -> None:
            self._is_filled = outcome.error is None
            self._think()

        self.driver.start(put_many(self.session, self.dict_id, items), ended)

    def _go_on(self, operation: Operation, place: bytes | None, seen: list[bytes]) -> None:
        def ended(outcome: Outcome) -> None:
            if self.bell.rung:
                return
            if outcome.error is not None:
                self.history.fail(operation, str(outcome.error))
                self._think()
                return
            assert isinstance(outcome.result, tuple)
            rows, following = outcome.result
            seen.extend(key for key, _ in rows)
            if following is None:
                self.history.ok(operation, tuple(key[1:].decode() for key in seen))
                self._think()
            else:
                self._go_on(operation, following, seen)

        self.driver.start(page(self.session, self.dict_id, place, b""), ended)

    def _located(self, key: str) -> tuple[bytes, int]:
        encoded = b"\x03" + key.encode()
        return encoded, key_hash(dict_seed(self.dict_id), encoded)


def each_key_comes_once(run: Finished) -> str | None:
    """Of what stays, every scan has every key, and each once."""
    for one in run.operations:
        if one.kind != "scan" or one.status is not Status.OK:
            continue
        run.checks_count += 1
        seen = Counter(key for key in one.result if key in set(STABLE))
        twice = [key for key, count in seen.items() if count > 1]
        missed = [key for key in STABLE if key not in seen]
        if twice or missed:
            return f"a scan of {one.client} saw twice {twice[:5]} and missed {missed[:5]} of {len(STABLE)}"
    return None


class ScansWhileTheRingChanges(RingChanges):
    """Two that scan, one that puts, one that changes the ring."""

    nodes_count = 4
    clients_count = 4
    without = frozenset(KINDS)
    checks = (each_key_comes_once,)
    scanner_class: ClassVar[type[ClusterClient]] = ScanningClient

    def settings(self, number: int) -> NodeSettings:
        """Two copies of each key, so that no node has all of them."""
        return replace(super().settings(number), replicas=2)

    def client(self, number: int, /) -> Factory:
        def make(world: World) -> ClusterClient | Wishful:
            if number == 0:
                return Wishful(world, self, self.history)
            client_class = ClusterClient if number == 1 else self.scanner_class
            return client_class(world, self.nodes, self.history, self.keys, self.bell)

        return make
