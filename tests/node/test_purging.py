"""Records of absent keys on whole nodes: they go, and nothing that they said is taken back."""

from __future__ import annotations

import pytest

from ringdict.node.leaders.leaderconfig import PURGE_AGE_S
from ringdict.node.leaders.record import FORGETS
from ringdict.node.network.leadermessage import Verb
from ringdict.node.network.message import Absent, Present, Written

from .leading import Cluster

LONG_S = 4.5 * PURGE_AGE_S
"""Until what is absent was walked over, forgotten, and looked for once more."""
KEYS = [b"\x04key%d" % number for number in range(20)]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def names(cluster: Cluster) -> list[set[bytes]]:
    """Of each node, the names that it has records of, those of a `clear` aside."""
    found: list[set[bytes]] = []
    for number in range(3):
        leaders = cluster.node(number).leading.leaders
        shelf, partitions = leaders.acceptor, cluster.decree().partitions
        kept = {name for one in range(partitions) for name, _ in shelf.stretch(one, b"", 1_000)[0]}
        found.append({name for name in kept if name != FORGETS and len(name) > 8})
    return found


def test_keys_that_were_taken_and_released_leave_no_records_and_their_tokens_grow(cluster: Cluster) -> None:
    tokens: dict[bytes, int] = {}
    for key in KEYS:
        tokens[key] = cluster.done(Verb.PUT_IF_ABSENT, b"held", key).version
        assert cluster.done(Verb.POP, key=key).happened
    assert all(len(one) == len(KEYS) for one in names(cluster))
    cluster.simulation.run_for(LONG_S)
    assert names(cluster) == [set(), set(), set()]
    leaders = [cluster.node(number).leading.leaders for number in range(3)]
    assert sum(one.purger.purged_count for one in leaders) == len(KEYS)
    for key in KEYS:
        assert isinstance(cluster.get(key), Absent)
        again = cluster.done(Verb.PUT_IF_ABSENT, b"again", key)
        assert again.happened
        assert again.version > tokens[key]


def test_what_a_clear_covers_goes_and_what_was_put_since_stays(cluster: Cluster) -> None:
    for key in KEYS:
        assert cluster.done(Verb.PUT_IF_ABSENT, b"atomic", key).happened
    cluster.clear()
    assert isinstance(cluster.put(b"plain", KEYS[0]), Written)
    assert cluster.done(Verb.PUT_IF_ABSENT, b"taken", KEYS[1]).happened
    cluster.simulation.run_for(LONG_S)
    assert names(cluster) == [{cluster.dict_id + KEYS[1]}] * 3
    for key, body in ((KEYS[0], b"plain"), (KEYS[1], b"taken")):
        for number in range(3):
            seen = cluster.get(key, at=number)
            assert isinstance(seen, Present)
            assert seen.body == body


def test_nothing_is_forgotten_while_a_replica_is_away(cluster: Cluster) -> None:
    for key in KEYS:
        assert cluster.done(Verb.PUT_IF_ABSENT, b"held", key).happened
    cluster.hosts[2].crash()
    cluster.simulation.run_for(3)
    for key in KEYS:
        assert cluster.done(Verb.POP, key=key).happened
    cluster.simulation.run_for(LONG_S)
    assert len(cluster.node(0).leading.leaders.acceptor.stretch(cluster.partition(KEYS[0]), b"", 99)[0]) > 0
    cluster.hosts[2].start()
    cluster.settle(3)
    cluster.simulation.run_for(LONG_S)
    assert names(cluster) == [set(), set(), set()]
    for key in KEYS:
        assert cluster.done(Verb.PUT_IF_ABSENT, b"again", key).happened
