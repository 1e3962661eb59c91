"""A node's entries, read past the node by a client on its host, through the memory that both map.

Rules of this file:
1. Nothing is written: but for LMDB's table of readers, and the instant that something was seen expired at.
2. An answer counts only if the node's page says *after* the read that the node lives and serves the
   partition.
   So it is one that the node might have given itself.
3. Who cannot read so does not know anything: never that a key is absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Final, Literal, TypeAlias

from xxhash import xxh3_64_intdigest

from ...exception import UnavailableError
from ..clock import monotonic_ns
from ..config import KEY_INLINE_BYTES_MAX
from ..disk import folder as folders
from ..disk.memorymap import ReadOnlyMap
from ..network.message import Stamp
from ..replicas.rank import NO_STAMP
from ..store import layout
from ..store.entry import (
    BEHIND,
    CHECKSUM_BYTES,
    CHECKSUM_MASK,
    EXTRAS,
    HEADER_BYTES,
    DamagedEntryError,
    body_of,
)
from ..store.stampcell import StampCell
from ..store.store import Store
from ..store.table import PARTITION_NAMES, VALUELESS, Table
from .serving import Serving
from .statuspage import AGE_NS_MAX, NEVER, SERIAL, STAMP, PageReader


class NotHere(Enum):
    """No answer: ask a node."""

    NOT_HERE = 0


NOT_HERE: Final = NotHere.NOT_HERE
Missing: TypeAlias = Literal[NotHere.NOT_HERE]


Look: TypeAlias = tuple[Stamp, bytes | None, int]
"""What a key is here: stamp of what stands, value's bytes if it is visible, ms since 1970 at which it expires
(0: never). A bare tuple, since one is made for each read."""

unpack_behind = BEHIND.unpack_from
hash_of = xxh3_64_intdigest
number_of = int.from_bytes

NOTHING: Look = (NO_STAMP, None, 0)


class LocalStore(Store):
    """The entries of the node in `folder`. Opening it is `UnavailableError` where no node on this host serves
    it now, or this process may not read it.

    Only its tables are of use (`LocalTable`); it takes no writes. Safe to share between threads, and usable
    after a fork.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, background=False)
        self.page: PageReader[Serving] | None = None
        self._start = b""
        #: Of the page as it was read last: its serial, the node's epoch, 1 for each partition that is served.
        self.known = (NEVER, 0, bytes(layout.PARTITIONS))
        #: Which bits of a key's hash are its partition, as the page said last.
        self.partition_mask = layout.PARTITION_MASK

    def _open(self) -> None:
        if self.page is None:
            self.page = PageReader(self.folder, Serving.decode)
        shown = self.page.look()
        if shown is None:
            raise UnavailableError(f"no node on this host serves {self.folder}")
        self.environment.map = ReadOnlyMap(self.folder / folders.ENTRIES)
        self.environment.open()
        with self.environment.reading() as transaction:  # another process may have this one's number
            if transaction.get(layout.META) is None:
                raise UnavailableError(f"there is no store in {self.folder}")
        self._cell = self._cell or StampCell(self.folder / folders.STAMP)
        self._start = shown.start
        self._opened = True

    def wake_sweeper(self) -> None:
        """Nothing is swept past a node."""

    def learn(self) -> bool:
        """Take over what the page shows now, into `known`; whether it can be believed."""
        page = self.page
        shown = page.look() if page is not None else None
        if shown is None:
            return False
        serial, start, (_, mark, bits) = shown
        if start != self._start:  # it may be another file by now
            self.reopen()
            return False
        served = bytes([byte >> bit & 1 for byte in bits for bit in range(8)])
        if not served:
            return False  # a node in no ring
        self.partition_mask = len(served) - 1
        self.known = serial, mark[0], served
        return True

    def serves(self, partition: int, epoch: int, mask: int) -> bool:
        """Whether what was just read of a partition, found by that mask, is what the node would have
        answered, in an epoch that is not older than this. `LocalTable.look` has it written out."""
        page = self.page
        if page is None or (page.serial_if_fresh() != self.known[0] and not self.learn()):
            return False
        _, its_epoch, served = self.known
        return its_epoch >= epoch and len(served) - mask == 1 and served[partition] == 1

    def is_alive(self) -> bool:
        """Whether the node shows that it lives."""
        return self.page is not None and self.page.look() is not None

    def reopen(self) -> None:
        """Be opened anew at the next read."""
        with self._opening:
            self._opened = False
            self.environment.shut()

    def close(self) -> None:
        super().close()
        self.page = None


