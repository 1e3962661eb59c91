"""A process with one contestant in it, and the parent's end of the line to it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast

from .interrupt import held, unheard
from .peer import MissingError
from .place import Place
from .runner import Runner

__all__ = ["FailedError", "Reply", "Worker"]

P = ParamSpec("P")
T = TypeVar("T")

ANSWER_S_MAX = 300.0
"""Nothing that is asked of a worker takes this long."""

CLOSE_S_MAX = 1.0
"""An idle worker ends at once; a busy one is not waited for, since what it writes is thrown away."""

Task = tuple[Callable[..., object], tuple[object, ...], dict[str, object]]


class FailedError(Exception):
    """A contestant raised, answered wrongly or not at all. The message says what, in one line."""


@dataclass(frozen=True)
class Raised:
    """What a worker sends in place of a result."""

    error: type[MissingError | FailedError]
    reason: str


class Reply(Generic[T]):
    """The answer that is under way from a worker."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.is_taken = False

    def wait(self, timeout_s: float = ANSWER_S_MAX) -> T:
        """The result. Raises `MissingError` or `FailedError`, here and not where the task was asked for."""
        self.is_taken = True
        if not self._connection.poll(timeout_s):
            self._connection.close()  # so that the late answer is not taken for that to the next question
            raise FailedError(f"no answer within {timeout_s:.0f} s")
        try:
            answer: object = self._connection.recv()
        except EOFError:
            raise FailedError("its process ended") from None
        if isinstance(answer, Raised):
            raise answer.error(answer.reason)
        return cast("T", answer)


class Worker:
    """Runs methods of a `Runner` in a process of its own, one at a time, from when it is `ready`.

    ``stored`` says that another process has already stored the entries in what this one opens.
    """

    def __init__(self, name: str, place: Place, *, stored: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        # Any: the two ends have different types on different systems, with the same methods.
        ours, theirs = cast("tuple[Any, Any]", context.Pipe())
        self._connection: Connection = ours
        self._reply: Reply[Any] | None = None
        self._process = context.Process(target=_serve, args=(theirs, name, place), kwargs={"stored": stored})
        try:
            with held(), unheard():
                self._process.start()
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()

    def ready(self) -> Self:
        """Wait until the contestant is open. Raises `MissingError` or `FailedError`, and is closed then."""
        try:
            Reply[None](self._connection).wait()
        except BaseException:
            self.close()
            raise
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, method: Callable[Concatenate[Runner, P], T], *args: P.args, **kwargs: P.kwargs) -> Reply[T]:
        """Have it run ``method`` of its runner, once it is done with what it was asked before."""
        if self._reply is not None and not self._reply.is_taken:
            with suppress(MissingError, FailedError):
                self._reply.wait()  # whoever asked for it has given up on it
        try:
            self._connection.send((method, args, kwargs))
        except OSError:
            raise FailedError("its process has ended") from None
        self._reply = reply = Reply[T](self._connection)
        return reply

    def call(self, method: Callable[Concatenate[Runner, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have it run ``method`` of its runner, and wait for the result."""
        return self.ask(method, *args, **kwargs).wait()

    @property
    def usable(self) -> bool:
        """Whether it can be asked for more."""
        return not self._connection.closed and self._process.is_alive()

    def close(self) -> None:
        """End the process: by closing the line, and where that is not enough by its pid."""
        self._connection.close()
        if self._process.pid is None:
            return
        self._process.join(CLOSE_S_MAX)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, name: str, place: Place, *, stored: bool) -> None:
    """The worker's life. It ends when the parent's end of the line does, however that came about."""
    for setting in [setting for setting in os.environ if setting.startswith("RINGDICT_")]:
        del os.environ[setting]  # what the user has set for an application is not what is measured here
    with suppress(EOFError, OSError):
        try:
            runner = Runner(name, place, stored=stored)
        except Exception as error:  # noqa: BLE001  whatever it is, it is this contestant's outcome
            connection.send(_raised(error))
            return
        try:
            connection.send(None)
            while True:
                connection.send(_outcome(runner, cast("Task", connection.recv())))
        finally:
            runner.close()


def _outcome(runner: Runner, task: Task) -> object:
    method, args, kwargs = task
    try:
        return method(runner, *args, **kwargs)
    except Exception as error:  # noqa: BLE001
        return _raised(error)


def _raised(error: Exception) -> Raised:
    if isinstance(error, MissingError):
        return Raised(MissingError, str(error))
    traceback.print_exception(error, file=sys.stderr)
    return Raised(FailedError, f"{type(error).__name__}: {error}".splitlines()[0])
