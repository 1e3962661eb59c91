"""What nodes say among themselves. Its rules stand in message.py.

Kinds 64 to 79 are about replicas, 80 to 95 about epochs, 96 to 127 about leaders of partitions.
"""

from __future__ import annotations

from typing import TypeAlias

from .message import Digest, Id, Mark, Natural, Reply, Request

Row: TypeAlias = tuple[bytes, bytes]
"""Place in the store (Dict id, partition, stored key), and the entry that stands there (docs/format.md)."""


class Replicate(Request, tag=64):
    """Take these entries, each where it is newer than what stands there. Writes, hints and repairs are all
    of this kind: applying one again, or late, changes nothing."""

    mark: Mark
    rows: list[Row]


class Applied(Reply, tag=65):
    """They are applied, and as durable as this node's setting says. `newer`: the highest version that stands
    where a row was not newer, 0 if all rows stand now."""

    newer: Natural


class AskFloor(Request, tag=66):
    """The highest version that this replica has in each of these partitions: whoever begins to coordinate
    them stamps above."""

    mark: Mark
    partitions: list[Natural]


class Floor(Reply, tag=67):
    """In the same order."""

    versions: list[Natural]


class AskSums(Request, tag=68):
    """One sum over all that these partitions hold, each."""

    mark: Mark
    partitions: list[Natural]


class Sums(Reply, tag=69):
    """In the same order, 16 bytes each; equal contents have equal sums."""

    sums: list[Id]


class AskPlaces(Request, tag=70):
    """What a partition holds, from a place on (empty: from the beginning)."""

    mark: Mark
    partition: Natural
    start: bytes


class Places(Reply, tag=71):
    """Places, ascending, each with the front of its entry (checksum, flags, version, node, touch: 25 bytes);
    where the next stretch begins (empty: nowhere)."""

    rows: list[tuple[bytes, bytes]]
    next: bytes


class AskRows(Request, tag=72):
    """The entries at these places."""

    mark: Mark
    places: list[bytes]


class Rows(Reply, tag=73):
    """Those that are there, as many as one frame may hold: ask again for the others."""

    rows: list[Row]


class ShareNames(Request, tag=74):
    """All that is known of names and Dicts has this digest. `rows` are news; with `whole` they are all that
    whoever asks knows from the key `first` up to, not including, `last` (empty: to the end)."""

    mark: Mark
    digest: Digest
    rows: list[tuple[bytes, bytes]]
    whole: bool = False
    first: bytes = b""
    last: bytes = b""


class Names(Reply, tag=75):
    """The digest after these rows were taken. If a whole stretch was told: rows of it that whoever asked
    lacks, and where they end, if that is before `last` (else empty)."""

    digest: Digest
    rows: list[tuple[bytes, bytes]]
    next: bytes = b""


class AskRoot(Request, tag=76):
    """One sum over all the partitions that who asks and who answers both keep, in the ring of the mark."""

    mark: Mark


class Root(Reply, tag=77):
    """The sum of their sums, modulo 2**128: 16 bytes."""

    root: Id
