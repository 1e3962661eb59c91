"""When a node does what it does again and again: all of it in the same few instants of a second.

To wake costs a node more than most of what it then does, so what has no hurry waits for company. Each node
has beats of its own, since all of a cluster at one instant would be in each other's way.
"""

from __future__ import annotations

from .world import World

_PHASE_BYTES = 8
"""Of a node's id, which is random: enough to spread the nodes of a cluster over any interval."""


def until_beat_ns(world: World, interval_ns: int) -> int:
    """How long it is until the next beat of an interval, at most the interval and never 0. The beats of an
    interval are also those of each interval that divides it."""
    phase_ns = int.from_bytes(world.identity.node[:_PHASE_BYTES], "big")
    return interval_ns - (world.now_ns() + phase_ns) % interval_ns
