"""How far the ring's way to its next table is, in words: what `ringdict status` says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .terminal import size


def cell(told: Mapping[str, object]) -> str:
    """How many of the partitions that a node takes over it has, or "-"."""
    moves = told.get("moves")
    if not isinstance(moves, dict) or not moves["taking_partitions"]:
        return "-"
    return f"{moves['ready_partitions']}/{moves['taking_partitions']}"


def lines(name: str, told: Mapping[str, object], names: Mapping[str, str]) -> Iterator[str]:
    """What is to be said of a node that takes partitions over; `names` are those of nodes, by id."""
    moves = told.get("moves")
    if not isinstance(moves, dict) or not moves["taking_partitions"]:
        return
    yield (
        f"{name}: has {moves['ready_partitions']:,} of {moves['taking_partitions']:,} partitions that it "
        f"takes over, {moves['pending_partitions']:,} are pending; {moves['moved_entries']:,} entries, "
        f"{size(moves['moved_bytes'])} in {moves['since_s']:.0f} s ({size(int(moves['rate_bytes_s']))}/s)"
    )
    for node, count in sorted(moves["waits_for"].items(), key=lambda pair: -pair[1]):
        yield f"{name}: waits for {names.get(node, node[:12])} with {count:,} of them"
