"""Bounded walks over a node's entries: of one Dict as clients read it, of one partition as replicas compare
it.

Rules of this file:
1. A walk looks at a bounded number of rows and makes a bounded number of leaps, then says where to go on.
2. Values may be of any size: a walk reads few rows first, more while they are small, and never more than one
   behind PAGE_BYTES_MAX at once.
3. A row that the storage cannot read stands there with empty bytes: it must not hide those beside it.
4. Locks are no entries; both walks leap over them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...exception import StoreDamagedError
from ..config import PAGE_BYTES_MAX, PAGE_JUMPS_MAX, SCAN_ROWS_MAX, SCAN_ROWS_MIN
from ..store import layout
from ..store.layout import DICT_ID_BYTES, KEY_SPACE, PARTITION_NAMES, PREFIX_BYTES
from ..world import Storage

Row = tuple[bytes, bytes]
"""A place in the store and the bytes that stand there; empty: they are damaged."""

FIRST_DICT = layout.DICT_ID_FIRST.to_bytes(DICT_ID_BYTES, "big")
END = b"\xff" * (DICT_ID_BYTES + 1)
"""Above every place: no partition begins with that byte."""
KEY_END = b"\xff"
"""Above the first byte of every key."""


def partition_at(place: bytes) -> int:
    """The partition of a place."""
    return int.from_bytes(place[DICT_ID_BYTES:PREFIX_BYTES], "big")


def scan(storage: Storage, first: bytes, end: bytes, count_max: int) -> list[Row]:
    """As `Storage.scan`, of PAGE_BYTES_MAX at the most, with empty bytes for what is damaged.

    Raises:
        StoreDamagedError: more than a single row is damaged.
    """
    rows: list[Row] = []
    bytes_left = PAGE_BYTES_MAX
    while len(rows) < count_max and bytes_left > 0:
        try:
            return rows + storage.scan(first, end, count_max - len(rows), bytes_left)
        except StoreDamagedError as error:
            damaged = error.key
            if not isinstance(damaged, bytes):
                raise
        rows += storage.scan(first, damaged, count_max - len(rows), bytes_left)
        bytes_left = PAGE_BYTES_MAX - bytes_of(rows)
        if len(rows) < count_max and bytes_left > 0:
            rows.append((damaged, b""))
            first = damaged + b"\0"
    return rows


def bytes_of(rows: list[Row]) -> int:
    """How large rows are, without their places."""
    return sum([len(raw) for _, raw in rows])


def is_last(rows: list[Row], count_max: int) -> bool:
    """Whether a scan for so many rows came to the end of its stretch."""
    return len(rows) < count_max and bytes_of(rows) < PAGE_BYTES_MAX


def next_scan_rows(now: int, rows: list[Row]) -> int:
    """How many rows to read at once after reading `rows`, of which there could have been `now`."""
    if bytes_of(rows) * 4 > PAGE_BYTES_MAX:
        return SCAN_ROWS_MIN
    return min(now * 2, SCAN_ROWS_MAX)


class DictWalk:
    """Rows of one Dict, of some partitions, whose stored keys begin with `head`, in order of place.

    `partitions` is a bitmap (bit n of byte n // 8, from the lowest). `start` is where to begin: a place
    without the Dict id, empty for the beginning. After `rows` ended `next` says where to go on, empty for
    nowhere; who stops earlier sets it.
    """

    __slots__ = ("_dict_id", "_lowest", "_partitions", "_storage", "next")

    def __init__(
        self, storage: Storage, dict_id: bytes, partitions: bytes, start: bytes, head: bytes = b""
    ) -> None:
        self._storage = storage
        self._dict_id = dict_id
        self._partitions = int.from_bytes(partitions, "little")
        self._lowest = head or KEY_SPACE
        self.next = self._wanted(start) if start else self._begin(0)

    def rows(self) -> Iterator[Row]:
        """The rows, as far as one walk goes."""
        end = self._dict_id + KEY_END
        count = SCAN_ROWS_MIN
        for _ in range(PAGE_JUMPS_MAX):
            if not self.next:
                return
            found = scan(self._storage, self._dict_id + self.next, end, count)
            for place, raw in found:
                here = place[DICT_ID_BYTES:]
                wanted = self._wanted(here)
                if wanted != here:
                    self.next, count = wanted, SCAN_ROWS_MIN
                    break
                self.next = here + b"\0"
                yield place, raw
            else:
                if is_last(found, count):
                    self.next = b""
                count = next_scan_rows(count, found)

    def _wanted(self, here: bytes) -> bytes:
        """The first place at or behind `here` where a wanted row can stand; empty: there is none."""
        partition = int.from_bytes(here[:2], "big")
        if not self._partitions >> partition & 1:
            return self._begin(partition + 1)
        key = here[2:]
        if key < self._lowest:
            return PARTITION_NAMES[partition] + self._lowest
        if self._lowest == KEY_SPACE or key.startswith(self._lowest):
            return here
        return self._begin(partition + 1)

    def _begin(self, partition: int) -> bytes:
        """The beginning of the first wanted partition from that one on; empty: there is none."""
        left = self._partitions >> partition
        if not left:
            return b""
        partition += (left & -left).bit_length() - 1
        return PARTITION_NAMES[partition] + self._lowest if partition < len(PARTITION_NAMES) else b""


def partition_rows(storage: Storage, partition: int, start: bytes, count_max: int) -> tuple[list[Row], bytes]:
    """Rows of one partition, of all Dicts, in order of place, from the place `start` on (empty: from the
    beginning); and where to go on, empty for nowhere."""
    name = PARTITION_NAMES[partition]
    rows: list[Row] = []
    size_bytes = 0
    count = SCAN_ROWS_MIN
    target = start or FIRST_DICT + name + KEY_SPACE
    for _ in range(PAGE_JUMPS_MAX):
        count = min(count, count_max - len(rows))
        found = scan(storage, target, target[:DICT_ID_BYTES] + name + KEY_END, count)
        rows += found
        size_bytes += bytes_of(found)
        if not is_last(found, count):
            target = found[-1][0] + b"\0"
            if len(rows) >= count_max or size_bytes >= PAGE_BYTES_MAX:
                return rows, target
            count = next_scan_rows(count, found)
            continue
        dict_id = next_dict(storage, target[:DICT_ID_BYTES])
        if not dict_id:
            return rows, b""
        target = dict_id + name + KEY_SPACE
    return rows, target


def next_dict(storage: Storage, dict_id: bytes) -> bytes:
    """The first Dict behind another that has rows; empty: there is none."""
    first = (int.from_bytes(dict_id, "big") + 1).to_bytes(DICT_ID_BYTES + 1, "big")
    if first[0]:
        return b""
    rows = scan(storage, first[1:], END, 1)
    return rows[0][0][:DICT_ID_BYTES] if rows else b""
