"""A node's storage on a real disk: one small LMDB environment, written by a thread of its own.

`get` and `scan` answer at once, from LMDB's memory map with what is still waiting on top. The thread takes
all commits that wait into one transaction, so that many share one sync (group commit), and tells the process
of them through `post`, in the process's own thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from ...exception import Error, StoreFullError
from ..config import GROUP_REQUESTS_MAX, STORAGE_KEY_BYTES_MAX, STORAGE_VALUE_BYTES_MAX
from ..disk.durability import Durability
from ..world import ANY_BYTES, Changes, Done
from .lmdbtree import LmdbTree, Rows
from .overlay import Overlay

Post = Callable[[Callable[[], None]], None]
"""Has something called soon, in the process's thread."""


class LmdbStorage:
    """Keeps the contract of `Storage` (node/world.py). Its methods belong to one thread."""

    def __init__(self, folder: Path, durability: Durability, post: Post) -> None:
        self._post = post
        self._overlay = Overlay()
        self._tree = LmdbTree(folder, fsync=durability is Durability.FSYNC)
        self._ready = threading.Condition()
        self._group: list[Changes] | None = None
        self._closing = False
        self._busy = False
        self._broken: Error | None = None
        self._thread = threading.Thread(
            target=self._serve, name=f"ringdict-storage-{folder.name}", daemon=True
        )
        self._thread.start()

    # -- the process's thread ----------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        if key in self._overlay:
            return self._overlay.get(key)
        return self._tree.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def scan(
        self, first: bytes, end: bytes, count_max: int, bytes_max: int = ANY_BYTES
    ) -> list[tuple[bytes, bytes]]:
        def laid(rows: Rows) -> list[tuple[bytes, bytes]]:
            return self._overlay.merge(first, end, count_max, rows, bytes_max)

        return self._tree.page(first, end, laid)

    def commit(self, changes: Changes, done: Done) -> None:
        for key, value in changes.items():
            assert 0 < len(key) <= STORAGE_KEY_BYTES_MAX
            assert value is None or len(value) <= STORAGE_VALUE_BYTES_MAX
        self._overlay.add(changes, done)
        if not self._busy:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the writer all that waits."""
        self._busy = True
        if self._broken is not None:
            broken = self._broken
            self._post(lambda: self._finished(0, broken))
            return
        with self._ready:
            self._group = self._overlay.first(GROUP_REQUESTS_MAX)
            self._ready.notify()

    def _finished(self, count: int, error: Error | None) -> None:
        """The writer is done with a group of `count`."""
        if self._closing:
            return
        if error is not None and not isinstance(error, StoreFullError):
            self._broken = error
        if not self._overlay.tell(count, error, lambda: self._closing):
            return
        self._busy = False
        if self._overlay.waiting:
            self._hand_over()

    def close(self) -> None:
        """End the writer, once it is done with what it has. Nobody is told of anything any more."""
        self._closing = True
        with self._ready:
            self._ready.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._tree.close()

    # -- the writer's thread -----------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._group is not None or self._closing)
                group, self._group = self._group, None
            if group is None:
                return
            self._finish_in_process(len(group), self._tree.write(group))

    def _finish_in_process(self, count: int, error: Error | None) -> None:
        self._post(lambda: self._finished(count, error))
