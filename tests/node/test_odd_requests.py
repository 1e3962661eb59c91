"""Requests that no client of ours would send, and batches that come again cut otherwise."""

from __future__ import annotations

from ringdict.node.admission import Admission
from ringdict.node.catalogue import Record
from ringdict.node.config import (
    FRAME_BYTES_MAX,
    FRAME_VALUE_BYTES_MAX,
    RECORD_BYTES_MAX,
    REQUEST_KEYS_MAX,
    STORAGE_KEY_BYTES_MAX,
)
from ringdict.node.message import (
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
    Written,
)
from ringdict.node.service import EMPTY_BITMAP
from ringdict.node.wire import encode

from .keepers import KEY, Cluster
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
        ReadPage(0, cluster.epoch, cluster.dict_id, EMPTY_BITMAP, start, b""),
        Count(0, cluster.epoch, cluster.dict_id, EMPTY_BITMAP, start),
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
    place, raw = row(KEY, body=bytes(FRAME_BYTES_MAX), dict_id=cluster.dict_id)
    cluster.keeping(0).entries.commit({place: raw}, lambda _: None)
    get = Get(0, cluster.epoch, cluster.dict_id, KEY)
    assert refused(cluster.ask(0, get)) == Reason.TOO_LARGE


def test_a_request_that_fits_into_no_frame_when_it_is_passed_on_ends_no_node() -> None:
    cluster = Cluster()
    for number in range(3):
        cluster.keeping(number).admission._value_bytes_max = FRAME_BYTES_MAX
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
    assert anew._value_bytes_max == FRAME_VALUE_BYTES_MAX
