"""Outcomes on their way into an event loop: each is delivered, many by one wake-up, no loop is kept alive."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

from ringdict import Dict
from ringdict.client.mailbox import Mailbox, Mailboxes

Call = Callable[[], None]


def test_many_letters_take_one_wake_up() -> None:
    mailbox, woken, delivered = Mailbox(), list[Call](), list[int]()
    for number in range(50):
        mailbox.post(delivered.append, number, woken.append)
    mailbox.ring()
    mailbox.ring()
    assert len(woken) == 1
    assert delivered == []
    woken.pop()()
    assert delivered == list(range(50))
    mailbox.post(delivered.append, 50, woken.append)
    mailbox.ring()
    woken.pop()()
    assert delivered[-1] == 50


def test_what_comes_during_a_delivery_is_delivered() -> None:
    mailbox, woken, delivered = Mailbox(), list[Call](), list[int]()

    def settle(number: int) -> None:
        delivered.append(number)
        if number < 3:
            mailbox.post(settle, number + 1, woken.append)
            mailbox.ring()

    mailbox.post(settle, 0, woken.append)
    mailbox.ring()
    while woken:
        woken.pop()()
    assert delivered == [0, 1, 2, 3]


def test_a_loop_that_is_over_is_no_harm() -> None:
    def closed(_call: Call) -> None:
        raise RuntimeError("Event loop is closed")

    mailbox = Mailbox()
    mailbox.post(print, None, closed)
    mailbox.ring()
    mailbox.ring()


def test_a_loop_that_is_over_gets_no_letters_later() -> None:
    def closed(_call: Call) -> None:
        raise RuntimeError("Event loop is closed")

    mailbox, woken, delivered = Mailbox(), list[Call](), list[int]()
    mailbox.post(delivered.append, 1, closed)
    mailbox.ring()
    mailbox.post(delivered.append, 2, woken.append)
    mailbox.ring()
    woken.pop()()
    assert delivered == [2]


def test_nothing_is_lost_between_threads() -> None:
    """A letter that is posted while the last one is delivered wakes the loop again."""
    mailbox, delivered = Mailbox(), list[int]()
    waiting = threading.Semaphore(0)
    calls: list[Call] = []

    def wake(call: Call) -> None:
        calls.append(call)
        waiting.release()

    def loop() -> None:
        while len(delivered) < 20_000:
            assert waiting.acquire(timeout=10), f"{len(delivered)} delivered, and nobody rings"
            calls.pop(0)()

    thread = threading.Thread(target=loop)
    thread.start()
    for number in range(20_000):
        mailbox.post(delivered.append, number, wake)
        mailbox.ring()
    thread.join(20)
    assert delivered == list(range(20_000))


def test_a_loop_is_not_kept_alive(d: Dict[Any, Any]) -> None:
    async def put() -> weakref.ref[asyncio.AbstractEventLoop]:
        await d.put.aio("k", 1)
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(put())
    gc.collect()
    assert loop() is None


def test_a_loop_that_closed_before_a_delivery_is_not_kept_alive() -> None:
    class Loop:
        def call_soon(self, _call: Call) -> None:
            """It will never run."""

    boxes, loop = Mailboxes(), Loop()
    mailbox = boxes.of(loop)
    mailbox.post(print, None, loop.call_soon)
    mailbox.ring()
    gone = weakref.ref(loop)
    del mailbox, loop
    gc.collect()
    assert gone() is None


def test_each_loop_has_its_own() -> None:
    class Loop:
        pass

    one, other, boxes = Loop(), Loop(), Mailboxes()
    mailbox = boxes.of(one)
    assert boxes.of(one) is mailbox
    assert boxes.of(other) is not mailbox
