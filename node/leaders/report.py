"""What a node leads, and of what it sees no quorum, in words for people (docs/operations.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..world import NS_PER_S, NodeId
from .electorate import Electorate
from .leaderconfig import LOST_S

if TYPE_CHECKING:
    from .leader import Leaders

_LOST_NS = int(LOST_S * NS_PER_S)


def report(leaders: Leaders) -> Mapping[str, object]:
    """As plain data. `ballots`: of each partition that is led here, its number and since, round, boot."""
    leaderships = leaders.leaderships
    ballots = sorted((partition, each.ballot) for partition, each in leaderships.items())
    return {
        "leads": len(leaderships),
        "settling": sum(bool(each.open) for each in leaderships.values()),
        "electing": len(leaders.candidacies.partitions()),
        "waiting": sum(len(each.waits) for each in leaderships.values()),
        "resigned": dict(sorted(leaders.handover.counts.items())),
        "ballots": [[partition, each.since, each.round, each.boot] for partition, each in ballots],
        "lost": _lost(leaders),
    }


def _lost(leaders: Leaders) -> list[Mapping[str, object]]:
    """Partitions without a quorum, by who their owners are."""
    view = leaders.view
    if view is None:
        return []
    led = {partition for partition, _ in leaders.desk.ballots()}
    answered = leaders.heartbeats.answered(_LOST_NS)
    groups: dict[tuple[NodeId, ...], list[int]] = {}
    for partition in leaders.desk.lost(led):
        groups.setdefault(tuple(Electorate(view, partition).everyone), []).append(partition)
    return [
        {
            "partitions": partitions,
            "of": [node.hex() for node in nodes],
            "silent": [node.hex() for node in nodes if node not in answered],
        }
        for nodes, partitions in sorted(groups.items())
    ]
