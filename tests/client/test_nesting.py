"""Hostile shapes: no depth, and no header that claims more than there is, takes stack or memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.client import extension, nesting
from ringdict.client.nesting import COUNTED_BYTES_MAX, SHALLOW_BYTES_MAX, check_nesting
from ringdict.client.values import ValueCodec
from ringdict.exception import DeserializationError
from ringdict.node.config import VALUE_DEPTH_MAX

codec = ValueCodec(allow_pickle=False, value_bytes_max=1 << 22)


def packed(value: object) -> bytes:
    data: bytes = msgpack.Packer().pack(value)
    return data


# A thread whose stack is small is what hostile depth would end the whole process in.
PROGRAM = """
import sys, threading
from ringdict.client.values import ValueCodec
from ringdict.exception import DeserializationError
codec = ValueCodec(allow_pickle=False, value_bytes_max=1 << 22)
heads = [b"\\x91", b"\\x81\\x01", b"\\x92\\x01", b"\\x92\\xa3xxx", b"\\xdc\\x00\\x01"]
heads.append(b"\\x92\\xc7\\x00\\x01")
done = []

def read(data):
    try:
        codec.decode(data)
    except DeserializationError:
        pass

def attack():
    for prefix in (b"", b"\\xc1", b"\\xc1\\x81"):
        for head in heads:
            for depth in (*range(100, 300, 9), 500, 900, 1020, 1021, 1022, 1023, 1024, 1025, 5000, 200_000):
                read(prefix + head * depth + b"\\x90")
                read(prefix + head * depth + b"\\x90" + b"\\x01" * depth)
                read(prefix + b"\\x92\\xda\\x10\\x00" + b"x" * 4096 + head * depth + b"\\x90")
    deepest = 1
    for _ in range(127):
        deepest = [deepest]
    for beside in ("x" * 300, "x" * 3000):
        for value in ([deepest, beside], (deepest, beside)):
            assert codec.decode(codec.encode(value)) == value
    done.append(True)

threading.stack_size(256 * 1024)
thread = threading.Thread(target=attack)
thread.start()
thread.join()
assert done
"""


def test_hostile_depth_does_not_exhaust_a_small_stack(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=False,
        env={"PYTHONPATH": str(root / ".import")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", [SHALLOW_BYTES_MAX + 1, COUNTED_BYTES_MAX, COUNTED_BYTES_MAX + 1, 100_000])
@pytest.mark.parametrize("head", [b"\x91", b"\x81\x01"])
def test_depth_is_refused_whatever_the_size(size: int, head: bytes) -> None:
    depth = SHALLOW_BYTES_MAX + 2
    data = b"\x92\xdb" + size.to_bytes(4, "big") + b"x" * size + head * depth + b"\xc0"
    with pytest.raises(ValueError, match="nests too deep"):
        check_nesting(data)
    with pytest.raises(DeserializationError, match="nests too deep"):
        codec.decode(data)
    with pytest.raises(DeserializationError, match="nests too deep"):
        codec.decode(b"\xc1" + data)


def deep(depth: int, kind: Any) -> Any:
    value: Any = None
    for _ in range(depth):
        value = kind(value)
    return value


@pytest.mark.parametrize("kind", [lambda inner: [inner], lambda inner: {1: inner}], ids=["list", "dict"])
def test_the_greatest_depth_passes_and_one_more_does_not(kind: Any) -> None:
    beside = "x" * COUNTED_BYTES_MAX
    allowed = [deep(VALUE_DEPTH_MAX - 1, kind), beside]
    check_nesting(packed(allowed))
    assert codec.decode(codec.encode(allowed)) == allowed
    with pytest.raises(ValueError, match="nests too deep"):
        check_nesting(packed([deep(VALUE_DEPTH_MAX, kind), beside]))


def test_many_containers_are_not_deep_ones() -> None:
    value: Any
    for value in ([[]] * 2000, [{}] * 500, [["é", 1.1, i] for i in range(400)], {i: [i] for i in range(300)}):
        assert codec.decode(codec.encode(value)) == value


plain = st.recursive(
    st.none() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=9), inner, max_size=9),
    max_leaves=60,
)


@given(plain)
def test_no_value_is_taken_for_a_hostile_one(value: object) -> None:
    wide = [value] * 9
    check_nesting(packed(wide))
    nesting._follow(packed(wide))
    assert codec.decode(codec.encode(wide)) == wide


@pytest.mark.parametrize("prefix", [b"", b"\xc1"])
@pytest.mark.parametrize(
    "header", [b"\xdd\x00\x05\x00\x00", b"\xdf\x00\x02\x00\x00\x01", b"\xc9\x00\x05\x00\x00\x20"]
)
def test_claims_of_what_is_not_there_take_no_memory(prefix: bytes, header: bytes) -> None:
    data = prefix + b"\x92" + header * 1000 + b"\x01" * 400_000
    tracemalloc.start()
    try:
        with pytest.raises(DeserializationError):
            codec.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(data)
    finally:
        tracemalloc.stop()


def test_the_payload_of_an_array_is_looked_at_too() -> None:
    payload = b"\xdd\x00\x05\x00\x00" * 1000 + b"\x01" * 10_000
    data = b"\xc1" + packed(msgpack.ExtType(extension.NDARRAY, payload))
    with pytest.raises(DeserializationError, match="cut short, malformed, or nests too deep"):
        codec.decode(data)


@pytest.mark.parametrize("prefix", [b"", b"\xc1"])
def test_a_large_container_ends_where_its_bytes_end(prefix: bytes) -> None:
    data = prefix + packed([*range(COUNTED_BYTES_MAX), None])
    codec.decode(data)
    for wrong, why in (
        (data + b"\x01", "something follows"),
        (data[:-1], "cut short"),
        (data[:-1] + b"\xc1", "malformed"),
    ):
        with pytest.raises(DeserializationError, match=why):
            codec.decode(wrong)


def test_large_strings_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nesting, "_follow", None)
    for value in ("x" * 10_000, b"\x91" * 10_000, bytearray(10_000), {"a": [1] * 200, "b": "x" * 100}):
        assert codec.decode(codec.encode(value)) == value


EXAMPLES = """
from ringdict.client.values import ValueCodec
codec = ValueCodec(allow_pickle=False, value_bytes_max=1 << 20)
values = [
    [[i, {"a": 1.5}] for i in range(1000)],
    [(i, {i}) for i in range(1000)],
    ([], [[]], ((),), {(1,): [frozenset({(2,)})]}),
    ("x" * 5000, 2**70, "\\ud800"),
]

def within(calls):  # of others, as there are in a real program
    if calls:
        return within(calls - 1)
    for value in values:
        decoded = codec.decode(codec.encode(value))
        assert repr(decoded) == repr(value), decoded

within(200)
for data in (b"\\x91" * 100_000, b"\\xc1" + b"\\x91" * 100_000, b"\\xc1\\x92\\x01\\xc7\\x00\\x01"):
    try:
        raise AssertionError(codec.decode(data))
    except DeserializationError:
        pass
import msgpack
assert msgpack.Unpacker.__module__.endswith("fallback")
"""


def test_msgpack_without_its_c_part_reads_and_writes_the_same(root: Path) -> None:
    program = "from ringdict.exception import DeserializationError\n" + EXAMPLES
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env={"PYTHONPATH": str(root / ".import"), "MSGPACK_PUREPYTHON": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
