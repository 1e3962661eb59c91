"""One replica: what it reads, what it merges, how it adds up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.exception import StoreFullError
from ringdict.node.replicas import reading, stretch, tally
from ringdict.node.replicas.place import fault_of
from ringdict.node.replicas.stretch import partition_at
from ringdict.node.replicas.tally import key_hash_at
from ringdict.node.store import layout
from ringdict.node.store.entry import EXPIRED, TOMBSTONE, DamagedEntryError, decode, whole_key
from ringdict.node.store.transaction import DictGoneError, DictState
from ringdict.ring.partition import dict_seed, partition_of

from .replicas import DICT, EVERYWHERE, NOW_MS, OTHER, PARTITIONS, One, row


def test_what_was_applied_is_read() -> None:
    one = One()
    assert one.apply(row(b"a", 5, b"value")) == 0
    read = one.replica.read(DICT, b"\x03a")
    assert read.entry is not None
    assert (read.entry.body, read.stamp) == (b"value", (5, 1, 0))
    assert one.replica.read(DICT, b"\x03b").stamp == (0, 0, 0)


def test_an_unknown_dict_is_not_an_empty_one() -> None:
    one = One()
    with pytest.raises(DictGoneError):
        one.replica.read(b"unknown!", b"\x03a")


def test_the_older_entry_never_comes_back_and_its_sender_hears_of_the_newer_one() -> None:
    one = One()
    one.apply(row(b"a", 5, b"new"))
    assert one.apply(row(b"a", 4, b"old"), row(b"b", 1)) == 5
    assert one.apply(row(b"a", 5, b"new")) == 0
    entry = one.replica.read(DICT, b"\x03a").entry
    assert entry is not None
    assert entry.body == b"new"


def test_expired_entries_are_not_seen_and_their_stamp_is() -> None:
    one = One()
    one.apply(row(b"a", 5, expires_ms=NOW_MS + 10))
    assert one.replica.read(DICT, b"\x03a").entry is not None
    assert one.replica.count(DICT, EVERYWHERE, b"").entries == 1
    one.now_ms += 10
    assert one.replica.read(DICT, b"\x03a") == (None, (5, 1, 0))
    assert one.replica.count(DICT, EVERYWHERE, b"").entries == 0
    assert one.replica.page(DICT, EVERYWHERE, b"").rows == []


def test_a_damaged_entry_is_named_and_replaced_by_a_healthy_one() -> None:
    one = One()
    place, raw = row(b"a", 5, b"value")
    one.storage.commit({place: raw[:-1] + b"?"}, lambda _: None)
    with pytest.raises(DamagedEntryError):
        one.replica.read(DICT, b"\x03a")
    assert one.replica.page(DICT, EVERYWHERE, b"").rows == [(b"\x03a", None)]
    one.apply((place, raw))
    assert one.replica.page(DICT, EVERYWHERE, b"").rows == [(b"\x03a", b"value")]


# -- stretches, against a model ----------------------------------------------------------------------

KEYS = [
    b"\x03%s" % key for key in (b"a", b"ab", b"abc", b"b", b"ba" * 250, b"ba" * 250 + b"c", b"\x00", b"\xff")
]
SEED = dict_seed(DICT)
HOME = partition_of(SEED, b"\x030", PARTITIONS)
NEIGHBOURS = [
    key for number in range(1_000) if partition_of(SEED, key := b"\x03%d" % number, PARTITIONS) == HOME
]
"""Keys of one partition, so that it has several stretches."""
short_keys = st.binary(max_size=3).map(lambda some: b"\x03" + some)
keys = st.sampled_from(KEYS) | st.sampled_from(NEIGHBOURS) | short_keys
some_rows = st.lists(
    st.builds(
        row,
        keys,
        st.integers(1, 4),
        st.binary(max_size=4),
        dict_id=st.sampled_from([DICT, DICT, DICT, OTHER]),
        expires_ms=st.sampled_from([0, 0, NOW_MS, NOW_MS + 1]),
        flags=st.sampled_from([0, 0, 0, TOMBSTONE, EXPIRED]),
    ),
    max_size=40,
)


@pytest.fixture(scope="module", autouse=True)
def _small_stretches() -> Iterator[None]:
    """Stretches so short that every scan has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretch, "SCAN_ROWS_MIN", 1)
        patch.setattr(stretch, "SCAN_ROWS_MAX", 3)
        patch.setattr(stretch, "PAGE_JUMPS_MAX", 4)
        patch.setattr(reading, "PAGE_ENTRIES_MAX", 3)
        patch.setattr(reading, "COUNT_ROWS_MAX", 3)
        patch.setattr(tally, "MEASURE_ROWS_MAX", 2)
        yield


