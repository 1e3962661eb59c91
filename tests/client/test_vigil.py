"""A thread that waits for an answer looks for it without going to sleep, as long as that pays."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ringdict.client import blocking
from ringdict.client.blocking import Vigil
from ringdict.node.config import LINGER_TRIES


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def test_what_is_there_is_taken_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    there.send(b"an answer")
    assert Vigil().keep(here) == b"an answer"


def test_what_comes_within_the_moment_is_taken(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    monkeypatch.setattr(blocking, "LINGER_S", 10.0)
    sender = threading.Timer(0.05, there.send, [b"late"])
    sender.start()
    assert Vigil().keep(here) == b"late"
    sender.join()


def test_it_gives_up_soon_and_looks_no_more_where_that_is_in_vain(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    vigil = Vigil()
    begun_s = time.monotonic()
    for _ in range(10):
        assert vigil.keep(here) == b""
    assert time.monotonic() - begun_s < 1.0
    there.send(b"an answer")
    monkeypatch.setattr(blocking, "LINGER_S", 10.0)  # whoever looks at all finds it
    looks = [vigil.keep(here) for _ in range(LINGER_TRIES)]
    assert looks[:-1].count(b"") >= LINGER_TRIES - 2
    assert b"an answer" in looks  # one in so many looks, to learn whether it pays again


def test_one_thread_of_a_client_looks_at_a_time(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    monkeypatch.setattr(blocking, "LINGER_S", 10.0)
    vigil = Vigil()
    found: list[bytes] = []
    first = threading.Thread(target=lambda: found.append(vigil.keep(here)))
    first.start()
    while not vigil._turn.locked():
        time.sleep(0.001)
    assert vigil.keep(here) == b""  # it would have looked for 10 s
    there.send(b"the first one's")
    first.join()
    assert found == [b"the first one's"]
