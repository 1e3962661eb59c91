"""Addresses, and strangers on the line of a process."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ringdict.exception import InvalidError
from ringdict.node.frame import encode_frame
from ringdict.node.sockets import free_address, join_address, split_address
from ringdict.node.trioworld import real_surroundings, run_process
from ringdict.node.world import Address, World


@pytest.mark.parametrize("address", ["127.0.0.1:7000", "[::1]:7000", "example.org:1"])
def test_an_address_is_host_and_port(address: str) -> None:
    assert join_address(*split_address(Address(address))) == address


@pytest.mark.parametrize("address", ["", "host", "host:", ":7", "host:x", "host:70000", "host:-1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidError):
        split_address(Address(address))


class Listener:
    """Notes what it hears, and echoes it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.heard: list[tuple[Address, bytes]] = []

    def on_frame(self, source: Address, frame: bytes) -> None:
        self.heard.append((source, frame))
        self.world.send(source, frame)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.heard.append((source, datagram))
        self.world.halt("a datagram came")


@pytest.mark.trio
async def test_strangers_harm_nobody_and_answers_go_back_the_way_the_question_came(tmp_path: Path) -> None:
    address = free_address()
    made: list[Listener] = []

    def make(world: World) -> Listener:
        made.append(Listener(world))
        return made[0]

    reasons: list[str | None] = []

    async def run() -> None:
        reasons.append(await run_process(make, real_surroundings(address, tmp_path)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        with trio.fail_after(20):
            while not made:  # noqa: ASYNC110 - it has no event to tell of it
                await trio.sleep(0.01)
            for garbage in (
                b"",
                b"\xff" * 100,
                b"GET / HTTP/1.1\r\n\r\n",
                encode_frame(b"\xff\xfe"),
                b"\x00",
            ):
                stranger = await trio.open_tcp_stream(*split_address(address))
                await stranger.send_all(garbage or b"\x00\x00")
                await stranger.aclose()
            # A client that nobody can connect to: it says a name, and is answered on its own connection.
            async with await trio.open_tcp_stream(*split_address(address)) as client:
                await client.send_all(encode_frame(b"a client") + encode_frame(b"hello"))
                got = b""
                while len(got) < len(encode_frame(b"hello")):
                    got += await client.receive_some()
                assert got.endswith(encode_frame(b"hello"))
            assert (Address("a client"), b"hello") in made[0].heard
            with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as socket:
                while not reasons:
                    await socket.sendto(b"x" * 9000, split_address(address))  # too large: not heard
                    await socket.sendto(b"stop", split_address(address))
                    await trio.sleep(0.02)
    assert reasons == ["a datagram came"]
    assert made[0].heard[-1][1] == b"stop"


@pytest.mark.trio
async def test_an_exception_of_the_process_ends_it_and_a_taken_address_is_said(tmp_path: Path) -> None:
    def fail(_world: World) -> Listener:
        raise ZeroDivisionError

    address = free_address()
    with pytest.raises(ExceptionGroup) as caught:
        await run_process(fail, real_surroundings(address, tmp_path / "a"))
    assert caught.group_contains(ZeroDivisionError)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_process, Listener, real_surroundings(address, tmp_path / "b"))
        await trio.sleep(0.2)
        with pytest.raises(ExceptionGroup) as caught:
            await run_process(Listener, real_surroundings(address, tmp_path / "c"))
        assert caught.group_contains(OSError)
        nursery.cancel_scope.cancel()
