"""Bytes on disk that are not what was written: named, never returned, healed by a write."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict
from ringdict.exception import StoreDamagedError
from ringdict.node.config import MIB

from ..seeds import seeds
from .audit import check_consistent
from .child import Child, DiedError, Line
from .conftest import MakeCluster

AnyDict = Dict[Any, Any]
PAGE_BYTES = 4096
OVER_LONG = "long" * 200


def opened(cluster: Cluster, name: str = "d") -> AnyDict:
    return Dict.from_name(name, create_if_missing=True, cluster=cluster).hydrate()


def data_file(cluster: Cluster) -> Path:
    return cluster.store.environment.path / "data.mdb"


def flip(cluster: Cluster, needle: bytes) -> None:
    """Flip a bit in the one place of the file where the needle is."""
    content = data_file(cluster).read_bytes()
    assert content.count(needle) == 1
    at = content.index(needle)
    with data_file(cluster).open("r+b") as file:
        file.seek(at)
        file.write(bytes([needle[0] ^ 1]))


def elsewhere(cluster: Cluster, call: Callable[[AnyDict], object]) -> object:
    """What a call gives in a process that opens the store anew."""

    def carry_out(line: Line) -> object:
        return call(opened(cluster))

    with Child(carry_out) as child:
        return child.result()


# -- a damaged value -------------------------------------------------------------------------------


@pytest.fixture(params=["k", ("tuple", 1), OVER_LONG], ids=["short key", "tuple", "over-long key"])
def damaged_key(cluster: Cluster, dict_: AnyDict, request: pytest.FixtureRequest) -> object:
    """The key of a damaged value among 2,000 whole ones."""
    dict_.update({number: f"value {number}" for number in range(2_000)})
    dict_[request.param] = "the unlucky value"
    flip(cluster, b"the unlucky value")
    key: object = request.param
    return key


def test_a_damaged_value_is_reported_by_key(cluster: Cluster, dict_: AnyDict, damaged_key: object) -> None:
    reads: list[Callable[[AnyDict], object]] = [
        lambda d: d[damaged_key],
        lambda d: d.get(damaged_key),
        lambda d: d.get_entry(damaged_key),
        lambda d: d.get_many([1, damaged_key, 2]),
        lambda d: dict(d.items()),
        lambda d: list(d.values()),
        lambda d: d.incr(damaged_key),
        lambda d: d.setdefault(damaged_key, 1),
        lambda d: d.put(damaged_key, 1, skip_if_exists=True),
        lambda d: d.pop(damaged_key, None),
    ]
    for read in reads:
        with pytest.raises(StoreDamagedError) as caught:
            read(dict_)
        assert caught.value.key == damaged_key
        with pytest.raises(StoreDamagedError) as caught:
            elsewhere(cluster, read)
        assert caught.value.key == damaged_key
    assert dict_[7] == "value 7"
    dict_[damaged_key] = "whole again"


def test_a_put_heals_a_damaged_value(dict_: AnyDict, damaged_key: object) -> None:
    dict_[damaged_key] = "whole again"
    assert dict_[damaged_key] == "whole again"
    assert len(dict_) == sum(1 for _ in dict_.items()) == 2_001


def test_an_update_heals_a_damaged_value(dict_: AnyDict, damaged_key: object) -> None:
    dict_.update({damaged_key: "whole again", 1: "one"})
    assert len(dict_) == sum(1 for _ in dict_.items()) == 2_001


@pytest.mark.parametrize(
    "damaged_key",
    [
        "k",
        ("tuple", 1),
        OVER_LONG,
    ],
    indirect=True,
)
def test_a_deletion_removes_a_damaged_value(cluster: Cluster, dict_: AnyDict, damaged_key: object) -> None:
    del dict_[damaged_key]
    assert damaged_key not in dict_
    assert len(dict_) == sum(1 for _ in dict_.items()) == 2_000
    check_consistent(cluster.store)


def test_a_clear_removes_a_damaged_value(cluster: Cluster, dict_: AnyDict, damaged_key: object) -> None:
    dict_.clear()
    assert damaged_key not in dict_
    assert len(dict_) == 0


# -- a damaged tree --------------------------------------------------------------------------------


def spoil_page_of(cluster: Cluster, needle: bytes) -> None:
    """Make a page of zeros of the one where the needle is."""
    at = data_file(cluster).read_bytes().index(needle)
    with data_file(cluster).open("r+b") as file:
        file.seek(at - at % PAGE_BYTES)
        file.write(bytes(PAGE_BYTES))


@pytest.fixture
def damaged(cluster_of_its_own: Cluster) -> Cluster:
    """A store of many pages, of which the one with the key `lost` is no page any more."""
    d = opened(cluster_of_its_own)
    d.update({number: f"value {number} " + "x" * 100 for number in range(2_000)})
    d["lost"] = "the unlucky value"
    d["n"] = 1
    spoil_page_of(cluster_of_its_own, b"the unlucky value")
    return cluster_of_its_own


@pytest.fixture
def cluster_of_its_own(clusters: MakeCluster) -> Cluster:
    """A store that is not expected to be whole afterwards; nor is it swept, see `CRASHES`."""
    return clusters(background=False)


def refuses_atomic_operations(d: AnyDict) -> bool:
    refused = 0
    operations: list[Callable[[], object]] = [
        lambda: d.incr("n"),
        lambda: d.pop(1),
        lambda: d.put("new", 1, skip_if_exists=True),
        lambda: d.setdefault("new", 1),
        lambda: d.lock("l", wait_s=0).acquire(),
        d.clear,
    ]
    for operation in operations:
        try:
            operation()
        except StoreDamagedError as error:
            refused += error.key is None
    return refused == len(operations)


def test_a_damaged_tree_decides_nothing_any_more(damaged: Cluster) -> None:
    d = opened(damaged)
    assert d[0].startswith("value 0 ")
    with pytest.raises(StoreDamagedError, match="is damaged") as caught:
        d["lost"]
    assert caught.value.key is None
    assert refuses_atomic_operations(d)
    assert d[0].startswith("value 0 "), "what can be read is read"
    assert elsewhere(damaged, refuses_atomic_operations)


def wait_and_decide(line: Line, cluster: Cluster) -> bool:
    d = opened(cluster)
    d.incr("n")
    line.send("opened")
    line.recv()
    return refuses_atomic_operations(d)


def test_processes_that_have_a_damaged_store_open_hear_of_it(damaged: Cluster) -> None:
    with Child(wait_and_decide, damaged) as child:
        child.receive()
        with pytest.raises(StoreDamagedError):
            opened(damaged)["lost"]
        child.line.send("go on")
        assert child.result()


def read_everything(line: Line, cluster: Cluster) -> str:
    """Look up and iterate: what is answered is what was written. Damage of LMDB's own bytes may hide keys."""
    faulthandler.disable()  # that it may crash is known (`CRASHES`)
    try:
        d = opened(cluster)
        for number in range(3_000):
            with suppress(StoreDamagedError):
                assert d.get(number) in (f"value {number}", None)
        for number, value in d.items():
            assert value == f"value {number}"
    except StoreDamagedError as error:
        return str(error)
    return "nothing noticed"


