"""Run a function in a process of its own, with a line between the two.

Rules of this file:
1. A child is forked: it begins with all that the test knows, open stores included, and starts at once.
2. Nobody waits for ever: a child that outlives `LIFE_S_MAX` says where it hangs, and ends.
3. Whoever made a child ends it, by leaving its `with` block if not before.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, NamedTuple, Never, ParamSpec, Self, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

LIFE_S_MAX = 60
WAIT_S_MAX = 30.0
POLL_S = 0.001

Line = Connection
"""An end of the line: `send(anything)`, `recv()`."""


class DiedError(Exception):
    """A child was killed, or killed itself, before it came to its end."""


class Returned(NamedTuple):
    """The last thing on the line of a child that came to its end."""

    value: object


class Raised(NamedTuple):
    """The last thing on the line of a child that failed."""

    error: BaseException


class Child(Generic[R]):
    """A process that carries out ``function(line, *args)``.

    What the function sends arrives with `receive` and `received`, what it returns or raises with `result`.
    """

    def __init__(
        self, function: Callable[Concatenate[Line, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        ends: tuple[Line, Line] = Pipe()  # pyright: ignore[reportAssignmentType]
        self.line, theirs = ends
        self._status: int | None = None
        self.pid = os.fork()
        if not self.pid:
            self.line.close()
            _serve(theirs, lambda: function(theirs, *args, **kwargs))
        theirs.close()

    # -- listening ---------------------------------------------------------------------------------

    def receive(self, timeout_s: float = WAIT_S_MAX) -> Any:
        """The next thing the child sends; raises what the child raised."""
        message = self._next(timeout_s)
        assert not isinstance(message, Returned), f"process {self.pid} ended with {message.value!r}"
        return message

    def received(self) -> Iterator[Any]:
        """All that a child sent and nobody received, until it ended or was killed."""
        while True:
            try:
                message = self._next(WAIT_S_MAX)
            except DiedError:
                return
            if isinstance(message, Returned):
                return
            yield message

    def result(self, timeout_s: float = WAIT_S_MAX) -> R:
        """What the function returns; raises what it raises."""
        while not isinstance(message := self._next(timeout_s), Returned):
            pass
        self.exit_status()
        return cast("R", message.value)

    def _next(self, timeout_s: float) -> object:
        assert self.line.poll(timeout_s), f"nothing from process {self.pid} within {timeout_s} s"
        try:
            message: object = self.line.recv()
        except (EOFError, ConnectionResetError):
            raise DiedError(f"process {self.pid} died: exit status {self.exit_status()}") from None
        if isinstance(message, Raised):
            raise message.error
        return message

    # -- ending ------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL, if it is still there; it is gone when this returns."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.exit_status()

    def exit_status(self) -> int:
        """Wait for its end, that of a crash too: the exit code, or minus the signal that ended it."""
        if self._status is not None:
            return self._status
        deadline_s = time.monotonic() + WAIT_S_MAX
        while (found := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            assert time.monotonic() < deadline_s, f"process {self.pid} does not end"
            time.sleep(POLL_S)
        self._status = os.waitstatus_to_exitcode(found[1])
        return self._status

    # -- stopping ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """SIGSTOP; it has stopped when this returns."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: state(self.pid) == "T", f"process {self.pid} to stop")

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.line.close()


def _serve(line: Line, work: Callable[[], object]) -> Never:
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=2, chain=True)
        signal.alarm(LIFE_S_MAX)
        line.send(Returned(work()))
        code = 0
    except BaseException as error:  # noqa: BLE001 - belongs to the parent
        traceback.print_exc()
        line.send(Raised(error))
    finally:
        os._exit(code)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S_MAX) -> None:
    """Look again and again until something has come about."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {timeout_s} s for {what}"
        time.sleep(POLL_S)


def state(pid: int) -> str:
    """The letter that Linux has for what a process is doing: R, S, D, T, Z."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def at_once(functions: list[Callable[[], R]]) -> list[R]:
    """What functions return that run in processes of their own, let go all at the same moment."""

    def wait_and_run(line: Line, function: Callable[[], R]) -> R:
        line.send("ready")
        line.recv()
        return function()

    children = [Child(wait_and_run, function) for function in functions]
    try:
        for child in children:
            child.receive()
        for child in children:
            child.line.send("go")
        return [child.result(LIFE_S_MAX) for child in children]
    finally:
        for child in children:
            child.__exit__(None, None, None)
