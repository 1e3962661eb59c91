"""How a store is opened, and made where there is none: so that all processes find the same one."""

from __future__ import annotations

from fcntl import flock
from pathlib import Path

import lmdb

from ..clock import COUNTER_BITS, Clock, Random
from ..config import GATE_TIMEOUT_S, LOST_STAMPS_MS
from ..disk import datafile
from ..disk import folder as folders
from ..disk.environment import Environment
from ..disk.gate import UNLOCK, WriterGate
from . import layout
from .meta import new_meta
from .stampcell import StampCell
from .transaction import STAMP_RESERVE, states


class Opening:
    """Of the store in `folder`, whose gate is open already."""

    def __init__(self, folder: Path, environment: Environment, gate: WriterGate, host: Clock) -> None:
        self._folder = folder
        self._environment = environment
        self._gate = gate
        self._host = host

    def environment(self) -> None:
        """Open the environment; where it has to be made, one process at a time.

        What a process left behind that met a full disk before its first commit is thrown away.
        """
        path, gate = self._environment.path, self._gate
        if not datafile.half_made(path):
            self._environment.open()
            return
        try:
            gate.enter(GATE_TIMEOUT_S)
            if datafile.half_made(path):
                data = path / datafile.DATA
                if data.exists() and (self._folder / folders.STAMP).exists():  # it was a store once
                    raise self._environment.damage("the data file was cut off")
                data.unlink(missing_ok=True)
            self._environment.open()
        finally:
            flock(gate.turn, UNLOCK)

    def stamp_cell(self, *, went_back: bool) -> StampCell:
        """The cell of the last stamp; after a boot one process begins it anew, above all records.

        `went_back`: the records are of a sync point, and there were stamps after it.
        """
        reserve = STAMP_RESERVE + (LOST_STAMPS_MS << COUNTER_BITS if went_back else 0)
        cell = StampCell(self._folder / folders.STAMP)
        boot_id = self._host.boot_id()
        if cell.of_boot(boot_id):
            return cell
        with self._environment.writer:
            try:
                self._gate.enter(GATE_TIMEOUT_S)
                if not cell.of_boot(boot_id):
                    with self._environment.reading() as transaction:
                        last = max((state.last_stamp for _, state in states(transaction)), default=0)
                    cell.begin(boot_id, max(cell.read(), last + reserve if last else 0))
            finally:
                flock(self._gate.turn, UNLOCK)
        return cell

    def meta(self, random: Random) -> bytes:
        """What the store's meta record says. It is written if there is none: that makes a store."""
        with self._environment.reading() as transaction:
            meta: bytes | None = transaction.get(layout.META)
        return meta or self._found(random)

    def _found(self, random: Random) -> bytes:
        with self._environment.writer:
            try:
                self._gate.enter(GATE_TIMEOUT_S)
                raw = self._environment.begin_write()
                try:
                    meta: bytes | None = raw.get(layout.META)
                    if meta is None:  # no other process was faster
                        meta = new_meta(random, self._host)
                        raw.put(layout.META, meta)
                        self._environment.commit(raw)
                    return meta
                except lmdb.Error as error:
                    raise self._environment.translated(error) from error
                finally:
                    self._environment.abandon(raw)
            finally:
                flock(self._gate.turn, UNLOCK)
