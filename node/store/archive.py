"""A backup on disk: a folder with one file of rows, and a manifest that says that all of them are there.

Rules of this file:
1. The manifest comes last, in one step, once the rows are on disk. A folder without one is no backup,
   whatever ended the process that made it.
2. Every block of rows has a checksum, seeded with its number, and the manifest one over all of these: a
   flipped bit, a block too few, or one of another backup is found before a row of it is used.
3. What is in memory is one block, however large the backup is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Self, TypeAlias

from xxhash import xxh3_64_hexdigest, xxh3_128, xxh3_128_digest

from ...exception import FormatError, StoreDamagedError, UnavailableError
from ..config import BACKUP_BLOCK_BYTES, BACKUP_BLOCK_BYTES_MAX
from ..disk import complaint

ROWS = "rows"
MANIFEST = "manifest.json"
FRESH = ".new"
"""What a manifest's name ends with until it is on disk."""

MAGIC = b"ringdict backup\n"
FORMAT = 1
"""Of a backup. A change that an older version would misread makes it one higher."""
HEAD = Struct(">16sH")
BLOCK = Struct(">I16s")
"""Length of what follows, its checksum. A length of 0 ends the file; its checksum is of all the others."""
ROW = Struct(">HI")
"""Lengths of key and value, which follow."""
MANIFEST_BYTES_MAX = 65_536

Row: TypeAlias = tuple[bytes, bytes]
"""An LMDB key of the store and what stands there."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    #: The store or node that it was made of, in hex; and its cluster, empty for an embedded store.
    source: str
    cluster: str
    #: When the snapshot was taken, in ms since 1970.
    taken_ms: int
    #: The highest stamp that is in it: a store that is made of it gives higher ones.
    last_stamp: int
    #: Into how many its keys are divided.
    partitions: int
    dicts: int
    entries: int
    #: Entries that were left out, since their checksum was wrong.
    damaged: int
    rows_bytes: int
    checksum: str

    def encode(self) -> bytes:
        """As it stands on disk: JSON, with a checksum of its own."""
        facts = asdict(self)
        return json.dumps(facts | {"manifest_checksum": _sum_of(facts)}, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, raw: bytes) -> Manifest | None:
        """None: it is none, or damaged."""
        try:
            facts = json.loads(raw)
        except ValueError:
            return None
        if not isinstance(facts, dict) or facts.pop("manifest_checksum", None) != _sum_of(facts):
            return None
        names = {field.name for field in fields(cls)}
        return cls(**{name: facts[name] for name in names}) if names <= facts.keys() else None


def _sum_of(facts: dict[str, object]) -> str:
    return xxh3_64_hexdigest(json.dumps(facts, sort_keys=True).encode())


class ArchiveWriter:
    """Writes a backup into `folder`, which is made, or is empty, or holds what a backup that died left there.

    Use as a context: leaving it without `finish` removes what was written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = not folder.exists()
        self._file: BinaryIO | None = None
        self._block = bytearray()
        self._blocks = 0
        self._sums = xxh3_128()
        self.size_bytes = 0

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in self._folder.iterdir()}
        if there - {ROWS, MANIFEST + FRESH}:
            raise UnavailableError(f"a backup goes into an empty folder, and {self._folder} is not")
        self._file = open(self._folder / ROWS, "wb")
        self._write(HEAD.pack(MAGIC, FORMAT))
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        with suppress(OSError):  # what it still had in memory has no room either
            file.close()
        for name in (ROWS, MANIFEST + FRESH):
            (self._folder / name).unlink(missing_ok=True)
        if self._made:
            self._folder.rmdir()

    def add(self, key: bytes, value: bytes) -> int:
        """One more row; how many bytes went to disk for it, mostly 0.

        Raises:
            OSError: the disk does not take it.
        """
        self._block += ROW.pack(len(key), len(value))
        self._block += key
        self._block += value
        return self._flush() if len(self._block) >= BACKUP_BLOCK_BYTES else 0

    def _flush(self) -> int:
        before_bytes = self.size_bytes
        if self._block:
            checksum = xxh3_128_digest(self._block, self._blocks)
            self._sums.update(checksum)
            self._write(BLOCK.pack(len(self._block), checksum))
            self._write(self._block)
            self._block.clear()
            self._blocks += 1
        return self.size_bytes - before_bytes

    def _write(self, content: bytes | bytearray) -> None:
        assert self._file is not None
        self._file.write(content)
        self.size_bytes += len(content)

    def end(self) -> str:
        """No row comes any more, and all are on disk; their checksum.

        Raises:
            OSError: the disk does not take them.
        """
        self._flush()
        self._write(BLOCK.pack(0, self._sums.digest()))
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._sums.hexdigest()

    def finish(self, manifest: Manifest) -> None:
        """Make it a backup. Raises as `end`."""
        fresh = self._folder / (MANIFEST + FRESH)
        with fresh.open("wb") as file:
            file.write(manifest.encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._folder / MANIFEST)
        sync_names(self._folder)
        sync_names(self._folder.parent)
        assert self._file is not None
        self._file.close()
        self._file = None


