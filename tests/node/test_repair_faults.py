"""Whatever befalls replicas, nothing is lost that was not alone for too long, and nothing dead comes back.

Purging is as patient as ever with those who are away; how long it waits otherwise is made shorter here, so
that much happens in a minute.
"""

from __future__ import annotations

import pytest

from ringdict.node.replicas import collect, purge
from ringdict.node.world import NS_PER_S

from .repairtrial import Trial

SEEDS = range(3)
MORE_SEEDS = range(3, 60)
ALL_SEEDS = range(60, 2_060)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "DELAY_NS", 2 * NS_PER_S)
    monkeypatch.setattr(collect, "INTERVAL_NS", 2 * NS_PER_S)


@pytest.mark.parametrize("seed", SEEDS)
def test_replicas_are_equal_and_right_after_anything(seed: int) -> None:
    Trial(seed).run()
