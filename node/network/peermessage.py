"""What nodes say among themselves. Its rules stand in message.py.

Kinds 48 to 79 are about replicas, 80 to 95 about epochs, 96 to 127 about leaders of partitions.
"""

from __future__ import annotations

from typing import TypeAlias

from .message import DictId, Digest, Id, Mark, Natural, Reply, Request

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
    """In the same order, 16 bytes each; equal contents have equal sums. `marks`: up to which version each was
    purged (0: never; or something is damaged there)."""

    sums: list[Id]
    marks: list[Natural]


class AskPlaces(Request, tag=70):
    """What a partition holds, from a place on (empty: from the beginning)."""

    mark: Mark
    partition: Natural
    start: bytes


class Places(Reply, tag=71):
    """Places, ascending, each with the front of its entry (checksum, flags, version, node, touch: 25 bytes;
    zeros: it is damaged); where the next stretch begins (empty: nowhere); up to which version the partition
    was purged."""

    rows: list[tuple[bytes, bytes]]
    next: bytes
    mark: Natural


class AskRows(Request, tag=72):
    """The entries at these places."""

    mark: Mark
    places: list[bytes]


class Rows(Reply, tag=73):
    """Those that are there, as many as one frame may hold: ask again for the others."""

    rows: list[Row]


class AskFronts(Request, tag=60):
    """What stands at these places, by the fronts of the entries alone: a read has made whoever asks doubt."""

    mark: Mark
    places: list[bytes]


class Fronts(Reply, tag=61):
    """In the same order, as in `Places`; empty: nothing stands there."""

    fronts: list[bytes]


class AskPiece(Request, tag=58):
    """The entry at a place, from that byte on: one that fits into no frame."""

    mark: Mark
    place: bytes
    first: Natural


class Piece(Reply, tag=59):
    """How large it is, and some of its bytes; none if it ends there, or is not there."""

    size_bytes: Natural
    data: bytes


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
    """The sum of their sums and of how far each was purged, modulo 2**128: 16 bytes. `now_ms`: what time it
    is for who answers."""

    root: Id
    now_ms: Natural


class AskPurge(Request, tag=78):
    """May these partitions be purged up to these versions? Owners that were silent for `away_s` need not be
    waited for."""

    mark: Mark
    rows: list[tuple[Natural, Natural]]
    away_s: Natural


class MayPurge(Reply, tag=79):
    """In the same order: whether who answers holds what all other owners held since it was asked first, or,
    if it owns nothing of it, keeps nothing of it."""

    ready: list[bool]


class Purge(Request, tag=62):
    """All owners hold the same up to these versions: purge, and take nothing older of keys that are not
    there. Answered by `Applied`."""

    mark: Mark
    rows: list[tuple[Natural, Natural]]


# -- epochs (docs/epochs.md) ------------------------------------------------------------------------

EpochBallot: TypeAlias = tuple[Natural, Natural, Id]
"""Round, boot and id of the node that proposes: no two attempts share one. All zeros: none."""


class AskDecree(Request, tag=80):
    """Who goes by a newer ring? `node` asks, of that cluster (empty: of none yet), and goes by `mark`."""

    node: Id
    cluster_id: bytes
    mark: Mark


class TellDecree(Reply, tag=81):
    """The ring of who answers; its decree, unless that is no newer than what was asked with."""

    mark: Mark
    decree: bytes


class Prepare(Request, tag=82):
    """Will you, `voter`, heed no ballot below this one for the epoch after `parent`?"""

    voter: Id
    parent: Mark
    ballot: EpochBallot


class Promise(Reply, tag=83):
    """It will. The newest ballot that it accepted for that epoch, and the digest of what (zeros: none)."""

    ballot: EpochBallot
    accepted: EpochBallot
    digest: Digest


class Accept(Request, tag=84):
    """Do you accept this decree for the epoch after `parent`? `decree` is empty for one that has it: its own
    promise said so."""

    voter: Id
    parent: Mark
    ballot: EpochBallot
    digest: Digest
    decree: bytes


class Accepted(Reply, tag=85):
    """It does."""

    ballot: EpochBallot


class Rejected(Reply, tag=86):
    """It does not. `promised` is the ballot that it heeds (zeros: that is not why), `mark` its ring."""

    ballot: EpochBallot
    promised: EpochBallot
    mark: Mark
    text: str


class AskProposal(Request, tag=87):
    """The decree of that digest that `voter` has accepted for the epoch after `parent`."""

    voter: Id
    parent: Mark
    digest: Digest


class TellProposal(Reply, tag=88):
    """That decree; empty: it has it no more."""

    decree: bytes


class Decided(Request, tag=89):
    """`node` goes by this ring. Not answered; whoever is behind asks for it."""

    node: Id
    mark: Mark


class Beat(Request, tag=92):
    """Whoever made this ephemeral Dict lives: he has just said so. Not answered."""

    dict_id: DictId


class AskSilence(Request, tag=93):
    """For how long have you heard nothing of whoever made these ephemeral Dicts?"""

    mark: Mark
    dict_ids: list[DictId]


class TellSilence(Reply, tag=94):
    """For so long, each in its place."""

    silences_ms: list[Natural]


class AskReady(Request, tag=90):
    """Which partitions that are pending to you could flip to you now, and which that you lead have settled?
    `node` asks, who goes by `mark`."""

    node: Id
    mark: Mark


class Ready(Reply, tag=91):
    """Those of them (bit n of byte n // 8 from the lowest), in the epoch of `mark`. `settled`: those with
    former sets of which nobody needs to know any more."""

    mark: Mark
    partitions: bytes
    settled: bytes = b""
