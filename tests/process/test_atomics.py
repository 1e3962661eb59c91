"""Atomic operations on three real nodes that are killed, stopped and cut off: nothing is given twice."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import Error, LockTimeoutError, NoQuorumError
from ringdict.node.leaders.ballot import Ballot
from ringdict.node.network.leadermessage import Act, Acted, Greet, Greeted, Verb
from ringdict.node.network.message import AskRing, Message, Request, TellRing
from ringdict.node.network.wire import decode, encode
from ringdict.node.world import Address
from ringdict.ring.codec import decode_decree
from ringdict.ring.partition import dict_seed, partition_of

from ..node.caller import RawClient
from .nodes import SECRET, RealCluster, RealNode, wait_until

SESSION = b"a session."
FAILOVER_S = 2.0
"""What is promised: from the death of a leader to the first answer of the next."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """One cluster for all; each test leaves it whole."""
    with RealCluster(tmp_path_factory.mktemp("nodes")) as cluster:
        cluster.wait_ready()
        yield cluster


@pytest.fixture
def cluster(nodes: RealCluster) -> RealCluster:
    wait_until(lambda: led(nodes) == 1024)
    return nodes


@pytest.fixture
def client(cluster: RealCluster) -> Iterator[Cluster]:
    with cluster.client() as one:
        yield one


def ask(node: RealNode, request: Request) -> Message:
    raw = RawClient(Address(node.address)).shake(SECRET.encode())
    try:
        return decode(raw.ask(encode(request)))
    finally:
        raw.socket.close()


def greet(node: RealNode) -> Greeted:
    greeted = ask(node, Greet(1, SESSION, b""))
    assert isinstance(greeted, Greeted)
    return greeted


def own(node: RealNode) -> dict[int, Ballot]:
    """The partitions that a node leads."""
    greeted = greet(node)
    return {partition: ballot for partition, ballot in greeted.ballots if ballot.node == greeted.node}


def led(cluster: RealCluster) -> int:
    return sum(len(own(node)) for node in cluster.nodes)


def leader_of(cluster: RealCluster, d: Dict[str, int], key: str) -> tuple[RealNode, Ballot, bytes]:
    """Who leads a key's partition, under which ballot; the key's bytes."""
    encoded = b"\x04" + key.encode()
    ring = ask(cluster.nodes[0], AskRing(1, 0))
    assert isinstance(ring, TellRing)
    partitions = decode_decree(ring.decree).partitions
    partition = partition_of(dict_seed(id_of(d)), encoded, partitions)
    for node in cluster.nodes:
        ballot = own(node).get(partition)
        if ballot is not None:
            return node, ballot, encoded
    raise AssertionError("nobody leads it")


def id_of(d: Dict[str, int]) -> bytes:
    bound = d._bound
    assert bound is not None
    return bound.dict_id


def made(client: Cluster) -> Dict[str, int]:
    """A new Dict."""
    d = Dict[str, int].from_name(f"locks-{time.time_ns()}", create_if_missing=True, cluster=client)
    d.hydrate()
    return d


def same(d: Dict[str, int], client: Cluster) -> Dict[str, int]:
    """The same by way of another client."""
    assert d.name is not None
    return Dict[str, int].from_name(d.name, cluster=client)


def test_another_owner_decides_within_two_seconds_of_a_kill(cluster: RealCluster, client: Cluster) -> None:
    d = made(client)
    assert d.put("a", 1, skip_if_exists=True)
    victim, _, _ = leader_of(cluster, d, "a")
    begun_s = time.monotonic()
    victim.kill()
    assert not d.put("a", 2, skip_if_exists=True)
    took_s = time.monotonic() - begun_s
    assert took_s < FAILOVER_S
    assert d.get("a", fresh=True) == 1
    victim.start()
    wait_until(lambda: victim.is_ready)
    assert not d.put("a", 3, skip_if_exists=True)


def test_who_was_stopped_and_wakes_gives_nothing(cluster: RealCluster, client: Cluster) -> None:
    d = made(client)
    d.put("warm", 1, skip_if_exists=True)
    stopped, ballot, encoded = leader_of(cluster, d, "a")
    ticket = greet(stopped).ticket
    stopped.signal(signal.SIGSTOP)
    assert d.put("a", 1, skip_if_exists=True)
    stopped.signal(signal.SIGCONT)
    late = Act(
        2, ballot, ticket, SESSION + bytes(6), 0, id_of(d), encoded,
        Verb.PUT_IF_ABSENT, b"mine",
    )  # fmt: skip
    reply = ask(stopped, late)
    assert not (isinstance(reply, Acted) and reply.happened)
    assert d.get("a", fresh=True) == 1


def test_whoever_is_alone_is_told_at_once_that_there_is_no_quorum(
    cluster: RealCluster, client: Cluster
) -> None:
    d = made(client)
    assert d.put("a", 1, skip_if_exists=True)
    alone, *others = cluster.nodes
    for node in others:
        node.signal(signal.SIGSTOP)
    time.sleep(1.5)  # until it has noticed
    assert not own(alone)
    begun_s = time.monotonic()
    with cluster.client() as late, pytest.raises(NoQuorumError):
        same(d, late).put("a", 2, skip_if_exists=True)
    assert time.monotonic() - begun_s < 4.0
    for node in others:
        node.signal(signal.SIGCONT)
    wait_until(lambda: led(cluster) == 1024)
    assert not d.put("a", 3, skip_if_exists=True)


def test_what_is_held_is_held_when_all_have_died_and_come_back(cluster: RealCluster, client: Cluster) -> None:
    d = made(client)
    lock = d.lock("job", ttl=None)
    token = lock.acquire()
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    wait_until(lambda: all(node.is_ready for node in cluster.nodes))
    wait_until(lambda: led(cluster) == 1024)
    with cluster.client() as other:
        again = same(d, other)
        with pytest.raises(LockTimeoutError):
            again.lock("job", ttl=None, wait_s=0).acquire()
        lock.release()
        assert again.lock("job", ttl=None, wait_s=2).acquire() > token


def is_ready(node: RealNode) -> bool:
    return node.is_ready


class Taker(threading.Thread):
    """Takes what nobody has, key after key."""

    def __init__(
        self, cluster: RealCluster, d: Dict[str, int], number: int, taken: list[tuple[str, int]]
    ) -> None:
        super().__init__()
        self._dict = d
        self._cluster = cluster
        self._number = number
        self._taken = taken
        self.stop = threading.Event()

    def run(self) -> None:
        with self._cluster.client() as client:
            d = same(self._dict, client)
            for count in range(1_000_000):
                if self.stop.is_set():
                    return
                key = f"key {count}"
                try:
                    if d.put(key, self._number, skip_if_exists=True):
                        self._taken.append((key, self._number))
                except Error:
                    continue


def test_nothing_is_given_twice_while_leaders_die(cluster: RealCluster, client: Cluster) -> None:
    d = made(client)
    taken: list[tuple[str, int]] = []
    takers = [Taker(cluster, d, number, taken) for number in range(6)]
    for taker in takers:
        taker.start()
    for node in cluster.nodes:
        wait_until(lambda: bool(taken))
        time.sleep(0.5)
        node.kill()
        time.sleep(1.5)
        node.start()
        wait_until(partial(is_ready, node))
    for taker in takers:
        taker.stop.set()
    for taker in takers:
        taker.join()
    keys = [key for key, _ in taken]
    assert len(keys) == len(set(keys))
    there = d.get_many(keys, fresh=True)
    assert all(there[key] == number for key, number in taken)
