"""The line to one peer: bounded, mended, given up."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from ringdict.node.config import CONNECT_TIMEOUT_S, PEER_QUEUE_BYTES_MAX
from ringdict.node.frame import encode_frame
from ringdict.node.peer import Peer
from ringdict.node.transport import Stream
from ringdict.node.world import Address

End = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]


class Exchange:
    """A transport whose connections end in the test's hands, or nowhere."""

    def __init__(self) -> None:
        self.refuses = False
        self.hangs = False
        self.tries_count = 0
        self.ends: list[
            trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]
        ] = []

    async def connect(self, to: Address) -> Stream:
        self.tries_count += 1
        await trio.lowlevel.checkpoint()
        if self.refuses:
            raise OSError(errno.ECONNREFUSED, to)
        if self.hangs:
            await trio.sleep_forever()
        mine, theirs = trio.testing.memory_stream_pair()
        self.ends.append(theirs)
        return mine

    async def listen(self) -> None:
        raise NotImplementedError

    async def accept(self, handler: Callable[[Stream], Awaitable[None]]) -> None:
        raise NotImplementedError

    def send_datagram(self, to: Address, datagram: bytes) -> None:
        raise NotImplementedError

    async def receive_datagrams(self) -> list[tuple[Address, bytes]]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


async def read(stream: Stream, _to: Address) -> None:
    while await stream.receive_some():
        pass


def a_peer() -> Peer:
    return Peer(Address("there:1"), Address("here:1"))


@pytest.mark.trio
async def test_frames_go_out_after_a_hello_and_a_broken_line_is_mended(autojump_clock: object) -> None:
    exchange, peer = Exchange(), a_peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.keep, exchange, read)
        for number in range(2):
            peer.put(b"one")
            peer.put(b"two")
            await trio.testing.wait_all_tasks_blocked()
            got = await exchange.ends[number].receive_some()
            assert bytes(got) == encode_frame(b"here:1") + encode_frame(b"one") + encode_frame(b"two")
            await exchange.ends[number].aclose()
            await trio.testing.wait_all_tasks_blocked()
        assert exchange.tries_count == 2
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_what_waits_is_bounded(autojump_clock: object) -> None:
    peer = a_peer()
    for _ in range(5):
        peer.put(bytes(PEER_QUEUE_BYTES_MAX // 4))
    assert peer.dropped_count == 2  # four and their lengths are too much already


@pytest.mark.trio
@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_peer_that_cannot_be_reached_is_given_up_after_some_tries(
    how: str, autojump_clock: object
) -> None:
    exchange, peer = Exchange(), a_peer()
    setattr(exchange, how, True)
    ended = False

    async def keep() -> None:
        nonlocal ended
        await peer.keep(exchange, read)
        ended = True

    with trio.fail_after(20 * CONNECT_TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
            while not ended:
                peer.put(b"hello?")
                await trio.sleep(0.01)
    assert 3 < exchange.tries_count < 10
    assert peer.dropped_count > 10


@pytest.mark.trio
async def test_a_cancelled_line_is_closed(autojump_clock: object) -> None:
    exchange, peer = Exchange(), a_peer()
    with trio.move_on_after(1):
        peer.put(b"x")
        await peer.keep(exchange, read)
    got = bytearray()
    while data := await exchange.ends[0].receive_some():
        got += data
    assert got.endswith(encode_frame(b"x"))
