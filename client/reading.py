"""Reads of one key: from the nearest owner, with what this client has seen in mind.

Rules of this file:
1. An answer with an older stamp than this client has seen of the key is none: the other owners are asked,
   the primary first. What it has seen are its own writes and what it read.
2. When all owners have only older ones, for as long as the operation may take, what was seen is lost, with
   all that had it: that is said once, and then no longer expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from ..exception import UnavailableError
from ..node.network.message import Absent, Get, Present, Reply, Request
from .config import BACK_OFF_S_MIN, READ_PATIENCE_S
from .contact import Contact
from .errand import Early, Errand, Trail, carry_out, in_order
from .instruction import Ask, Miss, Plan
from .route import Route
from .session import Session


class Reads(Enum):
    """Which owner a read asks first."""

    NEAREST = "nearest"
    """One on this host or in this zone, else the primary."""
    PRIMARY = "primary"
    ANY = "any"
    """As NEAREST, and whatever it has will do, older than what this client has seen, too."""


# Looked up at an Enum a member costs ten times what a name of the module does, and here it is each read's.
_ANY: Final = Reads.ANY
_PRIMARY: Final = Reads.PRIMARY


class Reading(Errand):
    """A read of one key."""

    __slots__ = ("dict_id", "key", "key_hash", "older", "reads", "session")
    older: list[Present | Absent]

    def __init__(self, session: Session, dict_id: bytes, key: bytes, key_hash: int, reads: Reads) -> None:
        self.session = session
        self.dict_id = dict_id
        self.key = key
        self.key_hash = key_hash
        self.reads = reads
        #: Answers of the present pass that were too old.
        self.older = []

    def candidates(self, route: Route) -> Sequence[Contact]:
        partition = self.key_hash & route.mask
        row = route.owners(partition) if self.reads is _PRIMARY else route.nearest(partition)
        self.older = []
        return in_order(row, self.session.now_s())

    def request(self, number: int, epoch: int) -> Request:
        return Get(number, epoch, self.dict_id, self.key, bool(self.older))

    def accepts(self, reply: Reply) -> bool:
        session = self.session
        if type(reply) is not Present and type(reply) is not Absent:
            return False
        if self.reads is _ANY:
            return True
        memory = session.memory
        if not memory.clears and memory.look(self.key_hash) == reply.stamp:
            return True  # the commonest case: that was seen before
        cleared = bool(memory.clears) and memory.is_cleared(self.dict_id, self.key_hash, reply.stamp)
        if (cleared and type(reply) is Present) or memory.is_older(
            self.key_hash, reply.stamp, session.now_s()
        ):
            self.older.append(reply)
            return False
        see(session, self.key_hash, reply)
        return True

    def settle(self, trail: Trail) -> Reply | None:
        session = self.session
        if not self.older or trail.misses or trail.refusals:
            return None
        nothing = all(type(reply) is Absent and not reply.stamp[0] for reply in self.older)
        if nothing and session.memory.may_have_expired(self.key_hash):
            session.memory.forget(self.key_hash)
            return self.older[0]
        if session.now_s() + BACK_OFF_S_MIN * 32 < trail.deadline_s:
            return None
        session.memory.forget(self.key_hash)
        raise UnavailableError(
            "all owners of the key have an older entry than this client has seen: the newer one is lost, "
            "with the nodes that had it"
        )


def see(session: Session, key_hash: int, reply: Present | Absent) -> None:
    """Remember what was read."""
    expires_s = 0.0
    if type(reply) is Present and reply.expires_ms:
        expires_s = session.now_s() + (reply.expires_ms - session.wall_ms()) / 1000
    session.memory.see(key_hash, reply.stamp, expires_s)


def get(
    session: Session, dict_id: bytes, key: bytes, key_hash: int, reads: Reads = Reads.NEAREST
) -> Plan[Present | Absent]:
    """The entry of a key, of that hash (see `ring.partition.key_hash`). Raises as `carry_out`.

    The first owner, if it is in health, is asked here, since its answer will mostly do; any other answer is
    for `carry_out` to go on with.
    """
    errand = Reading(session, dict_id, key, key_hash, reads)
    route = session.route
    deadline_s = session.now_s() + session.timeout_s
    early: Early | None = None
    if route is not None:
        partition = key_hash & route.mask
        owner = (route.owners(partition) if reads is _PRIMARY else route.nearest(partition))[0]
        if not owner.misses:
            question = Get(session.number(), route.epoch, dict_id, key)
            first: Reply | Miss = yield Ask(owner, question, min(READ_PATIENCE_S, session.timeout_s))
            if type(first) is not Miss and errand.accepts(first):
                assert isinstance(first, (Present, Absent))
                return first
            early = (owner, first)
    reply = yield from carry_out(errand, deadline_s, early)
    assert isinstance(reply, (Present, Absent))
    return reply
