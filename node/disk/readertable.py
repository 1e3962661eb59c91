"""LMDB's table of readers: which snapshots are in use, so that their pages are not written over.

Every read transaction has a slot with the number of its snapshot. A writer takes no page that a snapshot
from the lowest number on may still need. A `Hold` is a slot of this process that stands at a number of
our choice: that of the newest sync point, which may be below what LMDB would give a reader by now.

Source of the layout: `MDB_txninfo` and `MDB_reader` in LMDB 0.9, on Linux.

Rules of this file:
1. A number in a slot is eight aligned bytes, written in one store. A hold is only ever raised by others, and
   only to a sync point that is on disk: so it may be done at any time, by any process, without a lock.
2. The table is mapped before LMDB opens the file and given up after LMDB has closed it, since closing any
   descriptor of a file drops the locks that the process has on it, LMDB's included.
"""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import lmdb

from ...exception import UnavailableError
from .datafile import LOCK

HEAD = Struct("@II")
"""Magic, and format (its upper half tells how the file is locked)."""
MAGIC = 0xBEEF_C0DE
FORMAT = 1
"""In the lower half."""
COUNT = Struct("@I")
COUNT_AT = 56
"""How many slots were ever in use."""
SLOTS_AT = 128
SLOT_BYTES = 64
SLOT = Struct("@QI4xQ")
"""Transaction, pid (0: free), thread."""
OWNER = Struct("@I4xQ")
OWNER_AT = 8
"""Behind the transaction."""
WORD_BYTES = 8
THREAD_WORD = 2
"""Of a slot: where the thread stands."""
HOLD_TAG = 0x72_69_6E_67_48_4F_4C_44
"""Stands for the thread in the slots of holds. LMDB shows that field, and uses it for nothing."""


class Slot(NamedTuple):
    """One reader."""

    transaction: int
    pid: int
    thread: int


class ReaderTable:
    """The table in the environment's folder, whose lock file exists, and is closed in this process."""

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(descriptor, 0)
            #: `struct` would write zeros first.
            self._words = memoryview(self._map).cast("Q")
        finally:
            os.close(descriptor)

    @property
    def known(self) -> bool:
        """Whether the file is laid out as this code takes it to be. LMDB must have opened it."""
        magic, version = HEAD.unpack_from(self._map)
        return bool(magic == MAGIC and version & 0xFFFF == FORMAT)

    def slots(self) -> dict[int, Slot]:
        """Those in use, by where they stand."""
        count = min(COUNT.unpack_from(self._map, COUNT_AT)[0], (len(self._map) - SLOTS_AT) // SLOT_BYTES)
        places = range(SLOTS_AT, SLOTS_AT + count * SLOT_BYTES, SLOT_BYTES)
        slots = {at: Slot(*SLOT.unpack_from(self._map, at)) for at in places}
        return {at: slot for at, slot in slots.items() if slot.pid}

    def slot(self, at: int) -> Slot:
        """The one that stands there, in use or not."""
        return Slot(*SLOT.unpack_from(self._map, at))

    def owner(self, at: int) -> bytes:
        """The bytes of the slot that stands there which tell whose it is."""
        return self._map[at + OWNER_AT : at + SLOT.size]

    def pin(self, at: int, transaction: int) -> None:
        """Make a slot of this process a hold of that snapshot."""
        self._words[at // WORD_BYTES] = transaction
        self._words[at // WORD_BYTES + THREAD_WORD] = HOLD_TAG

    def raise_holds(self, transaction: int) -> None:
        """Let all processes' holds of older snapshots go, now that this one's sync point is on disk."""
        for at, slot in self.slots().items():
            # A hold that ends meanwhile, and becomes some reader's slot, then holds more than it must.
            if slot.thread == HOLD_TAG and slot.transaction < transaction:
                self._words[at // WORD_BYTES] = transaction

    def close(self) -> None:
        """Give the table up. LMDB must have closed the file."""
        self._words.release()
        self._map.close()


class Hold:
    """What keeps the pages of the newest sync point from being written over while this process writes.

    For the thread that may write.
    """

    def __init__(self, folder: Path) -> None:
        self._table = ReaderTable(folder)
        self._pid = os.getpid()
        #: What stands in the slot of a hold of this process.
        self._owner = OWNER.pack(self._pid, HOLD_TAG)
        self._transaction: lmdb.Transaction[bytes] | None = None
        self._at = 0

    @property
    def held(self) -> bool:
        """Whether the slot is there: LMDB gives it up with the map."""
        return self._transaction is not None and self._table.owner(self._at) == self._owner

    def take(self, environment: lmdb.Environment, transaction: int) -> None:
        """Hold the snapshot of that number, which nobody may have written over yet.

        Raises:
            UnavailableError: LMDB's table is not what this code knows.
        """
        self._transaction = None
        mine = self._mine()
        held = environment.begin()
        new = self._mine() - mine
        if len(new) != 1 or not self._table.known or self._table.slot(min(new)).transaction != held.id():
            held.abort()
            raise UnavailableError(
                "this system's LMDB keeps its readers in a way that ringdict does not know: "
                "set RINGDICT_DURABILITY to fsync or none"
            )
        self._at = new.pop()
        self._table.pin(self._at, transaction)
        self._transaction = held

    def drop(self) -> None:
        """Hold nothing any more. No other transaction of this process may be open, or begin meanwhile."""
        held, self._transaction = self._transaction, None
        if held is not None:
            held.abort()

    def raise_all(self, transaction: int) -> None:
        """Raise the holds of all processes to that snapshot, whose sync point is on disk."""
        self._table.raise_holds(transaction)

    def close(self) -> None:
        """Give the table up. LMDB must have closed the file."""
        self._transaction = None
        self._table.close()

    def _mine(self) -> set[int]:
        me = self._pid, threading.get_ident()
        return {at for at, slot in self._table.slots().items() if slot[1:] == me}
