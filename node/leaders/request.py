"""At-most-once: what became of the requests of each client process, for as long as it may ask again.

A session is one process of a client's. It numbers its operations, and says with each from which number on it
still waits for answers; what is below is forgotten.

Rules of this file:
1. A ticket is never given twice by one start of a node. So a session that was forgotten does not come back by
   an old message: what is asked with an old ticket is not carried out, ever, by anybody.
2. What was begun and not ended when its leader was deposed stays unknown.
3. An operation that its client cancelled is not begun any more.
4. Answers take a limited room, values in them included: a client may die, or ask nothing more, with its last
   answer kept. The oldest is forgotten, and then unknown.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from ..network.leadermessage import Acted
from ..network.message import Reply
from .leaderconfig import ANSWERS_BYTES_MAX, SESSION_RESULTS_MAX, SESSIONS_MAX

SESSION_BYTES: Final = 10
"""Of the 16 bytes of an operation's id; the others are its number."""
ANSWER_BYTES: Final = 256
"""About what an answer takes beside the value in it."""


class Fate(Enum):
    """What became of an operation that has no answer."""

    NEW = "new"
    """Never heard of."""
    WAITING = "waiting"
    """Heard of, and not begun."""
    BEGUN = "begun"
    UNKNOWN = "unknown"
    """Begun under a ballot that is gone."""
    CANCELLED = "cancelled"
    PAST = "past"
    """Its client has its answer, or has given it up."""


class Answers:
    """Which answers of all sessions are kept, by a session's ticket and the operation's number."""

    def __init__(self, bytes_max: int) -> None:
        self._left_bytes = bytes_max
        self._kept: dict[tuple[int, int], tuple[Session, int]] = {}

    def add(self, session: Session, number: int, reply: Reply) -> None:
        """One is kept, and maybe the oldest ones no longer."""
        self.drop(session, number)
        body = reply.body if isinstance(reply, Acted) else None
        size_bytes = ANSWER_BYTES + len(body or b"")
        self._kept[session.ticket, number] = session, size_bytes
        self._left_bytes -= size_bytes
        while self._left_bytes < 0:
            (_, oldest), (other, _) = next(iter(self._kept.items()))
            other.note(oldest, Fate.UNKNOWN)

    def drop(self, session: Session, number: int) -> None:
        """It is kept no more, if it was."""
        _, size_bytes = self._kept.pop((session.ticket, number), (None, 0))
        self._left_bytes += size_bytes


class Session:
    """One process of a client."""

    __slots__ = ("_answers", "_fates", "low", "ticket")

    def __init__(self, ticket: int, answers: Answers) -> None:
        self.ticket = ticket
        self.low = 0
        self._fates: dict[int, Fate | Reply] = {}
        self._answers = answers

    def advance(self, low: int) -> None:
        """The client waits for no answer below that number any more."""
        if low > self.low:
            self.low = low
            for number in [number for number in self._fates if number < low]:
                self.forget(number)

    def fate(self, number: int) -> Fate | Reply:
        """What became of an operation, or its answer."""
        if number < self.low:
            return Fate.PAST
        return self._fates.get(number, Fate.NEW)

    def note(self, number: int, fate: Fate | Reply) -> None:
        """This became of it."""
        if number < self.low:
            return
        self._fates[number] = fate
        if isinstance(fate, Reply):
            self._answers.add(self, number, fate)
        else:
            self._answers.drop(self, number)

    def forget(self, number: int) -> None:
        """It was never begun, and will not be; or nobody asks for it any more."""
        if isinstance(self._fates.pop(number, None), Reply):
            self._answers.drop(self, number)

    def end(self) -> None:
        """It is not known any more."""
        for number in list(self._fates):
            self.forget(number)

    @property
    def is_full(self) -> bool:
        """Whether it waits for more answers than are kept."""
        return len(self._fates) >= SESSION_RESULTS_MAX


class Sessions:
    """All that one start of a node knows."""

    def __init__(self, sessions_max: int = SESSIONS_MAX, answers_bytes_max: int = ANSWERS_BYTES_MAX) -> None:
        self._max = sessions_max
        self._answers = Answers(answers_bytes_max)
        self._tickets = 0
        self._sessions: dict[bytes, Session] = {}

    def greet(self, session_id: bytes) -> Session:
        """The session, new unless it is known."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            self._tickets += 1
            session = Session(self._tickets, self._answers)
        self._sessions[session_id] = session
        while len(self._sessions) > self._max:
            self._sessions.pop(next(iter(self._sessions))).end()
        return session

    def find(self, operation_id: bytes, ticket: int) -> tuple[Session | None, int]:
        """The session of an operation, None if it is forgotten; the operation's number in it."""
        session_id = operation_id[:SESSION_BYTES]
        number = int.from_bytes(operation_id[SESSION_BYTES:], "big")
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._sessions[session_id] = session  # the last one now
            if session.ticket != ticket:
                session = None
        return session, number
