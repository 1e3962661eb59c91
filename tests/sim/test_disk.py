"""Made-up disks lose what they may, and nothing else."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.exception import Error, StoreDamagedError, UnavailableError
from ringdict.node.disk.durability import Durability
from ringdict.sim.config import FLUSH_NS
from ringdict.sim.disk import Disk, SimStorage, Volume, decode_log, encode_log
from ringdict.sim.journal import Journal
from ringdict.sim.loop import Loop

MS = 1_000_000


class Bench:
    """One disk, and a process's view of it."""

    def __init__(self, seed: int = 1, durability: Durability = Durability.FSYNC) -> None:
        self.loop = Loop()
        self.disk = Disk(self.loop, Journal(), "n0", Random(seed))
        self.durability = durability
        self.told: list[tuple[int, Error | None]] = []
        self.boot()

    def boot(self) -> None:
        self.alive = alive = [True]
        self.storage = SimStorage(self.disk, "s", self.durability, lambda: alive[0])

    def commit(self, number: int) -> None:
        changes: dict[bytes, bytes | None] = {b"n": b"%d" % number, b"k%d" % number: b"v"}
        self.storage.commit(changes, lambda error: self.told.append((number, error)))

    def die(self, *, power: bool) -> int:
        """How many commits are found afterwards."""
        self.alive[0] = False
        self.storage.die()
        if power:
            self.disk.cut_power()
        self.boot()
        found = int(self.storage.get(b"n") or b"-1") + 1
        keys = self.storage.scan(b"k", b"l", 1000)
        assert sorted(keys) == sorted((b"k%d" % number, b"v") for number in range(found))
        return found


@pytest.mark.parametrize("power", [True, False])
@pytest.mark.parametrize("durability", list(Durability))
def test_what_is_found_is_a_beginning_that_holds_all_that_was_told(
    durability: Durability, *, power: bool
) -> None:
    found_counts = set()
    for seed in range(60):
        bench = Bench(seed, durability)
        for number in range(12):
            bench.loop.call_at(number * MS // 3, bench.commit, number)
        dice = Random(seed)
        bench.loop.run_until(dice.randrange(12) * MS // 3 + dice.randrange(30_000))  # shortly after a commit
        told, asked = len(bench.told), bench.loop.steps_count
        found = bench.die(power=power)
        if durability is Durability.FSYNC or not power:
            assert told <= found <= 12, asked
        found_counts.add(found - told)
    assert len(found_counts) > 1  # something was lost in some, and something untold was kept in others


def test_with_interval_a_power_cut_goes_back_to_a_sync_point_whole() -> None:
    """What was told for over a second is there, what is younger is not, whoever opens it first or dies."""
    for seed in range(20):
        bench = Bench(seed, Durability.INTERVAL)
        bench.commit(0)
        bench.loop.run_until(FLUSH_NS + 10 * MS)
        for number in range(1, 6):
            bench.commit(number)
        bench.loop.run_until(FLUSH_NS + 20 * MS)
        assert len(bench.told) == 6
        assert bench.die(power=True) == 1
        assert bench.die(power=False) == 1
        bench.commit(1)
        bench.loop.run_until(FLUSH_NS + 30 * MS)
        assert bench.die(power=False) == 2  # who opens it then takes a sync point
        assert bench.die(power=True) == 2


def test_a_dead_process_is_told_nothing_and_a_stale_sync_syncs_nothing() -> None:
    bench = Bench()
    bench.commit(0)
    bench.loop.run_until(MS // 10)  # written, not synced
    bench.die(power=True)
    bench.loop.run_until(100 * MS)
    assert bench.told == []


def test_after_a_failed_sync_nothing_more_is_taken() -> None:
    bench = Bench()
    bench.disk.failing_count = 1
    bench.commit(0)
    bench.loop.run_until(10 * MS)
    bench.commit(1)
    bench.loop.run_until(20 * MS)
    assert [number for number, _ in bench.told] == [0, 1]
    assert all(isinstance(error, UnavailableError) for _, error in bench.told)
    assert bench.die(power=False) in {0, 1}


def test_rot_is_noticed_until_the_entry_is_written_again() -> None:
    bench = Bench()
    bench.commit(0)
    bench.loop.run_until(10 * MS)
    assert bench.disk.rot("s")
    rotten = next(iter(bench.disk.volume("s").rotten))
    with pytest.raises(StoreDamagedError):
        bench.storage.get(rotten)
    with pytest.raises(StoreDamagedError):
        bench.storage.scan(b"", b"z", 10)
    bench.storage.commit({rotten: b"new"}, lambda _: None)
    bench.loop.run_until(20 * MS)
    assert bench.storage.get(rotten) == b"new"


BATCHES = st.lists(st.dictionaries(st.binary(max_size=5), st.one_of(st.none(), st.binary(max_size=5))))


@given(BATCHES, st.data())
def test_a_log_cut_off_or_turned_anywhere_gives_a_beginning(
    batches: list[dict[bytes, bytes | None]], data: st.DataObject
) -> None:
    log = bytearray(encode_log(batches))
    assert decode_log(bytes(log)) == batches
    del log[data.draw(st.integers(0, len(log))) :]
    if log:
        log[data.draw(st.integers(0, len(log) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    found = decode_log(bytes(log))
    assert found == batches[: len(found)]


def test_a_volume_reverts_to_what_was_there() -> None:
    volume = Volume()
    volume.write({b"a": b"1", b"b": b"1"})
    volume.sync(1)
    volume.write({b"a": None, b"c": b"2"})
    volume.revert(1)
    assert volume.durable == {b"a": b"1", b"b": b"1"}
    assert volume.keys == [b"a", b"b"]
