"""Who goes through a Dict while the ring changes sees each key once; who forgets where it was does not."""

from __future__ import annotations

import pytest

from ringdict.client.scanning import Place
from ringdict.sim.run import Run, run
from ringdict.sim.scanscenario import ScansWhileTheRingChanges
from ringdict.sim.scenario import plan_for

SCENARIO = "ringdict.sim.scanscenario:ScansWhileTheRingChanges"


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.deep)])
def test_each_key_comes_once_while_the_ring_changes(seed: int) -> None:
    running = Run(plan_for(SCENARIO, seed, "calm"))
    finished = running.finish()
    assert finished.outcome.failure is None
    scans = [one for one in finished.operations if one.kind == "scan"]
    assert len(scans) > 200
    scenario = running.scenario
    assert isinstance(scenario, ScansWhileTheRingChanges)
    assert len(scenario.rings.decrees) > 10


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
def test_many_seeds_see_each_key_once() -> None:
    for seed in range(200):
        assert run(plan_for(SCENARIO, seed, "default")).failure is None, seed


def test_a_scan_that_forgets_where_it_was_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(place: Place, asked: int, _following: bytes) -> Place:
        """What was asked for is taken for read, however much of it came."""
        return Place(place.partitions & ~asked)

    monkeypatch.setattr(Place, "behind", forget)
    outcome = run(plan_for(SCENARIO, 0, "calm"))
    assert outcome.failure is not None
    assert "missed" in str(outcome.failure)
