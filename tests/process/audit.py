"""Is a store whole? Reads all of it, below every method of ringdict, and compares each thing with all others.

What must be true of any store at any moment between two transactions, whoever died in the middle of what:
1. Every record is of a kind that is known, and every entry stands where its key belongs.
2. A Dict has a record and a state, or neither; a name that lives has a Dict, a Dict with a name has that
   name; one without has a heartbeat.
3. Every entry is what was written (checksum). No stamp is above the last one that the store gave, nor far
   above what the record of its Dict says, or a host that boots could give it again.
4. The counters of a Dict are what counting gives.
5. The expiry index and the entries agree, in both directions.
6. What is dead, the sweeper will find: its Dict has a marker, and it lies behind the marker's place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from ringdict.node.store import layout
from ringdict.node.store.catalogue import Life, Record, dict_id
from ringdict.node.store.entry import VERSION_AT, Stored, decode, whole_key
from ringdict.node.store.meta import FORMAT, META
from ringdict.node.store.store import Store
from ringdict.node.store.table import Table
from ringdict.node.store.transaction import STAMP_RESERVE, DictState

SYSTEM_KINDS = (layout.NAME, layout.DICT, layout.STATE, layout.SWEEP, layout.HEARTBEAT)
ALL_DEAD = (1 << 64) - 1


class Row(NamedTuple):
    """An entry, taken apart."""

    place: bytes
    key: bytes
    key_hash: int
    entry: Stored


class Contents:
    """All records of a store, sorted by kind, as one snapshot has them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.kinds: dict[bytes, dict[bytes, bytes]] = {kind: {} for kind in SYSTEM_KINDS}
        self.single: dict[bytes, bytes] = {}
        self.index: dict[bytes, bytes] = {}
        self.entries: dict[bytes, list[tuple[bytes, bytes]]] = defaultdict(list)
        count = 0
        with store.reading() as transaction:
            for key, value in transaction.cursor():
                self._file(bytes(key), bytes(value))
                count += 1
            assert transaction.stat(store.environment.open().open_db(txn=transaction))["entries"] == count
        assert store._cell is not None
        self.stamp = store._cell.read()
        self.states = {key: DictState.decode(raw) for key, raw in self.kinds[layout.STATE].items()}
        self.records = {key: Record.decode(raw) for key, raw in self.kinds[layout.DICT].items()}
        self.markers = self.kinds[layout.SWEEP]

    def _file(self, key: bytes, value: bytes) -> None:
        if key.startswith(layout.EXPIRY):
            self.index[key] = value
        elif key in (layout.META, layout.OWNER):
            self.single[key] = value
        elif key.startswith(layout.SYSTEM):
            (kind,) = [kind for kind in SYSTEM_KINDS if key.startswith(kind)]
            self.kinds[kind][key[len(kind) :]] = value
        else:
            assert int.from_bytes(key[: layout.DICT_ID_BYTES], "big") >= layout.DICT_ID_FIRST
            self.entries[key[: layout.DICT_ID_BYTES]].append((key, value))

    def rows(self, id_: bytes) -> Iterator[Row]:
        """The entries of a Dict that are not dead, locks included, each checked against its key."""
        table = Table(self.store, id_)
        cleared_at = self.states[id_].cleared_at
        for place, raw in self.entries.get(id_, ()):
            if version_of(raw) <= cleared_at:
                continue
            stored = place[layout.PREFIX_BYTES :]
            key = whole_key(raw) or stored
            located = table.locate(key)
            assert located.place == place, f"{key!r} does not belong where it stands"
            yield Row(place, key, located.key_hash, decode(raw, located.key_hash))


def check_consistent(store: Store) -> None:
    """Assert all that must be true of a store. Opens it if it is not open."""
    if not store.opened:
        store.open()
    contents = Contents(store)
    check_meta(contents)
    check_catalogue(contents)
    for id_, state in contents.states.items():
        check_dict(contents, id_, state)
    check_index(contents)
    check_dead(contents)


