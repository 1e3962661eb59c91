"""LMDB's meta pages are read as LMDB writes them."""

from __future__ import annotations

from pathlib import Path

import lmdb

from ringdict.node.disk.datafile import DATA, pages_bytes
from ringdict.node.disk.metapage import META_PAGES, PAGE_BYTES, in_force, read_metas


def test_they_say_what_lmdb_says(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), lib_version=0) as environment:
        for number in range(20):
            with environment.begin(write=True) as transaction:
                transaction.put(b"k%d" % number, bytes(number * 1_000))
            meta = in_force(read_metas(tmp_path / DATA))
            assert meta is not None
            assert meta.transaction == environment.info()["last_txnid"] == number + 1
            assert meta.last_page == environment.info()["last_pgno"]
            assert meta.size_bytes == pages_bytes(environment)


def test_what_is_none_is_none(tmp_path: Path) -> None:
    assert in_force(b"") is None
    assert in_force(bytes(META_PAGES * PAGE_BYTES)) is None
    (tmp_path / DATA).write_bytes(b"short")
    assert in_force(read_metas(tmp_path / DATA)) is None
