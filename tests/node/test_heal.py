"""Five nodes with 10,000 keys are equal again within ten seconds of the heal, with default settings."""

from __future__ import annotations

from collections import Counter

import pytest

from ringdict.node.network import bus
from ringdict.node.network.message import Message
from ringdict.node.network.wire import encode
from ringdict.ring.partition import dict_seed, key_hash
from ringdict.sim.network import Noise

from .keepers import PARTITIONS, Cluster
from .repairtrial import HEAL_S, NODES, RepairCluster, Trial, WatchedNode, rows_of

KEYS = 10_000
STEP_S = 0.25


class AllPartitions(Trial):
    """Keys in all partitions."""

    def _keys(self, count: int) -> list[tuple[bytes, int]]:

        seed = dict_seed(self.cluster.dict_id)
        return [(key, key_hash(seed, key)) for key in (b"\x03%d" % number for number in range(count))]


def unequal(cluster: RepairCluster) -> int:
    """In how many partitions the owners do not hold the same."""
    count = 0
    keepings = [host.process.keeping for host in cluster.hosts if isinstance(host.process, WatchedNode)]
    assert len(keepings) == NODES
    for partition in range(PARTITIONS):
        owners = [each for each in keepings if each.view is not None and each.view.owns(partition)]
        copies = [rows_of(each.replica, cluster.dict_id, partition, 0) for each in owners]
        count += any(copy != copies[0] for copy in copies)
    return count


@pytest.mark.deep
@pytest.mark.parametrize("hints_lost", [False, True], ids=["hints kept", "hints lost"])
def test_ten_thousand_keys_are_equal_within_ten_seconds_of_the_heal(*, hints_lost: bool) -> None:
    trial = AllPartitions(1, KEYS)
    cluster = trial.cluster
    cluster.run_for(2)
    mend = trial.cut(cluster.hosts[0])
    for _ in range(100):
        for _ in range(KEYS // 100):
            trial.write()
        cluster.run_for(0.1)
    cluster.run_for(2)
    for host in cluster.hosts if hints_lost else ():
        trial.lose_hints(host)()
    cluster.run_for(0.5)
    differing = unequal(cluster)
    assert differing > PARTITIONS // 2
    mend()
    cluster.simulation.network.noise = Noise()
    healed_s = 0.0
    while unequal(cluster):
        cluster.run_for(STEP_S)
        healed_s += STEP_S
        assert healed_s <= HEAL_S, f"{unequal(cluster)} of {differing} partitions are not equal"
    print(f"{differing} partitions equal {healed_s} s after the heal")


def test_replicas_that_are_equal_cost_less_than_a_hundred_bytes_a_second_and_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster()
    cluster.run_for(10)
    sizes: Counter[str] = Counter()

    def counting(message: Message) -> bytes:
        frame = encode(message)
        sizes[type(message).__name__] += len(frame)
        return frame

    monkeypatch.setattr(bus, "encode", counting)
    cluster.run_for(60)
    pairs = 3
    assert sizes["AskRoot"], "they do compare"
    assert not sizes["AskSums"]
    assert not sizes["AskPlaces"]
    assert (sizes["AskRoot"] + sizes["Root"]) / (60 * pairs) <= 100
