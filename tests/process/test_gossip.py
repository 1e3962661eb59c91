"""Members as real processes: killed, stopped, started again, sent away."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from .gossipnode import Member, all_see, crowd, wait_until


def others(members: list[Member], one: Member) -> list[Member]:
    return [member for member in members if member is not one]


@pytest.mark.deep
def test_three_processes_agree_and_one_that_leaves_is_gone_at_once(tmp_path: Path) -> None:
    with crowd(3, tmp_path) as members:
        wait_until(lambda: all_see(members, 3), 20)
        goer = members[2]
        goer.signal(signal.SIGTERM)
        assert goer.process.wait(20) == 0
        wait_until(lambda: all(member.states()[goer.address] == "left" for member in members[:2]), 5)


@pytest.mark.deep
@pytest.mark.timeout(240)
def test_twenty_on_one_host_through_kill_pause_restart_and_leave(tmp_path: Path) -> None:
    with crowd(20, tmp_path) as members:
        wait_until(lambda: all_see(members, 20), 60)
        killed, stopped, goer = members[3:6]

        began = time.monotonic()
        killed.end()
        stopped.signal(signal.SIGSTOP)
        rest = [member for member in members if member not in (killed, stopped)]

        def noticed() -> bool:
            return all(
                member.told("failed", gone.address, began) for member in rest for gone in (killed, stopped)
            )

        wait_until(noticed, 30)
        assert all_see(rest, 18)

        # A stopped one that goes on was declared dead, refutes, and accuses nobody of its own lateness.
        stopped.signal(signal.SIGCONT)
        wait_until(lambda: all_see([*rest, stopped], 19), 30)
        assert not any(event.get("change") == "failed" for event in stopped.events if event["at"] > began
                       and event["address"] != killed.address)  # fmt: skip

        killed.start()
        wait_until(lambda: all_see(members, 20), 30)
        assert killed.events[-1]["at"] > began
        boots = [event["boot"] for event in killed.events if "boot" in event]
        assert boots == [1, 2]

        goer.signal(signal.SIGTERM)
        assert goer.process.wait(20) == 0
        wait_until(lambda: all_see(others(members, goer), 19), 10)
        assert all(member.states()[goer.address] == "left" for member in others(members, goer))
