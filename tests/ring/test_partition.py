"""Partitions: a stable hash, spread evenly, by Dict."""

from __future__ import annotations

from collections import Counter

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ringdict.ring.partition import (
    DICT_ID_BYTES,
    PARTITIONS_DEFAULT,
    PARTITIONS_MAX,
    check_partitions,
    dict_seed,
    key_hash,
    partition_of,
)


def test_the_hash_is_what_stores_on_disk_were_sorted_by() -> None:
    """Another hash would lose every entry that was ever written: these numbers must never change."""
    seed = dict_seed(bytes(range(8)))
    assert seed == 0x0001020304050607
    assert key_hash(seed, b"") == 0xB5A947BC644E8950
    assert key_hash(seed, b"\x04user:1") == 0x4477647CA8ABDA7A
    assert partition_of(seed, b"\x04user:1") == 634


@given(st.binary(min_size=8, max_size=8), st.binary(max_size=50))
def test_a_partition_is_the_hash_modulo_their_number(dict_id: bytes, key: bytes) -> None:
    seed = dict_seed(dict_id)
    assert key_hash(seed, key) == xxhash.xxh3_64_intdigest(key, int.from_bytes(dict_id, "big"))
    assert partition_of(seed, key) == key_hash(seed, key) % PARTITIONS_DEFAULT
    assert partition_of(seed, key, 1) == 0
    assert partition_of(seed, key, 4096) == key_hash(seed, key) % 4096


def test_keys_spread_evenly_and_apart_for_each_dict() -> None:
    one, other = dict_seed(b"\x00" * 8), dict_seed(b"\x00" * 7 + b"\x01")
    keys = [b"key:%d" % number for number in range(16_000)]
    counts = Counter(partition_of(one, key, 16) for key in keys)
    assert set(counts) == set(range(16))
    assert max(counts.values()) < 1.15 * 1000
    together = sum(partition_of(one, key, 16) == partition_of(other, key, 16) for key in keys)
    assert 800 < together < 1200


@pytest.mark.parametrize("count", [1, 2, 1024, 4096, PARTITIONS_MAX])
def test_powers_of_two_are_numbers_of_partitions(count: int) -> None:
    assert check_partitions(count) == count


@pytest.mark.parametrize("count", [0, -1, -2, 3, 1000, PARTITIONS_MAX + 1, 2 * PARTITIONS_MAX])
def test_other_numbers_are_not(count: int) -> None:
    with pytest.raises(ValueError, match="must be a power of two from 1 to 65536"):
        check_partitions(count)


@pytest.mark.parametrize("size", [0, DICT_ID_BYTES - 1, DICT_ID_BYTES + 1])
def test_a_dict_id_has_eight_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="a Dict id has 8 bytes"):
        dict_seed(bytes(size))
