"""A store made of backups: of one, or of those of several nodes, merged.

Rules of this file:
1. The folder has no store until all of it is there and on disk: it is made beside, in `WORK`, and takes its
   place in one step.
2. It is another store than the one that was backed up: its id is new. Nobody can take it for a node that has
   promised something.
3. Entries of one key merge as those of replicas do: the higher (version, node, touch) stands. A name stands
   in its highest life, and what an older life left goes.
4. It is left as by a node that handed it back: the first write counts it anew, and gives higher stamps than
   any that is in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import lmdb

from ...exception import Error, StoreFullError, UnavailableError
from ..clock import Clock, Random, SystemClock, system_random
from ..config import MIB, RESTORE_BYTES_MAX
from ..disk import complaint
from ..disk.datafile import FILE_MODE, LMDB_MAJOR, LOCK
from ..disk.folder import ENTRIES, prepare
from . import layout
from .archive import ArchiveReader, Row, of_disk, sync_names
from .backup import highest_of
from .catalogue import UNBORN, Life, Record, dict_id
from .entry import EXPIRES_AT, VERSION_AT
from .meta import new_meta, with_partitions
from .transaction import DictState
from .walk import Dicts, under

WORK = "restore.tmp"
"""What a restoration writes into; what is left of one that died is removed by the next."""
STAMP_BYTES = 8


class Restored(NamedTuple):
    """What came of it: how many Dicts and entries the store has, deleted keys of a cluster included."""

    dicts: int
    entries: int


def restore(
    backups: Sequence[Path],
    folder: Path,
    *,
    host: Clock | None = None,
    random: Random = system_random,
    progress: Callable[[int, int], None] | None = None,
) -> Restored:
    """Make a store in `folder`, which is empty or not there, of all that is in the backups.

    Raises:
        UnavailableError: `folder` is not empty; one of the backups is none, or did not come to its end.
        StoreDamagedError: one of them is not what was written.
        StoreFullError: there is no room. In all these cases there is no store in `folder`.
    """
    readers = [ArchiveReader(path) for path in backups]
    divisions = {reader.manifest.partitions for reader in readers}
    if len(divisions) != 1:
        raise UnavailableError(f"backups of different clusters: of {sorted(divisions)} partitions")
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if there - {WORK}:
        raise UnavailableError(f"a store is restored into an empty folder; there is something in {folder}")
    _prepare(folder)
    work = folder / WORK
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir()
        return _restore(
            readers,
            folder,
            work,
            with_partitions(new_meta(random, host or SystemClock()), divisions.pop()),
            progress,
        )
    except Error:
        raise
    except OSError as error:
        raise of_disk(error, folder) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _prepare(folder: Path) -> None:
    """Make the folder, on a file system that can hold a store."""
    prepare(folder)
    (folder / ENTRIES).rmdir()


def _restore(
    readers: list[ArchiveReader],
    folder: Path,
    work: Path,
    meta: bytes,
    progress: Callable[[int, int], None] | None,
) -> Restored:
    total_bytes = sum(reader.manifest.rows_bytes for reader in readers)
    store = _NewStore(work, total_bytes, folder, _cleared(readers))
    try:
        done_bytes = 0
        for rows in _portions(readers):
            store.merge(rows)
            done_bytes += sum(len(key) + len(value) for key, value in rows)
            if progress is not None:
                progress(done_bytes, total_bytes)
        result = store.finish(meta, max(reader.manifest.last_stamp for reader in readers))
    finally:
        store.close()
    sync_names(work)
    (work / LOCK).unlink(missing_ok=True)
    work.rename(folder / ENTRIES)
    sync_names(folder)
    sync_names(folder.parent)
    return result


def _cleared(readers: Iterable[ArchiveReader]) -> Dicts:
    """What any of the backups knows to be cleared, for the entries of all."""
    found = Dicts()
    for reader in readers:
        for rows in reader.blocks():
            for key, value in rows:
                if key.startswith(layout.CLEARED):
                    found.take(key, value)
            if not rows[-1][0].startswith(layout.SYSTEM):
                break
    return found


def _portions(readers: Iterable[ArchiveReader]) -> Iterator[list[Row]]:
    """The rows of all, in as many at a time as go into one transaction."""
    portion: list[Row] = []
    size_bytes = 0
    for reader in readers:
        for rows in reader.blocks():
            portion += rows
            size_bytes += sum(len(value) for _, value in rows)
            if size_bytes >= RESTORE_BYTES_MAX:
                yield portion
                portion, size_bytes = [], 0
    yield portion


class _NewStore:
    """The LMDB environment of a store that is being made."""

    def __init__(self, work: Path, size_bytes: int, folder: Path, cleared: Dicts) -> None:
        self._folder = folder
        self._marks = cleared.marks
        self._highest: dict[bytes, int] = {}
        self._lmdb = lmdb.Environment(
            str(work),
            map_size=2 * size_bytes + 16 * MIB,
            mode=FILE_MODE,
            sync=False,
            lib_version=LMDB_MAJOR,
            max_spare_txns=0,
        )

    def merge(self, rows: list[Row]) -> None:
        """Take rows in, each where it wins against what stands there."""
        self._write(lambda transaction: _merge(transaction, rows, self._marks, self._highest))

    def finish(self, meta: bytes, last_stamp: int) -> Restored:
        """Make a store of it, and bring it to disk."""

        def last(transaction: lmdb.Transaction[bytes]) -> None:
            _end_older_lives(transaction)
            highest = last_stamp
            for id_, state in list(_states(transaction)):
                state.last_stamp = max(state.last_stamp, self._highest.get(id_, 0))
                highest = max(highest, state.last_stamp)
                transaction.put(layout.STATE + id_, state.encode())
            transaction.put(layout.LAST_STAMP, highest.to_bytes(STAMP_BYTES, "big"))
            transaction.put(layout.OWNER, layout.HANDED_BACK)
            transaction.put(layout.META, meta)

        self._write(last)
        try:
            self._lmdb.sync(True)
        except lmdb.Error as error:
            raise self._translated(error) from error
        with self._lmdb.begin() as transaction:
            own = sum(1 for _ in under(transaction, layout.SYSTEM))
            dicts = sum(1 for _ in under(transaction, layout.STATE))
        return Restored(dicts, self._lmdb.stat()["entries"] - own)

    def _write(self, job: Callable[[lmdb.Transaction[bytes]], None]) -> None:
        while True:
            try:
                with self._lmdb.begin(write=True) as transaction:
                    return job(transaction)
            except lmdb.MapFullError:
                self._lmdb.set_mapsize(2 * self._lmdb.info()["map_size"])
            except lmdb.Error as error:
                raise self._translated(error) from error

    def _translated(self, error: lmdb.Error) -> Error:
        if isinstance(error, lmdb.DiskError):
            return StoreFullError(f"the disk that holds {self._folder} is full: nothing was restored")
        return complaint.commit_refused(error, self._folder)

    def close(self) -> None:
        self._lmdb.close()


def _merge(
    transaction: lmdb.Transaction[bytes], rows: list[Row], marks: dict[bytes, int], highest: dict[bytes, int]
) -> None:
    for key, value in rows:
        if key.startswith(layout.CLEARED) or _version(value) <= marks.get(key[: layout.PREFIX_BYTES], -1):
            continue  # what a clear leaves is in the store; that there was one, nobody has to know any more
        standing: bytes | None = transaction.get(key)
        if key.startswith(layout.SYSTEM):
            value = value if standing is None else _merged_record(key, value, standing)  # noqa: PLW2901
        elif standing is not None and _stamp(standing) >= _stamp(value):
            continue
        else:
            id_ = key[: layout.DICT_ID_BYTES]
            highest[id_] = max(highest.get(id_, 0), highest_of(value))
        transaction.put(key, value)


def _version(raw: bytes) -> int:
    return int.from_bytes(raw[VERSION_AT : VERSION_AT + STAMP_BYTES], "big")


def _stamp(raw: bytes) -> bytes:
    """Version, node and touch stand side by side, and their bytes compare like the numbers."""
    return raw[VERSION_AT:EXPIRES_AT]


def _merged_record(key: bytes, value: bytes, standing: bytes) -> bytes:
    if key.startswith(layout.NAME):
        return max(value, standing, key=Life.decode)
    if key.startswith(layout.STATE):
        one, other = DictState.decode(value), DictState.decode(standing)
        cleared_at = max(one.cleared_at, other.cleared_at)
        return DictState(cleared_at, max(one.last_stamp, other.last_stamp), 0, 0, 0).encode()
    return min(value, standing, key=lambda raw: (Record.decode(raw).created_ms, raw))


def _states(transaction: lmdb.Transaction[bytes]) -> Iterator[tuple[bytes, DictState]]:
    for key, raw in under(transaction, layout.STATE):
        yield key[len(layout.STATE) :], DictState.decode(raw)


def _end_older_lives(transaction: lmdb.Transaction[bytes]) -> None:
    """Where one backup knows that a Dict was deleted and another does not, it was."""
    for key, raw in list(under(transaction, layout.DICT)):
        record, id_ = Record.decode(raw), key[len(layout.DICT) :]
        assert record.name is not None
        name = transaction.get(layout.name_key(record.environment, record.name))
        life = UNBORN if name is None else Life.decode(name)
        if not life.exists or dict_id(record.environment, record.name, life.life) != id_:
            transaction.delete(key)
            transaction.delete(layout.STATE + id_)
            transaction.put(layout.SWEEP + id_, b"")
