"""The catalogue of a cluster: which Dicts there are, as every member knows it.

It stands in the layout of the embedded store, in the same storage as the entries (docs/format.md), so that
the Dicts of an embedded folder are there. A Dict's id follows from its name and its life, so members that
make one name apart from each other make the same Dict.

Rules of this file:
1. A name merges to the higher life, then to that it exists; a Dict's record to the lowest created_ms, then to
   the lowest bytes. So all members come to the same, in whatever order they hear of things.
2. A Dict that is made is made here at once, told to every member that can be reached, and only then answered:
   whom the maker asks next knows it.
3. The record of a Dict counts only while its name is in the life that its id was made from: what an older
   life left behind is removed.
4. Members that differ exchange all that they know, a page at a time; who has heard of everything costs one
   small question now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import ormsgpack
from xxhash import xxh3_64_intdigest

from ...exception import Error, StoreFullError
from ..config import PAGE_DICTS_MAX
from ..store import layout
from ..store.catalogue import UNBORN, Life, Record, dict_id
from ..store.layout import DICT, DICT_ID_BYTES, NAME, STATE
from ..store.transaction import DictState
from ..world import Changes, Storage, World
from .replica import Replica

Row = tuple[bytes, bytes]
"""A key of the catalogue and its value, as they stand in the store."""

NAME_END = NAME[:-1] + b"\x01"
DICT_END = DICT[:-1] + b"\x01"
LIFE_BYTES = 9


class Known(NamedTuple):
    """A Dict: its id and the bytes of its record; both empty: there is none."""

    dict_id: bytes
    record: bytes


NONE = Known(b"", b"")


class Names:
    """One node's copy of the catalogue: what is known, and the merging of what is heard."""

    def __init__(self, world: World, storage: Storage, replica: Replica) -> None:
        self._world = world
        self._storage = storage
        self._replica = replica
        self._digest = 0
        self._sum_up()

    # -- questions ----------------------------------------------------------------------------------

    def life_of(self, environment: str, name: str) -> Life:
        """What a name stands for."""
        raw = self._storage.get(layout.name_key(environment, name))
        return UNBORN if raw is None else Life.decode(raw)

    def look_up(self, environment: str, name: str) -> Known:
        """The Dict of a name."""
        life = self.life_of(environment, name)
        return self.by_id(dict_id(environment, name, life.life)) if life.exists else NONE

    def by_id(self, id_: bytes) -> Known:
        """The Dict of an id."""
        record = self._storage.get(DICT + id_)
        return NONE if record is None else Known(id_, record)

    def page(self, environment: str, after: str) -> tuple[list[Known], bool]:
        """The named Dicts of an environment, in order of name, from behind a name on; whether there are more
        behind the last one."""
        prefix = layout.name_key(environment, "")
        end = prefix[:-1] + b"\x01"
        first = prefix + after.encode() + b"\0" if after else prefix
        found: list[Known] = []
        while True:
            rows = self._storage.scan(first, end, PAGE_DICTS_MAX)
            for key, raw in rows:
                life = Life.decode(raw)
                if life.exists:
                    known = self.by_id(dict_id(environment, key[len(prefix) :].decode(), life.life))
                    found += [known] if known.record else []
                if len(found) > PAGE_DICTS_MAX:
                    return found[:PAGE_DICTS_MAX], True
            if len(rows) < PAGE_DICTS_MAX:
                return found, False
            first = rows[-1][0] + b"\0"

    # -- what members tell each other -----------------------------------------------------------------

    def stretch(self, first: bytes, last: bytes) -> tuple[list[Row], bytes]:
        """All that is known from the key `first` up to, not including, `last` (empty: from the beginning, to
        the end), a name together with its Dict's record; where to go on, empty for nowhere."""
        rows: list[Row] = []
        found = self._storage.scan(first or DICT, last or NAME_END, PAGE_DICTS_MAX)
        for key, value in found:
            if key.startswith(NAME):
                rows.append((key, value))
                named, life = _named(key), Life.decode(value)
                if named is not None and life.exists:
                    id_ = dict_id(*named, life.life)
                    rows += [(DICT + id_, record)] if (record := self.by_id(id_).record) else []
            elif key.startswith(DICT):
                record_ = record_of(value)
                rows += [(key, value)] if record_ is not None and record_.name is None else []
        return rows, found[-1][0] + b"\0" if len(found) == PAGE_DICTS_MAX else b""

    def lacking(self, rows: Iterable[Row], first: bytes, last: bytes) -> tuple[list[Row], bytes]:
        """Of a stretch that somebody told all he knows of: what he lacks, and where to go on."""
        told = set(rows)
        known, next_ = self.stretch(first, last)
        return [row for row in known if row not in told], next_

    @property
    def digest(self) -> bytes:
        """Equal for equal catalogues."""
        return self._digest.to_bytes(8, "big")

    # -- making ---------------------------------------------------------------------------------------

    def create(self, new: Record, done: Callable[[Error | Known], None]) -> list[Row]:
        """Make the Dict of a name, if there is none; `done` is told of the one that there is then, once it is
        durable. What is to be told to others."""
        assert new.name is not None
        key = layout.name_key(new.environment, new.name)
        raw = self._storage.get(key)
        life = UNBORN if raw is None else Life.decode(raw)
        id_ = dict_id(new.environment, new.name, life.life)
        rows = [(key, life._replace(exists=True).encode()), (DICT + id_, new.encode())]
        self.take(rows, lambda error: done(error or self.by_id(id_)))
        return [(each, value) for each, _ in rows if (value := self._storage.get(each)) is not None]

    def end_of(self, id_: bytes) -> list[Row]:
        """What says that a named Dict is no more; empty if there is none of that id."""
        record = record_of(self.by_id(id_).record)
        if record is None or record.name is None:
            return []
        life = self.life_of(record.environment, record.name)
        if not life.exists or dict_id(record.environment, record.name, life.life) != id_:
            return []
        key = layout.name_key(record.environment, record.name)
        return [(key, Life(life.life + 1, exists=False).encode())]

    # -- merging --------------------------------------------------------------------------------------

    def take(self, rows: Iterable[Row], done: Callable[[Error | None], None]) -> None:
        """Merge what was heard. What is no part of a catalogue is passed over."""
        changes: Changes = {}
        for key, value in sorted(rows, reverse=True):  # names first: they decide which records count
            if key.startswith(NAME):
                self._take_name(key, value, changes)
            elif key.startswith(DICT):
                self._take_record(key, value, changes)
        for key, value_ in changes.items():
            if key.startswith((NAME, DICT)):
                self._count(key, self._storage.get(key))
                self._count(key, value_)
        self._storage.commit(changes, lambda error: self._taken(error, done))
        for key in changes:
            if key.startswith(STATE):
                self._replica.dict_changed(key[len(STATE) :])

    def _take_name(self, key: bytes, value: bytes, changes: Changes) -> None:
        named = _named(key)
        if named is None or len(value) != LIFE_BYTES:
            return
        heard = Life.decode(value)
        raw = self._get(key, changes)
        known = UNBORN if raw is None else Life.decode(raw)
        if heard <= known:
            return
        changes[key] = heard.encode()
        if known.exists and heard.life > known.life:
            self._end(dict_id(*named, known.life), changes)

    def _end(self, id_: bytes, changes: Changes) -> None:
        """A Dict's life is over."""
        changes[DICT + id_] = None
        changes[STATE + id_] = None
        changes[layout.HEARTBEAT + id_] = None
        changes[layout.SWEEP + id_] = b""

    def _take_record(self, key: bytes, value: bytes, changes: Changes) -> None:
        id_ = key[len(DICT) :]
        heard = record_of(value)
        if heard is None or len(id_) != DICT_ID_BYTES:
            return
        if heard.name is not None:
            raw = self._get(layout.name_key(heard.environment, heard.name), changes)
            life = UNBORN if raw is None else Life.decode(raw)
            if not life.exists or dict_id(heard.environment, heard.name, life.life) != id_:
                return
        known = self._get(key, changes)
        standing = None if known is None else record_of(known)
        if standing is None or known is None or (heard.created_ms, value) < (standing.created_ms, known):
            changes[key] = value
        if self._get(STATE + id_, changes) is None:
            changes[STATE + id_] = DictState(0, 0, 0, 0, 0).encode()

    def _get(self, key: bytes, changes: Changes) -> bytes | None:
        return changes[key] if key in changes else self._storage.get(key)

    def _taken(self, error: Error | None, done: Callable[[Error | None], None]) -> None:
        if error is not None and not isinstance(error, StoreFullError):
            self._world.halt(f"the entries: {error}")
            return
        if error is not None:
            self._sum_up()
        done(error)

    # -- the digest -------------------------------------------------------------------------------------

    def _count(self, key: bytes, value: bytes | None) -> None:
        """Put a row into the digest, or take it out again: adding it twice is nothing."""
        if value is not None:
            self._digest ^= xxh3_64_intdigest(len(key).to_bytes(2, "big") + key + value)

    def _sum_up(self) -> None:
        self._digest = 0
        for first, end in ((NAME, NAME_END), (DICT, DICT_END)):
            place = first
            while rows := self._storage.scan(place, end, PAGE_DICTS_MAX):
                for key, value in rows:
                    self._count(key, value)
                place = rows[-1][0] + b"\0"


def record_of(value: bytes) -> Record | None:
    """The record of a Dict; None: it is none."""
    try:
        fields = ormsgpack.unpackb(value) if value else None
    except ormsgpack.MsgpackDecodeError:
        return None
    if not isinstance(fields, list) or [type(field) for field in fields] not in (
        [str, str, int, str, int],
        [str, type(None), int, str, int],
    ):
        return None
    return Record(*fields)


def _named(key: bytes) -> tuple[str, str] | None:
    """Environment and name that a key of the catalogue stands for; None: it is none."""
    environment, zero, name = key[len(NAME) :].partition(b"\0")
    try:
        return (environment.decode(), name.decode()) if zero and name and b"\0" not in name else None
    except UnicodeDecodeError:
        return None
