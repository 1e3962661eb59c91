"""The clients of one host, a thread each: `python client.py URL HOST THREADS HISTORY SOCKET SEED`.

Each does one call after the other until standard input ends, and writes a line for each to the history. Every
other one claims and locks; the rest put and get."""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ringdict import Cluster, Dict
from ringdict.exception import (
    ConflictError,
    Error,
    LockLostError,
    LockTimeoutError,
    NoQuorumError,
    OutcomeUnknownError,
    UnavailableError,
)

SECRET = "a secret of the tests' cluster"
KEYS = 20
"""Of each client that puts."""
RESOURCES = 5
TIMEOUT_S = 5.0
LOCK_TTL_S = 3.0
CLAIM_TTL_S = 30.0
"""Much longer than anybody holds one: a claim that happened after its client had given it up shall end."""
PAUSE_S = 0.05
"""Between two calls: twenty clients shall not be all that the host does."""


class Client:
    """One of them."""

    def __init__(self, url: str, name: str, seed: str, history: TextIO, lock: threading.Lock) -> None:
        self.name = name
        self.dice = random.Random(seed)
        self.cluster = Cluster(url, secret=SECRET, timeout_s=TIMEOUT_S)
        self.numbers = dict[str, int]()
        self._history = history
        self._lock = lock
        self.over = threading.Event()

    def note(self, op: str, key: str, begin_ns: int, outcome: str, value: int = 0, text: str = "") -> None:
        line = json.dumps(
            {
                "client": self.name, "op": op, "key": key, "begin_ns": begin_ns,
                "end_ns": time.monotonic_ns(), "outcome": outcome, "value": value, "text": text,
            }
        )  # fmt: skip
        with self._lock:
            self._history.write(line + "\n")

    def call(self, op: str, key: str, value: int, do: Callable[[], int | bool | None]) -> str:
        """Do something and note how it ended: ok, no, error (it did not happen) or unknown."""
        begin_ns = time.monotonic_ns()
        try:
            got = do()
        except OutcomeUnknownError as error:
            outcome, text = "unknown", str(error)
        except (LockTimeoutError, LockLostError, ConflictError, KeyError) as error:
            outcome, text = "no", str(error)
        except (NoQuorumError, UnavailableError) as error:
            outcome, text = "error", str(error)
        except Error as error:
            outcome, text = "odd", f"{type(error).__name__}: {error}"
        else:
            text = ""
            outcome = "no" if got is False else "ok"
            if got is not None and not isinstance(got, bool):
                value = got
        self.note(op, key, begin_ns, outcome, value, text)
        return outcome

    def run(self, work: Callable[[], None]) -> None:
        while not self.over.wait(PAUSE_S * self.dice.random() * 2):
            work()
        self.cluster.close()


class Putter(Client):
    """Puts numbers that grow under keys that nobody else puts, and reads them."""

    def work(self) -> None:
        held: Dict[str, int] = Dict.from_name("chaos", create_if_missing=True, cluster=self.cluster)
        key = f"{self.name}-{self.dice.randrange(KEYS)}"
        if self.dice.random() < 0.7 or key not in self.numbers:
            number = self.numbers[key] = self.numbers.get(key, 0) + 1
            self.call("put", key, number, lambda: held.put(key, number) and None)
        else:
            self.call("get", key, 0, lambda: held.get(key, 0))


class Locker(Client):
    """Claims, and takes locks, and goes to the resource that checks tokens."""

    def __init__(self, *args: object, path: str) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._path = path
        self._claims = 0

    def work(self) -> None:
        held: Dict[str, str] = Dict.from_name("chaos", create_if_missing=True, cluster=self.cluster)
        key = f"r{self.dice.randrange(RESOURCES)}"
        if self.dice.random() < 0.5:
            self._claim(held, f"claim-{key}")
        else:
            self._lock_it(held, key)

    def _claim(self, held: Dict[str, str], key: str) -> None:
        self._claims += 1
        mine = f"{self.name}/{self._claims}"
        outcome = self.call(
            "claim", key, self._claims, lambda: held.put(key, mine, skip_if_exists=True, ttl=CLAIM_TTL_S)
        )
        if outcome == "ok":
            time.sleep(0.05 * self.dice.random())
        if outcome in ("ok", "unknown"):
            self._let_go(held, key, mine)

    def _let_go(self, held: Dict[str, str], key: str, mine: str) -> None:
        """Until it is certain that the claim is nobody's, or another's."""

        def release() -> bool:
            entry = held.get_entry(key, fresh=True)
            if entry is None or entry.value != mine:
                return False
            held.pop(key, if_version=entry.version)
            return True

        while self.call("release", key, self._claims, release) in ("unknown", "error", "odd"):
            if self.over.wait(0.2):
                return

    def _lock_it(self, held: Dict[str, str], key: str) -> None:
        lock = held.lock(key, ttl=LOCK_TTL_S, wait_s=1.0)
        asked_ns = time.monotonic_ns()
        if self.call("lock", key, 0, lock.acquire) != "ok":
            return
        assert lock.token is not None
        self.call("enter", key, lock.token, lambda: self._enter(key, lock.token or 0, asked_ns))
        self.call("unlock", key, lock.token, lock.release)

    def _enter(self, key: str, token: int, asked_ns: int) -> bool:
        """Use the resource; whether it let this token in."""
        with socket.socket(socket.AF_UNIX) as resource:
            resource.settimeout(TIMEOUT_S)
            resource.connect(self._path)
            said = {
                "key": key,
                "token": token,
                "client": self.name,
                "good_ns": asked_ns + int(LOCK_TTL_S * 1e9),
            }
            resource.sendall(json.dumps(said).encode() + b"\n")
            time.sleep(0.05 * self.dice.random())
            return resource.recv(16).startswith(b"yes")


def main() -> None:
    url, host, threads, history, path, seed = sys.argv[1:]
    mutex = threading.Lock()
    with Path(history).open("a", encoding="utf-8", buffering=1) as file:
        clients: list[tuple[Client, Callable[[], None]]] = []
        for number in range(int(threads)):
            name = f"{host}.{number}"
            args = (url, name, f"{seed} {name}", file, mutex)
            if number % 2:
                locker = Locker(*args, path=path)
                clients.append((locker, locker.work))
            else:
                putter = Putter(*args)
                clients.append((putter, putter.work))
        running = [threading.Thread(target=client.run, args=(work,)) for client, work in clients]
        for thread in running:
            thread.start()
        sys.stdin.read()
        for client, _ in clients:
            client.over.set()
        for thread in running:
            thread.join()


if __name__ == "__main__":
    main()
