"""Every error that ringdict raises, sorted by whose fault it was and whether the outcome is known.

Three families, and the class alone says whether a retry is safe:

1. *Definite, the caller's to mend*: nothing happened, and the same call would fail again.
2. *Definite, the world's to mend*: nothing happened, and the call may be repeated once the cause is gone.
3. *Unknown*: the call may or may not have taken effect.

A missing key is the builtin ``KeyError``, a value or key of an unsupported type the builtin ``TypeError``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AlreadyExistsError",
    "AsyncUsageWarning",
    "AuthError",
    "ClosedError",
    "ConflictError",
    "DeserializationError",
    "Error",
    "FormatError",
    "InvalidError",
    "LockLostError",
    "LockTimeoutError",
    "NoQuorumError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PartialFailureError",
    "ProtocolError",
    "RequestSizeError",
    "RequestTimeoutError",
    "StoreDamagedError",
    "StoreFullError",
    "UnavailableError",
    "ValueTooLargeError",
]


class Error(Exception):
    """Base of every ringdict error."""


# -- definite: nothing happened; the caller's to mend ------------------------------------------


class InvalidError(Error, ValueError):
    """An argument is outside of what the call accepts. Nothing happened."""


class NotFoundError(Error):
    """The Dict does not exist, or was deleted. Nothing happened."""


class AlreadyExistsError(Error):
    """A Dict of that name exists already. Nothing happened."""


class RequestSizeError(Error, ValueError):
    """A key, a value or a request is larger than its limit. Nothing was sent or written."""


class ValueTooLargeError(RequestSizeError):
    """A value is larger than the store accepts. Nothing was sent or written."""


class DeserializationError(Error):
    """A stored value cannot be read by this handle: it was pickled and the handle does not allow
    that, or its bytes carry a type that this version does not know. The value is untouched."""


class AuthError(Error):
    """The cluster refused the secret. Nothing happened."""


class ConflictError(Error):
    """The entry is not at the version that the caller named. Nothing happened.

    ``current`` is the version that the entry has now, ``None`` when it is absent.
    """

    def __init__(self, message: str, current: int | None = None) -> None:
        super().__init__(message)
        self.current = current

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.current)


class LockTimeoutError(Error, TimeoutError):
    """The lock was not free within ``wait_s``. It is not held by the caller, and will not be."""


class LockLostError(Error):
    """The lock ran out, or was released by somebody else, before its holder let go of it."""


class ClosedError(Error):
    """The handle, cluster or store was closed. Nothing happened."""


class FormatError(Error):
    """The data on disk was written by a newer version of ringdict. Nothing was touched."""


# -- definite: nothing happened; may be retried when the cause is gone --------------------------


class UnavailableError(Error, ConnectionError):
    """The store or the owners of the key cannot be reached now. Nothing happened."""


class NoQuorumError(UnavailableError):
    """An atomic operation found no majority of the key's owners. Nothing happened."""


class StoreFullError(Error):
    """The disk is full or the store has reached its size limit. Nothing happened; what was
    acknowledged before stays readable, and writes work again once there is room."""


class StoreDamagedError(Error):
    """Bytes on disk are not what was written. A damaged value is named by its key and is never
    returned; a damaged tree makes the whole store refuse atomic operations.

    ``key`` is the damaged key, ``None`` when the damage is not in a single value.
    """

    def __init__(self, message: str, key: object = None) -> None:
        super().__init__(message)
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.key)


# -- unknown: it may or may not have happened ----------------------------------------------------


class OutcomeUnknownError(Error):
    """The call may or may not have taken effect. ``operation_id`` names it in logs and traces."""

    def __init__(self, message: str, operation_id: bytes | None = None) -> None:
        super().__init__(message)
        self.operation_id = operation_id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.operation_id)


class RequestTimeoutError(OutcomeUnknownError, TimeoutError):
    """No answer came in time, after something had been sent. It may or may not have happened."""


class PartialFailureError(Error):
    """A batch was carried out for some keys only.

    ``done`` lists the keys whose part took effect, ``failed`` maps each other key to its error.
    """

    def __init__(self, message: str, failed: Mapping[Any, Exception], done: Sequence[Any]) -> None:
        super().__init__(message)
        self.failed = dict(failed)
        self.done = list(done)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.failed, self.done)


# -- neither -------------------------------------------------------------------------------------


class ProtocolError(Error):
    """A bug of ringdict, or a stranger on the line."""


class AsyncUsageWarning(UserWarning):
    """A blocking form was called inside a running event loop; the ``.aio`` form was meant."""
