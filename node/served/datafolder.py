"""A node's folder: its storages, and that no other node serves it.

Rules of this file:
1. The folder is locked before anything in it is opened: two processes with one identity would be two nodes
   that take each other for themselves.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from ..clock import system_random
from ..disk import complaint
from ..disk.durability import Durability
from ..disk.folder import ENTRIES
from ..disk.gate import FILE_MODE, lock_holders
from ..identity import STORAGE, node_in
from ..network.turn import Home
from ..world import Address, Storage
from .entriesstorage import EntriesStorage
from .lmdbstorage import LmdbStorage
from .loggedstorage import LoggedStorage
from .servedstore import ServedStore
from .statuspage import START_BYTES, StatusPage

LOCK = "node.lock"
"""Held by the node that serves the folder."""

CONSENSUS = "consensus"
"""The storage of what a node promised and accepted: whoever waits for it waits for a sync."""


class OpenStorage(Storage, Protocol):
    """A storage that has to be closed."""

    def close(self) -> None:
        """End it; nobody is told of anything any more."""
        ...


class DataFolder:
    """The folder of the node that is reached at `address`. It is locked at the first use."""

    def __init__(self, folder: Path, address: Address) -> None:
        self._folder = folder
        self._address = address
        self._lock: int | None = None
        self._identity: LmdbStorage | None = None
        self._page: StatusPage | None = None

    def open_storage(self, name: str, durability: Durability, home: Home) -> OpenStorage:
        """The storage of that name. "entries" are the embedded store's, which is taken over; a node's
        identity must have been taken before.

        Raises:
            UnavailableError: another node serves the folder, or the entries are another node's.
            StoreFullError, StoreDamagedError, FormatError: as they say.
        """
        self._seize()
        if name == ENTRIES:
            assert self._identity is not None
            store = ServedStore(self._folder, durability, node_in(self._identity), self._address)
            try:
                store.serve()
            except BaseException:
                store.close()
                raise
            return EntriesStorage(store, home)
        if name == CONSENSUS:
            return LoggedStorage(self._folder / name, home)
        storage = LmdbStorage(self._folder / name, durability, home.post)
        if name == STORAGE:
            self._identity = storage
        return storage

    def _seize(self) -> None:
        if self._lock is not None:
            return
        path = self._folder / LOCK
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise complaint.of_system(error, self._folder) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise complaint.served(lock_holders(path), self._folder) from None
        self._lock = descriptor

    def publish(self, page: bytes) -> None:
        """Show something to the clients on this host."""
        if self._page is None:
            self._seize()
            self._page = StatusPage(self._folder, system_random(START_BYTES))
        self._page.show(page)

    def release(self) -> None:
        """Let another node have it, once all storages are closed."""
        if self._page is not None:
            self._page.close()
            self._page = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
