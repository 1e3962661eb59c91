"""Is all that a store holds what was written? A walk over its checksums, while others use the store or not.

Rules of this file:
1. The walk is many short snapshots, so that the store may go on using its pages: an entry that is written
   meanwhile is seen as it was, as it is, or both, and each time it must be whole.
2. Nothing is mended here: an embedded store has no other copy, and a node gets one from its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ..config import BACKUP_RATE_BYTES_S, VERIFY_ROWS_MAX
from . import layout
from .archive import ArchiveReader
from .backup import Report, opened
from .pace import Pace
from .walk import Dicts, Judged, Verdict, judge, judged


class Inspection(NamedTuple):
    """What came of one: whole entries, damaged ones, and those whose Dict is gone or was cleared."""

    whole: int
    damaged: int
    dead: int


class _Tally:
    def __init__(self, report: Report, pace: Pace) -> None:
        self._report = report
        self._pace = pace
        self._counts = dict.fromkeys(Verdict, 0)

    def take(self, entries: list[Judged], dicts: Dicts) -> None:
        for entry in entries:
            self._counts[entry.verdict] += 1
            if entry.verdict is Verdict.DAMAGED:
                self._report(entry, dicts)
        self._pace.spend(sum(len(entry.raw) for entry in entries))

    def result(self) -> Inspection:
        counts = self._counts
        return Inspection(counts[Verdict.WHOLE], counts[Verdict.DAMAGED], counts[Verdict.DEAD])


def inspect_store(
    folder: Path,
    report: Report,
    *,
    rate_bytes_s: int = BACKUP_RATE_BYTES_S,
    progress: Callable[[int], None] | None = None,
) -> Inspection:
    """Walk over the store in `folder`.

    Raises:
        UnavailableError: there is none.
        StoreDamagedError: its tree cannot be walked through.
    """
    store = opened(folder)
    tally = _Tally(report, Pace(rate_bytes_s))
    seen, place = 0, b""
    try:
        while True:
            with store.reading() as transaction:
                dicts = Dicts.read(transaction)
                entries = list(islice(judged(transaction, dicts, place), VERIFY_ROWS_MAX))
            tally.take(entries, dicts)
            seen += len(entries)
            if progress is not None:
                progress(seen)
            if len(entries) < VERIFY_ROWS_MAX:
                return tally.result()
            place = entries[-1].place + b"\0"
    finally:
        store.close()


def inspect_backup(folder: Path, report: Report, *, rate_bytes_s: int = BACKUP_RATE_BYTES_S) -> Inspection:
    """Read a backup through.

    Raises:
        UnavailableError: there is none in `folder`, or one that did not come to its end.
        StoreDamagedError: it is not what was written.
    """
    tally = _Tally(report, Pace(rate_bytes_s))
    reader = ArchiveReader(folder)
    dicts = Dicts(reader.manifest.partitions)
    for rows in reader.blocks():
        for key, value in rows:
            dicts.take(key, value)
        entries = [judge(key, value, dicts) for key, value in rows if not key.startswith(layout.SYSTEM)]
        tally.take(entries, dicts)
    return tally.result()
