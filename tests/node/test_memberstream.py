"""Events about members as a stream for users' code."""

from __future__ import annotations

import pytest
import trio

from ringdict.gossip.instruction import Change, MemberChanged
from ringdict.node.config import MEMBER_EVENTS_MAX
from ringdict.node.members.memberstream import EventsLostError, member_events

from .test_gossiping import Hosts


def events_of_a_join() -> tuple[Hosts, MemberChanged]:
    hosts = Hosts(1)
    hosts.run(1.0)
    heard: list[MemberChanged] = []
    hosts.gossiping(0).listen(heard.append)
    hosts.hosts.append(hosts.add("n1"))
    hosts.run(5.0)
    return hosts, heard[0]


@pytest.mark.trio
async def test_events_come_in_order_and_end_with_the_with() -> None:
    hosts = Hosts(1)
    hosts.run(1.0)
    async with member_events(hosts.gossiping(0)) as events:
        hosts.hosts.append(hosts.add("n1"))
        hosts.run(5.0)
        hosts.simulation.crash(hosts.hosts[1])
        hosts.run(20.0)
        changes = [(await anext(events)).change for _ in range(3)]
        assert changes == [Change.JOINED, Change.SUSPECTED, Change.FAILED]
    assert [event async for event in events] == []


@pytest.mark.trio
async def test_who_is_too_slow_is_told_that_events_were_lost() -> None:
    hosts, event = events_of_a_join()
    async with member_events(hosts.gossiping(0)) as events:
        for _ in range(MEMBER_EVENTS_MAX + 5):
            events.put(event)
        with trio.fail_after(5):
            for _ in range(MEMBER_EVENTS_MAX):
                await anext(events)
            with pytest.raises(EventsLostError):
                await anext(events)
