"""A bit that flips on a disk is found though nobody reads the entry, and mended by another owner."""

from __future__ import annotations

import pytest

from ringdict.node.config import SCRUB_PARTITIONS_MAX
from ringdict.node.replicas.convergence import Convergence
from ringdict.node.replicas.scrub import Scrubber

from .keepers import KEY, PARTITIONS, Cluster
from .test_readrepair import entry, give, place, stands

PASS_S = PARTITIONS / SCRUB_PARTITIONS_MAX + 1


def damaged() -> Cluster:
    """A cluster with an entry that is damaged on one of three nodes, whose sum does not know it."""
    cluster = Cluster()
    for number in range(3):
        give(cluster, number, entry(cluster, 1))
    cluster.run_for(6)
    broken = entry(cluster, 1)[:-1] + b"X"
    cluster.keeping(0).entries.commit({place(cluster): broken}, lambda _: None)
    cluster.run_for(0.1)
    assert stands(cluster, 0) == broken
    return cluster


def test_a_flipped_bit_is_found_and_mended() -> None:
    cluster = damaged()
    cluster.run_for(PASS_S)
    assert stands(cluster, 0) == entry(cluster, 1)
    assert cluster.keeping(0).scrubber.status().damaged_count == 1
    assert cluster.keeping(0).scrubber.status().passes_count >= 1
    cluster.run_for(PASS_S)
    cluster.keeping(0).replica.validate()
    assert cluster.keeping(0).scrubber.status().damaged_count == 1, "it is whole now"


def test_without_reading_everything_through_it_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scrubber, "_tick", lambda _: None)
    cluster = damaged()
    cluster.run_for(2 * PASS_S)
    assert stands(cluster, 0) != entry(cluster, 1)


def test_comparing_alone_mends_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no read repair: the sum is found anew, differs, and the entry is pulled."""
    cluster = damaged()
    monkeypatch.setattr(cluster.keeping(0).scrubber, "_damaged", lambda _place: None)
    cluster.run_for(PASS_S + 10)
    assert stands(cluster, 0) == entry(cluster, 1)


def test_read_repair_alone_mends_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = damaged()
    monkeypatch.setattr(Convergence, "_tick", lambda _: None)
    cluster.run_for(PASS_S)
    assert stands(cluster, 0) == entry(cluster, 1)


def test_a_large_partition_is_read_in_steps() -> None:
    cluster = Cluster()
    keys = [b"%s%d" % (KEY, number) for number in range(3_000)]
    for key in keys:
        give(cluster, 0, entry(cluster, 1, key=key), key)
    cluster.run_for(3.0)
    assert cluster.keeping(0).scrubber.status().passes_count == 0
    cluster.run_for(PASS_S + 6)
    assert cluster.keeping(0).scrubber.status().passes_count >= 1
