"""Seeds by name are looked up for ever, and one name may mean many nodes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from ringdict.exception import InvalidError
from ringdict.node.config import RESOLVE_INTERVAL_S, RESOLVE_PAUSE_S_MAX, RESOLVE_TIMEOUT_S, SEEDS_MAX
from ringdict.node.members.seeds import keep_resolving, resolve
from ringdict.node.world import Address


class Names:
    """A name server whose answers a test changes."""

    def __init__(self) -> None:
        self.hosts: dict[str, list[str]] = {}
        self.asked: list[float] = []
        self.hangs = False

    async def look_up(self, host: str, port: int) -> list[tuple[str, int]]:
        self.asked.append(trio.current_time())
        if self.hangs:
            await trio.sleep_forever()
        if not self.hosts.get(host):
            raise OSError("no such host")
        return [(ip, port) for ip in self.hosts[host]]


@pytest.mark.trio
async def test_one_name_has_many_addresses_and_two_may_share_one() -> None:
    names = Names()
    names.hosts = {"all": ["10.0.0.1", "::1"], "one": ["10.0.0.1"]}
    found, complete = await resolve([Address("all:7000"), Address("one:7000")], names.look_up)
    assert (found, complete) == (["10.0.0.1:7000", "[::1]:7000"], True)


@pytest.mark.trio
async def test_the_operating_system_knows_this_host() -> None:
    found, complete = await resolve([Address("127.0.0.1:7000")])
    assert (found, complete) == (["127.0.0.1:7000"], True)


@pytest.mark.trio
async def test_no_name_has_more_addresses_than_anybody_tries() -> None:
    names = Names()
    names.hosts["all"] = [f"10.0.{number >> 8}.{number & 255}" for number in range(SEEDS_MAX + 9)]
    found, _ = await resolve([Address("all:7000")], names.look_up)
    assert len(found) == SEEDS_MAX


@pytest.mark.trio
async def test_what_is_no_address_is_said_at_once() -> None:
    with pytest.raises(InvalidError):
        await resolve([Address("no port")])


@pytest.mark.trio
async def test_names_are_looked_up_for_ever_ever_more_slowly_and_again_once_there_are_peers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert autojump_clock.autojump_threshold == 0
    names, told, peers = Names(), list[Sequence[Address]](), [False]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            keep_resolving, [Address("all:7000")], told.append, lambda: peers[0], names.look_up
        )
        await trio.sleep(100.0)
        assert told == []
        assert names.asked[1] - names.asked[0] < 1.0
        assert names.asked[-1] - names.asked[-2] == pytest.approx(RESOLVE_PAUSE_S_MAX)
        names.hosts["all"] = ["10.0.0.1"]
        await trio.sleep(RESOLVE_PAUSE_S_MAX)
        assert told == [["10.0.0.1:7000"]]
        peers[0] = True
        names.hosts["all"] = ["10.0.0.2", "10.0.0.3"]
        await trio.sleep(2 * RESOLVE_INTERVAL_S)
        assert told[1:] == [["10.0.0.2:7000", "10.0.0.3:7000"]]
        names.hosts.clear()  # the name server is away: what it said last still holds
        await trio.sleep(2 * RESOLVE_INTERVAL_S)
        assert len(told) == 2
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_name_server_that_hangs_keeps_nobody_waiting_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert autojump_clock.autojump_threshold == 0
    names = Names()
    names.hangs = True
    began = trio.current_time()
    assert await resolve([Address("all:7000")], names.look_up) == ([], False)
    assert trio.current_time() - began == pytest.approx(RESOLVE_TIMEOUT_S)
