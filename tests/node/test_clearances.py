"""What a clear covers is absent at once, goes bit by bit, and stays absent through crashes and full disks."""

from __future__ import annotations

import pytest

from ringdict.exception import StoreFullError
from ringdict.node.config import CLEAR_KEYS_DICTS_MAX, CLEAR_ROWS_MAX
from ringdict.node.replicas import clearances
from ringdict.node.replicas.clearances import ClearKeys
from ringdict.node.replicas.place import place_of
from ringdict.node.replicas.stretch import Row, partition_at
from ringdict.node.store import layout
from ringdict.node.store.entry import ATOMIC, NO_OPERATION, TOMBSTONE, Stored, encode
from ringdict.node.store.transaction import DictState
from ringdict.ring.partition import dict_seed, key_hash

from .replicas import DICT, EVERYWHERE, OTHER, PARTITIONS, One, row

KEYS = ClearKeys()
HOME = partition_at(row(b"0")[0])
NEIGHBOURS = [
    key for key in (b"%d" % number for number in range(40_000)) if partition_at(row(key)[0]) == HOME
]
"""Keys of one partition: more than are removed in one step."""


def clear(version: int, partition: int = HOME, dict_id: bytes = DICT) -> Row:
    """The entry of a clear of one partition."""
    key = KEYS.key(dict_id, partition, PARTITIONS)
    hash_ = key_hash(dict_seed(dict_id), key)
    entry = Stored(ATOMIC | TOMBSTONE, version, 0, version, 0, NO_OPERATION, b"", b"")
    place = place_of(dict_id, key, hash_, PARTITIONS - 1)
    assert partition_at(place) == partition
    return place, encode(entry, hash_)


def entries(one: One, dict_id: bytes = DICT) -> int:
    return one.replica.count(dict_id, EVERYWHERE, b"").entries


def cleared_at(one: One) -> int:
    state = one.storage.get(layout.STATE + DICT)
    assert state is not None
    return DictState.decode(state).cleared_at


@pytest.fixture
def one() -> One:
    """With many keys of one partition at version 5, one of another partition and one of another Dict."""
    assert len(NEIGHBOURS) > CLEAR_ROWS_MAX
    one = One()
    one.apply(*(row(key, 5) for key in NEIGHBOURS), row(b"1", 5), row(b"0", 5, dict_id=OTHER))
    assert partition_at(row(b"1")[0]) != HOME
    return one


def test_what_is_cleared_is_absent_at_once_and_gone_soon(one: One) -> None:
    one.replica.apply([clear(9)], lambda _error, _newer: None)
    assert entries(one) == 1
    assert is_there(one)
    assert one.replica.clearances.is_sweeping
    one.settle()
    assert not is_there(one)
    assert not one.replica.clearances.is_sweeping
    assert entries(one) == entries(one, OTHER) == 1
    assert cleared_at(one) == 0  # nothing is left that it would hide
    one.replica.validate()


def is_there(one: One) -> bool:
    """Whether the bytes of a cleared entry stand on disk."""
    return one.storage.get(row(NEIGHBOURS[-1])[0]) is not None


def test_what_is_older_than_a_clear_is_not_taken_afterwards(one: One) -> None:
    one.apply(clear(9))
    one.apply(row(NEIGHBOURS[0], 8), row(NEIGHBOURS[1], 10), row(b"1", 8))
    assert one.replica.read(DICT, b"\x03" + NEIGHBOURS[0]).entry is None
    assert one.replica.read(DICT, b"\x03" + NEIGHBOURS[1]).entry is not None
    assert one.replica.read(DICT, b"\x031").entry is not None
    one.replica.validate()


def test_an_older_clear_that_comes_late_changes_nothing(one: One) -> None:
    one.apply(clear(9))
    one.apply(row(NEIGHBOURS[1], 7))
    one.apply(clear(6))
    assert one.replica.clearances.mark(row(NEIGHBOURS[0])[0]) == 9
    assert entries(one) == 1


def test_a_clear_goes_on_after_a_crash(one: One, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(clearances.Clearances, "_step", lambda _: None)  # no step of it comes to the disk
        one.apply(clear(9))
    assert is_there(one)
    one.simulation.crash(one.host)
    one.simulation.restart(one.host)
    assert one.replica.clearances.is_sweeping
    assert entries(one) == 1
    one.settle()
    assert not is_there(one)
    one.apply(row(NEIGHBOURS[0], 8))
    assert entries(one) == 1
    one.replica.validate()


def test_marks_are_read_in_portions(one: One, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearances, "CLEAR_SCAN_ROWS", 3)
    one.apply(*(clear(9 + partition, partition) for partition in range(8)))
    before = {dict_id: dict(marks) for dict_id, marks in one.replica.clearances.marks.items()}
    assert len(before[DICT]) == 8
    one.replica.clearances.load()
    assert one.replica.clearances.marks == before


def test_a_full_disk_keeps_what_it_could_not_remove_and_shows_none_of_it(one: One) -> None:
    one.apply(clear(9))
    removed = one.replica.clearances
    removed._removed(StoreFullError("full"))
    assert removed.mark(row(NEIGHBOURS[0])[0]) == 9
    while not one.replica.measure(HOME):
        pass
    one.replica.validate()
    assert entries(one) == 1


def test_keys_of_few_dicts_are_remembered() -> None:
    keys = ClearKeys()
    for number in range(CLEAR_KEYS_DICTS_MAX + 3):
        dict_id = number.to_bytes(8, "big")
        for partition in (0, 5):
            key = keys.key(dict_id, partition, 8)
            assert key_hash(dict_seed(dict_id), key) % 8 == partition
    assert len(keys._known) == CLEAR_KEYS_DICTS_MAX
