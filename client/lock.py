"""`Lock`: exclusion between processes, with a time to live and a fencing token."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..exception import Error, InvalidError, LockLostError, LockTimeoutError
from ..node.config import LOCK_POLL_S_MAX, LOCK_POLL_S_MIN
from ..node.store import layout
from ..node.store.grant import Abandon, Acquire, Extend, Release
from .handle import operation_ids
from .keys import encode_key
from .method import method
from .transport import Transport
from .ttl import UNSET, TtlOrUnset, ttl_ms

if TYPE_CHECKING:
    from .dict import Dict


class Lock:
    """A lock in a Dict. Made by `Dict.lock`; one object is one holder.

    Not re-entrant: acquiring it again through another object waits, through this one raises. It is held
    until released, until its ttl has passed since `acquire` or the last `extend`, or until the Dict is
    cleared or deleted. A holder that is paused for longer than the ttl does not notice by itself that it
    lost the lock; where that matters, the protected resource must compare `token`.
    """

    def __init__(self, handle: Dict[Any, Any], key: object, ttl_ms: int, wait_s: float | None) -> None:
        if wait_s is not None and not wait_s >= 0:
            raise InvalidError(f"wait_s is seconds, or None to wait for ever; not {wait_s!r}")
        self._handle = handle
        self._key = key
        self._encoded = layout.LOCK_SPACE + encode_key(key)
        self._ttl_ms = ttl_ms
        self._wait_s = wait_s
        self._holder = os.urandom(16)
        self._token: int | None = None

    @property
    def token(self) -> int | None:
        """A 64-bit integer that grows with every acquisition of that key; None while it is not acquired."""
        return self._token

    @method
    async def acquire(self, io: Transport) -> int:
        """Wait until the lock is free, and take it. Its fencing token.

        Raises:
            LockTimeoutError: it was not free within `wait_s`; the caller does not hold it.
            InvalidError: this object holds it already.
        """
        if self._token is not None:
            raise InvalidError(f"{self!r} was acquired before and not released; a lock is not re-entrant")
        deadline_s = None if self._wait_s is None else time.monotonic() + self._wait_s
        pause_s = LOCK_POLL_S_MIN
        while True:
            token = await self._try_or_abandon(io)
            if token is not None:
                self._token = token
                return token
            left_s = inf if deadline_s is None else deadline_s - time.monotonic()
            if left_s <= 0:
                raise LockTimeoutError(f"{self!r} was not free within {self._wait_s} s")
            await self._wait(io, left_s, pause_s)
            pause_s = min(pause_s * 1.5, LOCK_POLL_S_MAX)

    @method
    async def release(self, io: Transport) -> None:
        """Let go of the lock.

        Raises:
            LockLostError: it was not held any more, or never.
        """
        token, self._token = self._token, None
        if token is None:
            raise LockLostError(f"{self!r} is not held by this object")
        operation = Release(self._encoded, token, operation_ids.next())
        if not await io.finish(self._handle._write(io, operation)):
            raise LockLostError(
                f"{self!r} was lost before it was released: its ttl had passed, or the Dict was cleared"
            )

    @method
    async def extend(self, io: Transport, ttl: TtlOrUnset = UNSET) -> None:
        """Begin the time to live anew, the same or another. The token stays.

        Raises:
            LockLostError: it is not held any more; it may be acquired again.
        """
        token = self._token
        lifetime_ms = ttl_ms(ttl, self._ttl_ms)
        operation = Extend(self._encoded, token or 0, lifetime_ms, operation_ids.next())
        if token is None or not await self._handle._write(io, operation):
            self._token = None
            raise LockLostError(f"{self!r} is not held any more")

    @method
    async def owned(self, io: Transport) -> bool:
        """Whether this object holds the lock now."""
        if self._token is None:
            return False
        token = self._token
        return await self._handle._retry(io, lambda bound: bound.holds(io, self._encoded, token))

    async def _try_or_abandon(self, io: Transport) -> int | None:
        """`_try`; when interrupted or cancelled in it, the lock is not left behind with nobody who knows."""
        try:
            return await self._try(io)
        except Exception:
            raise
        except BaseException:
            abandon = Abandon(self._encoded, self._holder, operation_ids.next())
            with suppress(Error):
                await io.finish(self._handle._write(io, abandon))
            raise

    async def _try(self, io: Transport) -> int | None:
        """Take the lock if it is free. A look, which waits for nobody, goes before the write."""
        if not await self._handle._retry(io, lambda bound: bound.is_free(io, self._encoded)):
            return None
        operation = Acquire(self._encoded, self._holder, self._ttl_ms, operation_ids.next())
        return await self._handle._write(io, operation)

    async def _wait(self, io: Transport, seconds: float, pause_s: float) -> None:
        """Let time pass until it may be free."""
        await self._handle._retry(
            io, lambda bound: bound.wait_for(io, self._encoded, self._holder, seconds, pause_s)
        )

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except LockLostError:
            if error is None:
                raise  # else the block's own error says more

    async def __aenter__(self) -> Self:
        await self.acquire.aio()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.release.aio()
        except LockLostError:
            if error is None:
                raise

    def __repr__(self) -> str:
        return f"<lock {self._key!r} of {self._handle!r}>"
