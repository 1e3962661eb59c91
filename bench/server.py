"""The servers that some contestants talk to: on loopback, without persistence, stopped by pid."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.managers import DictProxy
from pathlib import Path

from .interrupt import held, unheard

__all__ = [
    "LOOPBACK",
    "START_S_MAX",
    "free_port",
    "manager",
    "memcached",
    "process_of",
    "redis_info",
    "redis_server",
    "redis_with_replicas",
    "running",
    "syncing_redis_server",
]

LOOPBACK = "127.0.0.1"

START_TRIES_MAX = 3
"""Another process may take the free port before the server does."""

START_S_MAX = 10.0
STOP_S_MAX = 5.0

REPLICAS = 2

Arguments = Callable[[int, Path], list[str]]
"""Port and folder to the arguments of a server's command line."""


def redis_server(port: int, folder: Path) -> list[str]:
    return [
        *("redis-server", "--bind", LOOPBACK, "--port", str(port), "--dir", str(folder)),
        # The delay is for many replicas that come one after the other; here it only makes the start late.
        *("--save", "", "--repl-diskless-sync-delay", "0", "--daemonize", "no", "--appendonly", "no"),
    ]


def syncing_redis_server(port: int, folder: Path) -> list[str]:
    """One that answers a write once it is on disk."""
    plain = redis_server(port, folder)
    return [*plain[: plain.index("--appendonly")], "--appendonly", "yes", "--appendfsync", "always"]


def memcached(port: int, _folder: Path) -> list[str]:
    # It does not run as root unless it is told so; its default of 64 MB would evict what the bench stores.
    user = pwd.getpwuid(os.getuid()).pw_name
    return ["memcached", "-l", LOOPBACK, "-p", str(port), "-U", "0", "-m", "1024", "-u", user]


@contextmanager
def running(arguments: Arguments, folder: Path) -> Generator[int | str]:
    """A server that answers on the port that is yielded; the reason, in words, if there can be none."""
    program = arguments(0, folder)[0]
    if shutil.which(program) is None:
        yield f"{program} is not installed"
        return
    for _ in range(START_TRIES_MAX):
        port = free_port()
        with process_of(arguments(port, folder), folder) as process:
            if _answers(process, port):
                yield port
                return
    yield f"{program} does not start"


@contextmanager
def redis_with_replicas(folder: Path) -> Generator[int | str]:
    """A redis-server with two replicas that are in step with it; its port, or why there can be none."""
    with running(redis_server, folder) as port:
        if isinstance(port, str):
            yield port
            return
        follow = ("--replicaof", LOOPBACK, str(port))
        with (
            running(lambda own, _: [*redis_server(own, folder), *follow], folder),
            running(lambda own, _: [*redis_server(own, folder), *follow], folder),
        ):
            deadline_s = time.monotonic() + START_S_MAX
            while redis_info(port, "replication").count("state=online") < REPLICAS:
                if time.monotonic() > deadline_s:
                    yield "the replicas of redis-server do not start"
                    return
                time.sleep(0.05)
            yield port


def redis_info(port: int, section: str) -> str:
    """What a redis-server says of itself."""
    with socket.create_connection((LOOPBACK, port), timeout=START_S_MAX) as line:
        line.sendall(f"INFO {section}\r\n".encode())
        head, _, text = line.recv(1 << 16).partition(b"\r\n")
        while len(text) < int(head[1:]):
            text += line.recv(1 << 16)
    return text.decode()


@contextmanager
def manager() -> Generator[DictProxy[object, object]]:
    """A dict in a process of `multiprocessing`."""
    process = None
    try:
        with held(), unheard():
            process = multiprocessing.get_context("spawn").Manager()
        yield process.dict()
    finally:
        if process is not None:
            process.shutdown()


@contextmanager
def process_of(
    command: list[str], folder: Path, environ: dict[str, str] | None = None
) -> Generator[subprocess.Popen[bytes]]:
    """A process that is stopped at the end; what it says is in a file of the folder."""
    process = None
    try:
        with held(), (folder / f"{Path(command[0]).name}.log").open("ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches the bench alone, which then stops it.
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                start_new_session=True,
            )
        yield process
    finally:
        if process is not None:
            _stop(process)


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the server takes connections, once it does or has ended."""
    deadline_s = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            with socket.create_connection((LOOPBACK, port), timeout=1.0):
                return process.poll() is None
        except OSError:
            time.sleep(0.01)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
