"""What an operator asks of nodes: each for its state, one for the ring, one to change it. Blocking, one
connection a question; all nodes are asked side by side, so that a dead one costs its timeout once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from ...exception import (
    Error,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    UnavailableError,
)
from ...node.network.message import (
    AskRing,
    AskStatus,
    Command,
    Commanded,
    Reason,
    Recover,
    Refused,
    Reply,
    Request,
    TellRing,
    TellStatus,
    Unknown,
)
from ...ring.codec import decode_decree, digest_of
from ...ring.decree import Decree, DecreeError
from ...ring.member import Member
from ..client import Client

ANSWER_S: Final = 2.0
"""For a node to answer: what is slower than this is not well."""

COMMAND_S: Final = 15.0
"""For a change of the ring to be decided, some further attempts included."""

SIDE_BY_SIDE_MAX: Final = 32
"""Nodes asked at once."""

NUMBER: Final = 1
"""Of the only question on a connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node said of itself; or why it did not."""

    status: Mapping[str, object] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Ring:
    """The ring as one node knows it, and where its members are reached now."""

    decree: Decree
    #: By member id.
    addresses: Mapping[bytes, str]
    #: Whom the node that was asked holds for alive.
    alive: frozenset[bytes]

    def member(self, word: str) -> Member:
        """The member that somebody means: by the beginning of its id, or its address.

        Raises:
            NotFoundError: there is none, or more than one.
        """
        found = [
            member
            for member in self.decree.members
            if word in (self.addresses.get(member.member_id), member.address)
            or (len(word) >= 4 and member.member_id.hex().startswith(word.lower()))
        ]
        if len(found) != 1:
            raise NotFoundError(f"{len(found) or 'no'} members of the ring are meant by {word}")
        return found[0]


class Operator:
    """Somebody who looks after a cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def ask(self, address: str, request: Request, timeout_s: float = ANSWER_S) -> Reply:
        """One question to one node.

        Raises:
            UnavailableError, AuthError, ProtocolError: it was not asked, or gave no answer.
            OutcomeUnknownError: it was asked to change something, and gave no answer.
        """
        lines = self._client.blocking
        line = lines.connect(self._client.session.contact(address), ANSWER_S)
        try:
            line.set_patience(timeout_s)
            return line.ask(request)
        except OSError as error:
            why = f"{address} does not answer: {error.strerror or error}"
            if isinstance(request, Command | Recover):
                raise OutcomeUnknownError(why) from None
            raise UnavailableError(why) from None
        finally:
            line.close()

    def ring(self) -> Ring:
        """The ring, of the first seed that is in one.

        Raises:
            UnavailableError: none is.
            AuthError, ProtocolError: the only ones that answered refused.
        """
        errors: list[Error] = []
        for address in self._client.seeds.addresses:
            try:
                told = self.ask(address, AskRing(NUMBER, 0))
            except Error as error:
                errors.append(error)
                continue
            if isinstance(told, TellRing) and told.decree:
                return _ring(told)
            errors.append(UnavailableError(f"{address} is in no ring"))
        if len(errors) == 1:
            raise errors[0]
        raise UnavailableError("; ".join(map(str, errors)))

    def statuses(self, addresses: Sequence[str]) -> list[Answer]:
        """What each of these nodes says of itself."""
        with ThreadPoolExecutor(min(SIDE_BY_SIDE_MAX, max(1, len(addresses)))) as pool:
            return list(pool.map(self.status, addresses))

    def status(self, address: str) -> Answer:
        """What one node says of itself."""
        try:
            told = self.ask(address, AskStatus(NUMBER))
        except Error as error:
            return Answer(None, str(error))
        if not isinstance(told, TellStatus):
            return Answer(None, told.text if isinstance(told, Refused) else "it does not tell its state")
        try:
            status = json.loads(told.status)
        except ValueError:
            status = None
        if not isinstance(status, dict):
            return Answer(None, "what it tells of its state is no JSON object")
        return Answer(status)

    def command(self, verb: str, member: Member) -> int:
        """Have the ring changed; the epoch that it led to.

        Raises:
            InvalidError: the ring's rules do not allow it.
            UnavailableError: nobody could decide it.
            OutcomeUnknownError: it may still be decided.
        """
        asked = Command(NUMBER, verb, member.member_id, member.weight, member.zone, member.address)
        return self._changed(asked)

    def _changed(self, asked: Command | Recover) -> int:
        error: Error = UnavailableError("no node could be asked")
        for address in self._client.seeds.addresses:
            try:
                told = self.ask(address, asked, COMMAND_S)
            except UnavailableError as unreachable:
                error = unreachable
                continue
            if isinstance(told, Commanded):
                return told.mark[0]
            if isinstance(told, Unknown):
                raise OutcomeUnknownError(told.text)
            if not isinstance(told, Refused):
                raise ProtocolError(f"{address} gives an answer to another question")
            if told.reason == Reason.INVALID:
                raise InvalidError(told.text)
            error = UnavailableError(f"{address}: {told.text}")
        raise error

    def recover(self, decree: Decree, lost: Sequence[bytes]) -> int:
        """Have a ring made by force without these members, in place of that one; the epoch that it led to.

        Raises:
            InvalidError: it may not be, or need not.
            UnavailableError: no node could be asked.
            OutcomeUnknownError: it may have been done.
        """
        asked = Recover(NUMBER, decree.cluster_id, (decree.epoch, digest_of(decree)), list(lost))
        return self._changed(asked)


def _ring(told: TellRing) -> Ring:
    try:
        decree = decode_decree(told.decree)
    except DecreeError as error:
        raise ProtocolError(f"what came as a ring is none: {error}") from None
    addresses = {member.member_id: member.address for member in decree.members}
    addresses |= {member_id: address for member_id, address, _ in told.members if address}
    alive = frozenset(member_id for member_id, _, is_alive in told.members if is_alive)
    return Ring(decree, addresses, alive)
