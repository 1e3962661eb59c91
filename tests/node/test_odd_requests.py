"""Requests that no client of ours would send, and batches that come again cut otherwise."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from ringdict.node.config import (
    BREAKER_MISSES,
    FRAME_BYTES_MAX,
    FRAME_VALUE_BYTES_MAX,
    HINTS_BYTES_MAX,
    RECORD_BYTES_MAX,
    REQUEST_KEYS_MAX,
    STORAGE_KEY_BYTES_MAX,
    WRITES_BYTES_MAX,
)
from ringdict.node.network.message import (
    Ack,
    Count,
    Get,
    GetMany,
    ListDicts,
    Put,
    PutMany,
    ReadPage,
    Reason,
    Refused,
    Reply,
    Resolve,
    Unknown,
    Written,
)
from ringdict.node.network.wire import encode
from ringdict.node.replicas.admission import Admission
from ringdict.node.replicas.hints import _Stream
from ringdict.node.ringview import RingView
from ringdict.node.store.catalogue import Record
from ringdict.node.store.layout import STATE
from ringdict.node.store.transaction import DictState
from ringdict.ring.codec import digest_of
from ringdict.ring.table import Table

from .keepers import KEY, PARTITIONS, Cluster
from .replicas import row
from .test_coordinator import body_at

OPERATION = b"o" * 16


def test_puts_without_an_operation_id_are_carried_out_each() -> None:
    cluster = Cluster()
    for body in (b"one", b"two"):
        reply = cluster.ask(0, Put(0, cluster.epoch, cluster.dict_id, KEY, body, 0, Ack.ALL, 0, b""))
        assert isinstance(reply, Written)
        assert body_at(cluster, 0) == body


def test_a_piece_of_a_batch_with_more_keys_than_one_before_is_another_piece() -> None:
    cluster = Cluster()
    first, second = (KEY, b"one"), (KEY + b"2", b"two")
    for items in ([first], [first, second]):
        request = PutMany(0, cluster.epoch, cluster.dict_id, items, 0, Ack.ALL, 0, OPERATION)
        assert isinstance(cluster.ask(0, request), Written)
    assert body_at(cluster, 0, second[0]) == b"two"


def refused(reply: Reply) -> Reason:
    assert isinstance(reply, Refused), reply
    return Reason(reply.reason)


def test_more_keys_than_a_node_looks_at_in_one_go_are_refused() -> None:
    cluster = Cluster()
    keys = [KEY + number.to_bytes(2, "big") for number in range(REQUEST_KEYS_MAX + 1)]
    get = GetMany(0, cluster.epoch, cluster.dict_id, keys)
    assert refused(cluster.ask(0, get)) == Reason.TOO_LARGE
    items = [(key, b"v") for key in keys]
    put = PutMany(0, cluster.epoch, cluster.dict_id, items, 0, Ack.ALL, 0, OPERATION)
    assert refused(cluster.ask(0, put)) == Reason.TOO_LARGE


def test_a_start_that_no_entry_can_have_is_refused() -> None:
    cluster = Cluster()
    start = bytes(STORAGE_KEY_BYTES_MAX)
    for request in (
        ReadPage(0, cluster.epoch, cluster.dict_id, bytes(PARTITIONS // 8), start, b""),
        Count(0, cluster.epoch, cluster.dict_id, bytes(PARTITIONS // 8), start),
    ):
        assert refused(cluster.ask(0, request)) == Reason.INVALID


def test_names_that_nothing_can_have_are_refused() -> None:
    cluster = Cluster()
    for name in ("n" * 600, "a\0b"):
        for request in (
            Resolve(0, "main", name, b""),
            Resolve(0, name, "d", b""),
            Resolve(0, "main", name, Record("main", name, 1, "test", 0).encode()),
            ListDicts(0, name, ""),
            ListDicts(0, "main", name),
        ):
            assert refused(cluster.ask(0, request)) == Reason.INVALID
    record = Record("main", "long", 1, "t" * RECORD_BYTES_MAX, 0).encode()
    assert refused(cluster.ask(0, Resolve(0, "main", "long", record))) == Reason.INVALID


def test_an_answer_that_fits_into_no_frame_becomes_a_refusal() -> None:
    """As of a value that an embedded store had before a node served its folder."""
    cluster = Cluster()
    place, raw = row(KEY, body=bytes(FRAME_BYTES_MAX), dict_id=cluster.dict_id, partitions=PARTITIONS)
    cluster.keeping(0).entries.commit({place: raw}, lambda _: None)
    get = Get(0, cluster.epoch, cluster.dict_id, KEY)
    assert refused(cluster.ask(0, get)) == Reason.TOO_LARGE


def test_a_request_that_fits_into_no_frame_when_it_is_passed_on_ends_no_node() -> None:
    cluster = Cluster()
    for number in range(3):
        cluster.keeping(number).admission.value_bytes_max = FRAME_BYTES_MAX
    items = [(KEY, bytes(FRAME_BYTES_MAX // 2)), (KEY + b"2", b"")]
    put = PutMany(1, cluster.epoch, cluster.dict_id, items, 0, Ack.ALL, 0, OPERATION)
    items[1] = (KEY + b"2", bytes(FRAME_BYTES_MAX - len(encode(put)) - 3))  # its length takes more, too
    assert len(encode(put)) == FRAME_BYTES_MAX
    cluster.client.world.send(cluster.hosts[1].address, encode(put))
    cluster.run_for(5)
    assert body_at(cluster, 0) == items[0][1]


def test_no_value_is_taken_that_fits_into_no_frame() -> None:
    cluster = Cluster()
    admission = cluster.keeping(0).admission
    anew = Admission(cluster.keeping(0).bus, cluster.keeping(0).replica, admission._exchange, print, 1 << 30)
    assert anew.value_bytes_max == FRAME_VALUE_BYTES_MAX


@pytest.mark.deep
def test_puts_of_a_dict_that_has_to_be_looked_for_count_as_under_way() -> None:
    cluster = Cluster()
    keeping = cluster.keeping(0)
    body = bytes(50_000)
    replies = [
        cluster.begin(
            0, Put(0, cluster.epoch, b"unknown!", KEY, body, 0, Ack.ALL, 0, number.to_bytes(16, "big"))
        )
        for number in range(2 * WRITES_BYTES_MAX // len(body))
    ]
    while not keeping.coordinator.open_count:
        cluster.run_for(0.000_05)
    for _ in range(100):
        cluster.run_for(0.000_05)
        assert keeping.coordinator._bytes <= WRITES_BYTES_MAX
    cluster.run_for(3)
    reasons = {refused(reply) for [reply] in replies if reply is not None}
    assert reasons == {Reason.OVERLOADED, Reason.NO_DICT}
    assert keeping.coordinator.open_count == 0


def test_a_key_is_not_read_in_a_ring_that_turned_while_its_dict_was_looked_for() -> None:
    cluster = Cluster(4)
    reply = cluster.begin(0, Get(0, cluster.epoch, b"unknown!", KEY))
    keeping = cluster.keeping(0)
    while not keeping.exchange._waiting:
        cluster.run_for(0.000_05)
    keeping.entries.commit({STATE + b"unknown!": DictState(0, 0, 0, 0, 0).encode()}, lambda _: None)
    cluster.decide(range(4), first=1)  # it owns nothing any more
    cluster.run_for(3)
    [answer] = reply
    assert answer is not None
    assert refused(answer) == Reason.WRONG_EPOCH


def test_a_batch_is_not_acknowledged_while_one_of_its_entries_is_kept_for_nobody() -> None:
    cluster = Cluster(3, replicas=1)
    assert cluster.decree is not None
    half = [[number % 2] for number in range(PARTITIONS)]  # two nodes own a half each, the third one nothing
    cluster.decree = dataclasses.replace(
        cluster.decree, epoch=2, parent=digest_of(cluster.decree), table=Table.of(half, 1)
    )
    for number in range(3):
        cluster.keeping(number).set_view(RingView(cluster.decree, cluster.node(number)))
    full = cluster.node(0)
    for number in (0, 1):
        cluster.simulation.crash(cluster.hosts[number])
    items = [(KEY + number.to_bytes(1, "big"), b"v") for number in range(20)]
    request = PutMany(0, cluster.epoch, cluster.dict_id, items, 0, Ack.ALL, 0, OPERATION)
    for number in range(BREAKER_MISSES):  # until it is noticed that they are dead
        cluster.ask(2, replace(request, operation_id=number.to_bytes(16, "big")))
    cluster.keeping(2).hints._streams[full] = stream = _Stream()
    stream.bytes = HINTS_BYTES_MAX + 1
    reply = cluster.ask(2, request)
    assert isinstance(reply, Unknown), reply
    assert "kept" in reply.text
