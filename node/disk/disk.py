"""What a sync point asks of the disk: the one place where bytes are made to outlive a power cut."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """Calls that return when it is done, and raise `OSError` if it cannot be."""

    def sync_data(self, descriptor: int) -> None:
        """Bring to disk all that was written to the store's data file before this call."""
        ...

    def write(self, descriptor: int, content: bytes, at: int) -> None:
        """Write to a side file; it may reach the disk at any time, whole or in part."""
        ...

    def sync_side_file(self, descriptor: int) -> None:
        """Bring a side file to disk."""
        ...

    def sync_names(self, folder: Path) -> None:
        """Bring to disk which files are in a folder."""
        ...


class SystemDisk:
    """The real one."""

    def sync_data(self, descriptor: int) -> None:
        _sync(descriptor)

    def write(self, descriptor: int, content: bytes, at: int) -> None:
        while content:
            written = os.pwrite(descriptor, content, at)
            content, at = content[written:], at + written

    def sync_side_file(self, descriptor: int) -> None:
        _sync(descriptor)

    def sync_names(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # there, fsync leaves data in the drive's own memory
    else:
        os.fdatasync(descriptor)
