"""Lines to peers: made when there is something to send, mended, left alone for a while; over streams in the
test's hands."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from ringdict.node.clock import system_dice
from ringdict.node.config import CONNECT_TIMEOUT_S, FRAME_BYTES_MAX, PEER_QUEUE_BYTES_MAX, PEERS_MAX
from ringdict.node.network.frame import FrameReader, encode_frame
from ringdict.node.network.handshake import Listener
from ringdict.node.network.peer import Peers
from ringdict.node.network.streamcarrier import StreamCarrier
from ringdict.node.network.switchboard import Credentials, Switchboard
from ringdict.node.network.transport import Stream
from ringdict.node.world import Address

THERE = Address("there:1")


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

    def waiting_datagrams(self) -> list[tuple[Address, bytes]]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Caller:
    """One node's side."""

    def __init__(self, nursery: trio.Nursery, secret: bytes = b"") -> None:
        self.exchange = Exchange()
        self.got: list[tuple[Address, bytes]] = []
        self.board = Switchboard(
            Credentials(Address("here:1"), secret),
            system_dice(),
            lambda source, frame: self.got.append((source, frame)),
            lambda: int(trio.current_time() * 1e9),
            self._call_after,
        )
        self.nursery = nursery
        self.carrier = StreamCarrier(self.exchange, self.board, self.board.flush)
        self.peers = Peers(self.board, nursery, self.carrier.dial)

    def _call_after(self, delay_ns: int, call: Callable[[], None]) -> None:
        async def wait() -> None:
            await trio.sleep(delay_ns / 1e9)
            call()

        self.nursery.start_soon(wait)

    def send(self, frame: bytes, to: Address = THERE) -> None:
        if not self.board.send(to, frame) and self.peers.call(to):
            self.board.send(to, frame)
        self.board.flush()

    async def answer(self, number: int = -1, secret: bytes = b"") -> FrameReader:
        """Do the listener's part of a handshake; what is said after it comes out of the reader."""
        await trio.testing.wait_all_tasks_blocked()
        end, reader = self.exchange.ends[number], FrameReader()
        listener = Listener(secret=secret, nonce=bytes(32))
        while not listener.done:
            frames = reader.feed(await end.receive_some(), 1)
            answer = listener.feed(frames[0])
            if answer is not None:
                await end.send_all(encode_frame(answer))
        assert listener.address == "here:1"
        return reader


@pytest.mark.trio
async def test_frames_go_out_after_the_handshake_and_a_broken_line_is_mended(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        caller = Caller(nursery)
        for number in range(2):
            caller.send(b"one")
            caller.send(b"two")
            reader = await caller.answer(number)
            caller.send(b"three")
            got = reader.feed(b"")
            while len(got) < 3:
                got += reader.feed(await caller.exchange.ends[number].receive_some())
            assert got == [b"one", b"two", b"three"]
            await caller.exchange.ends[number].send_all(encode_frame(b"back"))
            await trio.sleep(2)
            await caller.exchange.ends[number].aclose()
            await trio.testing.wait_all_tasks_blocked()
        assert caller.exchange.tries_count == 2
        assert caller.got == [(THERE, b"back")] * 2
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_what_waits_is_bounded(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        caller = Caller(nursery)
        count = PEER_QUEUE_BYTES_MAX // FRAME_BYTES_MAX
        for _ in range(count + 2):
            caller.send(bytes(FRAME_BYTES_MAX))
        assert caller.board.counts.dropped == 3  # the lengths are a little too much as well
        nursery.cancel_scope.cancel()


@pytest.mark.trio
@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_peer_that_cannot_be_reached_is_tried_ever_more_seldom(
    how: str, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:
        caller = Caller(nursery)
        setattr(caller.exchange, how, True)
        end_s = trio.current_time() + 10 * (CONNECT_TIMEOUT_S if how == "hangs" else 1)
        while trio.current_time() < end_s:
            caller.send(b"hello?")
            await trio.sleep(0.01)
        assert 6 < caller.exchange.tries_count < 17
        assert len(caller.board.routes) <= 1
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_peer_with_another_secret_gets_nothing_and_is_not_pestered(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        caller = Caller(nursery, b"mine")
        end_s = trio.current_time() + 10
        while trio.current_time() < end_s:
            caller.send(b"a frame")
            await trio.testing.wait_all_tasks_blocked()
            if caller.exchange.ends:
                end = caller.exchange.ends.pop()
                hello = FrameReader().feed(await end.receive_some())
                answer = Listener(secret=b"theirs", nonce=bytes(32)).feed(hello[0])
                await end.send_all(encode_frame(answer or b""))
                assert await end.receive_some() == b""
            await trio.sleep(0.01)
        assert 6 < caller.exchange.tries_count < 17
        assert caller.got == []
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_cancelled_line_is_closed(autojump_clock: object) -> None:
    ends = []
    with trio.move_on_after(1):
        async with trio.open_nursery() as nursery:
            caller = Caller(nursery)
            ends = caller.exchange.ends
            caller.send(b"x")
            await caller.answer()
            await trio.sleep_forever()
    while await ends[0].receive_some():
        pass


@pytest.mark.trio
async def test_no_more_peers_are_called_than_there_may_be(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PEERS_MAX >= 1_000
    monkeypatch.setattr("ringdict.node.network.peer.PEERS_MAX", 5)
    async with trio.open_nursery() as nursery:
        caller = Caller(nursery)
        caller.exchange.hangs = True
        for number in range(20):
            caller.send(b"x", Address(f"there:{number}"))
        await trio.testing.wait_all_tasks_blocked()
        assert caller.exchange.tries_count == len(caller.board.routes) == 5
        nursery.cancel_scope.cancel()
