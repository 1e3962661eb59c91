"""What clients and nodes say to each other; what nodes say among themselves stands in peermessage.py.

A message is a msgpack array: its number among the kinds, then its fields in order (docs/protocol.md). What
is decoded has the fields and types that stand here, nested ones included; whether they make sense is for
whoever handles them.

Rules of both files:
1. Only append: a kind keeps its number, a field its place. A new field comes last, with a default.
2. What asks has a `number` first, unlike that of any other question which its sender has open; the answer
   carries it back. Numbers begin anew with each connection.
3. Nobody changes a message that was made.
4. No message is an array of 16 elements or more: so each begins with a byte from 0x90 to 0x9f, which no
   letter of gossip does.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, TypeAlias

import msgspec

Id: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
DictId: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
Digest: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]

Mark: TypeAlias = tuple[Natural, Digest]
"""Which ring a node goes by: epoch, digest of its decree. (0, eight zeros): none yet."""

Stamp: TypeAlias = tuple[Natural, Natural, Natural]
"""What orders two entries of one key: version, node, touch."""


class Ack(IntEnum):
    """How many owners have a write before it is acknowledged."""

    ALL = 0
    """Every owner that can be reached."""
    MAJORITY = 1
    ONE = 2


class Reason(IntEnum):
    """Why nothing happened. Only append."""

    WRONG_EPOCH = 1
    """Whoever asks goes by an older ring: fetch the newer one, then ask again."""
    BEHIND = 2
    """This node goes by an older ring than who asks, and fetches the newer one. Ask again, or another."""
    NOT_OWNER = 3
    """The key is not kept here, in the epoch that both go by."""
    NOT_SERVING = 4
    """This node is in no ring, or not yet fit to answer for that partition: ask another owner."""
    UNAVAILABLE = 5
    """No owner that could do it can be reached."""
    OVERLOADED = 6
    """More is waiting here than will be done in time."""
    NO_DICT = 7
    TOO_LARGE = 8
    STORE_FULL = 9
    DAMAGED = 10
    INVALID = 11
    NOT_SUPPORTED = 12
    """An operation that clusters cannot do yet."""
    MISMATCH = 13
    """The entry is at another version than was named; `detail` is it, 0 for absent."""
    NO_QUORUM = 14
    """No majority of those who decide about it can be reached."""


class Message(msgspec.Struct, array_like=True, gc=False):
    """Base of all."""


class Request(Message):
    """What is answered, by one message with the same `number`."""

    number: Natural


class Reply(Message):
    """An answer."""

    number: Natural


# -- any request: it did not happen, or nobody knows ----------------------------------------------


class Refused(Reply, tag=1):
    """Nothing happened, and why. `mark` is the answering node's ring."""

    reason: int
    text: str
    mark: Mark
    detail: Natural = 0


class Unknown(Reply, tag=2):
    """It may have happened, or not, or may still. `forgotten`: this very message was not gone by; nobody here
    knows what became of others that asked for the same."""

    text: str
    forgotten: bool = False


# -- clients: the ring and the Dicts ----------------------------------------------------------------


class AskRing(Request, tag=3):
    """Which ring is it? `epoch` is the one that whoever asks has, 0 for none."""

    epoch: Natural


class TellRing(Reply, tag=4):
    """`decree` is empty if the epoch asked with is the present one. `members` are id, address to connect to,
    and whether it is held for alive, of all that are known: later word than the decree has."""

    decree: bytes
    members: list[tuple[Id, str, bool]]


class Resolve(Request, tag=5):
    """The Dict of a name; made as `record` (see `catalogue.Record`) says if there is none, unless empty."""

    environment: str
    name: str
    record: bytes


class ResolveId(Request, tag=6):
    """The Dict of an id."""

    dict_id: DictId


class Resolved(Reply, tag=7):
    """A Dict: its id and record; both empty: there is none. `life`: of the name that was asked for, that of
    the Dict which is there, else what the next one's would be."""

    dict_id: bytes
    record: bytes
    life: Natural = 0


class ListDicts(Request, tag=8):
    """The named Dicts of an environment, in order of name, from behind a name on."""

    environment: str
    after: str


class Dicts(Reply, tag=9):
    """Ids and records; whether more are behind the last one."""

    rows: list[tuple[DictId, bytes]]
    more: bool


# -- clients: entries ---------------------------------------------------------------------------------


class Get(Request, tag=10):
    """The entry of a key, as this replica has it. `doubts`: another owner's answer was older than what this
    client has seen, so somebody is behind."""

    epoch: Natural
    dict_id: DictId
    key: bytes
    doubts: bool = False


