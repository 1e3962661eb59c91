"""Backups: all that a store shows its readers, from one snapshot, while others read and write it.

Rules of this file:
1. Everything comes from one read transaction: it is what was there at one instant, everywhere in the store.
2. Of a node's folder only the entries and the names are taken. What a node promised others (its identity, its
   votes, its accepted records) never is: a node that forgot a promise of its own could let a lock be held
   twice.
3. Deleted keys of a cluster go along as such: where the backups of several nodes become one store, a delete
   that one of them knows stands against what another still has.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lmdb

from ...exception import Error, UnavailableError
from ..config import BACKUP_RATE_BYTES_S
from ..disk.datafile import DATA
from ..disk.folder import ENTRIES
from . import layout
from .archive import FORMAT, ArchiveWriter, Manifest, of_disk
from .entry import BEHIND, CHECKSUM_BYTES
from .meta import META
from .pace import Pace
from .store import Store
from .transaction import DictState
from .walk import Dicts, Judged, Verdict, is_clear, judged, under

NODE_HEX_CHARS = 32
STAMP_BYTES = 8

Progress = Callable[[int], None]
"""Called with the bytes written so far."""

Report = Callable[[Judged, Dicts], None]
"""Called with each entry whose checksum is wrong, and the Dicts that there are."""


def backup(
    folder: Path,
    target: Path,
    report: Report,
    *,
    rate_bytes_s: int = BACKUP_RATE_BYTES_S,
    progress: Progress | None = None,
) -> Manifest:
    """Copy what the store in `folder` shows its readers into `target`, an empty folder or a new one. What is
    damaged is reported, and left out.

    Raises:
        UnavailableError: there is no store; or `target` is not empty.
        StoreFullError: there is no room in `target`, which is as it was before.
        StoreDamagedError: the store's tree cannot be read through.
    """
    store = opened(folder)
    try:
        with ArchiveWriter(target) as archive, store.reading() as transaction:
            copying = _Copying(store, transaction, archive, report)
            return copying.run(Pace(rate_bytes_s), progress or (lambda _: None))
    except Error:
        raise
    except OSError as error:
        raise of_disk(error, target) from error
    finally:
        store.close()


class _AnyStore(Store):
    """An embedded store's folder, or a node's."""

    _of_node = True


def opened(folder: Path) -> Store:
    """The store in `folder`, whoever serves it; one that is not there is not made.

    Raises:
        UnavailableError: there is none.
    """
    if not (folder / ENTRIES / DATA).exists():
        raise UnavailableError(f"there is no store in {folder}")
    store = _AnyStore(folder, background=False)
    store.open()
    return store


def named(transaction: lmdb.Transaction[bytes]) -> Dicts:
    """The Dicts that outlive who made them: those without a name end with their maker."""
    dicts = Dicts.read(transaction)
    for id_, record in list(dicts.records.items()):
        if record.name is None:
            del dicts.records[id_]
            dicts.states.pop(id_, None)
    return dicts


class _Copying:
    """One backup, on its way from a snapshot to its folder."""

    def __init__(
        self, store: Store, transaction: lmdb.Transaction[bytes], archive: ArchiveWriter, report: Report
    ) -> None:
        self._transaction = transaction
        self._archive = archive
        self._report = report
        self._taken_ms = store.now_ms()
        self._dicts = named(transaction)
        self._entries = self._damaged = 0
        before = int.from_bytes(transaction.get(layout.LAST_STAMP) or b"", "big")
        states = [max(state.last_stamp, state.cleared_at) for state in self._dicts.states.values()]
        self._last_stamp = max([before, *states, *self._dicts.marks.values()])

    def run(self, pace: Pace, progress: Progress) -> Manifest:
        archive = self._archive
        self._copy_names()
        for entry in judged(self._transaction, self._dicts):
            written_bytes = self._copy(entry)
            if written_bytes:
                progress(archive.size_bytes)
                pace.spend(written_bytes)
        checksum = archive.end()
        source, cluster = _whose(self._transaction)
        manifest = Manifest(
            format=FORMAT, source=source, cluster=cluster, taken_ms=self._taken_ms,
            last_stamp=self._last_stamp, partitions=self._dicts.partitions,
            dicts=len(self._dicts.records), entries=self._entries,
            damaged=self._damaged, rows_bytes=archive.size_bytes, checksum=checksum,
        )  # fmt: skip
        archive.finish(manifest)
        return manifest

    def _copy(self, entry: Judged) -> int:
        """Take one entry along, if it is any; how many bytes went to disk."""
        if entry.verdict is Verdict.DAMAGED:
            self._damaged += 1
            self._report(entry, self._dicts)
        if entry.verdict is not Verdict.WHOLE or is_clear(entry.place[layout.PREFIX_BYTES :]):
            return 0
        self._entries += 1
        self._last_stamp = max(self._last_stamp, highest_of(entry.raw))
        return self._archive.add(entry.place, entry.raw)

    def _copy_names(self) -> None:
        """The names come first: who merges backups has to know what was cleared before the first entry."""
        dicts = self._dicts
        for key, value in under(self._transaction, layout.NAME):
            self._archive.add(key, value)
        for dict_id, record in dicts.records.items():
            self._archive.add(layout.DICT + dict_id, record.encode())
        for dict_id, state in dicts.states.items():
            cleared_at = 0 if dicts.is_marked(dict_id) else state.cleared_at
            bare = DictState(cleared_at, state.last_stamp, 0, 0, 0)  # counted anew where it is restored
            self._archive.add(layout.STATE + dict_id, bare.encode())
        for prefix, version in dicts.marks.items():
            if prefix[: layout.DICT_ID_BYTES] in dicts.records:
                self._archive.add(layout.CLEARED + prefix, version.to_bytes(STAMP_BYTES, "big"))


def _whose(transaction: lmdb.Transaction[bytes]) -> tuple[str, str]:
    """The id of the node, or of the store if no node serves it; and of the node's cluster."""
    owner = transaction.get(layout.OWNER)
    bound = transaction.get(layout.BOUND)
    if owner:
        return owner[:NODE_HEX_CHARS].decode(errors="replace"), (bound or b"").hex()
    meta = transaction.get(layout.META)
    return (META.unpack(meta)[2].hex() if meta else ""), ""


def highest_of(raw: bytes) -> int:
    """The higher one of an entry's two stamps."""
    version: int
    touch: int
    _, version, _, touch, _ = BEHIND.unpack_from(raw, CHECKSUM_BYTES)
    return max(version, touch)
