"""Giving disk space back: LMDB reuses its free pages, but its file never shrinks by itself."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import lmdb

from ...exception import StoreFullError, UnavailableError
from ..clock import SystemClock
from ..config import COMPACTION_POLL_S
from ..disk.datafile import DATA, FILE_MODE, LMDB_MAJOR
from ..disk.disk import SystemDisk
from ..disk.folder import ENTRIES, Tenancy, prepare
from .restart import forget, settle

COPY = "compact.tmp"
"""What a compaction writes into; what is left of one that died is removed by the next."""

Progress = Callable[[int, int], None]
"""Called with the bytes written so far and the bytes expected at the most."""


class Compaction(NamedTuple):
    """The size of the store's file before and after, in bytes."""

    before_bytes: int
    after_bytes: int


def compact(folder: Path, *, progress: Progress | None = None) -> Compaction:
    """Rewrite the store in `folder` without its free pages. It must be open nowhere, here included.

    The new file takes the old one's place in one step: a crash at any moment leaves one of them.

    Raises:
        UnavailableError: processes have it open (it names them), or there is no store.
        StoreFullError: there is no room for the copy; the store is as it was.
    """
    data = folder / ENTRIES / DATA
    if not data.exists():
        raise UnavailableError(f"there is no store in {folder}")
    prepare(folder)
    tenancy = Tenancy(folder)
    try:
        tenancy.seize()
        settle(folder, SystemClock().boot_id(), SystemDisk())
        return _rewrite(data, folder / COPY, progress)
    finally:
        tenancy.close()


def _rewrite(data: Path, work: Path, progress: Progress | None) -> Compaction:
    before_bytes = data.stat().st_size
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        _copy(data, work, progress)
        copy = work / DATA
        _sync(copy)
        after_bytes = copy.stat().st_size
        forget(data.parent.parent, SystemDisk())  # sync points of the old file, if its disk has failed
        copy.replace(data)
        _sync(data.parent)
        return Compaction(before_bytes, after_bytes)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy(data: Path, work: Path, progress: Progress | None) -> None:
    environment = lmdb.Environment(
        str(data.parent),
        map_size=data.stat().st_size,
        mode=FILE_MODE,
        lib_version=LMDB_MAJOR,
        max_spare_txns=0,
    )
    try:
        with _watching(work / DATA, data.stat().st_size, progress):
            environment.copy(str(work), compact=True)
    except lmdb.DiskError as error:
        raise StoreFullError(f"no room on the disk for a compacted copy of {data}") from error
    finally:
        environment.close()


class _watching:  # noqa: N801 - reads like the function that it stands for
    """Reports a growing file's size while a block runs; LMDB's copy itself says nothing."""

    def __init__(self, path: Path, total_bytes: int, progress: Progress | None) -> None:
        self._path = path
        self._total_bytes = total_bytes
        self._progress = progress
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        if self._progress is not None:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._progress is not None:
            self._thread.join()
            self._progress(self._total_bytes, self._total_bytes)

    def _watch(self) -> None:
        assert self._progress is not None
        while not self._over.wait(COMPACTION_POLL_S):
            written_bytes = self._path.stat().st_size if self._path.exists() else 0
            self._progress(written_bytes, self._total_bytes)


def _sync(path: Path) -> None:
    """Bring a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
