"""Bytes that are not what was written: named by key, never returned, and of no consequence for the rest."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from ringdict import Cluster, Dict, StoreDamagedError
from ringdict.client.embedded import EmbeddedDict
from ringdict.client.keys import encode_key
from ringdict.node.store.entry import EXPIRES_AT, FLAGS_AT, HEADER_BYTES, LONG_KEY, VERSION_AT
from ringdict.node.store.store import Store
from ringdict.node.store.transaction import WriteTransaction

from .clock import ManualClock

FLIPS = {
    "checksum": 0,
    "flags": FLAGS_AT,
    "version": VERSION_AT,
    "node": VERSION_AT + 8,
    "touch": EXPIRES_AT - 8,
    "expiry": EXPIRES_AT,
    "value": HEADER_BYTES,
}
"""Where a bit of an entry is flipped."""


def flip(d: Dict[Any, Any], key: object, at: int, bits: int = 0x40) -> None:
    """Damage an entry."""

    def damaged(raw: bytes) -> bytes:
        flipped = bytearray(raw)
        flipped[at] ^= bits
        return bytes(flipped)

    rewrite(d, key, damaged)


def rewrite(d: Dict[Any, Any], key: object, damaged: Callable[[bytes], bytes]) -> None:
    bound = d.hydrate()._bound
    assert isinstance(bound, EmbeddedDict)
    place = bound.table.locate(encode_key(key)).place

    def job(transaction: WriteTransaction) -> None:
        raw = transaction.get(place)
        assert raw is not None
        transaction.put(place, damaged(raw))

    bound.store.run(job)


DECIDING: dict[str, Callable[[Dict[Any, Any]], object]] = {
    "d[k]": lambda d: d["k"],
    "get": lambda d: d.get("k"),
    "in": lambda d: "k" in d,
    "get_entry": lambda d: d.get_entry("k"),
    "ttl": lambda d: d.ttl("k"),
    "get_many": lambda d: d.get_many(["other", "k"]),
    "items": lambda d: list(d.items()),
    "values": lambda d: list(d.values()),
    "popitem": lambda d: d.popitem(),
    "pop": lambda d: d.pop("k"),
    "put if absent": lambda d: d.put("k", 1, skip_if_exists=True),
    "setdefault": lambda d: d.setdefault("k", 1),
    "replace": lambda d: d.replace("k", 1, if_version=None),
    "incr": lambda d: d.incr("k"),
    "touch": lambda d: d.touch("k", 5),
}
"""What would have to know the value, or whether there is one."""

MENDING: dict[str, Callable[[Dict[Any, Any]], object]] = {
    "put": lambda d: d.put("k", "new"),
    "update": lambda d: d.update(k="new", other="new"),
    "update with many": lambda d: d.update({"k": "new", **{f"{n}": n for n in range(10)}}, ttl=1000),
    "del": lambda d: d.__delitem__("k"),
    "delete_many": lambda d: d.delete_many(["k"]),
    "clear": lambda d: d.clear(),
}
"""What does away with the damage."""


@pytest.mark.parametrize("use", DECIDING)
@pytest.mark.parametrize("where", ["value", "checksum", "version"])
def test_damage_is_named_by_key_and_never_returned(where: str, use: str, d: Dict[Any, Any]) -> None:
    d["k"] = "value"
    flip(d, "k", FLIPS[where])
    with pytest.raises(StoreDamagedError, match="'k' in Dict 'd' is damaged") as caught:
        DECIDING[use](d)
    assert caught.value.key == "k"


def test_damage_hides_nothing_else(d: Dict[Any, Any]) -> None:
    d.update(dict.fromkeys(["k", "other"], "value"))
    flip(d, "k", FLIPS["value"])
    assert set(d) == {"k", "other"}
    assert len(d) == 2
    assert d["other"] == "value"


@pytest.mark.parametrize(
    ("at", "bits"),
    [
        pytest.param(FLAGS_AT, LONG_KEY, id="flag"),
        pytest.param(HEADER_BYTES, 1, id="length"),
        pytest.param(HEADER_BYTES + 1, 1, id="length, low byte"),
        pytest.param(HEADER_BYTES + 2, 1, id="key"),
        pytest.param(HEADER_BYTES + 700, 1, id="key, later"),
    ],
)
def test_a_damaged_over_long_key_hides_no_others(at: int, bits: int, d: Dict[Any, Any]) -> None:
    d.update(dict.fromkeys(["k" * 1000, "other"], "value"))
    flip(d, "k" * 1000, at, bits)
    with pytest.raises(StoreDamagedError):
        d.get("k" * 1000)
    with pytest.raises(StoreDamagedError):
        list(d.items())
    assert "other" in set(d)
    d["k" * 1000] = "new"
    assert d == dict.fromkeys(["k" * 1000, "other"], "new") | {"other": "value"}


@pytest.mark.parametrize("use", ["get", "items", "get_many", "popitem"])
def test_damage_of_an_over_long_key_is_named_as_far_as_it_is_known(use: str, d: Dict[Any, Any]) -> None:
    key = "k" * 1000
    d[key] = "value"
    flip(d, key, -1)
    uses: dict[str, Callable[[], object]] = {
        "get": lambda: d.get(key),
        "items": lambda: list(d.items()),
        "get_many": lambda: d.get_many([key]),
        "popitem": d.popitem,
    }
    with pytest.raises(StoreDamagedError) as caught:
        uses[use]()
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("mend", "where"), [each for each in product(MENDING, FLIPS) if each != ("clear", "version")]
)
def test_writing_anew_or_deleting_mends_it(mend: str, where: str, d: Dict[Any, Any]) -> None:
    d.update(dict.fromkeys(["k", "other"], "value"))
    flip(d, "k", FLIPS[where])
    MENDING[mend](d)
    assert d.get("k", "gone") in ("new", "gone")
    assert len(d) == len(dict(d.items()))
    d["k"] = "at last"
    assert d["k"] == "at last"
    assert len(d) == d.info().entries == len(dict(d.items()))


@pytest.mark.parametrize("where", FLIPS)
@pytest.mark.parametrize("mend", MENDING)
def test_a_damaged_header_moves_no_clock(mend: str, where: str, d: Dict[Any, Any], cluster: Cluster) -> None:
    """A version from the far future would end the life of every entry that has an end."""
    other = Dict.from_name("other", create_if_missing=True, cluster=cluster)
    other.put("k", "alive", ttl=1000)
    d["k"] = "value"
    before_ms = cluster.store.now_ms()
    for bits in (0x40, 0x01):
        flip(d, "k", FLIPS[where], bits)
    MENDING[mend](d)
    d["k"] = "again"
    assert cluster.store.now_ms() < before_ms + 60_000
    assert other["k"] == "alive"
    entry = d.get_entry("k")
    assert entry is not None
    assert entry.version >> 16 < before_ms + 60_000


@pytest.mark.parametrize("length", [0, 3, HEADER_BYTES - 1])
@pytest.mark.parametrize("mend", MENDING)
def test_an_entry_cut_short_is_damaged(mend: str, length: int, d: Dict[Any, Any]) -> None:
    d["k"] = "value"
    rewrite(d, "k", lambda raw: raw[:length])
    with pytest.raises(StoreDamagedError):
        d.get("k")
    MENDING[mend](d)
    d["k"] = "at last"
    assert d["k"] == "at last"
    assert len(d) == len(list(d))


def test_a_version_damaged_upwards_outlives_a_clear_and_is_mended_by_a_write(d: Dict[Any, Any]) -> None:
    """Nobody can tell that it is older than the clear; `len` may be one too low from then on."""
    d["k"] = "value"
    flip(d, "k", FLIPS["version"])
    d.clear()
    with pytest.raises(StoreDamagedError):
        d.get("k")
    d["k"] = "new"
    assert d["k"] == "new"
    assert len(d) <= 1


def test_what_was_cleared_is_absent_though_damaged(d: Dict[Any, Any]) -> None:
    d["k"] = 5
    flip(d, "k", -1)
    d.clear()
    assert d.get("k") is None
    assert d.delete_many(["k"]) == 0
    assert d.incr("k") == 1
    assert len(d) == 1


@pytest.mark.parametrize("mend", MENDING)
def test_the_expiry_of_what_was_damaged_takes_nothing_else_along(
    mend: str, timed: Dict[Any, Any], timed_store: Store, clock: ManualClock
) -> None:
    timed.put("k", "value", ttl=10)
    flip(timed, "k", -1)
    MENDING[mend](timed)
    timed["k"] = "stays"
    clock.advance(11)
    assert len(timed) == len(list(timed))
    while timed_store.sweep():
        pass
    assert timed["k"] == "stays"
    assert len(timed) == len(list(timed))


def test_what_is_damaged_and_expired_is_swept(
    timed: Dict[Any, Any], timed_store: Store, clock: ManualClock
) -> None:
    timed.put("k", "value", ttl=10)
    timed["other"] = 1
    flip(timed, "k", -1)
    clock.advance(11)
    for _ in range(10):
        if not timed_store.sweep():
            break
    else:
        raise AssertionError("the sweeper never comes to an end")
    assert timed["other"] == 1
