"""How a command ends: the number that a script sees, and which error leads to which number."""

from __future__ import annotations

from enum import IntEnum

from ...exception import (
    AlreadyExistsError,
    AuthError,
    ClosedError,
    ConflictError,
    DeserializationError,
    FormatError,
    InvalidError,
    LockLostError,
    LockTimeoutError,
    NotFoundError,
    OutcomeUnknownError,
    PartialFailureError,
    RequestSizeError,
    StoreDamagedError,
    StoreFullError,
    UnavailableError,
)


class ExitCode(IntEnum):
    """What a finished command says to the shell. Documented in docs/cli.md; numbers never change meaning."""

    OK = 0
    """Done."""

    NO = 1
    """A definite no: the key is missing, `--if-absent` met a key, the question was answered with no."""

    USAGE = 2
    """The command line cannot be carried out as written. Nothing happened."""

    NAME = 3
    """There is no Dict of that name; or there is one and there should not be. Nothing happened."""

    STORE = 4
    """The store cannot do it now: unreachable, full, damaged, or not ours to open. Nothing happened."""

    UNKNOWN = 5
    """It may have happened, or in part."""

    UNREADABLE = 6
    """A value was found and cannot be shown: it was pickled, or is of a kind this version does not know."""

    BUG = 70
    """An error that ringdict does not expect of itself (sysexits.h: EX_SOFTWARE)."""

    INTERRUPTED = 130
    """Ctrl-C: 128 and the signal's number, as shells say it."""

    PIPE = 141
    """Who read the output went away: 128 and SIGPIPE's number, as of any filter."""


_STORE_ERRORS = (UnavailableError, StoreFullError, StoreDamagedError, FormatError, AuthError, ClosedError)

# The first row that fits decides, so a class stands above its bases.
_CODES: tuple[tuple[ExitCode, tuple[type[BaseException], ...]], ...] = (
    (ExitCode.UNKNOWN, (OutcomeUnknownError, PartialFailureError)),
    (ExitCode.NAME, (NotFoundError, AlreadyExistsError)),
    (ExitCode.STORE, _STORE_ERRORS),
    (ExitCode.UNREADABLE, (DeserializationError,)),
    (ExitCode.NO, (ConflictError, LockTimeoutError, LockLostError)),
    (ExitCode.USAGE, (InvalidError, RequestSizeError)),
    (ExitCode.INTERRUPTED, (KeyboardInterrupt,)),
    (ExitCode.PIPE, (BrokenPipeError,)),
    (ExitCode.STORE, (OSError,)),
)


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code for a command that `error` ended."""
    return next((code for code, classes in _CODES if isinstance(error, classes)), ExitCode.BUG)
