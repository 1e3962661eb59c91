"""Making and deleting Dicts of a cluster, where that has to be decided: by one alone.

Rules of this file:
1. Whoever makes or deletes a Dict claims that first, by a put-if-absent on a key of the catalogue, which
   names the Dict by its id and so the life of its name. No such key is used twice.
2. Whoever comes later carries out what was claimed as well, before he hears that he was late: the claimant
   may be dead.
3. Before a Dict's name may live again nothing can be decided about its keys any more: each partition is ended
   by its leader.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from ..node.network.leadermessage import EndDict, Ended, Verb
from ..node.network.message import Reply, Request
from ..node.store.catalogue import EPHEMERAL, Record, TakenError, dict_id
from ..node.store.layout import CATALOGUE, KEY_SPACE
from ..node.store.transaction import DictGoneError
from .atomic import ask
from .errand import carry_out
from .instruction import Plan
from .naming import Inquiry, look_up, resolve
from .removing import clear
from .session import Session

NEW: Final = b"new"
END: Final = b"end"


class Ending(Inquiry):
    """The life of a Dict is over."""

    writes = True

    def __init__(self, session: Session, id_: bytes) -> None:
        super().__init__(session)
        self.id = id_

    def request(self, number: int, epoch: int) -> Request:
        del epoch
        return EndDict(number, self.id)

    def accepts(self, reply: Reply) -> bool:
        return type(reply) is Ended


def create(session: Session, new: Record) -> Plan[None]:
    """Make the Dict of a name.

    Raises:
        TakenError: there is one, or somebody else makes it.
        Others as `decide`.
    """
    assert new.name is not None
    there = yield from look_up(session, new.environment, new.name)
    if there.dict_id:
        raise TakenError
    key = KEY_SPACE + dict_id(new.environment, new.name, there.life) + NEW
    claim = yield from ask(session, CATALOGUE, key, Verb.PUT_IF_ABSENT, new.encode())
    yield from resolve(session, new.environment, new.name, new.encode())
    if not claim.happened:
        raise TakenError


def delete(session: Session, environment: str, name: str) -> Plan[None]:
    """End the Dict of a name, and all that is in it.

    Raises:
        DictGoneError: there is none, or somebody else ends it.
        Others as `decide`, `clear`.
    """
    there = yield from look_up(session, environment, name)
    if not there.dict_id:
        raise DictGoneError
    yield from end(session, there.dict_id)


def end(session: Session, id_: bytes) -> Plan[None]:
    """End a Dict; raises as `delete`."""
    claim = yield from ask(session, CATALOGUE, KEY_SPACE + id_ + END, Verb.PUT_IF_ABSENT, b"")
    with suppress(DictGoneError):  # it may be ended already, and only its name be left
        yield from clear(session, id_, ends=True)
    yield from carry_out(Ending(session, id_))
    if not claim.happened:
        raise DictGoneError


def hidden(record: Record, session_id: bytes) -> Record:
    """The record of an ephemeral Dict, under a name like no other's."""
    return record._replace(environment=EPHEMERAL, name=f"{session_id.hex()}-{os.urandom(8).hex()}")


def shown(record: Record) -> Record:
    """What users see of a Dict: an ephemeral one has no name."""
    return record._replace(name=None) if record.environment == EPHEMERAL else record
