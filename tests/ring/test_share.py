"""Fair shares by weight and zone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.ring.share import copy_shares, load_cap, primary_shares


@pytest.mark.parametrize(
    ("weights", "zones", "replicas", "shares"),
    [
        ([1], "a", 3, [1]),
        ([1, 1], "aa", 3, [1, 1]),
        ([1, 1, 1, 1], "aaaa", 3, [0.75] * 4),
        ([1, 1, 2], "aaa", 1, [0.25, 0.25, 0.5]),
        ([10, 1, 1], "aaa", 2, [1, 0.5, 0.5]),  # nobody holds a row twice
        (
            [1, 1, 1, 1, 1],
            "abbcc",
            3,
            [1, 0.5, 0.5, 0.5, 0.5],
        ),  # three zones for three replicas
        ([1, 1, 1, 1], "abcd", 3, [0.75] * 4),
        ([1] * 5, "aaaab", 3, [0.5, 0.5, 0.5, 0.5, 1]),  # two zones: the small one has one of every row
        ([1] * 4, "aabb", 3, [0.75] * 4),
        ([1] * 22, "a" * 20 + "bc", 3, [0.05] * 20 + [1, 1]),
        ([3, 1, 1, 1], "abcd", 3, [1, 2 / 3, 2 / 3, 2 / 3]),
    ],
)
def test_shares_follow_weights_within_what_zones_allow(
    weights: list[int], zones: str, replicas: int, shares: list[float]
) -> None:
    assert copy_shares(weights, list(zones), replicas) == pytest.approx(shares)


@given(
    st.lists(st.tuples(st.integers(1, 16), st.sampled_from("abcdef")), min_size=1, max_size=40),
    st.integers(1, 7),
)
def test_shares_add_up_and_nobody_is_asked_for_more_than_all(
    members: list[tuple[int, str]], replicas: int
) -> None:
    weights, zones = [weight for weight, _ in members], [zone for _, zone in members]
    shares = copy_shares(weights, zones, replicas)
    assert sum(shares) == pytest.approx(min(replicas, len(members)))
    assert all(0 < share <= 1 for share in shares)
    by_zone = {zone: sum(s for s, z in zip(shares, zones, strict=True) if z == zone) for zone in zones}
    if len(by_zone) >= replicas:
        assert max(by_zone.values()) <= 1 + 1e-9
    elif len(members) >= replicas:
        assert min(by_zone.values()) >= 1 - 1e-9
    for share, first in zip(shares, primary_shares(weights), strict=True):
        assert share >= first - 1e-9  # so whoever is primary owner of its fair part has room for it


def test_the_cap_is_a_tenth_above_the_mean_rounded_up() -> None:
    assert load_cap(1 / 5, 1000) == 220  # in floats it is 220.00000000000003
    assert load_cap(1 / 3, 1024) == 376
    assert load_cap(0.0001, 1) == 1
