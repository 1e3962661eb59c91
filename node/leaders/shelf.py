"""The shelf of an acceptor: what it has on disk, and how that is found.

A partition has a promise, records by bucket and name, and for each bucket a sum of its records with the
highest token that was ever accepted in it.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from ..world import Changes, Storage
from .ballot import NO_BALLOT, NO_ORDER, Ballot, Order
from .leaderconfig import PAGE_NAMES
from .record import BUCKETS, SUM_BYTES, Record, bucket_of, decode_record, moved_sum

Chosen = tuple[int, bytes, Record]
"""Partition, name, record."""
Apply = Callable[[list[Chosen], Callable[[], None]], None]
"""Shows to readers what is chosen, and calls back once that is as durable as entries are."""

PROMISED: Final = b"Lp"
_SUM: Final = b"Ls"
_MARK: Final = b"Lm"
RECORD: Final = b"Lr"
_PLACE: Final = Struct(">2sHB")
_TALLY: Final = Struct(f">{SUM_BYTES}sQ")
"""Sum of a bucket, and the highest token that was ever accepted in it."""

_encode: Final = msgspec.msgpack.Encoder().encode
_ballot: Final = msgspec.msgpack.Decoder(Ballot).decode
_order: Final = msgspec.msgpack.Decoder(Order).decode


class Draft:
    """Changes that are yet to be committed, seen on top of what is there."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.changes: Changes = {}

    def get(self, key: bytes) -> bytes | None:
        """What a key will be."""
        return self.changes[key] if key in self.changes else self._storage.get(key)


class Shelf:
    """All partitions of one node, as its disk has them with what is on its way there."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._promised: dict[int, Ballot] = {}
        self._marks: dict[int, Order] = {}

    def reread(self) -> None:
        """What was believed to be kept is not: read it anew."""
        self._promised.clear()
        self._marks.clear()

    def follow(self, changes: Changes, partition: int, ballot: Ballot) -> None:
        """Let no lower ballot in from now on."""
        self._promised[partition] = ballot
        changes[_PLACE.pack(PROMISED, partition, 0)] = _encode(ballot)

    def raise_mark(self, changes: Changes, partition: int, order: Order) -> None:
        """Up to that order everything was decided when something was forgotten."""
        self._marks[partition] = max(self.mark(partition), order)
        changes[_PLACE.pack(_MARK, partition, 0)] = _encode(self._marks[partition])

    def mark(self, partition: int) -> Order:
        """Up to which order of a ballot everything was decided when something was forgotten last."""
        mark = self._marks.get(partition)
        if mark is None:
            raw = self.storage.get(_PLACE.pack(_MARK, partition, 0))
            mark = self._marks[partition] = NO_ORDER if raw is None else _order(raw)
        return mark

    def promised(self, partition: int) -> Ballot:
        """The highest ballot that is followed."""
        ballot = self._promised.get(partition)
        if ballot is None:
            raw = self.storage.get(_PLACE.pack(PROMISED, partition, 0))
            ballot = self._promised[partition] = NO_BALLOT if raw is None else _ballot(raw)
        return ballot

    def record(self, partition: int, name: bytes) -> Record | None:
        """What was accepted last for a name."""
        raw = self.storage.get(place(partition, name))
        return None if raw is None else decode_record(raw)

    def tallies(self, partition: int) -> tuple[int, bytes]:
        """The highest token, and the sums of all buckets: nothing if each is 0."""
        first = _PLACE.pack(_SUM, partition, 0)
        rows = self.storage.scan(first, _PLACE.pack(_SUM, partition, BUCKETS), BUCKETS)
        if not rows:
            return 0, b""
        sums = bytearray(BUCKETS * SUM_BYTES)
        highest = 0
        for key, raw in rows:
            total, token = _TALLY.unpack(raw)
            at = key[len(first) - 1] * SUM_BYTES
            sums[at : at + SUM_BYTES] = total
            highest = max(highest, token)
        return highest, bytes(sums)

    def stretch(
        self, partition: int, after: bytes, count_max: int
    ) -> tuple[list[tuple[bytes, Record]], bytes]:
        """Records of a partition from behind a place on; behind which to go on, empty at the end."""
        first = _PLACE.pack(RECORD, partition, 0)
        rows = self.storage.scan(after + b"\0" if after else first, first[:-1] + b"\xff", count_max)
        found = [(key[len(first) :], decode_record(raw)) for key, raw in rows]
        return found, rows[-1][0] if len(rows) == count_max else b""

    def names(self, partition: int, bucket: int, after: bytes) -> tuple[list[tuple[bytes, Order]], bool]:
        """A page of a bucket: names with orders, ascending, from behind a name on; whether more follow."""
        head = _PLACE.pack(RECORD, partition, bucket)
        end = _PLACE.pack(RECORD, partition, bucket + 1)
        rows = self.storage.scan(head + after + b"\0" * bool(after), end, PAGE_NAMES + 1)
        page = [(key[len(head) :], decode_record(raw).order) for key, raw in rows[:PAGE_NAMES]]
        return page, len(rows) > PAGE_NAMES

    def leavings(self, partition: int, count_max: int) -> list[bytes]:
        """Places of records of a partition, as many as are forgotten together."""
        first = _PLACE.pack(RECORD, partition, 0)
        return [key for key, _ in self.storage.scan(first, first[:-1] + b"\xff", count_max)]

    def no_sums(self, changes: Changes, partition: int) -> None:
        """No records, no sums; the highest tokens stay."""
        first = _PLACE.pack(_SUM, partition, 0)
        for key, raw in self.storage.scan(first, first[:-1] + b"\xff", BUCKETS):
            changes[key] = _TALLY.pack(bytes(SUM_BYTES), _TALLY.unpack(raw)[1])


def move_sum(
    draft: Draft, partition: int, name: bytes, old: Order | None, new: Order | None, token: int
) -> None:
    """Keep the sum of a name's bucket true, and its highest token."""
    at = _PLACE.pack(_SUM, partition, bucket_of(name))
    tally = draft.get(at)
    total, highest = (b"", 0) if tally is None else _TALLY.unpack(tally)
    moved = moved_sum(int.from_bytes(total, "big"), name, old, new)
    draft.changes[at] = _TALLY.pack(moved.to_bytes(SUM_BYTES, "big"), max(highest, token))


def place(partition: int, name: bytes | None) -> bytes:
    """Under which key of the disk a record is, or, without a name, the promise of a partition."""
    if name is None:
        return _PLACE.pack(PROMISED, partition, 0)
    return _PLACE.pack(RECORD, partition, bucket_of(name)) + name
