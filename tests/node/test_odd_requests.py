"""Requests that no client of ours would send, and batches that come again cut otherwise."""

from __future__ import annotations

from ringdict.node.message import Ack, Put, PutMany, Written

from .keepers import KEY, Cluster
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
