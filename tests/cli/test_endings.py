"""How commands end when something is wrong, and what a person at a terminal sees."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ringdict
from ringdict.cli import main

if TYPE_CHECKING:
    from .conftest import Opener, Shell

OK, NO, USAGE, NAME, STORE, INTERRUPTED, PIPE = 0, 1, 2, 3, 4, 130, 141
WAIT_S_MAX = 60


# -- what goes wrong -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Dict "d" where commands that run in this process look for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RINGDICT_HOME", str(tmp_path_factory.mktemp("made")))
        ringdict.Dict.objects.create("d")
        yield


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["get", "d"],
        ["get", "d", "k", "--nonsense"],
        ["get", "d", "k", "--json", "--repr"],
        ["get", "no spaces", "k"],
        ["get", "d", "-l", "unquoted"],
        ["get", "d", "-l", "[1]"],
        ["get", "d", "-l", "1j"],
        ["get", "d", "--json-key", "{"],
        ["get", "d", "--json-key", '{"$nonsense": 1}'],
        ["get", "d", "k" * 5_000],
        ["put", "d", "k", "v" * 120_000],
        ["put", "d", "-l", "1", "..."],
        ["put", "d", "k", "-l", "(" * 1_000],
        ["put", "d", "k", "v", "--ttl", "soon"],
        ["put", "d", "k", "v", "--ttl", "0"],
        ["items", "d", "-1"],
        ["items", "d", "many"],
        ["list", "--cluster", "http://example.org"],
        ["len", "d", "-e", "no spaces"],
    ],
    ids=lambda words: " ".join(words)[:30],
)
@pytest.mark.usefixtures("made")
def test_a_wrong_command_line_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["dict", *words]) == USAGE
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("ringdict: ")
    assert errors.count("\n") == 1


def test_a_store_that_cannot_be_reached(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shell.fails("list", "--cluster", (tmp_path / "file" / "store").as_uri(), code=STORE)
    shell.fails("list", "--cluster", "ringdict://localhost:1", code=STORE)


def test_a_reader_that_goes_away_ends_it_quietly(shell: Shell, store: Opener) -> None:
    store("d").update(dict.fromkeys(range(5000), "x" * 100))
    process = shell.start("dict", "items", "d", "--all")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(WAIT_S_MAX) == PIPE
    process.stderr.close()
    if process.stdin is not None:
        process.stdin.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_finds_no_room_is_an_error(shell: Shell) -> None:
    shell("put", "--create-if-missing", "d", "k", "v")
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "ringdict", "dict", "get", "d", "k"]
        ended = subprocess.run(
            command, env=shell.environ, stdout=full, stderr=subprocess.PIPE, timeout=WAIT_S_MAX, check=False
        )
    assert ended.returncode == STORE
    assert ended.stderr == b"ringdict: [Errno 28] No space left on device\n"


def test_closed_streams_do_no_harm(shell: Shell, store: Opener) -> None:
    dictionary = store("d")
    dictionary["k"] = "v"
    close = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "ringdict", "dict"]
    for words, code in (["items", "d"], OK), (["get", "d", "missing"], NO), (["put", "d", "k", "-"], OK):
        ended = subprocess.run(close + words, env=shell.environ, timeout=WAIT_S_MAX, check=False)
        assert ended.returncode == code
    assert dictionary["k"] == ""


def test_an_interrupt_is_told_in_one_line(shell: Shell, store: Opener) -> None:
    store("d").hydrate()
    process = shell.start("dict", "put", "d", "k", "-")
    time.sleep(1)  # until it waits for its standard input
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=WAIT_S_MAX)
    assert process.returncode == INTERRUPTED
    assert errors == b"ringdict: interrupted\n"


def test_debugging_shows_the_traceback(shell: Shell) -> None:
    outcome = shell.run("dict", "len", "d", RINGDICT_DEBUG="1")
    assert outcome.code == NAME
    assert "Traceback" in outcome.err
    assert "NotFoundError" in outcome.err


def test_version_and_help(shell: Shell) -> None:
    assert shell.run("--version").out == f"ringdict {ringdict.__version__}\n"
    assert "exit codes" in shell.run("dict", "--help").out
    assert shell.run().code == USAGE


# -- a person at a terminal ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y\n", OK, "0\n"), ("n\n", NO, "1\n"), ("\x04", NO, "1\n")]
)
def test_a_person_is_asked(shell: Shell, answer: str, code: int, left: str) -> None:
    shell("put", "--create-if-missing", "d", "k", "v")
    person = shell.person("dict", "clear", "d")
    person.sees("Remove 1 entry from d, and its locks? [y/N]")
    person.type(answer)
    assert person.ends()[0] == code
    assert shell("len", "d") == left


def test_a_person_is_asked_before_a_dict_is_deleted(shell: Shell, store: Opener) -> None:
    store("d").update({"a": 1, "b": 2})
    for answer, code, told in (("no\n", NO, "nothing was done"), ("yes\n", OK, "d is gone")):
        person = shell.person("dict", "delete", "d")
        person.sees("Delete d with 2 entries? [y/N]")
        person.type(answer)
        ended, screen = person.ends()
        assert ended == code
        assert told in screen
    shell.fails("len", "d", code=NAME)


def test_a_terminal_is_not_steered_by_what_was_stored(shell: Shell, store: Opener) -> None:
    store("d")["k"] = "line\n\x1b[2J\x07end"
    assert shell.person("dict", "get", "d", "k").ends() == (OK, "line\n\\x1b[2J\\x07end\n")


def test_a_person_sees_large_values_spread_out(shell: Shell, store: Opener) -> None:
    store("d").update({"large": {"first": "x" * 20, "second": ["y" * 20]}, "huge": [2**40_000]})
    code, screen = shell.person("dict", "get", "d", "large").ends()
    assert (code, screen) == (OK, f"{{'first': '{'x' * 20}',\n 'second': ['{'y' * 20}']}}\n")
    assert shell.person("dict", "get", "d", "huge").ends()[0] == OK


def test_a_terminal_gets_what_fits(shell: Shell, store: Opener) -> None:
    store("d").update(dict.fromkeys(range(30), "x" * 100))
    code, screen = shell.person("dict", "items", "d").ends()
    lines = screen.splitlines()
    assert code == OK
    assert len(lines) == 21
    assert max(map(len, lines)) <= 40
    assert lines[-1] == "… and 10 more (--all)"
    code, screen = shell.person("dict", "get", "d", "0", "-l", "--raw").ends()
    assert code == USAGE
    assert "a file or a pipe" in screen.replace("\n", " ")
