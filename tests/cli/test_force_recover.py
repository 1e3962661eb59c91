"""`ringdict force-recover`: what it says before it does anything."""

from __future__ import annotations

from ringdict.client.shell.recover_command import words
from ringdict.ring.decree import Decree
from ringdict.ring.recovery import losses
from tests.ring.rings import cluster_of


def said(decree: Decree, *lost: int) -> str:
    members = [decree.members[number] for number in lost]
    return "\n".join(words(decree, members, losses(decree, [one.member_id for one in members])))


def test_it_says_that_locks_may_be_granted_twice_and_what_may_be_gone() -> None:
    text = said(cluster_of(3), 0, 1)
    assert "0 of 16 partitions lose nothing" in text
    assert "16 of 16 have lost most of their owners" in text
    assert "may be granted a second time" in text
    assert "there is no way back" in text
    assert "have lost all owners" not in text


def test_it_counts_what_is_kept_and_what_is_gone_for_good() -> None:
    decree = cluster_of(7)
    cost = losses(decree, [decree.members[number].member_id for number in (0, 1, 2, 3)])
    text = said(decree, 0, 1, 2, 3)
    assert f"{len(cost.kept)} of 16 partitions lose nothing" in text
    assert f"{len(cost.empty)} of 16 have lost all owners" in text
    assert len(cost.kept) + len(cost.doubtful) + len(cost.empty) == 16