@given(
    some_rows,
    st.sampled_from([b"", b"\x03a", b"\x03b", b"\x03" + b"ba" * 249, b"\x03" + b"ba" * 250 + b"c"]),
    st.sets(st.integers(0, PARTITIONS - 1)) | st.just(set(range(PARTITIONS))),
    st.integers(0, 2),
)
def test_pages_show_each_visible_entry_of_the_wanted_partitions_once_and_in_order(
    some: list[tuple[bytes, bytes]], prefix: bytes, partitions: set[int], cleared_at: int
) -> None:
    one = One()
    one.apply(*some)
    one.storage.commit({layout.STATE + DICT: DictState(cleared_at, 0, 0, 0, 0).encode()}, lambda _: None)
    one.replica.dict_changed(DICT)
    wanted = [
        (whole_key(raw) or place[10:], entry.body)
        for place, raw in sorted(one.contents().items())
        if place.startswith(DICT) and partition_at(place) in partitions
        for entry in [decode(raw, key_hash_at(place, raw))]
        if entry.version > cleared_at and not entry.flags and not 0 < entry.expires_ms <= NOW_MS
    ]
    bitmap = sum(1 << partition for partition in partitions).to_bytes(PARTITIONS // 8, "little")
    start, found = b"", []
    for _ in range(10_000):
        page = one.replica.page(DICT, bitmap, start, prefix)
        assert len(page.rows) <= 3
        found += page.rows
        start = page.next
        if not start:
            break
    assert found == [(key, body) for key, body in wanted if key.startswith(prefix)]
    entries = size_bytes = 0
    for _ in range(10_000):
        counted = one.replica.count(DICT, bitmap, start)
        entries += counted.entries
        size_bytes += counted.size_bytes
        start = counted.next
        if not start:
            break
    assert entries == len(wanted)
    assert size_bytes == sum(len(key) + len(body) for key, body in wanted)


@given(some_rows, some_rows, st.integers(0, 6))
def test_sums_are_those_of_what_is_there_whatever_comes_while_they_are_found(
    some: list[tuple[bytes, bytes]], more: list[tuple[bytes, bytes]], steps: int
) -> None:
    one = One()
    one.apply(*some)
    partitions = sorted({partition_at(place) for place, _ in some + more})
    for partition in partitions:
        for _ in range(steps):
            one.replica.measure(partition)
    one.apply(*more)
    for partition in partitions:
        while not one.replica.measure(partition):
            pass
    one.replica.validate()
    assert len(one.contents()) == sum(
        tally_.entries for partition in partitions if (tally_ := one.replica.tally(partition)) is not None
    )


@given(some_rows)
def test_places_show_each_entry_of_a_partition_once_and_in_order(some: list[tuple[bytes, bytes]]) -> None:
    one = One()
    one.apply(*some)
    for partition in {partition_at(place) for place, _ in some}:
        start, found = b"", []
        for _ in range(10_000):
            rows, start = one.replica.places(partition, start, 2)
            found += rows
            if not start:
                break
        assert found == [
            (place, raw[:25])
            for place, raw in sorted(one.contents().items())
            if partition_at(place) == partition
        ]


@pytest.mark.parametrize("version", [1, 2])
def test_an_entry_that_was_damaged_when_the_sum_was_found_leaves_it_right_when_it_is_replaced(
    version: int,
) -> None:
    one = One()
    (place, raw), other = row(NEIGHBOURS[0], 1), row(NEIGHBOURS[1], 1)
    one.apply(other)
    one.storage.commit({place: raw[:-1] + b"?"}, lambda _: None)
    while not one.replica.measure(HOME):
        pass
    sums = one.replica.sums([HOME])
    one.apply(row(NEIGHBOURS[0], version))
    while not one.replica.measure(HOME):
        pass
    one.replica.validate()
    assert one.replica.sums([HOME]) != sums


def test_locks_are_no_entries() -> None:
    one = One()
    place, raw = row(b"a")
    one.storage.commit({place[:10] + b"\x01\x03a": b"a lock"}, lambda _: None)
    one.apply((place, raw))
    assert one.replica.count(DICT, EVERYWHERE, b"").entries == 1
    assert one.replica.page(DICT, EVERYWHERE, b"").rows == [(b"\x03a", b"\x01")]
    assert one.replica.places(partition_at(place), b"", 10)[0] == [(place, raw[:25])]


# -- what others send, and what disks do -----------------------------------------------------------


def test_what_is_no_entry_of_its_place_is_told_from_one_that_is() -> None:
    fault = One().replica.fault_of
    place, raw = row(b"a")
    other, _ = row(b"b")
    long_place, long_raw = row(b"x" * 600)
    assert fault(place, raw) == fault(long_place, long_raw) == ""
    for wrong_place, wrong_raw in (
        (b"", raw),
        (place[:10], raw),
        (bytes(8) + place[8:], raw),
        (place[:8] + b"\x03\xff" + place[10:], raw),
        (place[:10] + b"\x01" + place[10:], raw),
        (other, raw),
        (place, raw[:-1] + b"?"),
        (place, raw[:20]),
        (place, b""),
        (long_place[:-1] + b"?", long_raw),
        (place + b"x" * 600, raw),
    ):
        assert fault(wrong_place, wrong_raw), (wrong_place, wrong_raw)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_bytes_that_somebody_sends_do_any_harm(place: bytes, raw: bytes) -> None:
    assert fault_of(place, raw)


def test_after_a_full_disk_took_writes_back_sums_are_found_anew() -> None:
    one = One()
    place, raw = row(b"a", 1)
    one.apply((place, raw))
    partition = partition_at(place)
    assert one.replica.measure(partition)
    before = one.replica.sums([partition])
    one.host.disk.full = True
    one.replica.apply([row(b"a", 2)], lambda error, newer: one.answers.append((error, newer)))
    one.settle()
    assert isinstance(one.answers[-1][0], StoreFullError)
    assert one.replica.sums([partition]) is None
    assert one.replica.measure(partition)
    assert one.replica.sums([partition]) == before
    assert one.contents()[place] == raw


def test_what_a_disk_cannot_read_any_more_is_replaced_and_hides_nothing_beside_it() -> None:
    one = One()
    rows = [row(b"%d" % number) for number in range(20)]
    one.apply(*rows)
    assert one.host.disk.rot("entries")
    shown = one.replica.page(DICT, EVERYWHERE, b"")
    while shown.next:
        page = one.replica.page(DICT, EVERYWHERE, shown.next)
        shown = reading.Page(shown.rows + page.rows, page.next)
    assert [body for _, body in shown.rows].count(None) <= 1
    assert len(shown.rows) >= 19
    one.apply(*rows)
    assert one.replica.count(DICT, EVERYWHERE, b"").entries > 0
    assert one.contents() == dict(rows)
