"""Reads past a node on this host, from the memory that it maps: no message, no wait.

Rules of this file:
1. What is read here keeps the session's promises (memory.py) as an answer of a node does. What is older than
   this client has seen is no answer.
2. Whatever stands in the way (another host, no right to read, a node that is dead, stopped, behind, or does
   not own the key) means: ask a node. It is tried again now and then.
3. One process has the entries of a folder open once, whatever the number of its clients.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Final

from ..exception import ClosedError, Error
from ..node.network.message import AskFolder, TellFolder
from ..node.served.hostmark import host_mark
from ..node.served.localstore import NOT_HERE, LocalStore, LocalTable, Look, Missing
from ..node.store.entry import DamagedEntryError
from ..node.store.transaction import DictGoneError
from .config import LOCAL_DICTS_MAX, LOCAL_RETRY_S, READ_PATIENCE_S
from .instruction import Ask, Miss, Plan
from .reading import Reads
from .session import Session

Body = bytes | None

# Looked up at an Enum a member costs ten times what a name of the module does, and here it is each read's.
_ANY: Final = Reads.ANY
_PRIMARY: Final = Reads.PRIMARY


class LocalReader:
    """What one client reads past nodes. Threads may share it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._memory = session.memory
        self._store: LocalStore | None = None
        self._tables: dict[bytes, LocalTable] = {}
        #: When to look for a node's folder again, by the session's clock: once there is a node on this host.
        self._seek_at_s = inf
        self._closed = False
        session.when_near = self._wake

    def _wake(self) -> None:
        self._seek_at_s = 0.0

    # -- reading -----------------------------------------------------------------------------------

    def read(self, dict_id: bytes, key: bytes, key_hash: int, reads: Reads) -> Body | Missing:
        """The value's bytes of a key of that hash, None if it is absent; NOT_HERE: ask a node."""
        if self._store is None or reads is _PRIMARY:
            return NOT_HERE
        route = self._session.route
        try:
            table = self._tables.get(dict_id) or self._table(dict_id)
            look = table.look(key, key_hash, route.epoch if route is not None else 0)
        except (Error, DictGoneError, DamagedEntryError):
            return NOT_HERE
        if look is NOT_HERE:
            return NOT_HERE
        memory = self._memory
        if not memory.clears:  # the commonest cases: that was seen before, or nothing of the key
            known = memory.young.get(key_hash) or memory.look(key_hash)
            if known == look[0]:
                return look[1]
            if known is None and look[1] is not None and not look[2] and reads is not _ANY:
                memory.see_first(key_hash, look[0])
                return look[1]
        return look[1] if self._accepts(dict_id, look, key_hash, reads) else NOT_HERE

    def read_many(
        self, dict_id: bytes, keys: Sequence[tuple[bytes, int]], reads: Reads
    ) -> list[Body | Missing]:
        """As `read`, for keys with their hashes, in their order and from one moment."""
        if self._store is None or reads is _PRIMARY:
            return [NOT_HERE] * len(keys)
        route = self._session.route
        try:
            table = self._tables.get(dict_id) or self._table(dict_id)
            looks = table.look_many(keys, route.epoch if route is not None else 0)
        except (Error, DictGoneError, DamagedEntryError):
            return [NOT_HERE] * len(keys)
        return [
            look[1] if look is not NOT_HERE and self._accepts(dict_id, look, key_hash, reads) else NOT_HERE
            for look, (_, key_hash) in zip(looks, keys, strict=True)
        ]

    def _accepts(self, dict_id: bytes, look: Look, key_hash: int, reads: Reads) -> bool:
        """Whether this client may see it; then it remembers that it did."""
        session, memory = self._session, self._memory
        stamp, body, expires_ms = look
        if reads is not _ANY:
            cleared = bool(memory.clears) and memory.is_cleared(dict_id, key_hash, stamp)
            if (cleared and body is not None) or memory.is_older(key_hash, stamp, session.now_s()):
                return False
            expires_s = 0.0
            if expires_ms:
                expires_s = session.now_s() + (expires_ms - session.wall_ms()) / 1000
            memory.see(key_hash, stamp, expires_s)
        return True

    def _table(self, dict_id: bytes) -> LocalTable:
        store = self._store
        if store is None:  # another thread has just closed it
            raise ClosedError("nothing is read past a node any more")
        if len(self._tables) >= LOCAL_DICTS_MAX:
            self._tables = {}
        table = self._tables[dict_id] = LocalTable(store, dict_id)
        return table

    # -- finding -----------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether `seek` may be of use now: nothing was found yet, or what was found answers no more."""
        if self._closed or self._session.now_s() < self._seek_at_s:
            return False
        store = self._store
        return store is None or not store.is_alive()

    def seek(self) -> Plan[None]:
        """Ask the nodes on this host where their entries are, until one of them can be read."""
        session = self._session
        self._seek_at_s = session.now_s() + LOCAL_RETRY_S
        route = session.route
        near = [contact for contact in route.contacts if contact.is_near] if route is not None else []
        if not near:
            self._seek_at_s = inf
        for contact in near:
            if not contact.is_routable(session.now_s()):
                continue
            patience_s = contact.begin(session.now_s(), READ_PATIENCE_S, others=True)
            reply = yield Ask(contact, AskFolder(session.number(), host_mark()), patience_s)
            if type(reply) is Miss:
                contact.miss(session.now_s())
                continue
            contact.hit()
            if type(reply) is TellFolder and reply.folder and self.use(Path(reply.folder)):
                return

    def use(self, folder: Path) -> bool:
        """Read what the node in `folder` has; whether that can be done."""
        with _lock:
            if self._closed:
                return False
            self._leave()
            store = _rent(folder)
            try:
                store.open()
                if store.is_alive():  # another client may have opened it long ago
                    self._store = store
            except Error:
                pass  # a node is asked instead
            finally:
                if self._store is None:
                    _give_back(store)
            return self._store is not None

    def close(self) -> None:
        """Read nothing any more."""
        with _lock:
            self._closed = True
            self._leave()

    def _leave(self) -> None:
        store, self._store = self._store, None
        self._tables = {}
        if store is not None:
            _give_back(store)


# -- what this process has open --------------------------------------------------------------------

_lock = threading.RLock()
_stores: dict[Path, LocalStore] = {}
_users: dict[Path, int] = {}

os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _rent(folder: Path) -> LocalStore:
    store = _stores.get(folder)
    if store is None:
        store = _stores[folder] = LocalStore(folder)
        _users[folder] = 0
    _users[folder] += 1
    return store


def _give_back(store: LocalStore) -> None:
    folder = store.folder
    _users[folder] -= 1
    if not _users[folder]:
        del _stores[folder], _users[folder]
        store.close()
