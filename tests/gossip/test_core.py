"""The core as a whole, in a made-up network that treats it well."""

from __future__ import annotations

import pytest

from ringdict.gossip.instruction import Change
from ringdict.gossip.member import Status
from ringdict.sim.gossipworld import World


@pytest.mark.parametrize("size", [2, 3, 10])
def test_nodes_that_know_one_seed_find_each_other(size: int) -> None:
    world = World(size)
    world.validate = True
    first = world.add()
    for _ in range(size - 1):
        world.add(seeds=[first.address])
    assert world.run(5.0, until=world.agree) is not None
    world.run(10.0)
    assert world.agree()
    assert world.counts == {Change.JOINED: size * (size - 1)}


@pytest.mark.parametrize("size", [2, 3, 10])
def test_a_crash_is_seen_by_all(size: int) -> None:
    world = World(size)
    nodes = world.form(size)
    world.run(5.0)
    world.crash(nodes[-1])
    world.run(10.0)
    assert all(node.believes(nodes[-1]) is Status.DEAD for node in nodes[:-1])
    assert world.agree()
    assert not world.false_deaths()
