"""A resource that checks tokens: it lets nobody in whose token is below one that it has seen."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class Book:
    """What it has seen, and what should not have been."""

    def __init__(self) -> None:
        self._highest: dict[str, tuple[int, str]] = {}
        self._good_ns: dict[str, int] = {}
        self._lock = threading.Lock()
        self.let_in = 0
        self.fenced_off = 0
        #: Two that had the same lock at the same time.
        self.violations: list[str] = []

    def enter(self, key: str, token: int, client: str, good_ns: int, now_ns: int) -> bool:
        """Whether a client is let in that holds a lock until `good_ns` at least.

        A higher token is of a later holder. Whoever comes with a lower one must have lost the lock since, to
        its time to live; whoever comes first with a higher one shows that the one before has.
        """
        with self._lock:
            highest, holder = self._highest.get(key, (0, ""))
            if token == highest and client != holder:
                self.violations.append(f"{key}: token {token} to {holder} and to {client}")
            if token < highest:
                self.fenced_off += 1
                if now_ns < good_ns:
                    self.violations.append(
                        f"{key}: {client} holds it with token {token} for {(good_ns - now_ns) / 1e9:.3f} s "
                        f"still, but {holder} has {highest}"
                    )
                return False
            self._highest[key] = (token, client)
            self.let_in += 1
            return True


class Resource:
    """It, at a socket in a folder, which namespaces of the network do not hide."""

    def __init__(self, path: Path) -> None:
        self.book = book = Book()
        self.path = path

        class Handler(socketserver.StreamRequestHandler):
            """One client that wants to be let in."""

            def handle(self) -> None:
                said = json.loads(self.rfile.readline())
                is_in = book.enter(**said, now_ns=time.monotonic_ns())
                self.wfile.write(b"yes" if is_in else b"no")

        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
