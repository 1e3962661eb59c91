"""Reuse of the space of what is dead: cleared and deleted Dicts, expired entries, abandoned ephemerals.

What is dead is invisible from the moment it died; sweeping changes no answer, it only gives back space.
So it is done a bounded stretch at a time, by any process that has noticed something, in a thread that
yields to every writer and ends when nothing is due soon.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import lmdb

from ...exception import Error
from ..config import (
    KEY_INLINE_BYTES_MAX,
    SWEEP_ENTRIES_MAX,
    SWEEP_IDLE_S,
    SWEEP_INTERVAL_S,
    SWEEP_PAUSE_S,
)
from . import catalogue, layout
from .edit import Edit
from .entry import VERSION_AT, whole_key
from .table import Located, Table, overdue
from .transaction import DictGoneError, DictState, WriteTransaction, states

if TYPE_CHECKING:
    from .store import Store

NOW = 0.0


class Sweeper:
    """Sweeps one store for one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def wake(self) -> None:
        """Look again now; begin if it is not running."""
        if self._woken.is_set():
            return
        self._woken.set()
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._serve, name="ringdict-sweeper", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End, between two stretches."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._woken.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def step(self) -> bool:
        """Sweep one stretch; whether there may be more to do at once."""
        if self._store.environment.damaged or self.due_in_s() != NOW:
            return False  # what walks over a damaged page may be ended by LMDB, and nobody waits for this
        swept = self._store.sweep_job(self.stretch)
        return swept is None or self.due_in_s() == NOW

    def due_in_s(self) -> float | None:
        """How long until something is to be swept; None: nothing that is known of, or a node serves the
        store."""
        with self._store.reading() as transaction:
            if transaction.get(layout.OWNER):
                return None
            if marker(transaction) is not None or catalogue.abandoned(transaction, self._store.host):
                return NOW
            now_ms = self._store.now_ms()
            instants = [
                instant
                for dict_id in expiring(transaction)
                if (instant := first_expiry(transaction, dict_id)) is not None
            ]
        return max(NOW, (min(instants) - now_ms) / 1000) if instants else None

    def _serve(self) -> None:
        while True:
            self._woken.clear()
            try:
                pause_s = SWEEP_PAUSE_S if self.step() else self.due_in_s()
            except (Error, lmdb.Error):
                pause_s = None  # the store's users will be told when they use it
            with self._lock:
                if self._closed or ((pause_s is None or pause_s > SWEEP_IDLE_S) and not self._woken.is_set()):
                    self._thread = None
                    return
            if pause_s is not None:
                self._woken.wait(pause_s if pause_s == SWEEP_PAUSE_S else max(pause_s, SWEEP_INTERVAL_S))

    def stretch(self, transaction: WriteTransaction) -> bool:
        """A job: sweep one stretch; whether there was anything."""
        found = marker(transaction.raw)
        if found is not None:
            self._sweep_cleared(transaction, *found)
            return True
        for dict_id in expiring(transaction.raw):
            if self._sweep_expired(transaction, dict_id):
                return True
        return catalogue.reap(transaction)

    def _sweep_cleared(self, transaction: WriteTransaction, dict_id: bytes, start: bytes) -> None:
        """Remove entries, then index records, that a clear or a deletion left behind."""
        state = _state(transaction, dict_id)
        cleared_at = state.cleared_at if state else (1 << 64) - 1
        dead, after = _dead(transaction.raw, dict_id, start, cleared_at)
        for place in dead:
            transaction.delete(place)
        if after is None:
            transaction.delete(layout.SWEEP + dict_id)
        else:
            transaction.put(layout.SWEEP + dict_id, after)

    def _sweep_expired(self, transaction: WriteTransaction, dict_id: bytes) -> bool:
        edit = Edit(transaction, Table(self._store, dict_id))
        due = overdue(transaction.raw, dict_id, transaction.now_ms, edit.state.cleared_at)
        rows = [row for row, _ in zip(due, range(SWEEP_ENTRIES_MAX), strict=False)]
        for index_key, place in rows:
            _, _, expires_ms, key_hash = layout.EXPIRY_KEY.unpack(index_key)
            key = place[layout.PREFIX_BYTES :]
            if len(key) > KEY_INLINE_BYTES_MAX:
                key = whole_key(transaction.get(place) or b"")
            located = Located(place, key_hash, key)
            found = edit.look(located)
            if found.expires_ms == expires_ms and found.entry is None:
                edit.remove(located, found)
            else:  # a damaged entry was replaced, and its expiry could not be read
                edit.unindex(index_key)
        return bool(rows)


def marker(transaction: lmdb.Transaction[bytes]) -> tuple[bytes, bytes] | None:
    """A Dict that something is left of to be swept, and the place to go on from (b"": its beginning)."""
    cursor = transaction.cursor()
    if not cursor.set_range(layout.SWEEP):
        return None
    key, start = cursor.item()
    return (key[len(layout.SWEEP) :], start) if key.startswith(layout.SWEEP) else None


def expiring(transaction: lmdb.Transaction[bytes]) -> list[bytes]:
    """The Dicts that have entries with a time to live."""
    return [dict_id for dict_id, state in states(transaction) if state.expiring]


def first_expiry(transaction: lmdb.Transaction[bytes], dict_id: bytes) -> int | None:
    """The instant, in ms since 1970, at which the next entry of a Dict expires."""
    prefix = layout.EXPIRY + dict_id
    cursor = transaction.cursor()
    if not cursor.set_range(prefix) or not cursor.key().startswith(prefix):
        return None
    instant: int = layout.EXPIRY_KEY.unpack(cursor.key())[2]
    return instant


def _state(transaction: WriteTransaction, dict_id: bytes) -> DictState | None:
    try:
        return transaction.state(dict_id)
    except DictGoneError:
        return None


def _dead(
    transaction: lmdb.Transaction[bytes], dict_id: bytes, start: bytes, cleared_at: int
) -> tuple[list[bytes], bytes | None]:
    """The dead places in the next stretch, and where to go on (None: nothing is left).

    A Dict's entries come first, then its expiry index, whose values begin with the entry's version.
    """
    dead: list[bytes] = []
    looked_at = 0
    cursor = transaction.cursor()
    index = layout.EXPIRY + dict_id
    ranges = ((index, 0),) if start.startswith(index) else ((dict_id, VERSION_AT), (index, 0))
    for prefix, version_at in ranges:
        if not cursor.set_range(start if start.startswith(prefix) else prefix):
            continue
        for place, raw in cursor.iternext():
            if not place.startswith(prefix):
                break
            if looked_at >= SWEEP_ENTRIES_MAX:
                return dead, place
            looked_at += 1
            if int.from_bytes(raw[version_at : version_at + 8], "big") <= cleared_at:
                dead.append(place)
    return dead, None
