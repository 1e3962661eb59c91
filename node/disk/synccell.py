"""What all processes of a store know at once of its syncing. It lives no longer than the boot.

Words are read and written without a lock, and of two writers at once one may win: to hold an older sync point
in place of the newest is as good, and the rest is advice.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from . import complaint
from .datafile import FILE_MODE, reserve_file
from .syncpoint import SYNCED

CELL = "cell"
FILE_BYTES = 4096
SYNCED_TRANSACTION, PAGES, PAGES_SYNCED, TAKING_UNTIL_MS, FAILED = range(5)
WORDS = 5


class SyncCell:
    """The cell of the store in `folder`, made where there is none. Usable after a fork as it is."""

    __slots__ = ("_words",)

    def __init__(self, folder: Path) -> None:
        (folder / SYNCED).mkdir(exist_ok=True)
        path = cell_path(folder)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            if not reserve_file(descriptor, FILE_BYTES):
                raise complaint.disk_full(folder)
            self._words = memoryview(mmap.mmap(descriptor, FILE_BYTES)).cast("Q")
        finally:
            os.close(descriptor)

    def clear(self) -> None:
        """Begin anew."""
        for word in range(WORDS):
            self._words[word] = 0

    @property
    def transaction(self) -> int:
        """That of a sync point on disk, most often the newest; 0 if there is none yet."""
        return self._words[SYNCED_TRANSACTION]

    @property
    def unsynced_pages(self) -> int:
        """How many pages were written since then, about."""
        return max(self._words[PAGES] - self._words[PAGES_SYNCED], 0)

    @property
    def pages(self) -> int:
        """How many pages were ever written, about."""
        return self._words[PAGES]

    def add_pages(self, count: int) -> None:
        """For who has the gate."""
        self._words[PAGES] += count

    def reached(self, transaction: int, pages: int) -> None:
        """A sync point is on disk, of when `pages` was that."""
        if transaction > self._words[SYNCED_TRANSACTION]:
            self._words[SYNCED_TRANSACTION] = transaction
            self._words[PAGES_SYNCED] = pages

    @property
    def taking_until_ms(self) -> int:
        """Until then, by the monotonic clock, some process is about to take a sync point, unless it hangs."""
        return self._words[TAKING_UNTIL_MS]

    @taking_until_ms.setter
    def taking_until_ms(self, instant_ms: int) -> None:
        self._words[TAKING_UNTIL_MS] = instant_ms

    @property
    def failed(self) -> bool:
        """Whether the disk refused to take what was written, so that nobody knows what is on it."""
        return bool(self._words[FAILED])

    @failed.setter
    def failed(self, failed: bool) -> None:
        self._words[FAILED] = failed


def cell_path(folder: Path) -> Path:
    """Where the cell is."""
    return folder / SYNCED / CELL


def has_failed(folder: Path) -> bool:
    """Whether the cell, if there is one, says so."""
    return cell_path(folder).exists() and SyncCell(folder).failed
