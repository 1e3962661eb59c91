"""Locks: who holds one and until when, and the operations that take, extend and release it.

A lock stands in the Dict's own key space for locks, as an entry that no counter counts. It never carries an
expiry instant: its time runs on the host's monotonic clock, is a minimum, and ends when somebody else takes
the lock. Its version is the fencing token.
"""

from __future__ import annotations

from struct import Struct
from typing import TypeVar

from ..clock import Clock
from .edit import Edit, Found
from .entry import ATOMIC, Stored
from .operation import NEVER, KeyOperation

R_co = TypeVar("R_co", covariant=True)

LOCK = Struct(">QQ16s16s")
"""deadline_ms (monotonic; 0: none), ttl_ms, boot id, holder."""


class Grant:
    """Who holds a lock, and until when."""

    __slots__ = ("boot_id", "deadline_ms", "holder", "ttl_ms")

    def __init__(self, deadline_ms: int, ttl_ms: int, boot_id: bytes, holder: bytes) -> None:
        self.deadline_ms = deadline_ms
        self.ttl_ms = ttl_ms
        self.boot_id = boot_id
        self.holder = holder

    @classmethod
    def begin(cls, clock: Clock, ttl_ms: int, holder: bytes) -> Grant:
        """A grant that begins now; `ttl_ms` 0 is for ever."""
        deadline_ms = clock.monotonic_ms() + ttl_ms if ttl_ms else 0
        return cls(deadline_ms, ttl_ms, clock.boot_id(), holder)

    @classmethod
    def decode(cls, body: bytes) -> Grant:
        return cls(*LOCK.unpack(body))

    def encode(self) -> bytes:
        return LOCK.pack(self.deadline_ms, self.ttl_ms, self.boot_id, self.holder)

    def over(self, clock: Clock) -> bool:
        """Whether it has ended.

        Its time runs on the host's monotonic clock, so that a wall clock set forward ends no lock early.
        A grant of an earlier boot is over: its holder died with the host. Where no boot id is to be had,
        a deadline further off than the whole time to live gives the other boot away.
        """
        if self.boot_id != clock.boot_id():
            return True
        left_ms = self.deadline_ms - clock.monotonic_ms()
        return bool(self.ttl_ms) and not 0 < left_ms <= self.ttl_ms


class LockOperation(KeyOperation[R_co]):
    """One write of one lock."""

    __slots__ = ()

    def standing(self, edit: Edit) -> tuple[Found, Stored | None]:
        """What stands there, and the entry if its grant is not over."""
        found, entry = edit.visible(self.located)
        if entry is not None and Grant.decode(entry.body).over(edit.transaction.host):
            entry = None
        return found, entry


class Acquire(LockOperation["int | None"]):
    """Take a lock if it is free. Its fencing token, None if somebody has it."""

    __slots__ = ("holder", "ttl_ms")

    def __init__(self, key: bytes, holder: bytes, ttl_ms: int, operation_id: bytes) -> None:
        super().__init__(key, operation_id)
        self.holder = holder
        self.ttl_ms = ttl_ms

    def apply(self, edit: Edit) -> int | None:
        found, entry = self.standing(edit)
        if entry is not None:
            return None
        grant = Grant.begin(edit.transaction.host, self.ttl_ms, self.holder)
        return edit.write(
            self.located,
            grant.encode(),
            NEVER,
            found,
            flags=ATOMIC,
            operation_id=self.operation_id,
            uncounted=True,
        )


class Release(LockOperation[bool]):
    """Let go of the lock that was granted with `token`. Whether it was still held."""

    __slots__ = ("token",)

    def __init__(self, key: bytes, token: int, operation_id: bytes) -> None:
        super().__init__(key, operation_id)
        self.token = token

    def apply(self, edit: Edit) -> bool:
        found, entry = self.standing(edit)
        if found.version != self.token:
            return False
        edit.remove(self.located, found, uncounted=True)
        return entry is not None


class Abandon(LockOperation[bool]):
    """Let go of a lock that `holder` may have been granted without hearing of it. Whether it had it."""

    __slots__ = ("holder",)

    def __init__(self, key: bytes, holder: bytes, operation_id: bytes) -> None:
        super().__init__(key, operation_id)
        self.holder = holder

    def apply(self, edit: Edit) -> bool:
        found, entry = edit.visible(self.located)
        if entry is None or Grant.decode(entry.body).holder != self.holder:
            return False
        edit.remove(self.located, found, uncounted=True)
        return True


class Extend(LockOperation[bool]):
    """Begin the time to live of the lock of `token` anew. Whether it was still held; the token stays."""

    __slots__ = ("token", "ttl_ms")

    def __init__(self, key: bytes, token: int, ttl_ms: int, operation_id: bytes) -> None:
        super().__init__(key, operation_id)
        self.token = token
        self.ttl_ms = ttl_ms

    def apply(self, edit: Edit) -> bool:
        _, entry = self.standing(edit)
        if entry is None or entry.version != self.token:
            return False
        grant = Grant.begin(edit.transaction.host, self.ttl_ms, Grant.decode(entry.body).holder)
        edit.rewrite(self.located, entry._replace(body=grant.encode()))
        return True
