"""The person or script in front of a command: what is shown, asked, and read.

Rules of this file:
1. Standard output carries data and nothing else; whatever is said about it goes to standard error.
2. What only a person wants (questions, progress, colour, a cut line) needs a terminal; a pipe has none.
3. Nothing that was stored can steer a terminal: control characters reach one only as escapes.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from typing import Final, Self, TextIO, TypeAlias

from ...exception import InvalidError, ValueTooLargeError
from ...node.config import VALUE_BYTES_MAX

Row: TypeAlias = tuple[str, ...]

PROGRESS_DELAY_S: Final = 0.3
"""Work shorter than this needs no progress line."""

PROGRESS_INTERVAL_S: Final = 0.1
"""Faster than this nobody reads."""

STYLES: Final = {"bold": 1, "dim": 2}
COLOURS: Final = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36}

# C0 and C1 controls, DEL, line separators, and the marks that turn the direction of text around.
_UNSAFE: Final = (*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_ESCAPES: Final = {code: chr(code).encode("unicode_escape").decode() for code in _UNSAFE}
_ESCAPES_MULTILINE: Final = {code: text for code, text in _ESCAPES.items() if chr(code) not in "\t\n"}


def one_line(text: str) -> str:
    """`text` with every control character escaped: fit for a cell of a table or a line of an error."""
    return text.translate(_ESCAPES)


def size(count_bytes: int) -> str:
    """`count_bytes` to three digits, in units of 1,024."""
    amount = float(count_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1_024
    return f"{amount:,.0f} TiB"


class Progress:
    """A line on standard error that says how far a long work is; invisible unless that is a terminal."""

    def __init__(self, stream: TextIO | None, what: str, form: Callable[[int], str]) -> None:
        self._stream = stream
        self._what = what
        self._form = form
        self._due_s = time.monotonic() + PROGRESS_DELAY_S
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.erase()

    def update(self, done: int, total: int) -> None:
        """`done` of `total` units (0: of nobody knows how many) are done; shown if it is time to."""
        if self._stream is None or (now_s := time.monotonic()) < self._due_s:
            return
        self._due_s = now_s + PROGRESS_INTERVAL_S
        self._shown = True
        share = f" of {self._form(max(done, total))} ({min(100, 100 * done // total)} %)" if total else ""
        self._stream.write(f"\r{self._what}: {self._form(done)}{share}\x1b[K")
        self._stream.flush()

    def erase(self) -> None:
        """Take the line away."""
        if self._stream is not None and self._shown:
            self._shown = False
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _nowhere() -> TextIO:
    return open(os.devnull, "r+", encoding="utf-8")  # as long as the process


class Terminal:
    """The three standard streams of one command, and what they can do."""

    def __init__(self, stdin: TextIO, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str]) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self.shows_output: Final = stdout.isatty()
        self._shows_errors = stderr.isatty()
        self._is_person = stdin.isatty() and self._shows_errors
        plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
        self._coloured = self.shows_output and not plain
        self._status_shown = False

    @classmethod
    def of_process(cls) -> Self:
        """This process's own streams, made unable to fail on what their encoding has no bytes for."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        # Of a stream that was closed before the start, None is left, and its number is free: the next file
        # that is opened would get it, and with it what C libraries write to "standard error".
        return cls(sys.stdin or _nowhere(), sys.stdout or _nowhere(), sys.stderr or _nowhere(), os.environ)

    @property
    def columns(self) -> int:
        """The width of the terminal, in characters."""
        return shutil.get_terminal_size().columns

    # -- out -------------------------------------------------------------------------------------

    def write(self, text: str) -> None:
        """One piece of data and a line end. A terminal gets it without control characters."""
        if self.shows_output:
            text = text.translate(_ESCAPES_MULTILINE)
        self._stdout.write(text + "\n")

    def write_cells(self, *cells: str) -> None:
        """One line of cells with tabs between them; a terminal gets no more of it than its width."""
        line = "\t".join(one_line(cell) for cell in cells)
        if self.shows_output and len(line.expandtabs()) > self.columns:
            line = line.expandtabs()[: self.columns - 1] + "…"
        self._stdout.write(line + "\n")

    def write_table(self, head: Row, rows: list[Row], *, right: frozenset[int]) -> None:
        """`rows` under `head` in aligned columns; those numbered in `right` end at the right."""
        lines = [head, *(tuple(one_line(cell) for cell in row) for row in rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        for number, line in enumerate(lines):
            cells = [
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            text = "  ".join(cells).rstrip()
            self._stdout.write((text if number else self.paint(text, "dim")) + "\n")

    def write_bytes(self, data: bytes) -> None:
        """`data` as it is, for a pipe or a file; refused on a terminal, which it could take over.

        Raises:
            InvalidError: standard output is a terminal.
        """
        if self.shows_output:
            raise InvalidError("--raw writes bytes as they are: send them to a file or a pipe")
        self._stdout.flush()
        if isinstance(self._stdout, TextIOWrapper):
            self._stdout.buffer.write(data)

    def tell(self, text: str) -> None:
        """One line of a running story, shown at once. It may hold what `paint` made, and no stored data."""
        erase = "\r\x1b[K" if self._status_shown else ""
        self._status_shown = False
        self._stdout.write(f"{erase}{text}\n")
        self._stdout.flush()

    def status(self, text: str) -> None:
        """What is true right now, under the story, until the next line of it; for terminals only."""
        if self.shows_output:
            self._status_shown = True
            self._stdout.write(f"\r{text[: self.columns - 1]}\x1b[K")
            self._stdout.flush()

    def note(self, text: str) -> None:
        """Something a person may like to know and a script does not need."""
        if self._shows_errors:
            self._stderr.write(one_line(text) + "\n")

    def complain(self, text: str) -> None:
        """One line on standard error."""
        self._stderr.write(f"ringdict: {one_line(' '.join(text.split()))}\n")

    def paint(self, text: str, *names: str) -> str:
        """`text` in the named colours, where standard output shows colours."""
        if not self._coloured or not names:
            return text
        codes = ";".join(str((STYLES | COLOURS)[name]) for name in names)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def flush(self) -> None:
        """Hand on what was written, so that a full disk or a reader that went away is noticed here."""
        self._stdout.flush()

    def abandon_output(self) -> None:
        """Hand on what was written if that can be; if not, forget it, now and at the end of the process."""
        try:
            self._stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stdout.fileno())

    def progress(self, what: str, form: Callable[[int], str] = "{:,}".format) -> Progress:
        """A progress line for as long as the `with` lasts; `form` writes its amounts."""
        return Progress(self._stderr if self._shows_errors else None, what, form)

    # -- in --------------------------------------------------------------------------------------

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Whether a person agrees; `yes` answers beforehand.

        Raises:
            InvalidError: there is nobody to ask.
        """
        if yes:
            return True
        if not self._is_person:
            raise InvalidError("this needs a yes and there is no terminal to ask on; -y says it beforehand")
        self._stderr.write(f"{one_line(question)} [y/N] ")
        self._stderr.flush()
        answer = self._stdin.readline()
        if not answer.endswith("\n"):
            self._stderr.write("\n")
        return answer.strip().lower() in {"y", "yes"}

    def read_bytes(self) -> bytes:
        """All of standard input.

        Raises:
            ValueTooLargeError: it holds more than any store accepts as one value.
        """
        if not isinstance(self._stdin, TextIOWrapper):
            return self._stdin.read().encode("utf-8", "surrogateescape")
        data: bytes = self._stdin.buffer.read(VALUE_BYTES_MAX + 1)
        if len(data) > VALUE_BYTES_MAX:
            raise ValueTooLargeError(f"standard input holds more than a value may: {VALUE_BYTES_MAX:,} bytes")
        return data
