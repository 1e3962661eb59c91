"""One replica: what it reads, what it merges, how it adds up."""

from __future__ import annotations

import pytest

from ringdict.node.entry import DamagedEntryError
from ringdict.node.transaction import DictGoneError

from .replicas import DICT, EVERYWHERE, NOW_MS, One, row


def test_what_was_applied_is_read() -> None:
    one = One()
    assert one.apply(row(b"a", 5, b"value")) == 0
    read = one.replica.read(DICT, b"\x03a")
    assert read.entry is not None
    assert (read.entry.body, read.stamp) == (b"value", (5, 1, 0))
    assert one.replica.read(DICT, b"\x03b").stamp == (0, 0, 0)


def test_an_unknown_dict_is_not_an_empty_one() -> None:
    one = One()
    with pytest.raises(DictGoneError):
        one.replica.read(b"unknown!", b"\x03a")


def test_the_older_entry_never_comes_back_and_its_sender_hears_of_the_newer_one() -> None:
    one = One()
    one.apply(row(b"a", 5, b"new"))
    assert one.apply(row(b"a", 4, b"old"), row(b"b", 1)) == 5
    assert one.apply(row(b"a", 5, b"new")) == 0
    entry = one.replica.read(DICT, b"\x03a").entry
    assert entry is not None
    assert entry.body == b"new"


def test_expired_entries_are_not_seen_and_their_stamp_is() -> None:
    one = One()
    one.apply(row(b"a", 5, expires_ms=NOW_MS + 10))
    assert one.replica.read(DICT, b"\x03a").entry is not None
    assert one.replica.count(DICT, EVERYWHERE, b"").entries == 1
    one.now_ms += 10
    assert one.replica.read(DICT, b"\x03a") == (None, (5, 1, 0))
    assert one.replica.count(DICT, EVERYWHERE, b"").entries == 0
    assert one.replica.page(DICT, EVERYWHERE, b"").rows == []


def test_a_damaged_entry_is_named_and_replaced_by_a_healthy_one() -> None:
    one = One()
    place, raw = row(b"a", 5, b"value")
    one.storage.commit({place: raw[:-1] + b"?"}, lambda _: None)
    with pytest.raises(DamagedEntryError):
        one.replica.read(DICT, b"\x03a")
    assert one.replica.page(DICT, EVERYWHERE, b"").rows == [(b"\x03a", None)]
    one.apply((place, raw))
    assert one.replica.page(DICT, EVERYWHERE, b"").rows == [(b"\x03a", b"value")]