def check_meta(contents: Contents) -> None:
    format_, partitions, _, _ = META.unpack(contents.single[layout.META])
    assert (format_, partitions) == (FORMAT, layout.PARTITIONS)


def check_catalogue(contents: Contents) -> None:
    named: set[bytes] = set()
    for suffix, raw in contents.kinds[layout.NAME].items():
        environment, _, name = suffix.decode().partition("\0")
        life = Life.decode(raw)
        if life.exists:
            id_ = dict_id(environment, name, life.life)
            named.add(id_)
            record = contents.records[id_]
            assert (record.environment, record.name) == (environment, name)
    assert contents.records.keys() == contents.states.keys()
    assert {id_ for id_, record in contents.records.items() if record.name is not None} == named
    assert contents.kinds[layout.HEARTBEAT].keys() == contents.records.keys() - named


def check_dict(contents: Contents, id_: bytes, state: DictState) -> None:
    counted = size_bytes = expiring = 0
    highest = min(contents.stamp, state.last_stamp + STAMP_RESERVE)
    stamps = state.cleared_at, state.last_stamp, contents.stamp
    assert list(stamps) == sorted(stamps), [stamp >> 16 for stamp in stamps]
    for row in contents.rows(id_):
        entry = row.entry
        assert max(entry.version, entry.touch) <= highest, f"{row.key!r} is ahead of its Dict"
        if row.key.startswith(layout.LOCK_SPACE):
            assert not entry.expires_ms, "a lock never expires as an entry"
        else:
            counted += 1
            size_bytes += len(row.key) + len(entry.body)
            if entry.expires_ms:
                expiring += 1
                assert contents.index[index_key(id_, row)] == index_value(row), f"{row.key!r} is not indexed"
    assert (state.entries, state.bytes, state.expiring) == (counted, size_bytes, expiring)


def check_index(contents: Contents) -> None:
    live: dict[bytes, set[bytes]] = {
        id_: {index_key(id_, row) for row in contents.rows(id_) if row.entry.expires_ms}
        for id_ in contents.states
    }
    for key, value in contents.index.items():
        _, id_, _, _ = layout.EXPIRY_KEY.unpack(key)
        cleared_at = contents.states[id_].cleared_at if id_ in contents.states else ALL_DEAD
        if int.from_bytes(value[:8], "big") > cleared_at:
            assert key in live[id_], f"the index has an entry at {value[8:]!r}, and the Dict has not"
        else:
            assert behind_marker(contents, id_, key), f"nobody will sweep the index record {key!r}"


def check_dead(contents: Contents) -> None:
    for id_, entries in contents.entries.items():
        cleared_at = contents.states[id_].cleared_at if id_ in contents.states else ALL_DEAD
        for place, raw in entries:
            if version_of(raw) <= cleared_at:
                assert behind_marker(contents, id_, place), f"nobody will sweep {place!r}"
    for id_, start in contents.markers.items():
        assert start == b"" or start.startswith((id_, layout.EXPIRY + id_))


def behind_marker(contents: Contents, id_: bytes, place: bytes) -> bool:
    """Whether the sweeper comes by a place: entries of a Dict come before its index."""
    if id_ not in contents.markers:
        return False
    start = contents.markers[id_]
    order = (place.startswith(layout.EXPIRY), place)
    return start == b"" or order >= (start.startswith(layout.EXPIRY), start)


def version_of(raw: bytes) -> int:
    return int.from_bytes(raw[VERSION_AT : VERSION_AT + 8], "big")


def index_key(id_: bytes, row: Row) -> bytes:
    return layout.EXPIRY_KEY.pack(layout.EXPIRY, id_, row.entry.expires_ms, row.key_hash)


def index_value(row: Row) -> bytes:
    return row.entry.version.to_bytes(8, "big") + row.place[layout.DICT_ID_BYTES :]
