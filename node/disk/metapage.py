"""LMDB's meta pages, the first two of its data file: which state of the tree counts, and its size.

Commits write them in turn, and the one with the higher number of a transaction is in force.
Source of the layout: `MDB_meta` in LMDB 0.9, in the machine's own byte order.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from struct import Struct
from typing import NamedTuple

META_PAGES = 2
PAGE_BYTES = mmap.PAGESIZE
META = Struct("@16xII8xQ96xQQ")
"""Behind the page's header: magic, version, size of the map, both trees, last page, transaction."""
MAGIC = 0xBEEF_C0DE


class Meta(NamedTuple):
    """What a meta page says."""

    transaction: int
    last_page: int

    @property
    def size_bytes(self) -> int:
        """The length of a file that has all its pages."""
        return (self.last_page + 1) * PAGE_BYTES


def read_metas(data: Path) -> bytes:
    """Both meta pages as they stand in the file, fewer bytes if it is shorter."""
    with data.open("rb") as file:
        return file.read(META_PAGES * PAGE_BYTES)


def in_force(metas: bytes) -> Meta | None:
    """The meta page that counts, None if there is none."""
    found = [_meta(metas[at : at + PAGE_BYTES]) for at in range(0, META_PAGES * PAGE_BYTES, PAGE_BYTES)]
    return max((meta for meta in found if meta is not None), default=None)


def _meta(page: bytes) -> Meta | None:
    if len(page) < META.size:
        return None
    magic, _version, _map_bytes, last_page, transaction = META.unpack_from(page)
    return Meta(transaction, last_page) if magic == MAGIC else None