Spoil = Callable[[bytearray, random.Random], None]


def cut_off(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def zero_a_page(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) // PAGE_BYTES) * PAGE_BYTES
    content[at : at + PAGE_BYTES] = bytes(PAGE_BYTES)


def scramble_a_page(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) // PAGE_BYTES) * PAGE_BYTES
    content[at : at + PAGE_BYTES] = rng.randbytes(PAGE_BYTES)


def flip_a_bit_of_a_header(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) // PAGE_BYTES) * PAGE_BYTES + rng.randrange(64)
    content[at] ^= 1 << rng.randrange(8)


def garbage(content: bytearray, rng: random.Random) -> None:
    content[:] = rng.randbytes(len(content))


CRASHES = {-signal.SIGABRT, -signal.SIGBUS, -signal.SIGSEGV}
"""LMDB ends a process whose cursor steps onto a page that is no page, by an assertion; and where an offset
within a page leads behind the end of the file, the system does."""


@pytest.mark.parametrize("seed", seeds(5, deep=15, campaign=40))
@pytest.mark.parametrize("spoil", [cut_off, zero_a_page, scramble_a_page, flip_a_bit_of_a_header, garbage])
def test_a_spoilt_file_gives_no_wrong_answer(clusters: MakeCluster, spoil: Spoil, seed: int) -> None:
    with Child(fill_and_close, clusters(background=False)) as child:
        child.result()
    cluster = clusters(background=False)
    content = bytearray(data_file(cluster).read_bytes())
    spoil(content, random.Random(seed))
    data_file(cluster).write_bytes(content)
    with Child(read_everything, cluster) as child:
        try:
            answer = child.result()
        except DiedError:
            assert child.exit_status() in CRASHES, f"seed {seed}"
        else:
            assert answer == "nothing noticed" or "is damaged" in answer, f"seed {seed}: {answer}"


COUNT = struct.Struct("<QQ")
COUNT_AT = 136
"""Offset in a meta page of the number of the last page; the number of the transaction follows."""


def test_a_damaged_count_of_pages_takes_no_disk(clusters: MakeCluster) -> None:
    with Child(fill_and_close, clusters(background=False)) as child:
        child.result()
    data = data_file(clusters())
    content = bytearray(data.read_bytes())
    for at in (COUNT_AT, PAGE_BYTES + COUNT_AT):
        last, transaction = COUNT.unpack_from(content, at)
        COUNT.pack_into(content, at, last | 1 << 20, transaction)
    data.write_bytes(content)
    with Child(read_everything, clusters(background=False)) as child:
        child.result()
    assert data.stat().st_blocks * 512 < 100 * MIB


@pytest.mark.parametrize("length_bytes", [0, 1, PAGE_BYTES, 2 * PAGE_BYTES - 1])
def test_a_file_cut_off_at_its_head_is_no_new_store(clusters: MakeCluster, length_bytes: int) -> None:
    with Child(fill_and_close, clusters()) as child:
        child.result()
    os.truncate(data_file(clusters()), length_bytes)
    with pytest.raises(StoreDamagedError, match="is damaged"):
        opened(clusters())


def fill_and_close(line: Line, cluster: Cluster) -> None:
    d = opened(cluster)
    d.update({number: f"value {number}" for number in range(3_000)})
    for number in range(0, 3_000, 7):
        d[number] = f"value {number}"
    cluster.close()
