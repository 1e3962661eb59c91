"""What is said about leading partitions, and what clients ask of leaders. The rules stand in message.py.

Between nodes these are no questions and answers but statements, of which any may be lost, doubled or late:
each names who says it and the ballot that it is about, and whoever waits for something says his own again.
`node` is who speaks. A ballot is put together from `node`, `boot`, and `since` and `round` of its item.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

from ..leaders.ballot import Ballot, Order
from .message import DictId, Id, Mark, Message, Natural, Reply, Request


class Verb(IntEnum):
    """What an atomic operation does. Only append."""

    PUT_IF_ABSENT = 1
    """Store `body` unless the key is present."""
    SET_DEFAULT = 2
    """The same; the answer has the value that stands there then."""
    REPLACE = 3
    """Store `body` if the entry is at `version`; 0: if it is absent."""
    INCREMENT = 4
    """Add the number in `body`; an absent key starts at the number in `initial`, if there is one."""
    GET = 5
    POP = 6
    POP_IF = 7
    """Remove what is at `version`."""
    RELEASE = 8
    """Remove what was granted with the token `version`, whatever a plain put made of its looks."""
    EXTEND = 9
    """Begin the time of what was granted with the token `version` anew, as `ttl_ms`."""
    CANCEL = 10
    """Let the operation whose id is in `body` never happen from now on; or say that it has."""
    CLEAR = 11
    """Make all of the Dict absent, in the partition of the request's own."""


# -- leaders and acceptors ----------------------------------------------------------------------------

Ask: TypeAlias = tuple[Natural, Natural, Natural, Ballot | None]
"""Partition, since, round; the ballot of a leader that gives way to this one."""

Pledge: TypeAlias = tuple[Natural, Natural, Natural, Natural, bytes]
"""Partition, since, round; the highest token accepted there; sums of all buckets, or nothing if all are 0."""

Refusal: TypeAlias = tuple[Natural, Ballot, Ballot, bool]
"""Partition, refused ballot, promised ballot; whether only a leader in health stands in the way."""

RecordRow: TypeAlias = tuple[bytes, bytes]
"""Name and bytes of a record."""

Proposal: TypeAlias = tuple[Natural, Natural, Natural, Natural, list[RecordRow]]
"""Number, partition, since, round; what is to be accepted: nothing asks whether the ballot still stands."""


class Prepare(Message, tag=96):
    """Follow these ballots, and no lower ones."""

    node: Id
    boot: Natural
    asks: list[Ask]


class Promise(Message, tag=97):
    """They are followed, durably. The ballots are those of node `to` in its start `boot`."""

    node: Id
    to: Id
    boot: Natural
    pledges: list[Pledge]


class Refuse(Message, tag=98):
    """These ballots are not followed."""

    node: Id
    refusals: list[Refusal]


class Accept(Message, tag=99):
    """Accept these records, and answer by number."""

    node: Id
    boot: Natural
    proposals: list[Proposal]


class Accepted(Message, tag=100):
    """Done, durably. The numbers are those of a node's start `boot`."""

    node: Id
    boot: Natural
    numbers: list[Natural]


class Learn(Message, tag=101):
    """What was accepted with these orders is chosen."""

    node: Id
    rows: list[tuple[Natural, bytes, Order]]


class AskNames(Message, tag=102):
    """What is in a bucket, from behind a name on? Asked by whoever was promised to."""

    node: Id
    partition: Natural
    ballot: Ballot
    bucket: Natural
    after: bytes


class TellNames(Message, tag=103):
    """Names and orders, ascending; whether more are behind the last."""

    node: Id
    partition: Natural
    ballot: Ballot
    bucket: Natural
    after: bytes
    rows: list[tuple[bytes, Order]]
    more: bool


class AskRecords(Message, tag=104):
    """The records of these names, as many as one frame may hold."""

    node: Id
    partition: Natural
    ballot: Ballot
    bucket: Natural
    names: list[bytes]


class TellRecords(Message, tag=105):
    """A beginning of what was asked for."""

    node: Id
    partition: Natural
    ballot: Ballot
    bucket: Natural
    rows: list[RecordRow]


