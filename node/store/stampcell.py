"""What all processes of a host know of a store at once: its last stamp, how late it is, any damage.

Every stamp goes through this cell, so that stamps grow from process to process without a page of the store
being written for it. The cell outlives processes, not the operating system: after a boot it begins above
all that the store's records tell of, see `Store`.

Rules of this file:
1. The stamp is written by who holds the writer's lock, and read by anybody: eight aligned bytes, one store.
2. `seen_ms` is written by any reader that found something expired, without a lock. Of two at once the earlier
   may win, by less than the time between their looks.
3. What a reader sees is a bound for "now", never a decision.
"""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

from ...exception import StoreFullError
from ..clock import COUNTER_BITS
from ..disk.datafile import FILE_MODE

STAMP = 0
"""Which word is the last stamp."""
BOOT_ID_AT = 8
BOOT_ID_BYTES = 16
SEEN = 3
"""Which word is seen_ms."""
DAMAGED_AT = 32
FILE_BYTES = 4096


class StampCell:
    """The cell in the file `path`, made where there is none. Usable after a fork as it is."""

    __slots__ = ("_map", "_words")

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            _reserve(descriptor, path)
            self._map = mmap.mmap(descriptor, FILE_BYTES)
            #: `struct` would write zeros first, which another process may see, or a kill leave there.
            self._words = memoryview(self._map).cast("Q")
        finally:
            os.close(descriptor)

    def read(self) -> int:
        """The last stamp that any process gave."""
        return self._words[STAMP]

    def look(self) -> tuple[int, int]:
        """`read` and `floor` at once."""
        stamp = self._words[STAMP]
        return stamp, max(stamp, self._words[SEEN] << COUNTER_BITS)

    def floor(self) -> int:
        """The stamp of the latest instant that any process has stamped with or judged expiry by."""
        return max(self._words[STAMP], self._words[SEEN] << COUNTER_BITS)

    def see(self, now_ms: int) -> None:
        """Note an instant that a reader judged by: no process may judge by an earlier one."""
        if now_ms > self._words[SEEN]:
            self._words[SEEN] = now_ms

    @property
    def damaged(self) -> bool:
        """Whether some process saw that the tree is damaged."""
        return bool(self._map[DAMAGED_AT])

    @damaged.setter
    def damaged(self, damaged: bool) -> None:
        self._map[DAMAGED_AT] = damaged

    def write(self, stamp: int) -> None:
        """Note a stamp that was given."""
        self._words[STAMP] = stamp

    def of_boot(self, boot_id: bytes) -> bool:
        """Whether the cell has been kept up since that boot."""
        return self._map[BOOT_ID_AT : BOOT_ID_AT + BOOT_ID_BYTES] == boot_id

    def begin(self, boot_id: bytes, stamp: int) -> None:
        """Keep the cell up from now on, beginning with a stamp above all that were given before that boot."""
        self.write(stamp)
        self.damaged = False
        self._map[BOOT_ID_AT : BOOT_ID_AT + BOOT_ID_BYTES] = boot_id


def _reserve(descriptor: int, path: Path) -> None:
    """Make the file as long as its map, with a block of the disk behind it."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, FILE_BYTES)
            return
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StoreFullError(f"the disk that holds the store in {path.parent} is full") from error
    if os.fstat(descriptor).st_size < FILE_BYTES:
        os.truncate(descriptor, FILE_BYTES)
