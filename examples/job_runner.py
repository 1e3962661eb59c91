"""A job that only one process runs at a time, and a resource that knows when it is told by the wrong one.

A lock alone is not enough: a process that is stopped for longer than the lock's ttl (a debugger, a virtual
machine that is moved, a full disk) goes on afterwards as if it still had it. So the resource, here a table
in SQLite, keeps the highest fencing token that it has seen, and refuses lower ones.

    python examples/job_runner.py ledger.db           # in as many terminals as you like
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing

from ringdict import Dict
from ringdict.exception import LockLostError


class StaleTokenError(Exception):
    """Somebody has acquired the lock since: this process does not have it any more. Nothing was written."""


class Ledger:
    """The resource: rows in SQLite, each with the token of who wrote it."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, timeout=10.0, isolation_level=None)
        self._database.execute("CREATE TABLE IF NOT EXISTS fence (token INTEGER NOT NULL)")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS entries (token INTEGER NOT NULL, text TEXT NOT NULL)"
        )

    def write(self, token: int, text: str) -> None:
        """Add a row, unless a higher token was seen. The check and the row are one transaction."""
        with closing(self._database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                (highest,) = cursor.execute("SELECT max(token) FROM fence").fetchone()
                if highest is not None and token < highest:
                    raise StaleTokenError(f"token {token} is older than {highest}")  # noqa: TRY301
                cursor.execute("DELETE FROM fence")
                cursor.execute("INSERT INTO fence VALUES (?)", (token,))
                cursor.execute("INSERT INTO entries VALUES (?, ?)", (token, text))
                cursor.execute("COMMIT")
            except BaseException:
                cursor.execute("ROLLBACK")
                raise

    def entries(self) -> list[tuple[int, str]]:
        """All rows, in the order in which they were written."""
        return self._database.execute("SELECT token, text FROM entries ORDER BY rowid").fetchall()

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def run_exclusively(locks: Dict[str, object], name: str, job: Callable[[int], None], *, ttl_s: float) -> bool:
    """Run `job` with the lock's fencing token, and nobody else's meanwhile. Waits for its turn.

    False: the lock was lost in between. The job hands the token to every resource that it changes.
    """
    lock = locks.lock(name, ttl=ttl_s)
    token = lock.acquire()
    try:
        job(token)
    except StaleTokenError:
        return False
    finally:
        try:
            lock.release()
        except LockLostError:
            pass  # what was written with the token before that was written rightly
    return True


def main() -> None:
    path = sys.argv[1]
    locks: Dict[str, object] = Dict.from_name("jobs", create_if_missing=True)
    ledger = Ledger(path)

    def job(token: int) -> None:
        for step in range(3):
            ledger.write(token, f"step {step}")

    print("done" if run_exclusively(locks, "nightly", job, ttl_s=5.0) else "the lock was lost in between")
    ledger.close()


if __name__ == "__main__":
    main()
