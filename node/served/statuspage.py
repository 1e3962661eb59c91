"""A node's page: what it shows to the clients on its host, in memory that they all share.

Rules of this file:
1. The stamp is one word, written in one store. Who reads past the node looks at it *after* the read: a page
   that was fresh then says that the node lived, and served, when the read was over.
2. The serial is 0 while the page is written, so a reader that finds the same one before and after has a whole
   page.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is one
from typing import Generic, NamedTuple, TypeVar

from xxhash import xxh3_64_digest

from ..clock import monotonic_ns
from ..config import PAGE_SHOWN_AGE_S_MAX, PAGE_SHOWN_BYTES_MAX
from ..disk import complaint
from ..disk.datafile import reserve_file
from .hostmark import NOWHERE, host_mark

T = TypeVar("T")

NAME = "status"
FILE_BYTES = 4096
FILE_MODE = 0o644
"""Nobody but the node writes it."""
STAMP, SERIAL = range(2)
"""Words."""
NEVER = 0
"""No serial of a whole page."""
HEAD = Struct("<8s16s16sI")
"""Checksum of all behind it, the node's host, a number of its start, the length of what is shown."""
HEAD_AT = 16
MARK_AT = HEAD_AT + 8
START_BYTES = 16
SHOWN_AT = HEAD_AT + HEAD.size
AGE_NS_MAX = int(PAGE_SHOWN_AGE_S_MAX * 1_000_000_000)


class StatusPage:
    """The node's own end. `start` is unlike that of any other start of a node."""

    def __init__(self, folder: Path, start: bytes) -> None:
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            if not reserve_file(descriptor, FILE_BYTES):
                raise complaint.disk_full(folder)
            self._map = mmap.mmap(descriptor, FILE_BYTES)
        finally:
            os.close(descriptor)
        #: `struct` would write zeros first.
        self._words = memoryview(self._map).cast("Q")
        self._words[STAMP] = 0
        self._now_ns = monotonic_ns
        self._mark = host_mark()
        self._start = start
        self._shown = b""
        self._serial = monotonic_ns()  # above those of all nodes before it, wherever they were killed

    def show(self, page: bytes) -> None:
        """Show this from now on, for a second."""
        assert len(page) <= PAGE_SHOWN_BYTES_MAX
        if page != self._shown:
            behind = HEAD.pack(b"", self._mark, self._start, len(page))[8:] + page
            self._words[SERIAL] = 0
            self._map[HEAD_AT : HEAD_AT + 8 + len(behind)] = xxh3_64_digest(behind) + behind
            self._serial += 1
            self._words[SERIAL] = self._serial
            self._shown = page
        self._words[STAMP] = self._now_ns()

    def close(self) -> None:
        """Show nothing any more."""
        self._words[STAMP] = 0
        self._words.release()
        self._map.close()


class Shown(NamedTuple, Generic[T]):
    """What a node showed, as it was read once."""

    serial: int
    #: Of which start of the node it is.
    start: bytes
    content: T


class PageReader(Generic[T]):
    """The page of the node in `folder`, as a client sees it; `decode` makes sense of what is shown. It needs
    no closing: another thread may be looking.

    Raises:
        OSError: there is none, or it may not be read.
    """

    __slots__ = ("_decode", "_map", "_mark", "_now_ns", "_shown", "words")

    def __init__(
        self, folder: Path, decode: Callable[[bytes], T], now_ns: Callable[[], int] | None = None
    ) -> None:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size < FILE_BYTES:
                raise FileNotFoundError(f"{folder / NAME} is not whole")
            self._map = mmap.mmap(descriptor, FILE_BYTES, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        #: For who looks more often than a call allows.
        self.words = memoryview(self._map).cast("Q")
        self._decode = decode
        self._now_ns = now_ns or monotonic_ns
        self._mark = host_mark()
        self._shown: Shown[T] | None = None

    def serial_if_fresh(self) -> int:
        """The serial of what is shown; NEVER: it cannot be believed."""
        words = self.words
        stamp = words[STAMP]  # before the clock is read: a stamp from behind this instant is of another clock
        return words[SERIAL] if 0 <= self._now_ns() - stamp < AGE_NS_MAX else NEVER

    def look(self) -> Shown[T] | None:
        """What is shown now; None: nothing that can be believed."""
        serial = self.serial_if_fresh()
        if serial == NEVER:
            return None
        shown = self._shown
        return shown if shown is not None and shown.serial == serial else self._read()

    def _read(self) -> Shown[T] | None:
        serial = self.words[SERIAL]
        page = self._map[:]
        checksum, mark, start, length = HEAD.unpack_from(page, HEAD_AT)
        if (
            not serial
            or self.words[SERIAL] != serial
            or length > PAGE_SHOWN_BYTES_MAX
            or checksum != xxh3_64_digest(page[MARK_AT : SHOWN_AT + length])
            or mark != self._mark
            or mark == NOWHERE
        ):
            return None
        try:
            content = self._decode(page[SHOWN_AT : SHOWN_AT + length])
        except StructError:
            return None  # of another version
        self._shown = shown = Shown(serial, start, content)
        return shown
