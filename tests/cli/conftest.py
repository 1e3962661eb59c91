"""A command line for tests: real processes, a store of its own, and a person at a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

import ringdict

WAIT_S_MAX = 60


class Outcome:
    """How one command ended, and what it printed."""

    def __init__(self, code: int, output: bytes, errors: bytes) -> None:
        self.code = code
        self.output = output
        self.out = output.decode("utf-8", "surrogateescape")
        self.err = errors.decode()


class Person:
    """Somebody at a terminal: a command whose three streams are one pseudo-terminal."""

    def __init__(self, words: tuple[str, ...], environ: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ringdict", *words],
            env=environ | {"TERM": "xterm", "COLUMNS": "40", "NO_COLOR": "1"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._seen = b""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def sees(self, text: str) -> None:
        """Wait until `text` is on the screen."""
        while text.encode() not in self._seen:
            assert self._read(), self._seen

    def ends(self) -> tuple[int, str]:
        """Exit code, and all that was on the screen."""
        while self._read():
            pass
        os.close(self._master)
        return self._process.wait(WAIT_S_MAX), self._seen.decode().replace("\r\n", "\n")

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # the last process with the other side open has gone
            data = b""
        self._seen += data
        return bool(data)


class Shell:
    """Runs the command on a store of its own; `url` is where that is."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = home.as_uri()
        self.environ = {**os.environ, "RINGDICT_HOME": str(home), "RINGDICT_DURABILITY": "none"}
        self.environ.pop("RINGDICT_DEBUG", None)

    def start(self, *words: str | bytes, **environ: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "ringdict", *words],
            env=self.environ | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str | bytes, stdin: bytes = b"", **environ: str) -> Outcome:
        process = self.start(*words, **environ)
        output, errors = process.communicate(stdin, timeout=WAIT_S_MAX)
        return Outcome(process.returncode, output, errors)

    def person(self, *words: str) -> Person:
        """Somebody who runs `ringdict …` at a terminal of 40 columns."""
        return Person(words, self.environ)

    def __call__(self, *words: str | bytes, stdin: bytes = b"", code: int = 0) -> str:
        """What `ringdict dict …` prints. It must end with `code`, and complain exactly if that is not 0."""
        outcome = self.run("dict", *words, stdin=stdin)
        assert outcome.code == code, outcome.err
        if code:
            assert_one_line(outcome.err)
        else:
            assert outcome.err == ""
        return outcome.out

    def fails(self, *words: str | bytes, code: int, stdin: bytes = b"") -> str:
        """What `ringdict dict …` complains of; it prints nothing, and ends with `code`."""
        outcome = self.run("dict", *words, stdin=stdin)
        assert outcome.code == code, (outcome.out, outcome.err)
        assert outcome.out == ""
        assert_one_line(outcome.err)
        return outcome.err


def assert_one_line(errors: str) -> None:
    assert errors.startswith("ringdict: ")
    assert errors.endswith("\n")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors


class Opener(Protocol):
    """Opens a Dict of the shell's store in this process."""

    def __call__(self, name: str, *, allow_pickle: bool = False) -> ringdict.Dict[Any, Any]: ...


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home")


@pytest.fixture
def store(shell: Shell) -> Iterator[Opener]:
    """Opens Dicts of the shell's store in this process, and closes the store behind the test."""
    with ringdict.Cluster(f"{shell.url}?durability=none") as cluster:

        def dict_of(name: str, *, allow_pickle: bool = False) -> ringdict.Dict[Any, Any]:
            return ringdict.Dict.from_name(
                name, cluster=cluster, create_if_missing=True, allow_pickle=allow_pickle
            )

        yield dict_of
