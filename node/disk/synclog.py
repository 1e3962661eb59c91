"""A log of commits on disk: two files that are written by turns, one record and one sync a commit.

A record is its head, and bytes. The head has a serial number, and a checksum over both. Whoever has the
content of a file elsewhere, on disk, says so, and the file is written anew from its beginning.

Rules of this file:
1. Files are whole, and full of zeros, from the beginning: a sync then changes nothing but bytes, and needs
   nothing of the file system's journal. Nor is a disk that has become full in the way.
2. A record begins to be written when the one before it is on disk. So after a crash a broken record is the
   last: if one with a higher number stands behind it, or in the other file, then bytes have rotted.
3. Serial numbers are never used twice, but by what was not written whole. Old records behind a file's end
   have lower ones, and so tell nothing.
4. Checksums are keyed by what was drawn when the log was made. So no value that a user stores looks like a
   record, and no other log's record like one of this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final

from xxhash import xxh3_64_intdigest

from ..config import LOG_FILE_BYTES
from .datafile import FILE_MODE
from .disk import Disk

FILES: Final = ("log-0", "log-1")
HEAD: Final = Struct("<4sIQQ")
"""Magic, how many bytes follow, serial number, checksum."""
_MAGIC: Final = b"RDlg"


class LogDamageError(Exception):
    """What is in the log is not what was written."""


class SyncLog:
    """One of them, in a folder; `key`: of its checksums. One thread at a time. `OSError`s are passed on."""

    def __init__(self, folder: Path, disk: Disk, key: int) -> None:
        self._key = key
        self._paths = [folder / name for name in FILES]
        self._folder = folder
        self._disk = disk
        self._descriptors: list[int] = []
        self._current = 0
        #: Where the next record is to stand, and, while one is written, the one after it.
        self._at = self._next_at = 0
        #: The number of the last record that is on disk.
        self.serial = 0

    # -- its life ----------------------------------------------------------------------------------

    def make(self) -> None:
        """Have both files there, and nothing in them; what is there is of no use to anybody."""
        zeros = bytes(LOG_FILE_BYTES)
        for path in self._paths:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
            self._descriptors.append(descriptor)
            self._disk.write(descriptor, zeros, 0)
            os.fsync(descriptor)
        self._disk.sync_names(self._folder)

    def recover(self, applied: int) -> list[bytes]:
        """Open it; what was written behind the record of that number, oldest first.

        Raises:
            LogDamageError: it is not there, or not as it was written.
        """
        try:
            for path in self._paths:
                self._descriptors.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except FileNotFoundError as error:
            raise LogDamageError(f"{error.filename} is not there") from None
        contents = [os.pread(descriptor, LOG_FILE_BYTES, 0) for descriptor in self._descriptors]
        if any(len(content) != LOG_FILE_BYTES for content in contents):
            raise LogDamageError("a file of the log is too short")
        found = dict(record for content in contents for record in _records(content, self._key))
        behind: list[bytes] = []
        while (payload := found.get(applied + len(behind) + 1)) is not None:
            behind.append(payload)
        self.serial = applied + len(behind)
        if any(number > self.serial for number in found):
            raise LogDamageError(f"the record of number {self.serial + 1} is not what was written")
        return behind

    def close(self) -> None:
        """Let go of its files."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    # -- writing -----------------------------------------------------------------------------------

    def has_room(self, payload: bytes) -> bool:
        """Whether a record of these bytes finds room in the present file."""
        return self._at + HEAD.size + len(payload) <= LOG_FILE_BYTES

    def turn_over(self) -> None:
        """Go on in the other file, from its beginning: what it had is elsewhere, on disk."""
        self._current = 1 - self._current
        self._at = 0

    def append(self, payload: bytes) -> None:
        """Write a record. It counts once it was synced."""
        serial = self.serial + 1
        head = HEAD.pack(_MAGIC, len(payload), serial, xxh3_64_intdigest(payload, self._key ^ serial))
        self._disk.write(self._descriptors[self._current], head + payload, self._at)
        self._next_at = self._at + HEAD.size + len(payload)

    def sync(self) -> None:
        """Have the record on disk that was written last."""
        self._disk.sync_side_file(self._descriptors[self._current])
        self.serial += 1
        self._at = self._next_at


def _records(content: bytes, key: int) -> Iterator[tuple[int, bytes]]:
    """All records that are whole, wherever they stand."""
    at = content.find(_MAGIC)
    while 0 <= at <= len(content) - HEAD.size:
        _, size_bytes, serial, checksum = HEAD.unpack_from(content, at)
        begin = at + HEAD.size
        payload = content[begin : begin + size_bytes]
        if len(payload) == size_bytes and xxh3_64_intdigest(payload, key ^ serial) == checksum:
            yield serial, payload
            at = content.find(_MAGIC, begin + size_bytes)
        else:
            at = content.find(_MAGIC, at + 1)
