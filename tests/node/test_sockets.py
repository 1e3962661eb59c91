"""Addresses, and strangers on the line of a process."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ringdict.exception import InvalidError
from ringdict.node.network.sockets import free_address, join_address, split_address
from ringdict.node.network.switchboard import Credentials
from ringdict.node.trioworld import Surroundings, real_surroundings, run_process
from ringdict.node.world import Address, World


@pytest.mark.parametrize("address", ["127.0.0.1:7000", "[::1]:7000", "example.org:1"])
def test_an_address_is_host_and_port(address: str) -> None:
    assert join_address(*split_address(Address(address))) == address


@pytest.mark.parametrize("address", ["", "host", "host:", ":7", "host:x", "host:70000", "host:-1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidError):
        split_address(Address(address))


class Listener:
    """Halts when a datagram comes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.heard: list[bytes] = []

    def on_frame(self, source: Address, frame: bytes) -> None:
        self.heard.append(frame)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.heard.append(datagram)
        self.world.halt("a datagram came")


def surroundings(address: Address, folder: Path) -> Surroundings:
    return real_surroundings(Credentials(address), folder)


@pytest.mark.trio
async def test_a_datagram_that_is_too_large_is_not_heard_and_a_name_gets_none(tmp_path: Path) -> None:
    address = free_address()
    made: list[Listener] = []
    reasons: list[str | None] = []

    def make(world: World) -> Listener:
        made.append(Listener(world))
        world.send_datagram(Address("a.name.to.look.up:7"), b"x")
        world.send_datagram(Address("no address"), b"x")
        return made[0]

    async def run() -> None:
        reasons.append(await run_process(make, surroundings(address, tmp_path)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        with trio.fail_after(20), trio.socket.socket(type=trio.socket.SOCK_DGRAM) as socket:
            while not reasons:
                await socket.sendto(b"x" * 9000, split_address(address))
                await socket.sendto(b"stop", split_address(address))
                await trio.sleep(0.02)
    assert reasons == ["a datagram came"]
    assert made[0].heard == [b"stop"]


@pytest.mark.trio
async def test_an_exception_of_the_process_ends_it_and_a_taken_address_is_said(tmp_path: Path) -> None:
    def fail(_world: World) -> Listener:
        raise ZeroDivisionError

    address = free_address()
    with pytest.raises(ExceptionGroup) as caught:
        await run_process(fail, surroundings(address, tmp_path / "a"))
    assert caught.group_contains(ZeroDivisionError)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_process, Listener, surroundings(address, tmp_path / "b"))
        await trio.sleep(0.2)
        with pytest.raises(ExceptionGroup) as caught:
            await run_process(Listener, surroundings(address, tmp_path / "c"))
        assert caught.group_contains(OSError)
        nursery.cancel_scope.cancel()
