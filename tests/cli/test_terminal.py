"""What a terminal gets that a pipe does not, and how commands end."""

from __future__ import annotations

import io

import pytest

from ringdict import exception
from ringdict.client.shell.exit_code import ExitCode, exit_code_of
from ringdict.client.shell.terminal import Progress, Terminal, one_line, size


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_control_characters_are_escaped() -> None:
    assert one_line("a\tb\r\n\x1b[2J\x9b\u2028\u202e\u2066é😀") == (
        "a\\tb\\r\\n\\x1b[2J\\x9b\\u2028\\u202e\\u2066é😀"
    )


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colours_are_for_terminals_that_want_them(environ: dict[str, str], *, coloured: bool) -> None:
    terminal = Terminal(io.StringIO(), Screen(), io.StringIO(), environ)
    assert terminal.paint("x", "red", "bold") == ("\x1b[31;1mx\x1b[0m" if coloured else "x")
    assert Terminal(io.StringIO(), io.StringIO(), io.StringIO(), environ).paint("x", "red") == "x"


def test_a_status_gives_way_to_the_next_line() -> None:
    out = Screen()
    terminal = Terminal(io.StringIO(), out, io.StringIO(), {"NO_COLOR": "1"})
    terminal.status("so far")
    terminal.tell("a line")
    terminal.tell("another")
    assert out.getvalue() == "\rso far\x1b[K\r\x1b[Ka line\nanother\n"
    pipe = io.StringIO()
    Terminal(io.StringIO(), pipe, io.StringIO(), {}).status("so far")
    assert pipe.getvalue() == ""


def test_progress_is_shown_when_it_takes_long_and_then_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    screen = Screen()
    with Progress(screen, "reading", "{:,}".format) as progress:
        progress.update(1, 5_000)
        assert screen.getvalue() == ""
        now_s[0] = 1.0
        progress.update(2_500, 5_000)
        progress.update(2_501, 5_000)  # too soon after the last
        assert screen.getvalue() == "\rreading: 2,500 of 5,000 (50 %)\x1b[K"
        now_s[0] = 2.0
        progress.update(6_000, 5_000)
        assert screen.getvalue().endswith("\rreading: 6,000 of 6,000 (100 %)\x1b[K")
        now_s[0] = 3.0
        progress.update(7_000, 0)
    assert screen.getvalue().endswith("\rreading: 7,000\x1b[K\r\x1b[K")


def test_progress_is_silent_where_nobody_looks() -> None:
    errors = io.StringIO()
    terminal = Terminal(io.StringIO(), io.StringIO(), errors, {})
    with terminal.progress("reading") as progress:
        progress.update(1, 2)
    terminal.note("by the way")
    assert errors.getvalue() == ""


@pytest.mark.parametrize(
    ("count_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "0.977 KiB"),
        (123_456, "121 KiB"),
        (1_023_900, "0.976 MiB"),
        (5 * 2**30, "5 GiB"),
        (3 * 2**40, "3 TiB"),
        (5_000 * 2**40, "5,000 TiB"),
    ],
)
def test_sizes_have_three_digits(count_bytes: int, text: str) -> None:
    assert size(count_bytes) == text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exception.ConflictError("x"), ExitCode.NO),
        (exception.LockTimeoutError("x"), ExitCode.NO),
        (exception.InvalidError("x"), ExitCode.USAGE),
        (exception.ValueTooLargeError("x"), ExitCode.USAGE),
        (exception.NotFoundError("x"), ExitCode.NAME),
        (exception.AlreadyExistsError("x"), ExitCode.NAME),
        (exception.UnavailableError("x"), ExitCode.STORE),
        (exception.NoQuorumError("x"), ExitCode.STORE),
        (exception.StoreFullError("x"), ExitCode.STORE),
        (exception.StoreDamagedError("x"), ExitCode.STORE),
        (exception.FormatError("x"), ExitCode.STORE),
        (PermissionError("x"), ExitCode.STORE),
        (exception.OutcomeUnknownError("x"), ExitCode.UNKNOWN),
        (exception.RequestTimeoutError("x"), ExitCode.UNKNOWN),
        (exception.PartialFailureError("x", {}, []), ExitCode.UNKNOWN),
        (exception.DeserializationError("x"), ExitCode.UNREADABLE),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (BrokenPipeError(), ExitCode.PIPE),
        (KeyError("x"), ExitCode.BUG),
        (exception.ProtocolError("x"), ExitCode.BUG),
    ],
    ids=lambda case: type(case).__name__,
)
def test_every_error_has_its_exit_code(error: BaseException, code: ExitCode) -> None:
    assert exit_code_of(error) is code
