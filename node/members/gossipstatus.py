"""What one node believes of all, as plain data for people: a part of what `ringdict status` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...gossip.core import Gossip
from ...gossip.instruction import MemberView
from ..world import NS_PER_S

MS_PER_S = 1_000


def status_of(
    core: Gossip | None, now: float, wall_ms: int, counters: Mapping[str, int], keys: Sequence[str]
) -> dict[str, object]:
    """Everything; times of day are milliseconds since 1970 as this host believes, ids and digests are hex.

    `agreement` counts members by the digest that they last showed: `same`, `other`, and `unheard` of since
    this node's own view has changed. All agree when none is in the last two.
    """
    if core is None:
        return {"state": "starting"}
    me = core.member(core.node_id)
    assert me is not None
    views = sorted(core.members(), key=lambda view: view.node_id)
    same, other, unheard = core.agreement()
    return {
        "state": "member" if core.halted is None else core.halted.name.lower(),
        "node": core.node_id.hex(),
        "generation": me.generation,
        "incarnation": me.incarnation,
        "health_points": core.health_points,
        "digest": f"{core.digest:016x}",
        "live_count": core.live_count,
        "agreement": {"same": same, "other": other, "unheard": unheard},
        "all_agree": not other and not unheard,
        "members": [_member(view, now, wall_ms) for view in views],
        "keys": list(keys),
        "counters": dict(sorted({**core.counters(), **counters}.items())),
    }


def _member(view: MemberView, now: float, wall_ms: int) -> dict[str, object]:
    ring = view.ring
    return {
        "node": view.node_id.hex(),
        "address": view.profile.address,
        "service": view.profile.service or view.profile.address,
        "zone": view.profile.zone,
        "version": view.profile.version,
        "state": view.status.name.lower(),
        "since_ms": wall_ms - int((now - view.since) * MS_PER_S),
        "generation": view.generation,
        "incarnation": view.incarnation,
        "rtt_us": None if view.rtt_s is None else round(view.rtt_s * NS_PER_S / 1_000),
        "epoch": None if ring is None else ring.epoch,
    }
