"""Writes between nodes in a made-up world: who coordinates, what is acknowledged, what is refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ringdict.node.clock import COUNTER_BITS
from ringdict.node.config import FLOOR_AHEAD_MS_MAX, SKEW_MS_MAX
from ringdict.node.network.message import (
    Absent,
    Ack,
    Found,
    Get,
    GetMany,
    Present,
    Put,
    PutMany,
    Reason,
    Refused,
    Reply,
    Touch,
    Unknown,
    Written,
)
from ringdict.node.replicas.job import Job
from ringdict.node.replicas.stamper import VERSION_MAX
from ringdict.node.replicas.write import Write
from ringdict.node.store.operation import KEEP
from ringdict.node.world import NS_PER_MS, Address

from .keepers import KEY, PARTITIONS, Cluster
from .replicas import row


def put(
    cluster: Cluster, body: bytes, key: bytes = KEY, ack: Ack = Ack.ALL, floor: int = 0, name: int = 0
) -> Put:
    """A put of a new operation."""
    return Put(
        0,
        cluster.epoch,
        cluster.dict_id,
        key,
        body,
        0,
        ack,
        floor,
        name.to_bytes(16, "big") if name else b"unnamed:" + body[:8].rjust(8),
    )


def get(cluster: Cluster, number: int, key: bytes = KEY) -> Reply:
    return cluster.ask(number, Get(0, cluster.epoch, cluster.dict_id, key))


def body_at(cluster: Cluster, number: int, key: bytes = KEY) -> bytes | None:
    reply = get(cluster, number, key)
    assert isinstance(reply, (Present, Absent)), reply
    return reply.body if isinstance(reply, Present) else None


def written(reply: Reply) -> Written:
    assert isinstance(reply, Written), reply
    return reply


def isolated(cluster: Cluster, *numbers: int) -> tuple[set[Address], set[Address]]:
    """These nodes on one side, the others on the other; the client can reach all of them."""
    names = {host.address for host in cluster.hosts}
    one = {cluster.hosts[number].address for number in numbers}
    return one, names - one


def test_a_put_is_on_all_owners_when_it_is_acknowledged() -> None:
    cluster = Cluster()
    reply = written(cluster.ask(0, put(cluster, b"v")))
    assert (reply.copies, reply.wanted) == (3, 3)
    assert [body_at(cluster, number) for number in range(3)] == [b"v"] * 3


def test_a_put_to_another_owner_goes_through_the_primary_owner() -> None:
    cluster = Cluster()
    written(cluster.ask(2, put(cluster, b"v")))
    assert cluster.keeping(0).writers.tenures.count == 1
    assert cluster.keeping(2).writers.tenures.count == 0


def test_the_next_owner_coordinates_when_the_primary_owner_is_dead() -> None:
    cluster = Cluster()
    cluster.simulation.crash(cluster.hosts[0])
    reply = written(cluster.ask(2, put(cluster, b"v")))
    assert (reply.copies, reply.wanted) == (2, 3)
    assert body_at(cluster, 1) == b"v"
    cluster.simulation.restart(cluster.hosts[0])
    cluster.run_for(5)
    assert body_at(cluster, 0) == b"v"  # by a hint


def test_puts_are_taken_on_both_sides_of_a_partition_and_the_later_one_stands_after_it() -> None:
    cluster = Cluster()
    with cluster.simulation.network.partition(*isolated(cluster, 0)):
        one = written(cluster.ask(0, put(cluster, b"one")))
        other = written(cluster.ask(1, put(cluster, b"other", floor=one.stamp[0])))
        assert (one.copies, other.copies) == (1, 2)
        assert (body_at(cluster, 0), body_at(cluster, 2)) == (b"one", b"other")
    cluster.run_for(5)
    assert [body_at(cluster, number) for number in range(3)] == [b"other"] * 3


def test_a_node_that_keeps_no_replica_takes_a_put_when_no_owner_can_be_reached() -> None:
    cluster = Cluster(4)
    with cluster.simulation.network.partition(*isolated(cluster, 3)):
        reply = written(cluster.ask(3, put(cluster, b"v")))
        assert reply.copies == 0
        refused = get(cluster, 3)
        assert isinstance(refused, Refused)
        assert refused.reason == Reason.NOT_OWNER
    cluster.run_for(5)
    assert [body_at(cluster, number) for number in range(3)] == [b"v"] * 3


def test_a_put_that_needs_a_majority_is_refused_before_anything_happens() -> None:
    cluster = Cluster()
    for number in (1, 2):
        cluster.simulation.crash(cluster.hosts[number])
    for name in range(4):  # until it is noticed that they are dead
        cluster.ask(0, put(cluster, b"all", name=name + 1))
    refused = cluster.ask(0, put(cluster, b"most", ack=Ack.MAJORITY))
    assert isinstance(refused, Refused)
    assert refused.reason == Reason.UNAVAILABLE
    assert body_at(cluster, 0) == b"all"


def test_a_put_that_was_applied_and_finds_no_majority_is_unknown() -> None:
    cluster = Cluster()
    for number in (1, 2):
        cluster.simulation.crash(cluster.hosts[number])
    assert isinstance(cluster.ask(0, put(cluster, b"v", ack=Ack.MAJORITY)), Unknown)


def test_a_request_that_comes_twice_is_carried_out_once() -> None:
    cluster = Cluster()
    first = written(cluster.ask(0, put(cluster, b"v", name=7)))
    written(cluster.ask(0, put(cluster, b"w", name=8)))
    again = written(cluster.ask(0, put(cluster, b"v", name=7)))
    assert again.stamp == first.stamp
    assert body_at(cluster, 0) == b"w"


def test_the_later_of_two_puts_wins_through_a_coordinator_whose_clock_is_behind() -> None:
    cluster = Cluster()
    cluster.hosts[1].clock.skew_ns += 300 * NS_PER_MS
    cluster.simulation.crash(cluster.hosts[0])
    first = written(cluster.ask(1, put(cluster, b"first")))
    cluster.simulation.restart(cluster.hosts[0])
    cluster.run_for(1)
    second = written(cluster.ask(0, put(cluster, b"second")))
    assert second.stamp > first.stamp
    assert [body_at(cluster, number) for number in range(3)] == [b"second"] * 3


def test_a_replica_with_a_newer_version_has_the_put_stamped_anew() -> None:
    """The primary owner in its tenure knows nothing of what a stand-in, whose clock is ahead, wrote when it
    was cut off from the primary; nor does the hint come in time."""
    cluster = Cluster()
    cluster.hosts[1].clock.skew_ns += 2_000 * NS_PER_MS
    written(cluster.ask(0, put(cluster, b"begin")))
    network = cluster.simulation.network
    with network.partition(*isolated(cluster, 0)):
        first = written(cluster.ask(1, put(cluster, b"first")))
    network.cut(Address("n1"), Address("n0"))
    second = written(cluster.ask(0, put(cluster, b"second")))
    assert cluster.keeping(0).writers.restamps_count >= 1
    assert second.stamp > first.stamp


def test_a_stamp_is_above_the_floor_of_the_client() -> None:
    cluster = Cluster()
    floor = (cluster.keeping(0).stamper.now_ms() + 200) << 16
    assert written(cluster.ask(0, put(cluster, b"v", floor=floor))).stamp[0] > floor


def test_a_floor_from_beyond_all_time_poisons_nothing() -> None:
    cluster = Cluster()
    now_ms = cluster.keeping(0).stamper.now_ms()
    far = [
        written(cluster.ask(0, put(cluster, b"far %d" % less, floor=VERSION_MAX - less))) for less in (1, 2)
    ]
    assert all((each.stamp[0] >> COUNTER_BITS) - now_ms < 2 * FLOOR_AHEAD_MS_MAX for each in far)
    after = written(cluster.ask(0, put(cluster, b"after")))
    assert after.stamp > far[1].stamp > far[0].stamp
    other = written(cluster.ask(1, put(cluster, b"elsewhere", b"\x03elsewhere")))
    assert (other.stamp[0] >> COUNTER_BITS) - now_ms < SKEW_MS_MAX + 10_000
    assert [body_at(cluster, number) for number in range(3)] == [b"after"] * 3


def test_a_batch_is_written_whole() -> None:
    cluster = Cluster()
    items = [(b"\x03%d" % number, b"v%d" % number) for number in range(1_500)]
    reply = cluster.ask(0, PutMany(0, cluster.epoch, cluster.dict_id, items, 0, Ack.ALL, 0, b"b" * 16))
    assert written(reply).copies == 3
    found = cluster.ask(2, GetMany(0, cluster.epoch, cluster.dict_id, [key for key, _ in items]))
    assert isinstance(found, Found)
    assert [body for _, body in found.rows] == [body for _, body in items]


def test_a_touch_changes_the_expiry_and_not_the_version() -> None:
    cluster = Cluster()
    first = written(cluster.ask(0, put(cluster, b"v")))
    touched = written(
        cluster.ask(0, Touch(0, cluster.epoch, cluster.dict_id, KEY, 60_000, 0, Ack.ALL, b"t" * 16))
    )
    assert touched.stamp[:2] == first.stamp[:2]
    for number in range(3):
        reply = get(cluster, number)
        assert isinstance(reply, Present)
        assert reply.expires_ms > 0


def test_a_touch_of_nothing_or_of_another_version_writes_nothing() -> None:
    cluster = Cluster()
    nothing = Touch(0, cluster.epoch, cluster.dict_id, KEY, 60_000, 0, Ack.ALL, b"t" * 16)
    assert written(cluster.ask(0, nothing)).stamp == (0, 0, 0)
    first = written(cluster.ask(0, put(cluster, b"v")))
    other = Touch(0, cluster.epoch, cluster.dict_id, KEY, 60_000, 5, Ack.ALL, b"u" * 16)
    refused = cluster.ask(0, other)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.detail) == (Reason.MISMATCH, first.stamp[0])


@pytest.mark.parametrize("tenure", ["old", "new"])
def test_what_goes_by_what_stands_goes_by_what_others_wrote_meanwhile(tenure: str) -> None:
    """A touch, a put that keeps the time to live, by a node that was cut off while others coordinated."""
    cluster = Cluster()
    keys = [b"\x03touched", b"\x03kept", b"\x03 not here"]
    for key in keys[:2]:
        written(cluster.ask(0, replace(put(cluster, b"v" + key, key), ttl_ms=60_000)))
    with cluster.simulation.network.partition(*isolated(cluster, 0)):
        cluster.run_for(1)
        newer = [
            written(cluster.ask(1, replace(put(cluster, b"w" + key, key), ttl_ms=3_600_000))) for key in keys
        ]
    if tenure == "new":
        cluster.decide(range(3))
    else:
        assert cluster.keeping(0).writers.tenures.count
    touch = [Touch(0, cluster.epoch, cluster.dict_id, key, 7_200_000, 0, Ack.ALL, b"t" + key) for key in keys]
    touches = [replace(each, operation_id=each.operation_id.ljust(16)) for each in (touch[0], touch[2])]
    assert [written(cluster.ask(0, each)).stamp[0] for each in touches] == [
        newer[0].stamp[0], newer[2].stamp[0]
    ]  # fmt: skip
    written(cluster.ask(0, replace(put(cluster, b"x", keys[1]), ttl_ms=KEEP)))
    now_ms = cluster.keeping(0).stamper.now_ms()
    for number in range(3):
        left_s = {}
        for key in keys:
            reply = get(cluster, number, key)
            assert isinstance(reply, Present)
            left_s[key] = round((reply.expires_ms - now_ms) / 60_000) * 60
        assert left_s == {keys[0]: 7_200, keys[1]: 3_600, keys[2]: 7_200}, number


def test_writes_under_way_are_begun_anew_by_a_new_ring() -> None:
    cluster = Cluster(4)
    answers = cluster.begin(0, put(cluster, b"v"))
    cluster.run_for(0.0015)
    assert cluster.keeping(0).coordinator.open_count == 1
    cluster.decide([1, 2, 3], told=[0, 1, 2, 3])
    cluster.run_for(1)
    [reply] = answers
    assert isinstance(reply, Written)  # node 0 is out, and passed it on
    assert [body_at(cluster, number) for number in (1, 2, 3)] == [b"v"] * 3


@pytest.mark.parametrize("offset", [-1, 1])
def test_whoever_goes_by_another_epoch_gets_nothing(offset: int) -> None:
    cluster = Cluster()
    cluster.decide(range(3))
    request = put(cluster, b"v")
    request.epoch += offset
    refused = cluster.ask(0, request)
    assert isinstance(refused, Refused)
    assert refused.reason == (Reason.WRONG_EPOCH if offset < 0 else Reason.BEHIND)
    assert body_at(cluster, 0) is None


@pytest.mark.parametrize(
    "change",
    [
        {"key": b""},
        {"key": b"\x01lock"},
        {"ttl_ms": -2},
        {"ack": 9},
        {"operation_id": b"short"},
        {"floor": 1 << 63},
        {"body": bytes(100_001)},
        {"key": b"\x03" + bytes(5_000)},
        {"dict_id": b"\xff" * 8},
    ],
)
def test_what_no_client_would_send_is_refused(change: dict[str, object]) -> None:
    cluster = Cluster(1)
    request = put(cluster, b"v")
    for field, value in change.items():
        setattr(request, field, value)
    assert isinstance(cluster.ask(0, request), Refused)
    assert body_at(cluster, 0) is None


@pytest.mark.parametrize("fault", ["damaged", "unfit"])
def test_an_owner_that_does_not_know_the_entry_leaves_a_touch_to_another(fault: str) -> None:
    cluster = Cluster()
    written(cluster.ask(0, put(cluster, b"v")))
    keeping = cluster.keeping(0)
    if fault == "unfit":
        keeping.writers.serving = lambda _partition: False
    else:
        place, raw = row(KEY, body=b"v", dict_id=cluster.dict_id, partitions=PARTITIONS)
        keeping.entries.commit({place: raw[:-1] + b"w"}, lambda _: None)
    touch = Touch(0, cluster.epoch, cluster.dict_id, KEY, 60_000, 0, Ack.ALL, b"t" * 16)
    assert isinstance(cluster.ask(0, touch), Refused)
    assert written(cluster.ask(1, touch)).stamp[0]
    reply = get(cluster, 0)
    assert isinstance(reply, Present), reply
    assert reply.expires_ms


@pytest.mark.parametrize(("late_ms", "is_taken"), [(SKEW_MS_MAX - 50, True), (SKEW_MS_MAX + 50, False)])
def test_what_was_passed_on_and_comes_late_is_not_carried_out(late_ms: int, is_taken: bool) -> None:
    """Found by chaos: the primary owner was stopped, and did seconds later what had gone another way."""
    cluster = Cluster()
    until_ms = cluster.keeping(0).writers.stamper.now_ms() - late_ms
    reply = cluster.ask(0, replace(put(cluster, b"v"), relayed=True, until_ms=until_ms))
    assert isinstance(reply, Written) is is_taken, reply
    assert body_at(cluster, 0) == (b"v" if is_taken else None)
    if not is_taken:
        assert isinstance(reply, Refused)
        assert reply.reason == Reason.UNAVAILABLE


@pytest.mark.parametrize("tainted", [False, True])
def test_no_stamp_is_given_once_the_time_of_a_write_is_over(tainted: bool) -> None:
    cluster = Cluster()
    keeping, replies = cluster.keeping(0), list[Reply]()
    now_ns = keeping.writers.world.now_ns()
    drafts = keeping.coordinator._drafts(Job(put(cluster, b"v"), now_ns, replies.append))
    write = Write(
        keeping.writers, drafts, 0, Ack.ALL, tainted=tainted, until_ns=now_ns, ended=replies.append
    )  # fmt: skip
    write.begin()
    cluster.run_for(1)
    assert [type(reply) for reply in replies] == [Unknown if tainted else Refused]
    assert body_at(cluster, 1) is None
