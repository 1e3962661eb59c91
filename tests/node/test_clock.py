"""The hybrid clock never runs back, and the system's own clocks are what they say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.node.clock import COUNTER_BITS, HybridClock, SystemClock, system_random


class Hands:
    """Two hands that a test moves."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000
        self.monotonic = 1_000

    def wall_ms(self) -> int:
        return self.wall

    def monotonic_ms(self) -> int:
        return self.monotonic

    def boot_id(self) -> bytes:
        return bytes(16)


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(-(10**7), 10**7), st.integers(-(10**5), 10**5)))
)
def test_it_never_runs_back_nor_slower_than_time(steps: list[tuple[int, int, int]]) -> None:
    hands = Hands()
    clock = HybridClock(hands)
    before_ms = clock.now_ms(0)
    for passed_ms, jump_ms, ahead_ms in steps:
        hands.monotonic += passed_ms
        hands.wall += passed_ms + jump_ms
        stamp = (before_ms + ahead_ms) << COUNTER_BITS
        now_ms = clock.now_ms(stamp)
        assert now_ms >= before_ms + passed_ms
        assert now_ms >= max(hands.wall, before_ms + ahead_ms)
        before_ms = now_ms


def test_the_system_has_clocks() -> None:
    clock = SystemClock()
    assert abs(clock.wall_ms() - time.time() * 1000) < 60_000
    assert abs(clock.monotonic_ms() - time.monotonic() * 1000) < 60_000
    assert len(clock.boot_id()) == 16
    assert clock.boot_id() == SystemClock().boot_id()


@pytest.mark.parametrize("content", [None, "no id"])
def test_where_no_boot_id_is_to_be_had_it_is_zeros(
    content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_text(_: Path) -> str:
        if content is None:
            raise FileNotFoundError
        return content

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", read_text)
        clock = SystemClock()
    assert clock.boot_id() == bytes(16)


def test_random_bytes_are_as_many_as_asked_for_and_differ() -> None:
    assert len(system_random(16)) == 16
    assert system_random(16) != system_random(16)
