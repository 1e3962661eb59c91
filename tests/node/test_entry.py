"""The stored form of an entry, held against `docs/format.md`, and what its checksum notices."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.node.config import KEY_HEAD_BYTES
from ringdict.node.store import layout
from ringdict.node.store.entry import (
    HEADER_BYTES,
    NO_OPERATION,
    VERSION_AT,
    DamagedEntryError,
    Stored,
    decode,
    encode,
)
from ringdict.node.store.store import Store
from ringdict.node.store.table import Table
from ringdict.ring import partition

FORMAT = Path(__file__).parents[2] / "docs" / "format.md"
STAMPS = st.integers(0, 2**64 - 1)
ENTRIES = st.builds(
    Stored,
    st.integers(0, 7),
    STAMPS,
    st.integers(0, 2**32 - 1),
    STAMPS,
    STAMPS,
    st.just(b"") | st.binary(min_size=16, max_size=16),
    st.just(b"") | st.binary(min_size=441, max_size=600),
    st.binary(max_size=300),
)


def golden(field: str) -> bytes:
    """The bytes that the document gives for a field of its golden entry."""
    section = FORMAT.read_text(encoding="utf-8").split("### A golden entry")[1]
    found = re.search(rf"\| {field} \| `([0-9a-f ]+)` \|", section)
    assert found, f"no golden {field}"
    return bytes.fromhex(found[1])


def test_the_golden_entry(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", background=False)
    located = Table(store, bytes.fromhex("0102030405060708")).locate(b"\x04k")
    assert located.place == golden("LMDB key")
    entry = Stored(0, 1, 2, 0, 0, NO_OPERATION, b"", b"\x01")
    assert encode(entry, located.key_hash) == golden("entry")
    assert decode(golden("entry"), located.key_hash) == entry


def test_the_document_says_how_long_a_header_is() -> None:
    section = FORMAT.read_text(encoding="utf-8").split("### An entry")[1].split("###")[0]
    cells = re.findall(r"^\| (\d+) \|(?: (\d+))? \|", section, re.MULTILINE)
    rows = [(int(at), int(size or 0)) for at, size in cells]
    assert [at for at, _ in rows] == [sum(size for _, size in rows[:number]) for number in range(len(rows))]
    assert rows[-1] == (HEADER_BYTES, 0)


@given(ENTRIES, STAMPS)
def test_what_was_encoded_comes_back(entry: Stored, key_hash: int) -> None:
    assert decode(encode(entry, key_hash), key_hash) == entry


@given(ENTRIES, STAMPS, st.data())
def test_a_flipped_bit_is_noticed(entry: Stored, key_hash: int, data: Any) -> None:
    raw = bytearray(encode(entry, key_hash))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedEntryError):
        decode(bytes(raw), key_hash)


@given(ENTRIES, STAMPS)
def test_an_entry_under_another_key_is_noticed(entry: Stored, key_hash: int) -> None:
    with pytest.raises(DamagedEntryError):
        decode(encode(entry, key_hash), key_hash ^ 1)


@pytest.mark.parametrize("size", [0, 3, HEADER_BYTES - 1])
def test_a_short_entry_is_damaged(size: int) -> None:
    with pytest.raises(DamagedEntryError):
        decode(bytes(size), 1)


@given(STAMPS, STAMPS)
def test_versions_compare_as_bytes(one: int, other: int) -> None:
    def version(number: int) -> bytes:
        return encode(Stored(0, number, 0, 0, 0, NO_OPERATION, b"", b""), 0)[VERSION_AT : VERSION_AT + 8]

    assert (version(one) < version(other)) == (one < other)


@given(st.binary(min_size=1, max_size=600), st.binary(min_size=1, max_size=600))
def test_two_keys_have_two_places(one: bytes, other: bytes) -> None:
    assert (layout.stored_key(one) == layout.stored_key(other)) == (one == other)
    assert len(layout.stored_key(one)) <= KEY_HEAD_BYTES + 16


def test_successive_ids_of_a_name_differ() -> None:
    from ringdict.node.store.catalogue import dict_id

    ids = {dict_id("main", "cache", life) for life in range(100)}
    assert len(ids) == 100
    assert min(int.from_bytes(each, "big") for each in ids) >= layout.DICT_ID_FIRST


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=1, max_size=600))
def test_the_store_files_keys_by_the_rule_of_the_ring(dict_id: bytes, key: bytes) -> None:
    """`Table` writes the rule out where it must be fast: here, in `locate`, and for batches."""
    table = Table(Store(Path("nowhere"), background=False), dict_id)
    seed = partition.dict_seed(dict_id)
    number = partition.partition_of(seed, key).to_bytes(2, "big")
    place = dict_id + number + layout.stored_key(key)
    assert table.locate(key)[:2] == (place, partition.key_hash(seed, key))
    ((batch_place, batch_hash, _),) = table.batch_rows([(key, b"")])
    assert (batch_place, batch_hash) == table.locate(key)[:2]
