"""One operation on its way through a leader: who asked, and what came of it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from ..network.leadermessage import Act, NotLed
from ..network.message import Reply, Unknown
from ..world import Address
from .request import Fate, Session

Send = Callable[[Address, Reply], None]


class Asker:
    """Where an operation's answer goes, and where it is kept for when it is asked for again.

    `session` is None for what nobody asks for again: the part of a larger request.
    """

    __slots__ = ("_send", "number", "operation_id", "serial", "session", "source")

    def __init__(
        self, source: Address, number: int, operation_id: bytes, session: Session, serial: int, send: Send
    ) -> None:
        self.source = source
        self.number = number
        self.operation_id = operation_id
        self.session = session
        #: The operation's number in its session.
        self.serial = serial
        self._send = send

    def answer(self, reply: Reply) -> None:
        """Tell what was decided, now and whenever it is asked for again."""
        self.session.note(self.serial, reply)
        self.reply(reply)

    def reply(self, reply: Reply) -> None:
        """Tell it this once."""
        self._send(self.source, replace(reply, number=self.number))

    def note(self, fate: Fate) -> None:
        """What becomes of it so far."""
        self.session.note(self.serial, fate)


class Work:
    """An operation on one key."""

    __slots__ = ("act", "asker", "begun", "finished", "name")

    def __init__(self, act: Act, name: bytes, asker: Asker) -> None:
        self.act = act
        self.name = name
        self.asker = asker
        #: Whether anything that it changes was sent to acceptors.
        self.begun = False
        self.finished: Callable[[], None] = _nothing

    def begin(self) -> None:
        """From now on nobody knows what comes of it if the leader is deposed."""
        self.begun = True
        self.asker.note(Fate.BEGUN)

    def answer(self, reply: Reply) -> None:
        """It is decided."""
        self.asker.answer(reply)

    def depose(self) -> None:
        """Its ballot is gone."""
        if self.begun:
            self.asker.note(Fate.UNKNOWN)
            self.asker.reply(Unknown(0, "the leader was deposed while it was being decided"))
        else:
            self.asker.session.forget(self.asker.serial)
            self.asker.reply(NotLed(0, self.act.ballot, self.asker.operation_id))
        self.finished()


def _nothing() -> None:
    """Nobody wants to know."""
