"""Very many atomic keys: another node takes over as fast as with few, since it settles by sums and pages."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import pytest
from xxhash import xxh3_64_intdigest

from ringdict import Dict
from ringdict.client.keys import encode_key
from ringdict.node.leaders.ballot import NO_BALLOT, Order
from ringdict.node.leaders.record import Record, encode_record, name_of
from ringdict.node.leaders.shelf import Draft, Shelf, move_sum, place
from ringdict.node.store.layout import PARTITION_MASK
from ringdict.node.world import ANY_BYTES, Changes, Done
from ringdict.ring.partition import dict_seed

from .nodes import RealCluster, wait_until
from .test_atomics import FAILOVER_S, id_of, led

BATCH_KEYS = 20_000


class Bare:
    """The storage of a node that is not running, as far as a shelf asks for it."""

    def __init__(self, transaction: lmdb.Transaction) -> None:
        self._transaction = transaction

    def get(self, key: bytes) -> bytes | None:
        raw = self._transaction.get(key)
        return None if raw is None else bytes(raw)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        raise NotImplementedError

    def scan(
        self, first: bytes, end: bytes, count_max: int, bytes_max: int = ANY_BYTES
    ) -> list[tuple[bytes, bytes]]:
        raise NotImplementedError

    def commit(self, changes: Changes, done: Done) -> None:
        raise NotImplementedError


def fill(folder: Path, dict_id: bytes, count: int, body: bytes) -> None:
    """As if that many keys had been taken, one after the other, under the ballots that stand."""
    seed = dict_seed(dict_id)
    with lmdb.open(str(folder), map_size=1 << 34, sync=False) as environment:
        for first in range(0, count, BATCH_KEYS):
            with environment.begin(write=True) as transaction:
                storage = Bare(transaction)
                shelf, draft = Shelf(storage), Draft(storage)
                for number in range(first, min(count, first + BATCH_KEYS)):
                    key = encode_key(f"key{number}")
                    partition = xxh3_64_intdigest(key, seed) & PARTITION_MASK
                    order = Order(shelf.promised(partition), 1_000_000 + number)
                    assert order.ballot != NO_BALLOT
                    operation_id = number.to_bytes(16, "big")
                    record = Record(
                        order, order, operation_id, b"", (1 << 40) + number, body, taken_id=operation_id
                    )
                    name = name_of(dict_id, key)
                    draft.changes[place(partition, name)] = encode_record(record)
                    move_sum(draft, partition, name, None, order, record.token)
                for place_of, raw in sorted(draft.changes.items()):
                    assert raw is not None
                    transaction.put(place_of, raw)


def longest_gap_s(d: Dict[str, Any], stop: threading.Event, gaps: list[float]) -> None:
    """Ask for one key after the other, all taken and most of them seen before, until told to stop."""
    number = 0
    while not stop.is_set():
        begun_s = time.monotonic()
        assert not d.put(f"key{number % 100}", "mine", skip_if_exists=True)
        gaps.append(time.monotonic() - begun_s)
        number += 1


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "count",
    [pytest.param(100_000, marks=pytest.mark.deep), pytest.param(1_000_000, marks=pytest.mark.campaign)],
)
def test_a_killed_leader_of_very_many_keys_is_followed_within_two_seconds(tmp_path: Path, count: int) -> None:
    with RealCluster(tmp_path) as cluster:
        cluster.wait_ready()
        wait_until(lambda: led(cluster) == 1024)
        with cluster.client() as client:
            d = Dict[str, Any].from_name("many", create_if_missing=True, cluster=client)
            d.hydrate()
            dict_id = id_of(d)
        for node in cluster.nodes:
            node.stop()
        first = cluster.nodes[0].folder / "data" / "consensus"
        fill(first, dict_id, count, encode_body())
        for node in cluster.nodes[1:]:
            other = node.folder / "data" / "consensus"
            shutil.rmtree(other)
            shutil.copytree(first, other)
        for node in cluster.nodes:
            node.start()
        cluster.wait_ready()
        wait_until(lambda: led(cluster) == 1024)
        with cluster.client(timeout_s=20) as client:
            d = Dict[str, Any].from_name("many", cluster=client)
            assert not d.put(f"key{count - 1}", "mine", skip_if_exists=True)
            stop, gaps = threading.Event(), list[float]()
            asking = threading.Thread(target=longest_gap_s, args=(d, stop, gaps))
            asking.start()
            time.sleep(1)
            cluster.nodes[1].kill()
            time.sleep(4)
            stop.set()
            asking.join()
        assert len(gaps) > 100
        assert max(gaps) < FAILOVER_S


def encode_body() -> bytes:
    """A value of some bytes, as the codec writes it."""
    return b"\xa4held"