class LocalTable(Table):
    """One Dict, read past a node."""

    __slots__ = ()
    store: LocalStore

    def look(self, key: bytes, key_hash: int, epoch: int) -> Look | Missing:
        """What a key is, as a node in that epoch or a later one has it.

        Raises:
            DictGoneError, DamagedEntryError, Error: it cannot be told here.
        """
        stored = key if len(key) <= KEY_INLINE_BYTES_MAX else layout.stored_key(key)
        store = self.store
        mask = store.partition_mask
        partition = key_hash & mask
        place = self.dict_id + PARTITION_NAMES[partition] + stored
        cleared_at, raw = self._environment.read_entry(self, place)
        page = store.page
        if page is None:
            return NOT_HERE
        words = page.words
        shown_ns = words[STAMP]
        serial, its_epoch, served = store.known
        if not 0 <= monotonic_ns() - shown_ns < AGE_NS_MAX or words[SERIAL] != serial:
            if not store.learn():
                return NOT_HERE
            _, its_epoch, served = store.known
        if its_epoch < epoch or len(served) - mask != 1 or not served[partition]:
            return NOT_HERE
        if raw is None:
            return NOTHING
        # `_judged` written out, for what most entries are.
        if len(raw) < HEADER_BYTES or hash_of(raw[CHECKSUM_BYTES:], key_hash) & CHECKSUM_MASK != number_of(
            raw[:CHECKSUM_BYTES], "big"
        ):
            raise DamagedEntryError
        flags, version, node, touch, expires_ms = unpack_behind(raw, CHECKSUM_BYTES)
        if flags & VALUELESS or expires_ms or version <= cleared_at:
            return self._judged(raw, key_hash, cleared_at)
        return (version, node, touch), body_of(raw) if flags & EXTRAS else raw[HEADER_BYTES:], 0

    def look_many(self, keys: Sequence[tuple[bytes, int]], epoch: int) -> list[Look | Missing]:
        """What keys of these hashes are, in their order, from one snapshot. Raises as `look`."""
        mask = self.store.partition_mask
        located = [
            (self.dict_id + PARTITION_NAMES[key_hash & mask] + layout.stored_key(key), key_hash)
            for key, key_hash in keys
        ]
        with self.store.reading() as transaction:
            cleared_at = self.cleared_at(transaction)
            found = [transaction.get(place) for place, _ in located]
        serves = self.store.serves
        return [
            NOT_HERE
            if not serves(key_hash & mask, epoch, mask)
            else NOTHING
            if raw is None
            else self._judged(raw, key_hash, cleared_at)
            for (_, key_hash), raw in zip(located, found, strict=True)
        ]

    def _judged(self, raw: bytes, key_hash: int, cleared_at: int) -> Look | Missing:
        if len(raw) < HEADER_BYTES or xxh3_64_intdigest(
            raw[CHECKSUM_BYTES:], key_hash
        ) & CHECKSUM_MASK != int.from_bytes(raw[:CHECKSUM_BYTES], "big"):
            raise DamagedEntryError
        flags, version, node, touch, expires_ms = BEHIND.unpack_from(raw, CHECKSUM_BYTES)
        stamp = (version, node, touch)
        if version <= cleared_at:
            return NOT_HERE  # a part of the Dict was cleared: the node knows which
        if flags & VALUELESS or (expires_ms and self.store.expired(expires_ms)):
            return stamp, None, 0
        return stamp, body_of(raw) if flags & EXTRAS else raw[HEADER_BYTES:], expires_ms