class Heartbeat(Message, tag=106):
    """I am here, and lead the partitions whose bits are set in `leads`."""

    node: Id
    boot: Natural
    sent_ns: int
    leads: bytes
    mark: Mark


class Pulse(Message, tag=107):
    """Heard, with what it said of its start and its time."""

    node: Id
    boot: Natural
    sent_ns: int
    mark: Mark


class Transfer(Message, tag=108):
    """Lead this partition: I do not any more, under this ballot."""

    node: Id
    partition: Natural
    ballot: Ballot


# -- clients ------------------------------------------------------------------------------------------


class Purge(Message, tag=109):
    """Forget these names, all of which say "absent" with these orders, if they still do. Up to `decided` of
    this ballot's sequence nothing is under way."""

    node: Id
    boot: Natural
    number: Natural
    partition: Natural
    since: Natural
    round: Natural
    decided: Natural
    rows: list[tuple[bytes, Order]]


class Forgotten(Message, tag=110):
    """Done, durably. The number is of a node's start `boot`."""

    node: Id
    boot: Natural
    number: Natural


class Greet(Request, tag=112):
    """Here is a process that is going to ask for things. `session` are the first ten bytes of the ids of all
    its operations. `target`: which node is to answer, if the one that is asked can reach it."""

    session: bytes
    target: bytes
    relayed: bool = False


class Greeted(Reply, tag=113):
    """With `ticket` this session's requests are taken by the start `boot` of `node`. `ballots`: who leads
    which partition, as far as it knows; `lost`: partitions that nobody leads and nobody can, as that node
    sees it, for want of a quorum. Those in neither are being elected."""

    node: Id
    boot: Natural
    ticket: Natural
    ballots: list[tuple[Natural, Ballot]]
    lost: tuple[Natural, ...] = ()


class Act(Request, tag=114):
    """An atomic operation on one key, to be carried out by the leader with this ballot, or by nobody.

    `operation_id` is the session and the operation's number in it; `low` is the lowest number whose answer
    this session still waits for.
    """

    ballot: Ballot
    ticket: Natural
    operation_id: Id
    low: Natural
    dict_id: DictId
    key: bytes
    verb: Natural
    body: bytes = b""
    initial: bytes = b""
    version: Natural = 0
    ttl_ms: Natural = 0
    relayed: bool = False


class Acted(Reply, tag=115):
    """It is decided. `version` and `body` are of what stands there; of a pop, `body` is of what stood there
    and `version` of its removal. Where a get or a pop found nothing, `version` is that of what hides the key.

    `happened`: stored, replaced, added, there, removed, extended, held; `invalid`: the value is no number.
    """

    happened: bool
    version: Natural
    body: bytes | None = None
    invalid: bool = False


class NotLed(Reply, tag=116):
    """It was not carried out under this ballot, and never will be."""

    ballot: Ballot
    operation_id: Id


class Clear(Request, tag=117):
    """Make all of a Dict absent in these partitions, each under its ballot (as `Act`). `ends`: for ever; from
    then on nothing is decided about the Dict's keys there any more."""

    ballots: list[tuple[Natural, Ballot]]
    ticket: Natural
    operation_id: Id
    low: Natural
    dict_id: DictId
    ends: bool = False


class Cleared(Reply, tag=118):
    """In these partitions it is done; in these it was not, and never will be; in all others nobody knows.
    `tokens`: for each of `done`, the version below which everything is absent there."""

    done: list[Natural]
    not_led: list[Natural]
    tokens: tuple[Natural, ...] = ()


class Wait(Request, tag=119):
    """Tell when a key is not held any more with the token `version`: for whoever wants to take it. Asked of
    the leader with that ballot."""

    ballot: Ballot
    dict_id: DictId
    key: bytes
    version: Natural


class Freed(Reply, tag=120):
    """Look again. It says no more than that: the key is free, or its leader is gone."""


class EndDict(Request, tag=121):
    """End the life of a Dict, of which all partitions were cleared."""

    dict_id: DictId


class Ended(Reply, tag=122):
    """A majority of all members know it. `happened`: that there was one."""

    happened: bool