class ArchiveReader:
    """A backup. Every call raises `StoreDamagedError` if it is not what was written."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UnavailableError: there is no backup in `folder`, or one that did not come to its end.
            FormatError: a newer version made it.
        """
        self.folder = folder
        self.manifest = self._manifest()

    def _manifest(self) -> Manifest:
        try:
            with (self.folder / MANIFEST).open("rb") as file:
                raw = file.read(MANIFEST_BYTES_MAX)
        except FileNotFoundError:
            raise UnavailableError(
                f"there is no whole backup in {self.folder}: a backup that came to its end has a {MANIFEST}"
            ) from None
        except OSError as error:
            raise UnavailableError(f"the backup in {self.folder} cannot be read: {error}") from error
        manifest = Manifest.decode(raw)
        if manifest is None:
            raise self._damage(f"its {MANIFEST} is not what was written")
        if manifest.format > FORMAT:
            raise FormatError(
                f"the backup in {self.folder} was made by a newer ringdict (format {manifest.format}; "
                f"this one reads up to {FORMAT}). Upgrade ringdict"
            )
        return manifest

    def blocks(self) -> Iterator[list[Row]]:
        """All rows, a block at a time. That they are all is certain once the last was taken."""
        path = self.folder / ROWS
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != self.manifest.rows_bytes:
                    raise self._damage(f"{ROWS} is not as long as it was")
                if file.read(HEAD.size) != HEAD.pack(MAGIC, self.manifest.format):
                    raise self._damage(f"{ROWS} does not begin as it did")
                yield from self._blocks(file)
        except OSError as error:
            raise UnavailableError(f"the backup in {self.folder} cannot be read: {error}") from error

    def _blocks(self, file: BinaryIO) -> Iterator[list[Row]]:
        sums, number = xxh3_128(), 0
        while True:
            head = file.read(BLOCK.size)
            if len(head) < BLOCK.size:
                raise self._damage(f"{ROWS} ends before its end")
            length, checksum = BLOCK.unpack(head)
            if not length:
                break
            block = file.read(length) if length <= BACKUP_BLOCK_BYTES_MAX else b""
            if xxh3_128_digest(block, number) != checksum:
                raise self._damage(f"block {number} of {ROWS} is not what was written")
            sums.update(checksum)
            yield rows_of(block)
            number += 1
        if checksum != sums.digest() or sums.hexdigest() != self.manifest.checksum:
            raise self._damage(f"{ROWS} and {MANIFEST} are of different backups")

    def _damage(self, what: str) -> StoreDamagedError:
        return StoreDamagedError(f"the backup in {self.folder} is damaged: {what}")


def rows_of(block: bytes) -> list[Row]:
    """The rows of a block whose checksum is right."""
    rows: list[Row] = []
    at = 0
    while at < len(block):
        key_bytes, value_bytes = ROW.unpack_from(block, at)
        key_at = at + ROW.size
        value_at = key_at + key_bytes
        at = value_at + value_bytes
        rows.append((block[key_at:value_at], block[value_at:at]))
    return rows


def sync_names(folder: Path) -> None:
    """Bring to disk which files are in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def of_disk(error: OSError, folder: Path) -> Exception:
    """What it means that a backup could not be written."""
    if error.errno in complaint.NO_ROOM:
        return complaint.disk_full(folder)
    return UnavailableError(f"the backup in {folder} cannot be written: {error}")
