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
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing.managers import DictProxy
from pathlib import Path

from .interrupt import held, unheard
from .place import Place

__all__ = ["LOOPBACK", "memcached", "place_with", "redis_server", "running"]

LOOPBACK = "127.0.0.1"

START_TRIES_MAX = 3
"""Another process may take the free port before the server does."""

START_S_MAX = 10.0
STOP_S_MAX = 5.0

Arguments = Callable[[int, Path], list[str]]
"""Port and folder to the arguments of a server's command line."""


def redis_server(port: int, folder: Path) -> list[str]:
    return [
        *("redis-server", "--bind", LOOPBACK, "--port", str(port), "--dir", str(folder)),
        *("--save", "", "--appendonly", "no", "--daemonize", "no"),
    ]


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
        port = _free_port()
        with _process(arguments(port, folder), folder) as process:
            if _answers(process, port):
                yield port
                return
    yield f"{program} does not start"


@contextmanager
def place_with(folder: Path, servers: AbstractSet[str]) -> Generator[Place]:
    """The place of one run, with the servers that are wanted: "redis", "memcached", "manager"."""
    with ExitStack() as stack:
        place = Place(folder)
        if "redis" in servers:
            place = replace(place, redis=stack.enter_context(running(redis_server, folder)))
        if "memcached" in servers:
            place = replace(place, memcached=stack.enter_context(running(memcached, folder)))
        if "manager" in servers:
            place = replace(place, manager=stack.enter_context(_shared_dict()))
        yield place


@contextmanager
def _shared_dict() -> Generator[DictProxy[object, object]]:
    manager = None
    try:
        with held(), unheard():
            manager = multiprocessing.get_context("spawn").Manager()
        yield manager.dict()
    finally:
        if manager is not None:
            manager.shutdown()


@contextmanager
def _process(command: list[str], folder: Path) -> Generator[subprocess.Popen[bytes]]:
    process = None
    try:
        with held(), (folder / f"{Path(command[0]).name}.log").open("wb") as log:
            # A session of its own: Ctrl-C in the terminal reaches the bench alone, which then stops it.
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        yield process
    finally:
        if process is not None:
            _stop(process)


def _free_port() -> int:
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
