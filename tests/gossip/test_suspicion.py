"""How long a suspicion lasts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.gossip.config import FAST, LAN, Settings
from ringdict.gossip.member import NOBODY
from ringdict.gossip.suspicion import Suspicion

from .peer import node_id


def suspicion(live: int, confirmations: int = 0, settings: Settings = LAN) -> Suspicion:
    made = Suspicion(settings, live, node_id("first"), 100.0)
    for number in range(confirmations):
        made.confirm(node_id(str(number)))
    return made


@pytest.mark.parametrize(
    ("live", "least_s"),
    [(3, 4.64), (10, 4.64), (12, 4.64), (50, 4 * math.log10(50)), (100, 8.0), (1000, 12.0)],
)
def test_the_least_time_grows_with_the_digits_of_the_cluster(live: int, least_s: float) -> None:
    assert suspicion(live, 3).timeout_s == pytest.approx(least_s)
    assert suspicion(live, 0).timeout_s == pytest.approx(6 * least_s if live > 2 else least_s)


def test_the_fast_preset_waits_for_less() -> None:
    assert suspicion(100, 3, FAST).timeout_s == pytest.approx(6.0)


def test_it_decays_with_each_confirmation_as_in_the_paper() -> None:
    least, most = 8.0, 48.0
    expected = [most - (most - least) * math.log(count + 1) / math.log(4) for count in range(4)]
    assert [suspicion(100, count).timeout_s for count in range(4)] == pytest.approx(expected)
    assert suspicion(100, 9).timeout_s == pytest.approx(least)


def test_nobody_can_confirm_in_a_cluster_of_two() -> None:
    assert suspicion(2).timeout_s == pytest.approx(4.64)


def test_one_confirmation_is_all_there_can_be_in_a_cluster_of_three() -> None:
    assert suspicion(3, 0).timeout_s == pytest.approx(27.84)
    assert suspicion(3, 1).timeout_s == pytest.approx(4.64)


def test_the_same_reporter_twice_and_nobody_do_not_count() -> None:
    made = suspicion(100)
    assert not made.confirm(node_id("first"))
    assert not made.confirm(NOBODY)
    assert made.confirm(node_id("second"))
    assert not made.confirm(node_id("second"))


@given(st.integers(1, 5000), st.integers(0, 20))
def test_it_is_never_outside_its_bounds(live: int, confirmations: int) -> None:
    made = suspicion(live, confirmations)
    assert made.least_s <= made.timeout_s <= made.most_s
    assert made.due == made.began + made.timeout_s


@pytest.mark.parametrize(
    "wrong",
    [
        {"probe_timeout_s": 1.0},
        {"probe_timeout_s": 0.0},
        {"suspicion_rounds": 0.5},
        {"suspicion_ratio_max": 0.9},
        {"suspicion_confirmations": -1},
        {"indirect_probes": -1},
        {"overhead_bytes": -1},
        {"overhead_bytes": 500},
        {"gossip_interval_s": 0.0},
        {"gossip_peers": 0},
        {"retransmit_ratio": 0},
        {"members_max": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="_"):
        Settings(**wrong)  # type: ignore[arg-type]
