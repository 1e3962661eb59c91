"""Atomic operations on whole nodes in a made-up world."""

from __future__ import annotations

import pytest

from ringdict.node.network.leadermessage import Verb
from ringdict.node.network.message import Absent, Present, Written

from .leading import KEY, Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_key_is_given_once_and_every_owner_shows_it(cluster: Cluster) -> None:
    first = cluster.done(Verb.PUT_IF_ABSENT, b"mine")
    assert first.happened
    second = cluster.done(Verb.PUT_IF_ABSENT, b"yours")
    assert not second.happened
    assert second.version == first.version
    cluster.simulation.run_for(0.1)
    for number in range(3):
        seen = cluster.get(at=number)
        assert isinstance(seen, Present)
        assert (seen.body, seen.stamp[0]) == (b"mine", first.version)


def test_a_plain_value_is_popped_once_and_no_older_put_brings_it_back(cluster: Cluster) -> None:
    assert isinstance(cluster.put(b"plain"), Written)
    assert not cluster.done(Verb.PUT_IF_ABSENT, b"x").happened
    assert cluster.done(Verb.POP).body == b"plain"
    assert not cluster.done(Verb.POP).happened
    cluster.simulation.run_for(0.1)
    assert all(isinstance(cluster.get(at=number), Absent) for number in range(3))
    assert cluster.done(Verb.PUT_IF_ABSENT, b"y").happened
    assert isinstance(cluster.put(b"over it"), Written)
    seen = cluster.get()
    assert isinstance(seen, Present)
    assert seen.body == b"over it"
    assert cluster.done(Verb.GET, key=KEY).body == b"over it"