class Present(Reply, tag=11):
    """A visible entry."""

    stamp: Stamp
    flags: Natural
    expires_ms: Natural
    operation_id: bytes
    body: bytes


class Absent(Reply, tag=12):
    """No visible entry. `stamp` is of what stands there and cannot be seen (deleted, expired), else zeros."""

    stamp: Stamp


class GetMany(Request, tag=13):
    """The entries of many keys."""

    epoch: Natural
    dict_id: DictId
    keys: list[bytes]


class Found(Reply, tag=14):
    """For each key in its order: stamp, value's bytes (None: absent)."""

    rows: list[tuple[Stamp, bytes | None]]


class Put(Request, tag=15):
    """Store a value, whatever stands there. `floor`: the stamp must become higher than this version.
    `relayed`: another node passed it on, and it must not be passed on again; `until_ms`: until when that node
    waits, in milliseconds since 1970 as it believes. 0: not passed on."""

    epoch: Natural
    dict_id: DictId
    key: bytes
    body: bytes
    ttl_ms: int
    ack: Natural
    floor: Natural
    operation_id: bytes
    relayed: bool = False
    until_ms: Natural = 0


class PutMany(Request, tag=16):
    """Store many values, whose keys differ. Each by itself, but for the answer."""

    epoch: Natural
    dict_id: DictId
    items: list[tuple[bytes, bytes]]
    ttl_ms: int
    ack: Natural
    floor: Natural
    operation_id: bytes
    relayed: bool = False
    until_ms: Natural = 0


class Touch(Request, tag=17):
    """Give an entry another time to live, if it is at `if_version` (0: whatever it is at)."""

    epoch: Natural
    dict_id: DictId
    key: bytes
    ttl_ms: int
    if_version: Natural
    ack: Natural
    operation_id: bytes
    relayed: bool = False
    until_ms: Natural = 0


class Written(Reply, tag=18):
    """Done. `stamp` is of what was written (the highest of many); zeros: there was nothing to touch.
    `copies`: how many owners have it, of `wanted` that there are."""

    stamp: Stamp
    copies: Natural
    wanted: Natural


class ReadPage(Request, tag=19):
    """A stretch of a Dict's visible entries: of the partitions whose bits are set in `partitions` (bit n of
    byte n // 8 from the lowest), from the place `start` (partition, stored key; empty: from the beginning),
    whose keys begin with `prefix`."""

    epoch: Natural
    dict_id: DictId
    partitions: bytes
    start: bytes
    prefix: bytes


class PageRead(Reply, tag=20):
    """Keys and value's bytes (None: damaged), in order of partition, then stored key; where the next stretch
    begins (empty: nowhere)."""

    rows: list[tuple[bytes, bytes | None]]
    next: bytes


class Count(Request, tag=21):
    """How many visible entries there are in a stretch; as `ReadPage`."""

    epoch: Natural
    dict_id: DictId
    partitions: bytes
    start: bytes


class Counted(Reply, tag=22):
    """Entries of the stretch, and their bytes with the keys'; where the next begins (empty: nowhere)."""

    entries: Natural
    size_bytes: Natural
    next: bytes


# -- operators ----------------------------------------------------------------------------------------


class AskStatus(Request, tag=23):
    """How is this node, and what does it believe of the others?"""


class TellStatus(Reply, tag=24):
    """JSON, for people and their tools (docs/operations.md)."""

    status: bytes


class Command(Request, tag=25):
    """Change the ring: `verb` is "join", "leave", "remove" or "cancel"; of which member, and as what.
    A joiner says its own weight, zone and address."""

    verb: str
    member_id: Id
    weight: Natural = 1
    zone: str = ""
    address: str = ""


class Commanded(Reply, tag=26):
    """It is decided. The ring that it led to."""

    mark: Mark


class Recover(Request, tag=29):
    """Make a ring by force, without these members, which are lost for good (docs/operations.md). Of this
    cluster, and of the ring that whoever asks has seen, so that nothing is forced by mistake."""

    cluster_id: Id
    mark: Mark
    lost: list[Id]


# -- clients on the same host --------------------------------------------------------------------------


class AskFolder(Request, tag=27):
    """In which folder are your entries, for somebody on your host to read? `host` is a mark of the host of
    who asks (see `hostmark.py`)."""

    host: Id


class TellFolder(Reply, tag=28):
    """Its path; empty if whoever asks is elsewhere."""

    folder: str
