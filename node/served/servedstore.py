"""An embedded store that a node serves: the same folder, the same files, and nobody else writes.

Rules of this file:
1. An owner's record stands as long as the node serves. Every write of every other process looks for it, so
   embedded writers stop at the first write after it was made, wherever they were.
2. The node keeps up neither counters nor the expiry index (see recount.py), and sweeps nothing: when a value
   may go, all replicas decide together.
3. What a clear or a deletion left behind goes before the node serves, and so do locks whose time is over, or
   whose holder died with the host: others must never hear of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from fcntl import flock
from pathlib import Path
from typing import TypeVar

from ..config import GATE_TIMEOUT_S
from ..disk import complaint
from ..disk.durability import Durability
from ..disk.environment import MapFullError
from ..disk.gate import UNLOCK, BusyError
from ..store import layout
from ..store.catalogue import records
from ..store.entry import body_of
from ..store.grant import Grant
from ..store.meta import partitions_of
from ..store.store import Store
from ..store.sweeper import marker
from ..store.transaction import WriteTransaction
from ..store.writer import Job

R = TypeVar("R")


class ServedStore(Store):
    """The store in `folder`, for the node of that id, which is reached at `address`. One thread at a time
    writes."""

    _of_node = True

    def __init__(
        self,
        folder: Path,
        durability: Durability,
        node: bytes,
        address: str,
        *,
        store_bytes_max: int | None = None,
    ) -> None:
        super().__init__(folder, durability=durability, store_bytes_max=store_bytes_max)
        self._owner_id = node.hex().encode()
        self._owner = self._owner_id + f" at ringdict://{address}".encode()

    def _admit(self, owner: bytes, job: object) -> None:
        if owner != self._owner and job != self._take_over:
            raise complaint.owned(owner, self.folder)

    def wake_sweeper(self) -> None:
        """Nothing is swept as long as a node serves."""

    # -- its life ----------------------------------------------------------------------------------

    def serve(self) -> None:
        """Open it, and keep embedded writers out from now on.

        Raises:
            UnavailableError: it belongs to another node, or its users have it open with another durability.
            Error: as `open`.
        """
        self.open()
        self.run(self._take_over)
        self.run(_drop_old_locks)
        while self._is_untidy():
            self.run(self._sweeper.stretch)

    def _is_untidy(self) -> bool:
        with self.reading() as transaction:
            return not self.environment.damaged and marker(transaction) is not None

    def _take_over(self, transaction: WriteTransaction) -> None:
        owner = transaction.get(layout.OWNER) or layout.HANDED_BACK
        if owner and not owner.startswith(self._owner_id):
            raise complaint.owned_by_another(owner, self.folder)
        last = transaction.get(layout.LAST_STAMP) or b""
        transaction.put(layout.LAST_STAMP, max(last, transaction.stamp.to_bytes(8, "big")))
        transaction.put(layout.OWNER, self._owner)

    def hand_back(self) -> None:
        """Let embedded writers in again, unless the folder is bound to a cluster of several nodes, or its
        keys are divided otherwise than an embedded store's."""

        def let_in(transaction: WriteTransaction) -> None:
            meta: bytes = transaction.get(layout.META) or b""
            if transaction.get(layout.BOUND) is None and partitions_of(meta) == layout.PARTITIONS:
                transaction.put(layout.OWNER, layout.HANDED_BACK)

        self.run(let_in)

    # -- writing -----------------------------------------------------------------------------------

    def write_at_once(self, job: Job[None]) -> bool:
        """Carry out a job if that takes no wait for anybody or anything; whether it was done.

        Raises as `run`.
        """
        gate, writer = self._gate, self.environment.writer
        if gate is None or (self.keeper is not None and self.keeper.is_behind):
            return False
        if not writer.acquire(blocking=False):
            return False
        try:
            if not gate.try_enter():
                return False
            self._attempt(job)
        except MapFullError:
            return False
        else:
            return True
        finally:
            flock(gate.turn, UNLOCK)
            writer.release()

    def write_patiently(self, job: Job[None], is_over: Callable[[], bool]) -> None:
        """Carry out a job, however long others keep it waiting; unless it is all over before.

        Raises as `run`.
        """
        while True:
            try:
                with self.environment.writer:
                    return self._transact(job, GATE_TIMEOUT_S)
            except BusyError:
                if is_over():
                    raise


def _drop_old_locks(transaction: WriteTransaction) -> None:
    """Remove the locks that nobody holds any more, as only this host can tell. They are in no counter."""
    dict_ids = [dict_id for dict_id, _ in records(transaction.raw)]
    cursor = transaction.raw.cursor()
    for dict_id in dict_ids:
        for partition in layout.PARTITION_NAMES:
            prefix = dict_id + partition + layout.LOCK_SPACE
            found = cursor.set_range(prefix)
            while found and cursor.key().startswith(prefix):
                if _is_over(cursor.value(), transaction):
                    found = cursor.delete()
                    transaction.writes += 1
                else:
                    found = cursor.next()


def _is_over(raw: bytes, transaction: WriteTransaction) -> bool:
    try:
        return Grant.decode(body_of(raw)).over(transaction.host)
    except struct.error:
        return False  # it is damaged: whoever takes it over will see
