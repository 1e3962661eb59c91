"""Every event of a run, in order: hashed always, kept where somebody wants to look at them.

The hash is the proof of determinism: two runs of one seed are the same run if and only if it is the same.
A digest is noted every CHUNK_EVENTS, so that of two runs that differ the first difference is found by
keeping one chunk of each (sim/determinism.py).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, TypeAlias

import ormsgpack

from .config import CHUNK_EVENTS, HASH_BYTES

Event: TypeAlias = tuple[Any, ...]
"""(instant in ns, kind, ...). What follows depends on the kind; all of it is plain data:

send      source, target, serial, payload
deliver   source, target, serial
drop      source, target, serial, why
timer     address
disk      address, storage, what
trace     address, event, facts
call      client, serial, kind, key, argument
return    client, serial, status, result
host      address, what, detail
fault     index, what (begin, end)
"""


class Journal:
    """The events of one run.

    `keep_from` and `keep_count` say which stay in memory, in `kept`, by their number; the default is none.
    """

    __slots__ = ("_digest", "_keep", "add", "chunks", "count", "kept", "pending")

    def __init__(self, keep: range = range(0)) -> None:
        self._digest = blake2b(digest_size=HASH_BYTES)
        self._keep = keep
        self.pending: list[Event] = []
        #: Notes one event. The list's own method: it is called for every event there is.
        self.add = self.pending.append
        #: The digest after each full chunk.
        self.chunks: list[str] = []
        #: Events hashed so far.
        self.count = 0
        self.kept: list[Event] = []

    def fold(self) -> None:
        """Hash what is pending, chunk by chunk; whoever runs the loop calls this from time to time."""
        while len(self.pending) >= CHUNK_EVENTS:
            self._take(CHUNK_EVENTS)
            self.chunks.append(self._digest.hexdigest())

    def finish(self) -> str:
        """Hash all that is left, and say the hash of the run."""
        self.fold()
        self._take(len(self.pending))
        return self._digest.hexdigest()

    def _take(self, count: int) -> None:
        if not count:
            return
        events = self.pending[:count]
        del self.pending[:count]
        self._digest.update(ormsgpack.packb(events))
        if self._keep and self.count < self._keep.stop and self.count + count > self._keep.start:
            low = max(0, self._keep.start - self.count)
            self.kept += events[low : self._keep.stop - self.count]
        self.count += count
