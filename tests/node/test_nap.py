"""A node naps in its own epoll before it sleeps in Trio's, and nobody waits for the end of a nap in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random

import pytest
import trio

from ringdict.node.clock import SystemNanosecondClock
from ringdict.node.config import LINGER_TRIES
from ringdict.node.network import epollcarrier
from ringdict.node.network.epollcarrier import EpollCarrier
from ringdict.node.network.linger import Linger
from ringdict.node.network.sockets import SocketTransport, free_address
from ringdict.node.network.switchboard import Credentials, Switchboard
from ringdict.node.network.timers import Timers
from ringdict.node.world import NS_PER_MS, NS_PER_S

LONG_S = 5.0
"""A nap that a test notices if nobody ends it."""


class Turns:
    """A world of which only the turns matter."""

    def __init__(self) -> None:
        self.posted: list[Callable[[], None]] = []
        self.due = NS_PER_S * 60
        self.ended = 0

    def end_turn(self) -> None:
        self.ended += 1

    def due_ns(self) -> int:
        return self.due

    def hear_datagrams(self) -> None: ...

    def has_posted(self) -> bool:
        return bool(self.posted)

    def run_posted(self) -> None:
        while self.posted:
            self.posted.pop()()


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def carrier(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> EpollCarrier:
    monkeypatch.setattr(epollcarrier, "NAP_S", LONG_S)
    clock, address = SystemNanosecondClock(), free_address()
    board = Switchboard(Credentials(address), Random(1), lambda *_: None, clock.now_ns, lambda *_: None)
    return EpollCarrier(SocketTransport(address), board, turns, clock)


def test_whoever_posts_ends_a_nap(carrier: EpollCarrier, turns: Turns) -> None:
    done: list[bool] = []

    def post() -> None:
        while not carrier._naps:
            time.sleep(0.001)
        time.sleep(0.05)
        turns.posted.append(lambda: done.append(True))
        assert carrier.wake()

    poster = threading.Thread(target=post)
    poster.start()
    begun_s = time.monotonic()
    events = carrier._more()
    assert 0.05 <= time.monotonic() - begun_s < LONG_S
    carrier._turn(events)
    poster.join()
    assert done == [True]
    assert turns.ended == 1
    assert not carrier.wake()  # it is awake: Trio has to be told


def test_nobody_naps_over_what_was_posted_before(carrier: EpollCarrier, turns: Turns) -> None:
    turns.posted.append(lambda: None)
    begun_s = time.monotonic()
    assert not carrier._more()
    assert time.monotonic() - begun_s < LONG_S


def test_nobody_naps_over_a_timer(carrier: EpollCarrier, turns: Turns) -> None:
    turns.due = 3 * NS_PER_S
    begun_s = time.monotonic()
    assert not carrier._more()
    assert time.monotonic() - begun_s < LONG_S


def test_a_timer_that_was_cancelled_is_not_waited_for() -> None:
    async def main() -> None:
        timers = Timers(SystemNanosecondClock())
        soon = timers.add(NS_PER_MS, lambda: None)
        timers.add(NS_PER_S, lambda: None)
        assert timers.late_ns() >= -NS_PER_MS
        soon.cancel()
        assert timers.late_ns() < -NS_PER_S // 2
        assert len(timers.heap) == 1

    trio.run(main)


def test_lingering_goes_on_while_it_mostly_finds_something() -> None:
    linger = Linger()
    for _ in range(30):
        assert linger.pays()
        linger.note(found=True)
    tried = 0
    for _ in range(10 * LINGER_TRIES):
        if linger.pays():
            tried += 1
            linger.note(found=False)
    assert 10 <= tried <= 20  # some until it is clear that it does not pay, then one in so many turns
    for _ in range(20 * LINGER_TRIES):
        if linger.pays():
            linger.note(found=True)
    assert linger.pays()  # it pays again
